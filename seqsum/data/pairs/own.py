"""A user's own sentence pairs, as collections of sentences are distributed: a pair a line, with tabs between."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from seqsum.data.base import Split
from seqsum.data.pairs.lines import read_lines
from seqsum.data.pairs.sentence_pairs import ParallelText, SentencePair, SentencePairs
from seqsum.data.text.sentences import normalise
from seqsum.errors import InputError

HELD_OUT = 0.1  # of the pairs for validation, and as many for the test
MOST_HELD_OUT = 1_000  # pairs


def read_pairs(path: Path, columns: SentencePair) -> ParallelText:
    """Read pairs from a tab-separated file and divide them into splits, see `hold_out`.

    Args:
        path: The file, packed by gzip or not. Columns other than the two, such as attributions, are ignored.
        columns: Numbers of the source's and the target's column, `1` for the first.

    Raises:
        InputError: The file can't be read, a line lacks a column, or there are too few pairs.
    """
    places = [_place(name, column) for name, column in columns._asdict().items()]
    rows = [_fields(path, number, line, places) for number, line in enumerate(read_lines(path, "--data.pairs"), 1)]
    splits = {split: _select(rows, found) for split, found in hold_out(rows).items()}
    for split, pairs in splits.items():
        if not pairs.source:
            raise InputError(
                f"`--data.pairs` (={path}) has too few different pairs: none is left for the {split} split"
            )
    return ParallelText("pairs", SentencePair(*(f"column {column}" for column in columns)), splits)


def _place(name: str, column: str) -> int:
    if not column.isdecimal() or int(column) < 1:
        raise InputError(f"`--data.{name}` (={column}) must be a column of `--data.pairs`, 1 for the first")
    return int(column) - 1


def _fields(path: Path, number: int, line: str, places: Sequence[int]) -> SentencePair:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) <= max(places):
        has = "no tab" if len(fields) == 1 else f"only {len(fields)} columns"
        raise InputError(f"`--data.pairs` (={path}): line {number:,} has {has}: {line[:40]!r}")
    for place in places:
        if not normalise(fields[place], lower_case=False):
            raise InputError(f"`--data.pairs` (={path}): column {place + 1} of line {number:,} is empty")
    return SentencePair(*(fields[place] for place in places))


def _select(rows: Sequence[SentencePair], places: Sequence[int]) -> SentencePairs:
    return SentencePairs([rows[place].source for place in places], [rows[place].target for place in places])


def hold_out(rows: Sequence[SentencePair]) -> dict[Split, list[int]]:
    """Divide pairs into splits, so that no sentence, of either language, is in two of them.

    Pairs that share a sentence form a group, and so do pairs that are linked by others. Sentences are the same if
    networks read them alike, or would in the same case. Groups come in the order of a hash of their sentences,
    whatever the order of the lines. Each goes to the test or validation, to the smaller of those that it still fits
    into, otherwise to training: large groups are all trained on. Test and validation get a tenth of the pairs each, at
    most 1,000.

    Returns:
        The rows of each split, in their order.
    """
    limit = max(1, min(round(HELD_OUT * len(rows)), MOST_HELD_OUT))
    found: dict[Split, list[int]] = {"train": [], "val": [], "test": []}
    for group in sorted(_groups(rows), key=lambda group: min(_hash(rows[row]) for row in group)):
        fitting: list[Split] = [split for split in ("test", "val") if len(found[split]) + len(group) <= limit]
        found[min(fitting, key=lambda split: len(found[split]), default="train")].extend(group)
    return {split: sorted(places) for split, places in found.items()}


def _hash(pair: SentencePair) -> bytes:
    """Hash a pair; in the other direction it has the same hash."""
    return hashlib.sha256("\t".join(sorted(map(_key, pair))).encode()).digest()


def _key(sentence: str) -> str:
    """Return the same key for sentences that networks read alike: subwords read ﬁ as fi."""
    compatible = unicodedata.normalize("NFKC", normalise(sentence, lower_case=False))
    return normalise(compatible.casefold(), lower_case=False)  # folding takes accents apart


def _groups(rows: Sequence[SentencePair]) -> list[list[int]]:
    """Group rows that share a sentence, directly or through others, by union and find."""
    parents = list(range(len(rows)))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    first: dict[tuple[int, str], int] = {}  # row of each sentence
    for row, pair in enumerate(rows):
        for language, sentence in enumerate(pair):
            parents[root(row)] = root(first.setdefault((language, _key(sentence)), row))
    groups = defaultdict(list)
    for row in range(len(rows)):
        groups[root(row)].append(row)
    return [*groups.values()]
