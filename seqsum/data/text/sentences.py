"""What sentences that a network reads or writes are made of: a vocabulary that splits, encodes, decodes and joins."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from torch import Tensor
from torch.nn import functional as F

from seqsum.data.text.vocabulary import END, START, UNKNOWN, WRITTEN, Vocabulary

# soft hyphen, zero-width space, marks of the writing's direction, word joiner, byte order mark
INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"))


class SentenceVocabulary:
    """The pieces of a language, words or parts of words, and their ids.

    The first ids are `PADDING`, `UNKNOWN`, `START` and `END`. Subclasses define how a sentence is split into pieces,
    in `split`, how pieces are joined, in `join`, and how the vocabulary is kept in checkpoints, in `to_text`.

    Args:
        pieces: All pieces but the special four, the most frequent first.
        lower_case: Whether sentences are read in lower case.
    """

    def __init__(self, pieces: Sequence[str], lower_case: bool) -> None:
        self.vocabulary = Vocabulary(pieces, WRITTEN)
        self.lower_case = lower_case

    def __len__(self) -> int:
        return len(self.vocabulary)

    def split(self, sentence: str) -> list[str]:
        """Split a sentence into pieces, known or not."""
        raise NotImplementedError(f"{type(self).__name__} must define `split`")

    def join(self, pieces: Sequence[str]) -> str:
        """Make a sentence of pieces, which need not be known."""
        raise NotImplementedError(f"{type(self).__name__} must define `join`")

    def to_text(self) -> str:
        """Write the vocabulary as text, for checkpoints."""
        raise NotImplementedError(f"{type(self).__name__} must define `to_text`")

    def look_up(self, pieces: Iterable[str]) -> list[int]:
        """Look up the ids of pieces, `UNKNOWN` for those that are not in the vocabulary."""
        return self.vocabulary.encode(pieces)

    def encode(self, sentence: str) -> list[int]:
        """Split a sentence and look up its ids, without those of start and end."""
        return self.look_up(self.split(sentence))

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the piece of each id, `<end>` and its like for the special ones.

        A network may have more ids than the sentences have words, and write one before it has learned not to: it is
        then an unknown word.
        """
        words = self.vocabulary.words
        return [words[number if number < len(words) else UNKNOWN] for number in ids]

    def decode(self, ids: Iterable[int]) -> str:
        """Make a sentence of ids up to the first `END`; special ones, unknown pieces too, are left out."""
        return self.join(self.pieces(number for number in until_end(ids) if END < number < len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} ids)"


def until_end(ids: Iterable[int]) -> list[int]:
    """Return the ids before the first `END`."""
    found = list(ids)
    return found[: found.index(END)] if END in found else found


def decoder_inputs(targets: Tensor) -> Tensor:
    """Return what a decoder reads to predict targets `(B, T)`: `START`, then each target but the last."""
    return F.pad(targets, (1, 0), value=START)[:, :-1]


def normalise(sentence: str, lower_case: bool) -> str:
    """Write a sentence as networks read it: "" if there is nothing to read in it.

    Accents are composed, apostrophes straight and spaces single, and there are no invisible characters.
    """
    text = sentence.translate(INVISIBLE).replace("’", "'")
    # composed last: ẖ is one character in lower case only, and an invisible one may part an accent from its letter
    return unicodedata.normalize("NFC", " ".join((text.lower() if lower_case else text).split()))
