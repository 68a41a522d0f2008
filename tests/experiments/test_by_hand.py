"""Backpropagation through time by hand equals autograd, numerical gradients, the kernels and torch's clipping."""

from __future__ import annotations

import math

import pytest
import torch

from seqsum.experiments import by_hand, gradient_check
from seqsum.experiments.by_hand import Weights, backward, clip_by_global_norm, forward

H, F, K = 6, 4, 3


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights():
    return Weights(drawn(H, H) / 2, drawn(H, F, seed=1), drawn(H, seed=2), drawn(K, H, seed=3))


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_backward_matches_autograd(steps):
    own, inputs, initial = weights(), drawn(steps, F, seed=4), drawn(H, seed=5).abs()
    leaves = [part.clone().requires_grad_() for part in (*own, initial)]
    states, outputs = forward(Weights(*leaves[:4]), inputs, leaves[4])
    (outputs.sin() * drawn(steps, K, seed=6)).sum().backward()
    gradient, d_states = backward(own, inputs, states.detach(), drawn(steps, K, seed=6) * outputs.detach().cos())
    for ours, leaf in zip((*gradient, d_states[0]), leaves, strict=True):
        assert leaf.grad.abs().max() > 0
        torch.testing.assert_close(ours, leaf.grad, rtol=0, atol=1e-12)


def test_gradients_of_all_states_match_autograd():
    own, inputs = weights(), drawn(5, F, seed=4)
    states = [drawn(H, seed=5).abs().requires_grad_()]
    for x in inputs:
        states.append(torch.relu(own.hh @ states[-1] + own.hx @ x + own.b))
    loss = sum((own.yh @ state).square().sum() / 2 for state in states[1:])
    expected = torch.stack(torch.autograd.grad(loss, states))
    stacked = torch.stack(states).detach()
    _, d_states = backward(own, inputs, stacked, stacked[1:] @ own.yh.T)
    torch.testing.assert_close(d_states, expected, rtol=0, atol=1e-12)


def test_identity_passes_a_gradient_on_unchanged_while_all_units_are_open():
    own = Weights(torch.eye(H).double(), drawn(H, F).abs(), drawn(H, seed=2).abs(), drawn(K, H, seed=3))
    inputs = drawn(20, F, seed=4).abs()
    states, outputs = forward(own, inputs, torch.zeros(H).double())
    d_outputs = torch.zeros_like(outputs)
    d_outputs[-1] = 1
    _, d_states = backward(own, inputs, states, d_outputs)
    torch.testing.assert_close(d_states, own.yh.sum(0).expand(21, H))


@pytest.mark.parametrize("seed", range(4))
def test_agreement_of_all_four_ways(seed):
    found = gradient_check.compare(torch.Generator().manual_seed(seed))
    assert found.keys() == {"autograd", "kernel bptt", "numerical"}
    assert 0 < found["numerical"] < 1e-7  # 0 would mean that it was not numerical


def test_a_wrong_backward_is_found_out(monkeypatch):
    def without_relu(own, inputs, states, d_outputs):
        return backward(own, inputs, states + 1, d_outputs)

    monkeypatch.setattr(gradient_check, "backward", without_relu)
    with pytest.raises(RuntimeError, match=r"by hand differ from autograd by .*, more than 1e-12"):
        gradient_check.compare(torch.Generator().manual_seed(0))


def test_not_a_number_is_no_agreement():
    with pytest.raises(RuntimeError, match="differ from autograd by nan"):
        gradient_check.check({"autograd": math.nan}, gradient_check.TOLERANCES)


@pytest.mark.parametrize("threshold", [0.5, 5.0, 1e3])
def test_clipping_matches_torch(threshold):
    gradient = by_hand.Weights(*(7 * part for part in weights()))
    parameters = [torch.nn.Parameter(torch.zeros_like(part)) for part in gradient]
    for parameter, part in zip(parameters, gradient, strict=True):
        parameter.grad = part.clone()
    expected = torch.nn.utils.clip_grad_norm_(parameters, threshold)
    clipped, norm = clip_by_global_norm(gradient, threshold)
    assert norm == pytest.approx(float(expected))
    for ours, parameter in zip(clipped, parameters, strict=True):
        torch.testing.assert_close(ours, parameter.grad, rtol=1e-5, atol=0)  # torch adds 1e-6 to the norm


def test_clipping_leaves_no_gradient_as_it_is():
    clipped, norm = clip_by_global_norm(Weights(*(torch.zeros_like(part) for part in weights())), 5.0)
    assert norm == 0
    assert all((part == 0).all() for part in clipped)
