"""Encoders of words: ids to learned vectors, by look-up or as a one-hot vector times a matrix."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.console import print_line
from seqsum.data.base import SequenceData, outside
from seqsum.data.text import PADDING, UNKNOWN, Vocabulary
from seqsum.distributed import is_first_process
from seqsum.errors import InputError, check_sizes, missing_size
from seqsum.networks.encoders import Encoder
from seqsum.networks.starts import load_word_vectors
from seqsum.recurrent.cells.base import check_probability

STD = 0.1  # of the initial vectors


class WordEncoder(Encoder):
    """Base class: one learned vector for each word id, `weight (V, F)`, drawn from a normal distribution of std 0.1.

    torch's std of 1 would start with features so large that they saturate a recurrence's gates.

    Args:
        vocabulary_size: Number of word ids, `V`: 0 is padding, 1 the unknown word. On the command line it follows the
            data's argument of that name.
        output_size: Features per word, `F`.
        word_dropout: Probability, in training, of dropping a word of the vocabulary. Wherever it stands in the batch,
            it is then read as the unknown word, whose vector is thus trained too (Gal & Ghahramani, 2016).
        vectors: Checkpoint of word vectors, see `WordVectors`, or of another network that reads words. A training
            starts from its vectors, for all words that both trainings know; the others start at random. All vectors are
            scaled by the same factor, to a standard deviation of 0.1.

    Raises:
        InputError: `vectors` is no checkpoint, contains no word vectors, or some of another size.
        ValueError: The vocabulary size is missing, a size is below its minimum, or the probability is outside [0, 1];
            in `forward`, the inputs are not ids of the vocabulary. On a GPU, which the host would have to wait for,
            torch reports ids outside the vocabulary as a failed assertion.
    """

    def __init__(
        self,
        vocabulary_size: int | None = None,
        output_size: int = 128,
        word_dropout: float = 0.0,
        vectors: str | None = None,
    ) -> None:
        super().__init__()
        if vocabulary_size is None:
            raise missing_size("vocabulary_size", "vocabulary_size")
        if vocabulary_size <= UNKNOWN:
            raise ValueError(
                f"`vocabulary_size` (={vocabulary_size}) must be at least 2, for padding and the unknown word"
            )
        check_sizes(output_size=output_size)
        check_probability("word_dropout", word_dropout)
        self.vocabulary_size = vocabulary_size
        self.output_size = output_size
        self.word_dropout = word_dropout
        self.weight = nn.Parameter(torch.empty(vocabulary_size, output_size))
        nn.init.normal_(self.weight, std=STD)
        self.vectors = vectors
        self._known = None if vectors is None else load_word_vectors(vectors)  # until the training begins
        if self._known is not None and self._known.vectors.shape[1] != output_size:
            raise InputError(
                f"`output_size` (={output_size}) must be {self._known.vectors.shape[1]}, as in `vectors` (={vectors})"
            )

    @torch.no_grad()
    def begin(self, data: SequenceData | None) -> None:
        """Start from the `vectors`, before the first training of this encoder.

        Raises:
            InputError: The data have no vocabulary, or none of its words has a vector.
        """
        if self._known is None:
            return
        vocabulary = getattr(data, "vocabulary", None)
        if not isinstance(vocabulary, Vocabulary):
            raise InputError(f"`vectors` (={self.vectors}) needs data with words")
        places = torch.tensor(self._known.vocabulary.encode(vocabulary.words))
        ids = (places > UNKNOWN).nonzero().squeeze(1)
        if len(ids) == 0:
            raise InputError(f"`vectors` (={self.vectors}) contains none of the words of these data")
        found = self._known.vectors[places[ids]]
        self.weight[ids.to(self.weight.device)] = (found * (STD / found.std())).to(self.weight)
        known, words = len(ids), len(vocabulary) - UNKNOWN - 1
        if is_first_process():
            print_line(f"Vectors of {known:,} of {words:,} words start from {self.vectors}, the others at random.")
        self._known = None

    def forward(self, words: Tensor) -> Tensor:
        """Map word ids `(N,)` to vectors `(N, F)`."""
        self._check(words)
        words = words.long()
        if self.training and self.word_dropout:
            dropped = torch.rand(self.vocabulary_size, device=words.device) < self.word_dropout
            words = words.masked_fill(dropped[words] & (words != PADDING), UNKNOWN)
        return self.look_up(words)

    def look_up(self, words: Tensor) -> Tensor:
        """Map ids `(N,)`, int64, to vectors `(N, F)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `look_up`")

    def _check(self, words: Tensor) -> None:
        if words.dim() != 1 or words.is_floating_point() or words.dtype == torch.bool:
            raise InputError(
                f"the encoder {type(self).__name__} reads one word id, a whole number, at each step; "
                f"these inputs are of type {words.dtype} and shape {tuple(words.shape[1:])}"
            )
        if (wrong := outside(words, self.vocabulary_size)) is not None:
            raise InputError(
                f"`vocabulary_size` (={self.vocabulary_size}) has ids 0 to {self.vocabulary_size - 1}, but the "
                f"inputs contain {wrong}"
            )


class Embed(WordEncoder):
    """Looks a word's vector up: the same numbers as `OneHot` without its product.

    Args:
        vocabulary_size, output_size, word_dropout, vectors: See `WordEncoder`.
    """

    def look_up(self, words: Tensor) -> Tensor:
        return F.embedding(words, self.weight)


class OneHot(WordEncoder):
    """Multiplies a word's one-hot vector `(V,)` by a matrix `(V, F)`: what an embedding is, at its full cost.

    It takes `V` numbers of memory for each word of a batch.

    Args:
        vocabulary_size, output_size, word_dropout, vectors: See `WordEncoder`.
    """

    def look_up(self, words: Tensor) -> Tensor:
        return F.one_hot(words, self.vocabulary_size).to(self.weight.dtype) @ self.weight
