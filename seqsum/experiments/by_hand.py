"""A recurrent network and backpropagation through time by hand, written to be read: one sequence, plain loops.

    summed[t]   = W_hh hidden[t] + W_hx x[t] + b
    hidden[t+1] = ReLU(summed[t])
    output[t]   = W_yh hidden[t+1]

The kernels in `seqsum/recurrent/kernels` do the same for batches, masks and speed; `python -m seqsum.experiments
gradients` compares this page with them, with autograd and with numerical gradients.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Weights(NamedTuple):
    """Weights of the network, or the gradients of a loss with respect to them.

    Attributes:
        hh: Weights from state to state, `(H, H)`.
        hx: Weights from input to state, `(H, F)`.
        b: Bias, `(H,)`.
        yh: Weights from state to output, `(K, H)`.
    """

    hh: Tensor
    hx: Tensor
    b: Tensor
    yh: Tensor


def forward(weights: Weights, inputs: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Run the network over a sequence.

    Args:
        weights: Weights of the network.
        inputs: `x`, `(T, F)`.
        initial: `hidden[0]`, `(H,)`.

    Returns:
        All states, `(T + 1, H)`, for the backward pass, and the outputs, `(T, K)`.
    """
    hidden = [initial]
    for x in inputs:
        hidden.append(torch.relu(weights.hh @ hidden[-1] + weights.hx @ x + weights.b))
    states = torch.stack(hidden)  # (T + 1, H)
    return states, states[1:] @ weights.yh.T


def backward(weights: Weights, inputs: Tensor, states: Tensor, d_outputs: Tensor) -> tuple[Weights, Tensor]:
    """Backpropagate from the last step to the first; `d_x` is the gradient of the loss with respect to `x`.

    A state affects its own output and the next state, so its gradient is the sum of two parts. The second part is
    multiplied by `W_hh` once per step on its way back: this product of many equal matrices makes gradients vanish or
    explode.

    Args:
        weights: Weights of the network.
        inputs: `x`, `(T, F)`.
        states: States from `forward`, `(T + 1, H)`.
        d_outputs: Gradients with respect to the outputs, `(T, K)`.

    Returns:
        The gradients with respect to the weights and to all states, `(T + 1, H)`.
    """
    gradient = Weights(*(torch.zeros_like(weight) for weight in weights))
    d_states = torch.zeros_like(states)
    for t in reversed(range(len(inputs))):
        d_states[t + 1] += weights.yh.T @ d_outputs[t]  # added to what came back from the next step
        d_summed = d_states[t + 1] * (states[t + 1] > 0)  # ReLU passes the gradient where it was active
        d_states[t] = weights.hh.T @ d_summed
        # every step uses the same weights, so their gradients add up
        gradient.hh.add_(torch.outer(d_summed, states[t]))
        gradient.hx.add_(torch.outer(d_summed, inputs[t]))
        gradient.b.add_(d_summed)
        gradient.yh.add_(torch.outer(d_outputs[t], states[t + 1]))
    return gradient, d_states


def clip_by_global_norm(gradient: Weights, threshold: float) -> tuple[Weights, float]:
    """Scale all gradients by one factor, so that their norm as one long vector is at most the threshold.

    The direction of the step stays the same (Pascanu et al., 2013).

    Returns:
        The scaled gradients, and their norm before scaling.
    """
    norm = math.sqrt(sum(float(part.square().sum()) for part in gradient))
    factor = min(1.0, threshold / norm) if norm > 0 else 1.0
    return Weights(*(factor * part for part in gradient)), norm
