"""Common faults in training recurrent networks: one pure function each, from tensors to a finding or None.

Each threshold lies between values measured in healthy runs on MNIST (default; RNN of 8 steps; two LSTM layers on ReLU
features with dropout; a few hundred steps each) and in the broken examples of `configs/broken/`. Checked at every tenth
step, no healthy run raised an alarm: see docs/experiments.md.
"""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor, nn

LARGEST_INPUT = 5.0  # root mean square; 0.95 healthy, 81 as pixels from 0 to 255; LeCun et al. (1998) want 1
SMALLEST_SPREAD = 0.01  # one-hot inputs of 1,000 symbols have 0.03; less is practically constant
VANISHED = 1e-5  # gradient at the first step relative to the last; at least 0.1 healthy, up to 8 steps
# factor per step in long sequences, where not everything depends on the first step: 0.89 in an LSTM that learns sines
# of 100 steps, 0.53 in an RNN that fails to learn sums of 20
VANISHING = 0.6
EXPLODED = 1e3  # at most 2 healthy, 2e6 with recurrent weights of standard deviation 1
SMALLEST_FLOAT = torch.finfo(torch.float32).tiny  # smaller values underflow
SATURATED_MARGIN = 0.01  # relative to the distance between the bounds
SATURATED_SHARE = 0.9  # share of activations; 0.95 with sigmoids on weights of standard deviation 3
OPEN_SHARE = 0.95  # of a gate's values near 1; 0.97 with a forget bias of 6; 0.5 with too large weights
SATURATED_GATES = 0.97  # higher, since gates open and close: 0.14 in the default, up to 0.89 in the first of two layers
DEAD_SHARE = 0.6  # at most 0.41 healthy
LARGEST_UPDATE = 0.3  # relative to the weights' norm; at most 0.046 healthy, 8 at a learning rate of 5
DIVERGED = 10.0  # relative to the first loss; at most 1.06 healthy
FLAT = 0.1  # relative to the targets' standard deviation, after 200 steps; at least 0.8 healthy

BOUNDS: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
    nn.Hardtanh: (-1.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
}


UNSCALED = "inputs not normalised"
LEARNING_RATE = "learning rate too large"
WRONG_LOSS = "wrong loss"
DIVERGING = "loss diverges"
FLAT_PREDICTIONS = "predictions out of reach of the targets"
# after one of these, findings inside the network are only consequences
CAUSES = (UNSCALED, LEARNING_RATE, WRONG_LOSS, DIVERGING, FLAT_PREDICTIONS)


class Finding(NamedTuple):
    """Name of a fault, and its description: what was measured, what is usual, what to try."""

    name: str
    words: str


def unscaled_inputs(inputs: Tensor) -> Finding | None:
    """Detect inputs, of any shape, that are not normalised. Ignore integers, such as word indices."""
    if not inputs.is_floating_point() or inputs.numel() < 2:
        return None
    mean, spread = inputs.float().mean().item(), inputs.float().std().item()
    size = (mean**2 + spread**2) ** 0.5
    if spread >= SMALLEST_SPREAD and size <= LARGEST_INPUT:
        return None
    return Finding(
        UNSCALED,
        f"the inputs have mean {mean:.3g} and standard deviation {spread:.3g}, where about 0 and 1 are usual. "
        "Subtract the mean of the training data and divide by its standard deviation.",
    )


def gradient_over_time(norms: Tensor, mask: Tensor | None = None) -> Finding | None:
    """Detect vanishing or exploding gradients.

    Args:
        norms: `(B, T)`, norms of the gradient of the last valid step's output with respect to each step's features.
        mask: `(B, T)`, True for valid steps.
    """
    reach = reach_back(norms, mask)
    if reach is None:
        return None
    steps = norms.shape[1] if mask is None else int(mask.sum(dim=1).median())
    length = f"{steps} steps" if mask is None or bool(mask.all()) else f"{steps} steps (the median of the lengths)"
    least = min(VANISHED, VANISHING ** (steps - 1))
    if least <= reach <= EXPLODED or (reach == 0 and least < SMALLEST_FLOAT):
        return None
    if isfinite(reach):
        found = f"is {reach:.1e} times as large at the first of {length} as at the last, where 0.01 to 10 is usual"
    else:
        found = f"overflows on its way back to the first of {length}"
    measured = f"the gradient of the last step's output {found}. "
    if reach < least:
        advice = "Try `lstm` or `gru`, a larger forget bias, orthogonal recurrent weights or shorter sequences."
        return Finding("vanishing gradients", measured + advice)
    advice = "Try smaller or orthogonal recurrent weights, `lstm` or `gru`, and clipping the gradient."
    return Finding("exploding gradients", measured + advice)


def reach_back(norms: Tensor, mask: Tensor | None = None) -> float | None:
    """Norms `(B, T)` -> median over rows of the first valid step's norm relative to the last one's; None if undefined.

    The last step's gradient passes through one step only, the first step's through all of them. Where it overflows on
    its way, it is infinite or, by infinity times zero, NaN: both count as infinite.
    """
    valid = torch.ones_like(norms, dtype=torch.bool) if mask is None else mask
    rows = valid.sum(dim=1) > 1
    first = valid.int().argmax(dim=1, keepdim=True)
    last = norms.shape[1] - 1 - valid.flip(1).int().argmax(dim=1, keepdim=True)
    at_first, at_last = norms.gather(1, first).squeeze(1)[rows], norms.gather(1, last).squeeze(1)[rows]
    ratios = (at_first / at_last).where(at_first.isfinite(), torch.inf)
    ratios = ratios[~ratios.isnan()]
    return ratios.median().item() if len(ratios) else None


def saturated(values: Tensor, low: float, high: float, allowed: float = SATURATED_SHARE) -> Finding | None:
    """Detect gates or activations, of any shape, of which more than `allowed` are saturated at `low` or `high`."""
    share = saturated_share(values, low, high)
    if share <= allowed:
        return None
    return Finding(
        "saturated units",
        f"{share:.0%} of the values lie within {SATURATED_MARGIN:.0%} of their bounds {low:g} and {high:g}, where "
        "hardly any gradient passes; up to 90% was measured in healthy gates. Try smaller weights or inputs, "
        "normalisation before this layer, or a smaller learning rate.",
    )


def saturated_share(values: Tensor, low: float, high: float) -> float:
    """Share of the values within the margin of their bounds."""
    margin = SATURATED_MARGIN * (high - low)
    return ((values < low + margin) | (values > high - margin)).float().mean().item()


def is_open(gates: Tensor) -> bool:
    """Whether gates, of any shape, are open nearly always, as by a large forget bias: then gradients pass through them.

    Tallec & Ollivier (2018) begin so on purpose, for long memories.
    """
    return (gates > 1 - SATURATED_MARGIN).float().mean().item() > OPEN_SHARE


def dead_units(active: Tensor) -> Finding | None:
    """Detect dead units; `active` `(U,)` tells which units are nonzero somewhere in a batch."""
    share = 1 - active.float().mean().item()
    if share <= DEAD_SHARE:
        return None
    return Finding(
        "dead units",
        f"{share:.0%} of the {len(active)} units are zero for every input of a batch, and so learn nothing; up to "
        "41% was measured in healthy networks. Try a smaller learning rate, normalisation before this layer, or an "
        "activation that is never flat.",
    )


def ever_active(values: Tensor) -> Tensor:
    """Find which units of values `(N, U, …)` are nonzero somewhere: `(U,)`."""
    return (values != 0).transpose(0, 1).flatten(1).any(dim=1)


def large_update(change: float) -> Finding | None:
    """Detect a step that changes weights too much; `change` is relative to their norm."""
    if not change > LARGEST_UPDATE:
        return None
    return Finding(
        LEARNING_RATE,
        f"one step changes these weights by {change:.0%} of their norm, where 0.1% to 3% is usual. "
        "Try a learning rate that is 10 or 100 times smaller, or a warm-up.",
    )


def relative_change(before: Tensor, after: Tensor) -> float:
    """Norm of a change relative to the norm of the weights `(U, …)` before, or to their usual norm if that is larger.

    The usual norm is that of torch's initial weights, uniform in ±1/√fan_in: smaller weights may grow fast.
    """
    usual = (len(before) / 3) ** 0.5  # the root of numel, times 1/√(3 fan_in)
    return (after - before).norm().item() / max(before.norm().item(), usual)


def diverged_loss(loss: float, first: float) -> Finding | None:
    """Detect a loss much larger than the first batch's."""
    if not loss > DIVERGED * abs(first):
        return None
    return Finding(
        DIVERGING,
        f"the loss is {loss:.3g}, and was {first:.3g} for the first batch; it should fall. "
        "Try a learning rate that is 10 times smaller.",
    )


def low_loss(loss: float, lowest: float = 0.0) -> Finding | None:
    """Detect a loss below what is possible: errors and cross-entropies of valid targets are at least 0."""
    if loss >= lowest:
        return None
    usual = "an error or a cross-entropy is never negative" if lowest == 0 else f"it is never below {lowest:g}"
    return Finding(
        WRONG_LOSS,
        f"the loss is {loss:.3g}, but {usual}. Look for a wrong sign, or for "
        "targets that the loss does not allow, such as numbers outside 0 to 1 in a binary cross-entropy.",
    )


def flat_predictions(answers: Tensor, targets: Tensor) -> Finding | None:
    """Detect answers `(N,)` that vary much less than the targets `(N,)`, after some training."""
    spread, wanted = answers.float().std().item(), targets.float().std().item()
    if not spread < FLAT * wanted:
        return None
    return Finding(
        FLAT_PREDICTIONS,
        f"the predictions range from {answers.min():.3g} to {answers.max():.3g} with a standard deviation of "
        f"{spread:.3g}, the targets from {targets.min():.3g} to {targets.max():.3g} with {wanted:.3g}. "
        "Check that the loss fits the targets, that nothing squashes the outputs, and that the learning rate is not "
        "too small or too large.",
    )
