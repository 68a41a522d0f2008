"""The rival in the benchmark of translation: the same network written with `torch.nn.GRUCell` in Python loops."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.data.base import Batch
from seqsum.data.text.sentences import decoder_inputs
from seqsum.networks import EncoderDecoder
from seqsum.networks.decoders import AttendingDecoder
from seqsum.recurrent.cells.source_attention import AdditiveScores


class PlainTranslator(nn.Module):
    """`EncoderDecoder` with GRUs and additive attention, step by step, with all of its weights.

    Args:
        network: The network whose weights it copies; without dropout.
        at_once: Whether logits of all steps are computed together, or each in its step, as is usual.
    """

    def __init__(self, network: EncoderDecoder, at_once: bool = False) -> None:
        super().__init__()
        self.output_size = network.output_size
        self.at_once = at_once
        self.late = not isinstance(network.decoder, AttendingDecoder)
        parts: Any = network  # whose parts mypy does not know
        self.source, self.target = (_copy_vectors(each.module.weight) for each in (parts.encoder, parts.target))
        self.reader, self.backward_reader = map(_copy_cell, parts.reader.cells)
        decoder = parts.decoder.recurrence.cells[0]
        self.writer = _copy_cell(decoder if self.late else decoder.cell)
        scores = (parts.decoder if self.late else decoder).source_attention.scores
        assert isinstance(scores, AdditiveScores), "the rival has additive attention"
        self.query, self.key, self.score = (_copy_linear(part) for part in (scores.query, scores.key, scores.score))
        self.bridge, self.result = _copy_linear(network.bridge[0]), _copy_linear(network.result)
        self.bias = nn.Parameter(network.bias.detach().clone())

    def forward(self, batch: Batch) -> Tensor:
        """Map sources `(B, S)` and targets `(B, T)` to logits `(B, T, V)`."""
        assert batch.mask is not None
        values, state = self._read(batch.inputs, batch.mask)
        bias = torch.zeros_like(values[..., 0]).masked_fill(~batch.mask, -torch.inf)
        keys, results = self.key(values), []
        for words in decoder_inputs(batch.targets).unbind(1):
            vectors, query = self.target(words), state
            if self.late:
                query = state = self.writer(vectors, state)
            scores = self.score(torch.tanh(self.query(query).unsqueeze(1) + keys)).squeeze(-1) + bias
            context = (scores.softmax(-1).unsqueeze(1) @ values).squeeze(1)
            if not self.late:
                state = self.writer(torch.cat([vectors, context], dim=-1), state)
            result = torch.tanh(self.result(torch.cat([state, context, vectors], dim=-1)))
            results.append(result if self.at_once else F.linear(result, self.target.weight, self.bias))
        stacked = torch.stack(results, dim=1)
        return F.linear(stacked, self.target.weight, self.bias) if self.at_once else stacked

    def _read(self, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Read sources in both directions: values `(B, S, 2·H)`, and the decoder's first state `(B, H)`."""
        vectors, ends, outputs = self.source(words), [], []
        for cell, order in ((self.reader, range(words.shape[1])), (self.backward_reader, range(words.shape[1])[::-1])):
            state, steps = torch.zeros(len(words), cell.hidden_size, device=words.device), {}
            for step in order:
                valid = mask[:, step].unsqueeze(1)
                after = cell(vectors[:, step], state)
                state, steps[step] = torch.where(valid, after, state), after * valid
            ends.append(state)
            outputs.append(torch.stack([steps[step] for step in sorted(steps)], dim=1))
        return torch.cat(outputs, dim=-1), torch.tanh(self.bridge(torch.cat(ends, dim=-1)))


def _copy_cell(cell: nn.Module) -> nn.GRUCell:
    rival = nn.GRUCell(cell.input_size, cell.hidden_size)  # type: ignore[arg-type]  # ints of every cell
    rival.load_state_dict(cell.state_dict())
    return rival


def _copy_linear(layer: nn.Module) -> nn.Linear:
    assert isinstance(layer, nn.Linear)
    rival = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)
    rival.load_state_dict(layer.state_dict())
    return rival


def _copy_vectors(weight: Tensor) -> nn.Embedding:
    return nn.Embedding.from_pretrained(weight.detach().clone(), freeze=False)
