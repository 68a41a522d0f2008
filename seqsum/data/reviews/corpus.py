"""All film reviews as word ids in memory: encoded once, then read from a cache."""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seqsum.data.base import Split
from seqsum.data.reviews.files import ReviewFile, read_files, review_name
from seqsum.data.text import UNKNOWN, Ragged, Vocabulary, tokenize
from seqsum.data.text.tokens import RULE
from seqsum.errors import InputError
from seqsum.files import replacing
from seqsum.recurrent.cache import cache_folder

HELD_OUT = 0.1  # of the reviews of each class in the train split, for validation
FORMAT = "1"  # of the cache


class Reviews(NamedTuple):
    """The reviews of a split.

    Attributes:
        words: Their words, by ids in the corpus's vocabulary.
        labels: 0 is negative, 1 is positive, int64 `(M,)`.
        origins: For each review 0 or 1 for the corpus's train or test folder, its number and its stars, `(M, 3)`.
    """

    words: Ragged
    labels: Tensor
    origins: Tensor

    def name(self, row: int) -> str:
        """Return the file name of a review in the corpus."""
        folder, number, stars = self.origins[row].tolist()
        return review_name(("train", "test")[folder], int(self.labels[row]), number, stars)

    def select(self, rows: Tensor) -> Reviews:
        """Return some of the reviews."""
        return Reviews(self.words.select(rows), self.labels[rows], self.origins[rows])


def join(first: Reviews, second: Reviews) -> Reviews:
    """Join two splits."""
    tensors = (torch.cat(pair) for pair in zip(first[1:], second[1:], strict=True))
    return Reviews(first.words.join(second.words), *tensors)


class Corpus(NamedTuple):
    """All reviews, and all words of the training reviews, the most frequent first."""

    splits: dict[Split, Reviews]
    vocabulary: Vocabulary


def load_corpus(path: Path) -> Corpus:
    """Read a corpus from its cache or, if it has none or has changed, from its files, and keep it in the cache.

    The cache is in `$XDG_CACHE_HOME/seqsum` or `~/.cache/seqsum`.

    Args:
        path: The folder or the archive, see `find_corpus`.

    Raises:
        InputError: The corpus can't be read, see `read_files`.
    """
    cache = cache_folder() / f"reviews-{_fingerprint(path)}.npz"
    if (found := _read_cache(cache)) is not None:
        return found
    corpus = encode(read_files(path))
    _write_cache(cache, corpus)
    return corpus


def encode(files: Sequence[ReviewFile]) -> Corpus:
    """Encode reviews and divide them into splits.

    Validation takes the last tenth of each class of the train split, by number: neighbouring numbers are reviews of
    the same film, and with a film in both splits, validation would be two points too good. The vocabulary is counted
    on the rest. A review without words becomes one unknown word, with a warning.
    """
    provisional: dict[str, int] = {}  # in the order in which the words appear
    encoded = [[provisional.setdefault(word, len(provisional)) for word in tokenize(file.text)] for file in files]
    if empty := [file.name for file, words in zip(files, encoded, strict=True) if not words]:
        shown = ", ".join(empty[:3]) + (f" and {len(empty) - 3:,} more" if len(empty) > 3 else "")
        warnings.warn(f"Reviews without a word, each read as one unknown word: {shown}", stacklevel=2)
    rows = _rows_of_splits(files)
    words = list(provisional)
    training = np.concatenate([np.asarray(encoded[row], np.int64) for row in rows["train"]])
    order, ids = _by_frequency(words, np.bincount(training, minlength=len(words)))
    splits = {split: _reviews(files, encoded, ids, found) for split, found in rows.items()}
    return Corpus(splits, Vocabulary([words[place] for place in order]))


def _rows_of_splits(files: Sequence[ReviewFile]) -> dict[Split, list[int]]:
    rows: dict[Split, list[int]] = {"train": [], "val": [], "test": []}
    for label in (0, 1):
        of_class = [row for row, file in enumerate(files) if (file.split, file.label) == ("train", label)]
        kept = len(of_class) - max(1, round(HELD_OUT * len(of_class)))
        if kept < 1:
            raise InputError(f"`--data.root`: there must be at least two training reviews a class, not {len(of_class)}")
        rows["train"] += of_class[:kept]
        rows["val"] += of_class[kept:]
    rows["test"] = [row for row, file in enumerate(files) if file.split == "test"]
    return rows


def _by_frequency(words: Sequence[str], counts: NDArray[Any]) -> tuple[list[int], NDArray[Any]]:
    """Order words by their counts, leaving out those with none; return their places, and an id for each word."""
    order = sorted((place for place in range(len(words)) if counts[place]), key=lambda at: (-counts[at], words[at]))
    ids = np.full(len(words), UNKNOWN, np.int32)
    ids[order] = np.arange(UNKNOWN + 1, UNKNOWN + 1 + len(order), dtype=np.int32)
    return order, ids


def _reviews(
    files: Sequence[ReviewFile], encoded: Sequence[list[int]], ids: NDArray[Any], rows: Sequence[int]
) -> Reviews:
    of_reviews = [ids[encoded[row]] if encoded[row] else np.full(1, UNKNOWN, np.int32) for row in rows]
    lengths = torch.tensor([0, *map(len, of_reviews)])
    origins = [(int(files[row].split == "test"), files[row].number, files[row].stars) for row in rows]
    return Reviews(
        Ragged(torch.from_numpy(np.concatenate(of_reviews)), lengths.cumsum(0)),
        torch.tensor([files[row].label for row in rows]),
        torch.tensor(origins),
    )


def _fingerprint(path: Path) -> str:
    """Hash what the encoded corpus depends on: names, sizes and last changes of its files, and this program's rules."""
    path = path.resolve()
    files = sorted(path.glob("t*/*/*.txt")) if path.is_dir() else [path]
    found = [(str(file), (status := file.stat()).st_size, status.st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps([FORMAT, RULE, HELD_OUT, found]).encode()).hexdigest()[:16]


def _write_cache(cache: Path, corpus: Corpus) -> None:
    """Write the cache; a full disk only costs time at the next start."""
    vocabulary = np.frombuffer("\n".join(corpus.vocabulary.words[UNKNOWN + 1 :]).encode(), np.uint8)
    arrays: dict[str, NDArray[Any]] = {"words": vocabulary}
    for split, (words, labels, origins) in corpus.splits.items():
        for name, tensor in (*words._asdict().items(), ("labels", labels), ("origins", origins)):
            arrays[f"{split}/{name}"] = tensor.numpy()
    try:
        with replacing(cache) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the keywords for its own
    except OSError as error:
        warnings.warn(f"The encoded reviews can't be kept in {cache}: {error}", stacklevel=2)


def _read_cache(cache: Path) -> Corpus | None:
    """Read the cache; None if there is none, or a damaged one, which is made again."""
    try:
        # opened here, because numpy leaves a damaged file open
        with cache.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
            words = bytes(found["words"]).decode().split("\n")
            splits: dict[Split, Reviews] = {}
            for split in ("train", "val", "test"):
                part = {name: torch.from_numpy(found[f"{split}/{name}"]) for name in _PARTS}
                splits[split] = Reviews(Ragged(part["values"], part["offsets"]), part["labels"], part["origins"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        warnings.warn(f"{cache} is damaged and is made again ({error})", stacklevel=2)
        return None
    return Corpus(splits, Vocabulary(words))


_PARTS = ("values", "offsets", "labels", "origins")
