"""Files of film reviews in the layout of the Large Movie Review Dataset (Maas et al., 2011), unpacked or packed."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import warnings
import zlib
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

from seqsum.data.text.tokens import NotTextError, decode
from seqsum.errors import InputError

FOLDER = "aclImdb"
ARCHIVES = ("aclImdb_v1.tar.gz", "aclImdb.tar.gz")
SPLITS = ("train", "test")
CLASSES = ("neg", "pos")  # by label
REVIEW = re.compile(r"(?:.*/)?(train|test)/(neg|pos)/([^/]+)")
NAME = re.compile(r"(\d+)_(\d+)\.txt")
SHOWN = 3  # names in a message


class ReviewFile(NamedTuple):
    """A review: `train` or `test`, its label (0 is negative, 1 is positive), its number and stars, and its text."""

    split: str
    label: int
    number: int
    stars: int
    text: str

    @property
    def name(self) -> str:
        """Path in the corpus, such as `test/pos/123_9.txt`."""
        return review_name(self.split, self.label, self.number, self.stars)


def review_name(split: str, label: int, number: int, stars: int) -> str:
    """Return the path of a review in the corpus."""
    return f"{split}/{CLASSES[label]}/{number}_{stars}.txt"


def find_corpus(root: Path) -> Path | None:
    """Find the corpus: the folder `aclImdb` or an archive of it, in `root`; None if neither is there.

    `root` may also be the folder or the archive itself.
    """
    if root.name in ARCHIVES and root.is_file():
        return root
    if any((root / split / kind).is_dir() for split in SPLITS for kind in CLASSES):
        return root
    found = (root / name for name in (FOLDER, *ARCHIVES))
    return next((path for path in found if path.exists()), None)


def read_files(corpus: Path) -> list[ReviewFile]:
    """Read all reviews of a corpus, ordered by split, label and number.

    The part without labels, and files outside the four folders of reviews, are left alone. A warning names the files
    in the four folders that are not named as reviews are.

    Raises:
        InputError: The archive is damaged or ends early; a review is no text; or a folder is missing or empty.
    """
    reviews, others, unreadable = [], [], []
    for split, kind, name, content in _contents(corpus):
        found = NAME.fullmatch(name)
        if found is None:
            others.append(f"{split}/{kind}/{name}")
            continue
        try:
            text = decode(content)
        except NotTextError as error:
            unreadable.append(f"{split}/{kind}/{name} {error}")
            continue
        reviews.append(ReviewFile(split, CLASSES.index(kind), int(found[1]), int(found[2]), text))
    if unreadable:
        raise InputError(f"`--data.root`: in {corpus}, {_list(unreadable)}")
    if others:
        warnings.warn(f"Left out, not named NUMBER_STARS.txt, in {corpus}: {_list(others)}", stacklevel=2)
    _check_complete(corpus, reviews)
    return sorted(reviews)


def _list(items: list[str]) -> str:
    shown = "; ".join(items[:SHOWN])
    return f"{shown}; and {len(items) - SHOWN:,} more" if len(items) > SHOWN else shown


def _check_complete(corpus: Path, reviews: Iterable[ReviewFile]) -> None:
    present = {(review.split, review.label) for review in reviews}
    needed = product(SPLITS, range(len(CLASSES)))
    if missing := [f"{split}/{CLASSES[label]}" for split, label in needed if (split, label) not in present]:
        raise InputError(f"`--data.root`: {corpus} is incomplete: there are no reviews in {', '.join(missing)}")


def _contents(corpus: Path) -> Iterator[tuple[str, str, str, bytes]]:
    """Yield split, class, file name and content of each file in the four folders."""
    if corpus.is_dir():
        yield from _folder(corpus)
        return
    try:
        # gzip, not tarfile's own reader of it, because that doesn't notice every early end
        with gzip.open(corpus) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
            for member in archive:
                found = REVIEW.fullmatch(member.name)
                if found and (stream := archive.extractfile(member)) is not None:
                    yield found[1], found[2], found[3], stream.read()
            while packed.read(2**20):  # up to the checksum at the end
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(
            f"`--data.root`: {corpus} is damaged or ends early ({error or type(error).__name__}). "
            "Delete it, and it will be downloaded again."
        ) from error


def _folder(corpus: Path) -> Iterator[tuple[str, str, str, bytes]]:
    for split in ("train", "test"):
        for kind in CLASSES:
            folder = corpus / split / kind
            if not folder.is_dir():
                continue  # `_check_complete` says so
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        content = Path(entry.path).read_bytes()
                    except OSError as error:
                        raise InputError(f"`--data.root`: {entry.path} can't be read: {error}") from error
                    yield split, kind, entry.name, content
