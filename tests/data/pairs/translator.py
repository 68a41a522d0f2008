"""The smallest network that reads a source and predicts each next word of its translation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqsum.data import Batch
from seqsum.data.text.sentences import decoder_inputs


class Translator(nn.Module):
    """Adds the mean of the source's vectors to the vector of the word before; it follows the data in its sizes."""

    def __init__(
        self,
        source_vocabulary_size: int | None = None,
        target_vocabulary_size: int | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        assert source_vocabulary_size is not None
        assert target_vocabulary_size is not None
        self.output_size = target_vocabulary_size
        self.read = nn.Embedding(source_vocabulary_size, 6)
        self.write = nn.Embedding(target_vocabulary_size, 6)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(6, target_vocabulary_size)

    def forward(self, batch: Batch) -> Tensor:
        mask = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.mask is None else batch.mask
        read = self.read(batch.inputs).masked_fill(~mask.unsqueeze(2), 0).sum(1, keepdim=True)  # (B, 1, 6)
        source = read / mask.sum(1).view(-1, 1, 1)
        return self.head(self.dropout(source) + self.write(decoder_inputs(batch.targets)))
