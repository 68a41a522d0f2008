"""Encoders that start from another training's weights."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from seqsum.checkpoint_file import differing_weights, load_checkpoint
from seqsum.data.text import Vocabulary
from seqsum.errors import InputError

STARTS = ("start_from", "vectors")  # arguments of encoders that name such a training's checkpoint
PREFIX = "network.encoder.module."  # of the encoder's weights in a checkpoint, which a `TimeDistributed` holds


def load_encoder(encoder: nn.Module, path: str) -> None:
    """Load the weights of the encoder in a checkpoint, of whatever experiment it is.

    Messages name the argument alone: an encoder doesn't know which network it is part of, and so not its flag.

    Raises:
        InputError: The file is no checkpoint of seqsum, contains no such encoder, or one of other sizes; the message
            says how many weights differ.
    """
    weights = load_checkpoint(path, "start_from")["state_dict"]
    found = {name.removeprefix(PREFIX): weight for name, weight in weights.items() if name.startswith(PREFIX)}
    wanted, kind = encoder.state_dict(), type(encoder).__name__
    if found.keys().isdisjoint(wanted):
        raise InputError(
            f"`start_from` (={path}) contains no {kind}: it must be the checkpoint of a training with one, which reads "
            "images"
        )
    if differing := differing_weights(found, wanted):
        raise InputError(
            f"`start_from` (={path}) contains another encoder than this {kind}: {len(differing)} weights differ, "
            f"{differing[0]} first"
        )
    encoder.load_state_dict(found)


class KnownWords(NamedTuple):
    """The words of a training and their vectors `(V, F)`, in the order of the vocabulary."""

    vocabulary: Vocabulary
    vectors: Tensor


def load_word_vectors(path: str) -> KnownWords:
    """Load the vectors of the words in a checkpoint: of a `WordVectors`, or of an encoder of words.

    Raises:
        InputError: The file is no checkpoint of seqsum, or of a training without such words and vectors.
    """
    checkpoint = load_checkpoint(path, "vectors")
    found = [checkpoint["state_dict"].get(name) for name in ("network.weight", f"{PREFIX}weight")]
    words = [part["words"] for part in checkpoint.values() if _has_words(part)]
    vectors = next((weight for weight in found if weight is not None and weight.dim() == 2), None)
    if vectors is None or not words:
        raise InputError(
            f"`vectors` (={path}) must be a checkpoint of word vectors (WordPairs) or of film reviews (FilmReviews), "
            "with a vector for each word: this is one of another training"
        )
    vocabulary = Vocabulary(words[0].split("\n"))
    if len(vocabulary) > len(vectors):
        raise InputError(f"`vectors` (={path}) contains {len(vectors):,} vectors for {len(vocabulary):,} words")
    return KnownWords(vocabulary, vectors[: len(vocabulary)].float())


def _has_words(part: Any) -> bool:
    """Whether a part of a checkpoint is the state of data with a vocabulary."""
    return isinstance(part, dict) and isinstance(part.get("words"), str)
