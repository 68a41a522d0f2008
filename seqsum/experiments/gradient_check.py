"""Compare the backward pass by hand with autograd, the `bptt` kernel and numerical gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from seqsum import RNN
from seqsum.experiments.by_hand import Weights, backward, forward

TOLERANCES = {"autograd": 1e-12, "kernel bptt": 1e-12, "numerical": 1e-7}  # in float64, for gradients around 1


def compare(generator: torch.Generator, steps: int = 12) -> dict[str, float]:
    """Return the largest difference of each method's gradients from those by hand, for a small random network.

    Compares the gradients of `½ Σ (outputs - targets)²` with respect to all weights and the initial state.

    Raises:
        RuntimeError: A difference is larger than rounding in float64 explains.
    """
    hidden, features, outputs = 7, 5, 3
    shapes = ((hidden, hidden), (hidden, features), (hidden,), (outputs, hidden))
    weights = Weights(*(_normal(shape, generator) / shape[-1] ** 0.5 for shape in shapes))
    inputs, targets = _normal((steps, features), generator), _normal((steps, outputs), generator)
    initial = _normal((hidden,), generator).abs()  # as after a ReLU
    states, found = forward(weights, inputs, initial)
    gradient, d_states = backward(weights, inputs, states, found - targets)
    by_hand = (*gradient, d_states[0])
    references = {
        "autograd": _autograd(lambda *w, h: forward(Weights(*w), inputs, h)[1], weights, initial, targets),
        "kernel bptt": _autograd(lambda *w, h: _kernel(Weights(*w), inputs, h), weights, initial, targets),
        "numerical": numerical_gradients(
            lambda *parts: _loss(forward(Weights(*parts[:-1]), inputs, parts[-1])[1], targets), (*weights, initial)
        ),
    }
    differences = {
        name: max(float((ours - theirs).abs().max()) for ours, theirs in zip(by_hand, gradients, strict=True))
        for name, gradients in references.items()
    }
    check(differences, TOLERANCES)
    return differences


def check(differences: Mapping[str, float], tolerances: Mapping[str, float]) -> None:
    """Raise a RuntimeError if a difference exceeds its tolerance or is NaN."""
    for name, difference in differences.items():
        if not difference <= tolerances[name]:
            raise RuntimeError(
                f"the gradients by hand differ from {name} by {difference:.2g}, more than {tolerances[name]:.2g}"
            )


def numerical_gradients(loss: Callable[..., Tensor], parts: tuple[Tensor, ...], step: float = 1e-6) -> list[Tensor]:
    """Compute gradients by central differences: `(loss(x + step) - loss(x - step)) / (2 step)` for every number."""
    gradients = []
    for part in parts:
        gradient, moved = torch.zeros_like(part), part.view(-1)
        for place, value in enumerate(moved.tolist()):
            moved[place] = value + step
            above = loss(*parts)
            moved[place] = value - step
            gradient.view(-1)[place] = (above - loss(*parts)) / (2 * step)
            moved[place] = value
        gradients.append(gradient)
    return gradients


def _autograd(run: Callable[..., Tensor], weights: Weights, initial: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    *leaves, hidden = (part.clone().requires_grad_() for part in (*weights, initial))
    return torch.autograd.grad(_loss(run(*leaves, h=hidden), targets), (*leaves, hidden))


def _kernel(weights: Weights, inputs: Tensor, initial: Tensor) -> Tensor:
    """Run the same network as a `seqsum.RNN` with `backend="bptt"`."""
    layer = RNN(inputs.shape[-1], len(initial), nonlinearity="relu", backend="bptt", recurrent_bias=False)
    own = {"cells.0.weight_hh": weights.hh, "cells.0.weight_ih": weights.hx, "cells.0.bias_ih": weights.b}
    states, _ = torch.func.functional_call(layer, own, (inputs, initial.unsqueeze(0)))
    return states @ weights.yh.T


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum() / 2


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)
