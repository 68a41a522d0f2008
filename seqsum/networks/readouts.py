"""Readouts: how the recurrence's outputs at all steps become the network's outputs, one a step or one a sequence.

A readout stands around the head: it reduces the states before it, or the head's outputs after it.

| readout | before the head | after the head |
|---|---|---|
| `every` | | |
| `last` | the state after the last step | |
| `mean_states` | mean of the states | |
| `max` | maximum of the states | |
| `mean_max` | both, concatenated | |
| `mean_logits` | | mean of the outputs |
| `mean_probabilities` | | logits of the mean probabilities |

Masked steps take no part, whatever they hold. A sequence without valid steps is read as if its states (`last`, `max`,
means of states) or its outputs (`mean_logits`, `mean_probabilities`) were zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seqsum.errors import check_choice

ReadoutName = Literal["every", "last", "mean_logits", "mean_states", "mean_probabilities", "max", "mean_max"]
Reduction = Callable[[Tensor, Tensor | None], Tensor]  # values (B, T, N) and mask (B, T) -> (B, 1, N) or (B, 1, 2·N)


class Readout(NamedTuple):
    """A readout: what reduces the states before the head, and what reduces the outputs after it.

    Attributes:
        name: Its name.
        width: Features of the head for each number of the state.
        before, after: See `Reduction`; None to keep all steps.
    """

    name: ReadoutName
    width: int = 1
    before: Reduction | None = None
    after: Reduction | None = None

    def __call__(self, states: Tensor, mask: Tensor | None, head: Callable[[Tensor], Tensor]) -> Tensor:
        """Read states `(B, T, D·H)` with mask `(B, T)` by the head: outputs `(B, 1, K)`; `(B, T, K)` for `every`."""
        if self.before is not None:
            states = self.before(states, mask)
        elif self.after is not None and mask is not None:  # else a NaN would reach the gradients of the head's weights
            states = states.masked_fill(~mask.unsqueeze(-1), 0)
        outputs = head(states)
        return outputs if self.after is None else self.after(outputs, mask)

    @property
    def every_step(self) -> bool:
        """Whether there is an output at every step, not one a sequence."""
        return self.before is None and self.after is None


def make_readout(name: ReadoutName, num_directions: int = 1) -> Readout:
    """Make the readout of a recurrence that has one or two directions.

    Raises:
        ValueError: The name is unknown.
    """
    check_choice("readout", name, ReadoutName)
    readouts = (
        Readout("every"),
        Readout("last", before=last if num_directions == 1 else last_of_both),
        Readout("mean_states", before=mean),
        Readout("max", before=maximum),
        Readout("mean_max", width=2, before=mean_and_maximum),
        Readout("mean_logits", after=mean),
        Readout("mean_probabilities", after=mean_probabilities),
    )
    return next(readout for readout in readouts if readout.name == name)


def last(states: Tensor, mask: Tensor | None) -> Tensor:
    """Take the state at the last valid step: `(B, T, H)` -> `(B, 1, H)`; zero where there is none."""
    if mask is None:
        return states[:, -1:]
    steps = torch.arange(states.shape[1], device=states.device)
    return _pick(states, mask, (steps * mask).argmax(1))


def first(states: Tensor, mask: Tensor | None) -> Tensor:
    """Take the state at the first valid step: `(B, T, H)` -> `(B, 1, H)`; zero where there is none."""
    if mask is None:
        return states[:, :1]
    return _pick(states, mask, mask.int().argmax(1))


def last_of_both(states: Tensor, mask: Tensor | None) -> Tensor:
    """Take each direction's state after the step that it reads last: `(B, T, 2·H)` -> `(B, 1, 2·H)`.

    The forward half is that at the last valid step, the backward half that at the first.
    """
    forwards, backwards = states.chunk(2, dim=-1)
    return torch.cat([last(forwards, mask), first(backwards, mask)], dim=-1)


def mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Average over valid steps: `(B, T, N)` -> `(B, 1, N)`; zero where there are none."""
    if mask is None:
        return values.mean(1, keepdim=True)
    total = values.masked_fill(~mask.unsqueeze(-1), 0).sum(1, keepdim=True)
    return total / mask.sum(1).clamp(min=1).view(-1, 1, 1)


def maximum(states: Tensor, mask: Tensor | None) -> Tensor:
    """Take the maximum of each unit over valid steps: `(B, T, H)` -> `(B, 1, H)`; zero where there are none."""
    if mask is None:
        return states.amax(1, keepdim=True)
    most = states.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(1, keepdim=True)
    return most.masked_fill(_without_steps(mask), 0)


def mean_and_maximum(states: Tensor, mask: Tensor | None) -> Tensor:
    """Concatenate mean and maximum over valid steps: `(B, T, H)` -> `(B, 1, 2·H)`."""
    return torch.cat([mean(states, mask), maximum(states, mask)], dim=-1)


def mean_probabilities(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the logits of the mean probabilities over valid steps: `(B, T, K)` -> `(B, 1, K)`.

    A softmax over them gives the mean of the softmaxes; where `K` is 1, the sigmoid gives the mean of the sigmoids. All
    is computed from logarithms, which neither overflow nor lose small probabilities.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if mask is not None:
        logits = logits.masked_fill(~mask.unsqueeze(-1), 0)
        mask = mask | _without_steps(mask).squeeze(-1)  # (B, T); otherwise all terms would be -inf
    if logits.shape[-1] == 1:  # the number of steps cancels in the odds p : 1 - p
        return _log_sum(F.logsigmoid(logits), mask) - _log_sum(F.logsigmoid(-logits), mask)
    total = _log_sum(logits.log_softmax(-1), mask)
    return total - (math.log(logits.shape[1]) if mask is None else mask.sum(1).view(-1, 1, 1).to(total).log())


def _log_sum(logarithms: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the logarithm of the sum over valid steps: `(B, T, N)` -> `(B, 1, N)`."""
    if mask is not None:
        logarithms = logarithms.masked_fill(~mask.unsqueeze(-1), -torch.inf)
    return logarithms.logsumexp(1, keepdim=True)


def _pick(states: Tensor, mask: Tensor, steps: Tensor) -> Tensor:
    """Take the state at one step `(B,)` of each sequence: `(B, T, H)` -> `(B, 1, H)`; zero without valid steps."""
    places = steps.view(-1, 1, 1).expand(-1, 1, states.shape[-1])
    return states.gather(1, places).masked_fill(_without_steps(mask), 0)


def _without_steps(mask: Tensor) -> Tensor:
    """Mark the sequences without valid steps: `(B, T)` -> `(B, 1, 1)`."""
    return ~mask.any(1).view(-1, 1, 1)
