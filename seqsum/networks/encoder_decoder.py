"""Sequence to sequence: an encoder reads a sentence, and a decoder that attends to it writes another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.data.base import Batch, ScoredSteps
from seqsum.data.text import END, START
from seqsum.data.text.sentences import decoder_inputs
from seqsum.errors import missing_size
from seqsum.networks.beam_search import Found, beam_search
from seqsum.networks.decoders import Attends, activation_of, build_decoder, of_layers
from seqsum.networks.masked import run_masked
from seqsum.networks.recurrences import build_recurrence, sizes_of
from seqsum.networks.time_distributed import TimeDistributed
from seqsum.networks.words import Embed
from seqsum.recurrent.backends import Backend
from seqsum.recurrent.cells import Attention
from seqsum.recurrent.cells.base import check_probability


class EncoderDecoder(nn.Module):
    """An encoder of both directions, a bridge, and a decoder with attention (Bahdanau et al. and Luong et al., 2015).

    With source words `x`, and what was written so far `y`:

        values[s]  = the encoder's outputs at source step s, both directions
        state_0    = tanh(W_b [final states of both directions])                              the bridge
        output, c  = the decoder's at step t, reading y_{t-1} from state_{t-1}, and its context, see `decoders.py`
        r          = tanh(W_r [output; c; y_{t-1}])
        logits     = E r + b                                                        E: the target words' vectors

    The last layer shares its weights with the vectors of target words (Press & Wolf, 2017).

    Args:
        source_vocabulary_size, target_vocabulary_size: Number of ids of each language. On the command line they follow
            the data.
        cell: Cell of encoder and decoder, see `build_network`; torch's own only if the decoder attends `after`.
        hidden_size: Units of each direction of the encoder, and of the decoder, `H`.
        embedding_size: Numbers of a word's vector.
        attention: `additive`, `multiplicative`, or `none`: each step gets the mean of all source steps.
        attends: `after` the decoder, at all steps at once (Luong et al., 2015), or at `each_step`, which reads the
            context (Bahdanau et al., 2015).
        dropout: Probability, in training, of dropping a number of the words' vectors and of `r`.
        teacher_forcing: Probability, in training, that a step reads the true word before it. Otherwise it reads the
            network's own most probable word (Bengio et al., 2015), for which steps run one by one.
        backend: How the loops over time run.

    Raises:
        ValueError: A size is below one, a probability is outside [0, 1], or a name is unknown.
        InputError: A vocabulary size is missing.
    """

    encoder: TimeDistributed

    def __init__(
        self,
        source_vocabulary_size: int | None = None,
        target_vocabulary_size: int | None = None,
        cell: str = "gru",
        hidden_size: int = 256,
        embedding_size: int = 256,
        attention: Attention = "additive",
        attends: Attends = "after",
        dropout: float = 0.2,
        teacher_forcing: float = 1.0,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        sizes = {"source_vocabulary_size": source_vocabulary_size, "target_vocabulary_size": target_vocabulary_size}
        for name, size in sizes.items():
            if size is None:
                raise missing_size(f"--model.network.{name}", name)
        check_probability("dropout", dropout)
        check_probability("teacher_forcing", teacher_forcing)
        options: dict[str, Any] = {"output_activation": activation_of(cell), "backend": backend}
        self.encoder = TimeDistributed(Embed(source_vocabulary_size, embedding_size))
        self.reader = build_recurrence(cell, embedding_size, hidden_size, bidirectional=True, **options)
        self.target = TimeDistributed(Embed(target_vocabulary_size, embedding_size))
        values_size, states = sizes_of(self.reader)
        self.decoder = build_decoder(cell, embedding_size, hidden_size, attention, 2 * values_size, attends, backend)
        self.bridge = nn.ModuleList(nn.Linear(2 * size, size) for size in states)
        self.result = nn.Linear(self.decoder.output_size + embedding_size, embedding_size)
        self.output_size: int = self.vectors.shape[0]
        self.bias = nn.Parameter(torch.zeros(self.output_size))
        self.dropout = dropout
        self.teacher_forcing = teacher_forcing

    @property
    def vectors(self) -> Tensor:
        """Vectors of the target words, `(V, F)`."""
        return self.target.module.weight  # type: ignore[return-value]  # a parameter

    def forward(self, batch: Batch) -> Tensor | ScoredSteps:
        """Predict each target word from those before it: sources `(B, S)`, targets `(B, T)` -> logits `(B, T, V)`.

        In training on a CPU, only the M words that are scored are predicted: `ScoredSteps` with logits `(M, V)`.
        """
        words = decoder_inputs(batch.targets)
        states, values = self.read(batch)
        if self.training and self.teacher_forcing < 1:
            return self._mixed(words, [*states, *self.decoder.source(values, batch.mask)])
        vectors = self._drop(self.target(words))
        results = self._results(self.decoder(vectors, states, values, batch.mask), vectors)
        if self.training and batch.scored is not None and results.device.type == "cpu":  # others would be waited for
            # a fifth is padding, and the next product is the largest
            return ScoredSteps(self._logits(results[batch.scored]))
        return self._logits(results)

    def read(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Read sources `(B, S)`: return the decoder's first states, `(B, H)`, and what it attends to, `(B, S, E)`."""
        vectors = self._drop(self.encoder(batch.inputs, batch.mask))
        values, final = run_masked(self.reader, vectors, None, batch.mask)
        pairs = zip(self.bridge, of_layers(final), strict=True)
        return [torch.tanh(bridge(state)) for bridge, state in pairs], values

    @torch.no_grad()
    def attention(self, batch: Batch) -> Tensor:
        """Return how much each step that writes a target attends to each source step, `(B, T, S)`."""
        states, values = self.read(batch)
        return self.decoder.weights(self.target(decoder_inputs(batch.targets)), states, values, batch.mask)

    @torch.no_grad()
    def write(self, batch: Batch, *, beams: int = 1, longest: int = 100, length_power: float = 1.0) -> Found:
        """Write a translation of each source, see `beam_search`: never the unknown word, which says nothing."""
        states, values = self.read(batch)

        def step(words: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            logits, states = self._step(words, states)
            logits[:, :END] = -torch.inf  # padding, the unknown word, and the start
            return logits.float().log_softmax(-1), states

        start = [*states, *self.decoder.source(values, batch.mask)]
        return beam_search(step, start, START, END, beams=beams, longest=longest, length_power=length_power)

    def _mixed(self, words: Tensor, states: list[Tensor]) -> Tensor:
        """Run step by step; some steps read the network's own words instead of the true ones `(B, T)`."""
        true = torch.rand(words.shape, device=words.device) < self.teacher_forcing
        outputs: list[Tensor] = []
        for t in range(words.shape[1]):
            read = words[:, t]
            if t > 0:
                read = torch.where(true[:, t], read, outputs[-1].detach().argmax(-1))
            logits, states = self._step(read, states)
            outputs.append(logits)
        return torch.stack(outputs, dim=1)

    def _step(self, words: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run one step: words `(B,)`, states with a prepared source -> logits `(B, V)`, the same."""
        vectors = self._drop(self.target.module(words))
        outputs, states = self.decoder.step(vectors, states)
        return self._logits(self._results(outputs, vectors)), states

    def _results(self, outputs: Tensor, vectors: Tensor) -> Tensor:
        """Compute `r`, `(…, F)`, from the decoder's outputs `(…, O)` and the vectors of the words it read."""
        return self._drop(torch.tanh(self.result(torch.cat([outputs, vectors], dim=-1))))

    def _logits(self, results: Tensor) -> Tensor:
        """Compute logits `(…, V)` from `r`."""
        return F.linear(results, self.vectors, self.bias)

    def _drop(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.dropout, self.training) if self.dropout else values
