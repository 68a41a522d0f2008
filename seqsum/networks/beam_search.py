"""Beam search: the most probable sequence of tokens, as far as a limited number of beginnings shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqsum.errors import check_sizes

# one step of a decoder: last tokens (N,) and states (N, …) -> log-probabilities (N, V) of the next tokens, new states
Step = Callable[[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]]


class Found(NamedTuple):
    """The best sequences that a search found.

    Attributes:
        tokens: `(B, L)`. Those that ended are filled up with end symbols.
        scores: Log-probability of each, divided by a power of its length, `(B,)`.
        ended: Whether each has an end symbol, bool `(B,)`; others were cut off.
    """

    tokens: Tensor
    scores: Tensor
    ended: Tensor


@torch.no_grad()
def beam_search(
    step: Step,
    states: Sequence[Tensor],
    start: int,
    end: int,
    *,
    beams: int = 1,
    longest: int = 100,
    length_power: float = 1.0,
) -> Found:
    """Search for the most probable sequence of each row.

    Every step continues the `beams` best beginnings by every token. Of the `beams` best results, those that end are
    finished; the search goes on with the best that don't. A row is done once it has `beams` finished sequences, of
    which the best by score is the answer. One beam is the greedy search: always the most probable token.

    Probabilities of longer sequences are smaller, so sequences are compared by their log-probability divided by a power
    of their length (Wu et al., 2016, without its constant).

    Args:
        step: One step of the decoder, for `B·beams` rows.
        states: States before the first step, `(B, …)` each.
        start: Token that the first step reads.
        end: Token that ends a sequence.
        beams: Beginnings kept for each row.
        longest: Most tokens of a sequence, the end included.
        length_power: Power of the length; 0 compares log-probabilities themselves.

    Raises:
        ValueError: `beams` or `longest` is below one.
    """
    check_sizes(beams=beams, longest=longest)
    rows = len(states[0])
    search = _Search(rows, beams, end, states[0].device)
    states = [state.repeat_interleave(beams, 0) for state in states]
    last = torch.full((rows * beams,), start, device=search.scores.device)
    for length in range(1, longest + 1):
        chances, states = step(last, list(states))
        origins = search.advance(chances.float().unflatten(0, (rows, beams)), length**length_power)
        if bool(search.done.all()):
            break
        states = [state.index_select(0, origins) for state in states]
        last = search.tokens[:, :, -1].flatten()
    return search.result(length**length_power)


class _Search:
    """Beginnings of sequences and the best finished ones, of all rows together."""

    def __init__(self, rows: int, beams: int, end: int, device: torch.device) -> None:
        self.beams, self.end = beams, end
        self.tokens = torch.empty(rows, beams, 0, dtype=torch.int64, device=device)
        self.scores = torch.full((rows, beams), -torch.inf, device=device)
        self.scores[:, 0] = 0.0  # all beginnings are equal at first: only one counts
        self.first = torch.arange(rows, device=device).unsqueeze(1) * beams  # place of each row's first beginning
        self.best = torch.full((rows, 0), end, device=device)
        self.best_scores = torch.full((rows,), -torch.inf, device=device)
        self.finished = torch.zeros(rows, dtype=torch.int64, device=device)

    @property
    def done(self) -> Tensor:
        """Which rows need no further step, bool `(B,)`."""
        return self.finished >= self.beams

    def advance(self, chances: Tensor, divisor: float) -> Tensor:
        """Continue beginnings by log-probabilities `(B, beams, V)`; return which went on, `(B·beams,)`."""
        size = chances.shape[-1]
        total = (self.scores.unsqueeze(-1) + chances).flatten(1)  # (B, beams·V)
        scores, places = total.topk(min(2 * self.beams, total.shape[1]))  # enough: `beams` of them can end at most
        origins, tokens = places // size, places % size
        continued = torch.cat([self._of(origins), tokens.unsqueeze(-1)], dim=-1)
        ends = tokens == self.end
        self._finish(continued, scores / divisor, ends & scores.isfinite())
        self.scores, kept = scores.masked_fill(ends, -torch.inf).topk(self.beams)
        self.tokens = continued.gather(1, kept.unsqueeze(-1).expand(-1, -1, continued.shape[-1]))
        return (self.first + origins.gather(1, kept)).flatten()

    def result(self, divisor: float) -> Found:
        """Return each row's best finished sequence, or where none is finished the best beginning."""
        ended = self.best_scores.isfinite()
        tokens = torch.where(ended.unsqueeze(1), self.best, self.tokens[:, 0])
        return Found(tokens, torch.where(ended, self.best_scores, self.scores[:, 0] / divisor), ended)

    def _of(self, origins: Tensor) -> Tensor:
        """Return the beginnings at places `(B, M)` of their rows: `(B, M, L)`."""
        return self.tokens.gather(1, origins.unsqueeze(-1).expand(-1, -1, self.tokens.shape[-1]))

    def _finish(self, continued: Tensor, scores: Tensor, ends: Tensor) -> None:
        """Keep the best of the sequences `(B, M, L)` that end and are among the best, in rows that are not done."""
        ends = ends & ~self.done.unsqueeze(1)
        ends[:, self.beams :] = False
        best, place = scores.masked_fill(~ends, -torch.inf).max(dim=1)
        better = best > self.best_scores
        sequence = continued[torch.arange(len(place), device=place.device), place]
        before = torch.nn.functional.pad(self.best, (0, 1), value=self.end)
        self.best = torch.where(better.unsqueeze(1), sequence, before)
        self.best_scores = torch.where(better, best, self.best_scores)
        self.finished = self.finished + ends.sum(1)
