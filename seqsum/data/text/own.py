"""A user's own texts: files, folders, patterns, or the text itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seqsum.data.own import Skipped
from seqsum.data.own_files import Kind, find_files, is_pattern, printable, skip
from seqsum.data.text import decode, tokenize
from seqsum.data.text.tokens import NotTextError
from seqsum.errors import InputError
from seqsum.paths import expand_home

TEXT = Kind("text", (".txt",))


class OwnText(NamedTuple):
    """A text as words, and its file's path, or its beginning if it was given itself."""

    words: list[str]
    source: str


class OwnTexts(NamedTuple):
    """A user's own texts.

    Attributes:
        texts: Those that could be read.
        skipped: Files that could not be read, and empty texts.
        others: Files in the given folders that are not named as texts are.
    """

    texts: list[OwnText]
    skipped: list[Skipped]
    others: list[str]

    def left_out(self) -> list[str]:
        """Lines that name what could not be read, and why, and what else was in the folders."""
        skipped = [f"Skipped: {source} {reason}" for source, reason in self.skipped]
        return skipped + ([f"Not texts, by their names: {', '.join(self.others)}"] if self.others else [])


def read_texts(given: Sequence[str], split: Callable[[str], list[str]] = tokenize, by_line: bool = False) -> OwnTexts:
    """Read texts.

    Args:
        given: Each a file, a folder, whose `.txt` files are read in the order of their names, a pattern such as
            `reviews/*.txt`, or a text, which must not end in `.txt`.
        split: Splits a text into words.
        by_line: Whether each line is a text by itself; lines without words are none.

    Raises:
        InputError: There is no text at all.
    """
    found = OwnTexts([], [], [])
    for item in given:
        for source, text in _texts(item, found):
            parts = _lines(source, text) if by_line else [(source, text)]
            if read := [OwnText(words, name) for name, part in parts if (words := split(part))]:
                found.texts.extend(read)
            else:
                skip(found, source, "has no words")
    if not found.texts:
        reasons = "; ".join(found.left_out())
        raise InputError(f"`--data.texts` (={', '.join(given)}) has no text to read: {reasons}")
    return found


def _texts(item: str, found: OwnTexts) -> Iterator[tuple[str, str]]:
    """Yield source and text of everything that an item names."""
    if (paths := _paths(item, found)) is None:
        yield _beginning(item), item
        return
    for path in paths:
        try:
            yield printable(path), decode(path.read_bytes())
        except NotTextError as error:
            skip(found, path, str(error))
        except OSError as error:
            skip(found, path, f"can't be read ({error.strerror or error})")


def _lines(source: str, text: str) -> list[tuple[str, str]]:
    """Return the lines of a text, and where each of them is."""
    lines = text.removesuffix("\n").split("\n")
    if len(lines) == 1:
        return [(source, text)]
    return [(f"{source}, line {number}", line) for number, line in enumerate(lines, start=1)]


def _paths(item: str, found: OwnTexts) -> list[Path] | None:
    """Return the files that an item names; None if it is a text."""
    if not item.strip() or "\0" in item:  # as a path, it would be the current folder, or none
        return None
    path = expand_home(item)
    if (files := find_files(path, TEXT, found)) is not None:
        return files
    if not _looks_like_path(path):
        return None
    skip(found, item, "matches no file" if is_pattern(path) else "is no file")
    return []


def _looks_like_path(item: str) -> bool:
    """Whether an item that is no file is a misspelt path, not a text such as `Really good?` or `5/10 [sic]`."""
    *words, last = item.split()
    has_suffix = Path(last).suffix != ""
    if not words:
        return has_suffix or "/" in last or os.sep in last
    if item.rstrip().lower().endswith(TEXT.suffixes):
        return "\n" not in item
    return "*" in last and (has_suffix or "/*" in last or os.path.isdir(os.path.dirname(item)))


def _beginning(text: str, most: int = 40) -> str:
    """Return the first words of a text, as its name."""
    line = " ".join(text.split())
    return f"“{line}”" if len(line) <= most else f"“{line[:most].rsplit(' ', 1)[0]} …”"
