"""The sentence pairs that a user's settings mean."""

from __future__ import annotations

import warnings
from pathlib import Path

from seqsum.data.downloads import DEFAULT_ROOT, MissingDataError, warn_of_unused
from seqsum.data.pairs.made import LANGUAGES, make_pairs
from seqsum.data.pairs.multi30k import FOLDER, read_multi30k
from seqsum.data.pairs.own import read_pairs
from seqsum.data.pairs.sentence_pairs import ParallelText, SentencePair
from seqsum.errors import InputError
from seqsum.paths import expand_home

COLUMNS = SentencePair("1", "2")


def obtain_pairs(dataset: str, root: Path, pairs: str | None, source: str | None, target: str | None) -> ParallelText:
    """Read the real sentence pairs, or make some up.

    Args:
        dataset: `multi30k`, `made`, or `auto`, which is `multi30k` if it is in `root`, otherwise `made`, with a
            warning.
        root: Folder of the datasets.
        pairs: A file of the user's own pairs, instead of a dataset.
        source, target: The languages, or the columns of the user's own pairs; None for German and English, the
            languages of the made-up pairs, and the first and second column.

    Raises:
        MissingDataError: `root` does not hold `multi30k`.
        InputError: The pairs can't be read.
    """
    languages = _languages(dataset, pairs, source, target)
    if pairs is not None:
        return read_pairs(Path(expand_home(pairs)), languages)
    root = Path(expand_home(root))
    if dataset == "made":
        if str(root) != DEFAULT_ROOT and (root / FOLDER).is_dir():
            warn_of_unused(root, "multi30k", "made")
        return make_pairs(languages)
    try:
        return read_multi30k(root, languages)
    except MissingDataError as error:
        if dataset == "multi30k":
            raise
        warnings.warn(
            f"THESE ARE NOT REAL SENTENCES: the run translates a made-up language into English. {error} "
            "The run's figures can't be compared with those of real sentences.",
            stacklevel=2,
        )
        return make_pairs(LANGUAGES)


def _languages(dataset: str, pairs: str | None, source: str | None, target: str | None) -> SentencePair:
    default = COLUMNS if pairs is not None else LANGUAGES if dataset == "made" else SentencePair("de", "en")
    languages = SentencePair(source or default.source, target or default.target)
    if languages.source == languages.target:
        raise InputError(f"`--data.source` and `--data.target` must differ, not both be {languages.source}")
    return languages
