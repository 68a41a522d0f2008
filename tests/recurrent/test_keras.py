"""Weights from Keras, against the outputs that Keras's own tests expect for constant weights."""

import numpy as np
import pytest
import torch

from seqsum import GRU, LSTM, RNN
from seqsum.recurrent import gru_from_keras, lstm_from_keras, rnn_from_keras
from tests.recurrent.oracles import BACKENDS

# keras/src/layers/rnn/{simple_rnn,lstm,gru}_test.py: kernel 0.01, recurrent kernel 0.02, bias 0.03
# (1.0 for the LSTM's forget gate, unit_forget_bias), inputs np.arange(…)


def keras_weights(features, units, gates, bias, forget_bias=None):
    weights = [np.full((features, gates * units), 0.01), np.full((units, gates * units), 0.02)]
    if bias is not None:
        weights.append(np.full(bias, 0.03))
        if forget_bias is not None:
            weights[2][units : 2 * units] = forget_bias
    return [array.astype(np.float32) for array in weights]


def run(layer, state_dict, shape, backwards=False, mask=None, backend="auto"):
    layer = layer(shape[2], state_dict["weight_hh"].shape[1], bias="bias_ih" in state_dict, batch_first=True)
    layer.backend = backend
    layer.cells[0].load_state_dict(state_dict)
    inputs = torch.arange(np.prod(shape)).reshape(shape).float()
    mask = None if mask is None else torch.tensor(mask)
    inputs, mask = (inputs.flip(1), None if mask is None else mask.flip(1)) if backwards else (inputs, mask)
    outputs, final = layer(inputs, mask=mask)
    return outputs, final[0][0] if isinstance(final, tuple) else final[0]


LSTM_WEIGHTS = {
    "forget bias one": keras_weights(4, 3, 4, 12, 1.0),
    "plain": keras_weights(4, 3, 4, 12),
    "no bias": keras_weights(4, 3, 4, None),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("weights", "backwards", "expected"),
    [
        ("forget bias one", False, [0.6288687, 0.86899155, 0.9460773]),
        ("forget bias one", True, [0.35622165, 0.74789524, 0.8872726]),
        ("plain", False, [0.57019705, 0.8661914, 0.9459622]),
        ("no bias", False, [0.54986924, 0.86226785, 0.9443936]),
    ],
)
def test_lstm_gives_the_published_figures(weights, backwards, expected, backend):
    _, final = run(LSTM, lstm_from_keras(LSTM_WEIGHTS[weights]), (3, 6, 4), backwards, backend=backend)
    torch.testing.assert_close(final, torch.tensor(expected)[:, None].expand(3, 3), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("bias", "backwards", "expected"),
    [
        ((2, 9), False, [0.5217289, 0.6371659, 0.39384964]),
        ((2, 9), True, [0.24406259, 0.611516, 0.3928808]),
        (None, False, [0.49988455, 0.64701194, 0.4103359]),
    ],
)
def test_gru_gives_the_published_figures(bias, backwards, expected, backend):
    _, final = run(GRU, gru_from_keras(keras_weights(4, 3, 3, bias)), (3, 6, 4), backwards, backend=backend)
    torch.testing.assert_close(final, torch.tensor(expected)[:, None].expand(3, 3), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("backwards", "expected"), [(False, [0.405432, 0.73605347]), (True, [0.11144729, 0.5528889])])
def test_rnn_gives_the_published_figures(backwards, expected):
    _, final = run(RNN, rnn_from_keras(keras_weights(4, 4, 1, (4,))), (2, 3, 4), backwards)
    torch.testing.assert_close(final, torch.tensor(expected)[:, None].expand(2, 4), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_with_holes_give_the_published_figures(backend):
    """Keras calls this `zero_output_for_mask`."""
    mask = [[True, True, False, True], [True, False, False, True]]
    weights = gru_from_keras(keras_weights(3, 2, 3, (2, 6)))
    outputs, _ = run(GRU, weights, (2, 4, 3), mask=mask, backend=backend)
    expected = [[0.03606692, 0.09497581, 0.0, 0.19393763], [0.16051409, 0.0, 0.0, 0.30818558]]
    torch.testing.assert_close(outputs, torch.tensor(expected)[..., None].expand(2, 4, 2), atol=1e-5, rtol=1e-5)
    _, final = run(GRU, weights, (2, 4, 3), backwards=True, mask=mask, backend=backend)
    torch.testing.assert_close(
        final, torch.tensor([0.11669192, 0.28380975])[:, None].expand(2, 2), atol=1e-5, rtol=1e-5
    )


def gate_by_gate(gates, units, features):
    """Draw a kernel and a recurrent kernel for each gate, all with different values."""
    generator = np.random.default_rng(0)
    kernels = [generator.normal(size=(features, units)) for _ in range(gates)]
    recurrents = [generator.normal(size=(units, units)) for _ in range(gates)]
    return kernels, recurrents


def test_gates_come_into_the_order_of_torch():
    (z, r, h), (uz, ur, uh) = gate_by_gate(3, 4, 2)
    bias = np.arange(24.0).reshape(2, 12)
    state = gru_from_keras([np.hstack([z, r, h]), np.hstack([uz, ur, uh]), bias])
    np.testing.assert_array_equal(state["weight_ih"], np.vstack([r.T, z.T, h.T]))
    np.testing.assert_array_equal(state["weight_hh"], np.vstack([ur.T, uz.T, uh.T]))
    np.testing.assert_array_equal(state["bias_ih"], [4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11])
    np.testing.assert_array_equal(state["bias_hh"], np.array([4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11]) + 12)
    (i, f, c, o), (ui, uf, uc, uo) = gate_by_gate(4, 4, 2)
    state = lstm_from_keras([np.hstack([i, f, c, o]), np.hstack([ui, uf, uc, uo]), np.arange(16.0)])
    np.testing.assert_array_equal(state["weight_ih"], np.vstack([i.T, f.T, c.T, o.T]))
    np.testing.assert_array_equal(state["weight_hh"], np.vstack([ui.T, uf.T, uc.T, uo.T]))
    np.testing.assert_array_equal(state["bias_ih"], np.arange(16.0))
    assert not state["bias_hh"].any()


@pytest.mark.parametrize(
    ("convert", "gates", "bias"), [(rnn_from_keras, 1, (3,)), (lstm_from_keras, 4, 12), (gru_from_keras, 3, (2, 9))]
)
def test_tensors_are_contiguous_as_safetensors_wants_them_and_of_the_type_of_the_arrays(convert, gates, bias):
    state = convert(keras_weights(4, 3, gates, bias))
    assert all(tensor.is_contiguous() for tensor in state.values())
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("convert", "shapes", "message"),
    [
        (lstm_from_keras, [(3, 8)], r"must be the 2 or 3 arrays of a Keras LSTM, not 1"),
        (lstm_from_keras, [(3, 8), (2, 6)], r"shapes \[\(3, 8\), \(2, 6\)\] don't fit a Keras LSTM"),
        (lstm_from_keras, [(3, 8), (2, 8), (2, 8)], r"\(2, 8\)\] don't fit a Keras LSTM.*\(4·H,\)"),
        (gru_from_keras, [(3, 6), (2, 6), (6,)], r"bias of shape \(6,\) come from a GRU with reset_after=False"),
        (gru_from_keras, [(3, 6), (2, 6), (2, 4)], r"don't fit a Keras GRU.*\(2, 3·H\)"),
        (rnn_from_keras, [(3, 4), ()], r"\[\(3, 4\), \(\)\] don't fit a Keras SimpleRNN"),
        (rnn_from_keras, [(3, 4), (2, 2)], r"\[\(3, 4\), \(2, 2\)\] don't fit a Keras SimpleRNN"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(convert, shapes, message):
    with pytest.raises(ValueError, match=message):
        convert([np.zeros(shape) for shape in shapes])
