"""Sentence pairs on disk, in the layout of Multi30k."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from seqsum.data.pairs.made import LANGUAGES, make_pairs
from seqsum.data.pairs.multi30k import FILES


def write_sentences(path: Path, sentences: Sequence[str]) -> Path:
    """Write sentences a line into a gzip file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(f"{sentence}\n" for sentence in sentences).encode()))
    return path


def write_multi30k(root: Path, counts: tuple[int, int, int] = (300, 40, 50), languages: str = "de en") -> Path:
    """Write the first made-up pairs as the languages that `languages` names, made-up ones first."""
    for (split, pairs), count in zip(make_pairs(LANGUAGES).splits.items(), counts, strict=True):
        for language, sentences in zip(languages.split(), pairs, strict=True):
            write_sentences(root / "multi30k" / f"{FILES[split]}.{language}.gz", sentences[:count])
    return root
