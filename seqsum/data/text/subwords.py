"""Sentences as subwords: parts of words that byte-pair encoding finds (Sennrich et al., 2016), by sentencepiece."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from seqsum.data.text.sentences import SentenceVocabulary, normalise
from seqsum.data.text.vocabulary import END, PADDING, START, UNKNOWN, WRITTEN
from seqsum.errors import InputError

TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")  # as sentencepiece says
NOTHING_READ = "!sentences_.empty()"
SPACE = "▁"  # what sentencepiece writes for a space: at the start of each piece that begins a word


class SubwordVocabulary(SentenceVocabulary):
    """Pieces by a model of sentencepiece, and their ids.

    Args:
        model: The model, as sentencepiece saves it.
        lower_case: Whether sentences are read in lower case.

    Raises:
        InputError: sentencepiece is not installed.
    """

    def __init__(self, model: bytes, lower_case: bool) -> None:
        self.model = model
        self.processor = _sentencepiece().SentencePieceProcessor(model_proto=model)
        pieces = [self.processor.id_to_piece(number) for number in range(len(WRITTEN), len(self.processor))]
        super().__init__(pieces, lower_case)

    @classmethod
    def from_text(cls, text: str, lower_case: bool) -> SubwordVocabulary:
        """Make the vocabulary that `to_text` wrote."""
        return cls(base64.b64decode(text), lower_case)

    def to_text(self) -> str:
        return base64.b64encode(self.model).decode()

    def split(self, sentence: str) -> list[str]:
        return self.processor.encode(normalise(sentence, self.lower_case), out_type=str)

    def encode(self, sentence: str) -> list[int]:
        return self.processor.encode(normalise(sentence, self.lower_case))

    def join(self, pieces: Sequence[str]) -> str:
        # not the processor's own, which takes the spaces of unknown pieces for characters
        return "".join(pieces).replace(SPACE, " ").strip()


def learn_subwords(sentences: Iterable[str], size: int, lower_case: bool) -> SubwordVocabulary:
    """Find the pieces of sentences by byte-pair encoding, always the same.

    Args:
        sentences: Sentences of a language.
        size: Most ids, which count the special four; fewer where the sentences have no more pieces.
        lower_case: Whether to read in lower case.

    Raises:
        InputError: sentencepiece is not installed, `size` does not suffice for the characters, or there are none.
    """
    written = io.BytesIO()
    try:
        _sentencepiece().SentencePieceTrainer.train(
            sentence_iterator=(normalise(sentence, lower_case) for sentence in sentences),
            model_writer=written,
            model_type="bpe",
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0,
            num_threads=1,  # with more, the model depends on their number
            pad_id=PADDING,
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=END,
            minloglevel=2,  # errors only
        )
    except RuntimeError as error:
        raise InputError(_in_words(" ".join(str(error).split()), size)) from error
    return SubwordVocabulary(written.getvalue(), lower_case)


def _in_words(reason: str, size: int) -> str:
    """Say why sentencepiece can't learn, in words where the reason is known."""
    if found := TOO_SMALL.search(reason):
        least = int(found[1])
        return (
            f"`--data.vocabulary_size` (={size}) is too small for subwords: at least {least:,} are needed for these "
            f"sentences, {least - len(WRITTEN):,} characters and {len(WRITTEN)} special ids"
        )
    if NOTHING_READ in reason:
        return (
            "`--data.tokens` (=subwords): sentencepiece finds nothing to learn from in these sentences: all are "
            "empty, or longer than it reads"
        )
    return f"`--data.tokens` (=subwords): sentencepiece can't learn from these sentences; it says {reason}"


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise InputError("`--data.tokens` (=subwords) needs sentencepiece: pip install sentencepiece") from error
    return sentencepiece
