"""Masked steps and rows take no part, whatever is in them."""

from functools import partial

import pytest
import torch

from seqsum import GRU, LSTM, RNN, trace


@pytest.mark.parametrize("backend", ["eager", "script", "bptt", "native"])
@pytest.mark.parametrize("kind", [LSTM, GRU, RNN])
def test_a_row_that_is_masked_throughout_may_have_any_state(backend, kind):
    torch.manual_seed(0)
    layer = kind(3, 5, batch_first=True, backend=backend)
    inputs, mask = torch.randn(3, 4, 3), torch.tensor([[False] * 4, [True] * 4, [True, False, True, False]])
    states = [torch.randn(1, 3, 5) for _ in range(2 if kind is LSTM else 1)]
    for state in states:
        state[:, 0] = torch.nan
        state.requires_grad_()
    outputs, final = layer(inputs, tuple(states) if kind is LSTM else states[0], mask=mask)
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert all(weight.grad.isfinite().all() for weight in layer.parameters())
    assert all(state.grad.isfinite().all() for state in states)
    for given, last in zip(states, final if kind is LSTM else [final], strict=True):
        torch.testing.assert_close(last[:, 0], given[:, 0], equal_nan=True)
        assert last[:, 1:].isfinite().all()


@pytest.mark.parametrize("backend", ["eager", "script", "bptt", "native"])
@pytest.mark.parametrize(
    "kind", [LSTM, GRU, RNN, partial(LSTM, output_activation="identity"), partial(RNN, nonlinearity="relu")]
)
def test_a_batch_that_is_masked_throughout_has_gradients_of_zero(backend, kind):
    layer, inputs = kind(3, 5, backend=backend), torch.randn(4, 2, 3, requires_grad=True)
    torch.use_deterministic_algorithms(True)  # fills with NaN what nothing is written to
    try:
        outputs, _ = layer(inputs, mask=torch.zeros(4, 2, dtype=torch.bool))
        outputs.sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert not any(tensor.grad.any() for tensor in (inputs, *layer.parameters()))


def test_gates_of_masked_steps_are_zero_whatever_the_state():
    layer, state = LSTM(3, 5, batch_first=True), torch.full((1, 2, 5), torch.nan)
    mask = torch.zeros(2, 4, dtype=torch.bool)
    with trace(layer) as traced:
        layer(torch.randn(2, 4, 3), (state, state), mask=mask)
    assert not traced["input_gate_l0"].any()
