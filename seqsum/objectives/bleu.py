"""BLEU (Papineni et al., 2002) of written sentences, by sacrebleu (Post, 2018)."""

from __future__ import annotations

from typing import Literal

import torch
from sacrebleu.metrics import BLEU
from torch import Tensor
from torchmetrics import Metric

from seqsum.data.base import Batch, Split
from seqsum.data.pairs.sentence_pairs import SentencePair
from seqsum.data.pairs.translated import TranslatedTexts
from seqsum.errors import InputError
from seqsum.objectives.mistakes import own_rows

Tokenizer = Literal["13a", "intl", "zh", "char", "none"]  # of sacrebleu's, those that need no other package
ORDERS = 4  # lengths of the sequences of words that BLEU counts


class CorpusBleu(Metric):
    """BLEU of all sentences of the test together, from 0 to 100, against one reference each.

    Sentences are compared as they would be read: words joined, unknown ones left out. References are the data's
    sentences in the spelling that a network can write: with straight apostrophes, and in lower case if it writes so.
    sacrebleu splits both in its own way, see `signature`.

    Args:
        data: Where vocabularies and references come from.
        tokenizer: How sacrebleu splits sentences into words, `char` into characters.
    """

    full_state_update = False
    right: Tensor
    total: Tensor
    lengths: Tensor

    def __init__(self, data: TranslatedTexts, tokenizer: Tokenizer = "13a") -> None:
        super().__init__()
        self.data, self.tokenizer = data, tokenizer
        for name, size in (("right", ORDERS), ("total", ORDERS), ("lengths", 2)):
            self.add_state(name, torch.zeros(size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, answers: Tensor, batch: Batch) -> None:
        """Add sentences as ids `(B, L)`, of a batch that says which rows of the test split they translate."""
        written = [self.data.vocabularies.target.decode(ids) for ids in answers.tolist()]
        if not written:
            return
        references = [pair.target for pair in pairs_of(self.data, "test", batch)]
        found = BLEU(tokenize=self.tokenizer).corpus_score(written, [references])
        self.right += torch.tensor(found.counts, device=self.right.device)
        self.total += torch.tensor(found.totals, device=self.total.device)
        self.lengths += torch.tensor([found.sys_len, found.ref_len], device=self.lengths.device)

    def compute(self) -> Tensor:
        written, reference = self.lengths.tolist()
        found = BLEU.compute_bleu(self.right.tolist(), self.total.tolist(), written, reference, smooth_method="exp")
        return torch.tensor(found.score)


def signature(tokenizer: Tokenizer = "13a") -> str:
    """Return sacrebleu's description of how BLEU is computed, to be given with every figure."""
    bleu = BLEU(tokenize=tokenizer)
    bleu.corpus_score(["a"], [["a"]])  # it knows the number of references only then
    return str(bleu.get_signature())


def pairs_of(data: TranslatedTexts, split: Split, batch: Batch) -> list[SentencePair]:
    """Return the sentence pairs of a batch.

    Raises:
        InputError: The batch doesn't say which rows of the split it has.
    """
    rows = own_rows(batch, len(batch.inputs))
    if rows is None:
        raise InputError("sentences can't be compared with their references: these batches don't have `rows`")
    return [data.pair_of(split, row) for row in rows.tolist()]
