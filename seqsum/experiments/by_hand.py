"""A recurrent network and its backward pass through time, by hand: one sequence, plain loops, to be read.

    summed[t]   = W_hh hidden[t] + W_hx x[t] + b
    hidden[t+1] = ReLU(summed[t])
    output[t]   = W_yh hidden[t+1]

The kernels in `seqsum/recurrent/kernels` do the same for batches, masks and speed; `python -m seqsum.experiments
gradients` holds this page against them, against autograd and against numerical gradients.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Weights(NamedTuple):
    """Weights of the network, or the gradients of a loss by them, which have the same shapes.

    Attributes:
        hh: From state to state, `(H, H)`.
        hx: From input to state, `(H, F)`.
        b: Bias, `(H,)`.
        yh: From state to output, `(K, H)`.
    """

    hh: Tensor
    hx: Tensor
    b: Tensor
    yh: Tensor


def forward(weights: Weights, inputs: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Read a sequence.

    Args:
        weights: Of the network.
        inputs: `x`, `(T, F)`.
        initial: `hidden[0]`, `(H,)`.

    Returns:
        All states, `(T + 1, H)`, which the backward pass needs, and the outputs `(T, K)`.
    """
    hidden = [initial]
    for x in inputs:
        hidden.append(torch.relu(weights.hh @ hidden[-1] + weights.hx @ x + weights.b))
    states = torch.stack(hidden)  # (T + 1, H)
    return states, states[1:] @ weights.yh.T


def backward(weights: Weights, inputs: Tensor, states: Tensor, d_outputs: Tensor) -> tuple[Weights, Tensor]:
    """Go back from the last step to the first, with `d_x` for the gradient of the loss by `x`.

    A state acts in two ways: on its own output, and on the next state. So its gradient is a sum of two,
    and the second of them passes through `W_hh` once for every step that it comes back: that product of
    many equal matrices is what makes gradients vanish or explode.

    Args:
        weights: Of the network.
        inputs: `x`, `(T, F)`.
        states: From `forward`, `(T + 1, H)`.
        d_outputs: Gradients of the loss by the outputs, `(T, K)`.

    Returns:
        The gradients by the weights, and those by all states, `(T + 1, H)`.
    """
    gradient = Weights(*(torch.zeros_like(weight) for weight in weights))
    d_states = torch.zeros_like(states)
    for t in reversed(range(len(inputs))):
        d_states[t + 1] += weights.yh.T @ d_outputs[t]  # beside what came back from the step after it
        d_summed = d_states[t + 1] * (states[t + 1] > 0)  # ReLU lets through where it was open
        d_states[t] = weights.hh.T @ d_summed
        # every step uses the same weights, so their gradients add up
        gradient.hh.add_(torch.outer(d_summed, states[t]))
        gradient.hx.add_(torch.outer(d_summed, inputs[t]))
        gradient.b.add_(d_summed)
        gradient.yh.add_(torch.outer(d_outputs[t], states[t + 1]))
    return gradient, d_states


def clip_by_global_norm(gradient: Weights, threshold: float) -> tuple[Weights, float]:
    """Scale all gradients by one factor, so that their norm, taken as one long vector, is at most the threshold.

    The direction of the step stays (Pascanu et al., 2013).

    Returns:
        The scaled gradients, and the norm before.
    """
    norm = math.sqrt(sum(float(part.square().sum()) for part in gradient))
    factor = min(1.0, threshold / norm) if norm > 0 else 1.0
    return Weights(*(factor * part for part in gradient)), norm
