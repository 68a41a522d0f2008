"""Text as numbers: a rule for words, a vocabulary, and many texts in one flat tensor."""

from seqsum.data.text.ragged import Ragged
from seqsum.data.text.tokens import decode, tokenize
from seqsum.data.text.vocabulary import END, PADDING, START, UNKNOWN, Vocabulary

__all__ = ["END", "PADDING", "START", "UNKNOWN", "Ragged", "Vocabulary", "decode", "tokenize"]
