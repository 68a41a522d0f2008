"""What goes wrong in training recurrent networks: one pure function for each fault, tensors in, a finding or None out.

Each threshold lies between what was measured in healthy runs on MNIST (default; RNN of 8 steps; two LSTM layers
on ReLU features with dropout; a few hundred steps each) and in the broken set-ups of `configs/broken/`. With them
no healthy run raised an alarm, looked at every tenth step: see docs/experiments.md.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

LARGEST_INPUT = 5.0  # root mean square; 0.95 healthy, 81 as pixels from 0 to 255; LeCun et al. (1998) want 1
SMALLEST_SPREAD = 0.01  # one-hot inputs of 1,000 symbols have 0.03; less is as good as constant
VANISHED = 1e-5  # first step's gradient beside the last one's: at least 0.1 in healthy runs of up to 8 steps
# … and so much a step in long sequences, in which not all depends on the first: 0.89 in an LSTM that learns
# sines of 100 steps, 0.53 in an RNN that learns no sums of 20
VANISHING = 0.6
EXPLODED = 1e3  # at most 2 healthy, 2e6 with recurrent weights of standard deviation 1
SMALLEST_FLOAT = torch.finfo(torch.float32).tiny  # what is smaller may have been anything
SATURATED_MARGIN = 0.01  # of the way from bound to bound
SATURATED_SHARE = 0.9  # of activations; 0.95 with sigmoids on weights of standard deviation 3
SATURATED_GATES = 0.97  # gates do shut and open: 0.14 in the default, at times 0.89 in the first of two layers
DEAD_SHARE = 0.6  # at most 0.41 healthy
LARGEST_UPDATE = 0.3  # of the weights' size; at most 0.046 healthy, 8 at a learning rate of 5
DIVERGED = 10.0  # times the first loss; at most 1.06 healthy
FLAT = 0.1  # of the targets' spread, after 200 steps: at least 0.8 healthy

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
# What is seen inside of a network after one of these is its consequence, and would only distract
CAUSES = (UNSCALED, LEARNING_RATE, WRONG_LOSS, DIVERGING, FLAT_PREDICTIONS)


class Finding(NamedTuple):
    """A fault by name, and in words: what was measured, what is usual, what to try."""

    name: str
    words: str


def unscaled_inputs(inputs: Tensor) -> Finding | None:
    """Inputs of any shape; whole numbers, such as those of words, have no scale."""
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
    """Vanishing or exploding gradients.

    Args:
        norms: `(B, T)`, of the gradient of the last valid step's output with respect to each step's features.
        mask: `(B, T)`, which steps are valid.
    """
    reach = reach_back(norms, mask)
    if reach is None:
        return None
    steps = norms.shape[1] if mask is None else int(mask.sum(dim=1).median())
    least = min(VANISHED, VANISHING ** (steps - 1))
    if least <= reach <= EXPLODED or (reach == 0 and least < SMALLEST_FLOAT):
        return None
    measured = (
        f"the gradient of the last step's output is {reach:.1e} times as large at the first of {norms.shape[1]} "
        "steps as at the last, where 0.01 to 10 is usual. "
    )
    if reach < least:
        advice = "Try `lstm` or `gru`, a larger forget bias, orthogonal recurrent weights or shorter sequences."
        return Finding("vanishing gradients", measured + advice)
    advice = "Try smaller or orthogonal recurrent weights, `lstm` or `gru`, and clipping the gradient."
    return Finding("exploding gradients", measured + advice)


def reach_back(norms: Tensor, mask: Tensor | None = None) -> float | None:
    """Norms `(B, T)` -> median over rows of the first valid step's norm relative to the last one's; None if undefined.

    The last step's is the plain way in and out of the network; the first step's has gone through all of time.
    """
    valid = torch.ones_like(norms, dtype=torch.bool) if mask is None else mask
    rows = valid.sum(dim=1) > 1
    first = valid.int().argmax(dim=1, keepdim=True)
    last = norms.shape[1] - 1 - valid.flip(1).int().argmax(dim=1, keepdim=True)
    ratios = (norms.gather(1, first) / norms.gather(1, last)).squeeze(1)[rows]
    ratios = ratios[~ratios.isnan()]
    return ratios.median().item() if len(ratios) else None


def saturated(values: Tensor, low: float, high: float, allowed: float = SATURATED_SHARE) -> Finding | None:
    """Gates or activations of any shape, that run from `low` to `high`; `allowed` is the share that may saturate."""
    share = saturated_share(values, low, high)
    if share <= allowed:
        return None
    return Finding(
        "saturated units",
        f"{share:.0%} of the values lie within {SATURATED_MARGIN:.0%} of their bounds {low:g} and {high:g}, where "
        "hardly any gradient passes; up to 90% was seen in gates that learnt. Try smaller weights or inputs, "
        "normalisation before it, or a smaller learning rate.",
    )


def saturated_share(values: Tensor, low: float, high: float) -> float:
    """Share of the values that lie within a margin of their bounds."""
    margin = SATURATED_MARGIN * (high - low)
    return ((values < low + margin) | (values > high - margin)).float().mean().item()


def dead_units(active: Tensor) -> Finding | None:
    """Whether each unit was ever other than zero in a whole batch, `(U,)`."""
    share = 1 - active.float().mean().item()
    if share <= DEAD_SHARE:
        return None
    return Finding(
        "dead units",
        f"{share:.0%} of the {len(active)} units are zero for every input of a batch, and so learn nothing; up to "
        "41% was seen in networks that learnt. Try a smaller learning rate, normalisation before it, or an activation "
        "that is never flat.",
    )


def ever_active(values: Tensor, axis: int) -> Tensor:
    """Values with units along an axis -> which units are other than zero somewhere, `(U,)`."""
    return (values != 0).transpose(0, axis).flatten(1).any(dim=1)


def large_update(change: float) -> Finding | None:
    """How much one step changes some weights, relative to their size."""
    if not change > LARGEST_UPDATE:
        return None
    return Finding(
        LEARNING_RATE,
        f"one step changes these weights by {change:.0%} of their size, where 0.1% to 3% is usual. "
        "Try a learning rate that is ten or a hundred times smaller, or one that warms up.",
    )


def relative_change(before: Tensor, after: Tensor) -> float:
    """Norm of a change relative to that of the weights `(U, …)` before, or to their usual one if that is larger.

    Usual is what torch starts with, uniform within 1/√fan_in: weights that start smaller may grow fast.
    """
    usual = (len(before) / 3) ** 0.5  # the root of numel, times 1/√(3 fan_in)
    return (after - before).norm().item() / max(before.norm().item(), usual)


def diverged_loss(loss: float, first: float) -> Finding | None:
    """The loss now, and that of the first batch."""
    if not loss > DIVERGED * abs(first):
        return None
    return Finding(
        DIVERGING,
        f"the loss is {loss:.3g}, and was {first:.3g} for the first batch; it should fall. "
        "Try a learning rate that is ten times smaller.",
    )


def negative_loss(loss: float) -> Finding | None:
    """Squared and absolute errors and cross-entropies of what they are made for are all at least 0."""
    if loss >= 0:
        return None
    return Finding(
        WRONG_LOSS,
        f"the loss is {loss:.3g}, and that of an error or a cross-entropy is never negative, so minimising it goes "
        "nowhere good. Look for a wrong sign, or targets that the loss is not made for, such as numbers other than "
        "0 to 1 in a binary cross-entropy.",
    )


def flat_predictions(answers: Tensor, targets: Tensor) -> Finding | None:
    """Answers and targets, `(N,)` each, of a network that has trained for a while."""
    spread, wanted = answers.float().std().item(), targets.float().std().item()
    if not spread < FLAT * wanted:
        return None
    return Finding(
        FLAT_PREDICTIONS,
        f"the predictions go from {answers.min():.3g} to {answers.max():.3g} with a standard deviation of "
        f"{spread:.3g}, and the targets from {targets.min():.3g} to {targets.max():.3g} with one of {wanted:.3g}. "
        "See that the loss fits the targets, that nothing squashes the outputs, and that the learning rate is not "
        "too small or too large.",
    )
