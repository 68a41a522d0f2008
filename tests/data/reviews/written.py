"""A small corpus of film reviews on disk, in the layout of the real one."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path

from seqsum.data.reviews.files import ReviewFile
from seqsum.data.reviews.made import make_reviews


def some_reviews(of_class: int = 30) -> list[ReviewFile]:
    """Made-up reviews, `of_class` in each of the four folders."""
    return [review for review in make_reviews() if review.number < of_class]


def write_folder(root: Path, reviews: Iterable[ReviewFile]) -> Path:
    """Write reviews into `root/aclImdb`."""
    folder = root / "aclImdb"
    for review in reviews:
        path = folder / review.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(review.text, encoding="utf-8")
    return folder


def write_archive(root: Path, folder: Path, name: str = "aclImdb.tar.gz") -> Path:
    """Pack the folder of a corpus."""
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / name, "w:gz") as archive:
        archive.add(folder, "aclImdb")
    return root / name
