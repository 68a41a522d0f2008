"""Initial weights that help to remember: identity recurrent weights, and biases that open the keeping gate."""

import pytest
import torch

from seqsum.networks import build_recurrence


def test_irnn_starts_with_the_identity_in_every_layer():
    layers = build_recurrence("irnn", 3, 5, num_layers=2)
    assert torch.equal(layers.weight_hh_l0, torch.eye(5))
    assert torch.equal(layers.weight_hh_l1, torch.eye(5))


@pytest.mark.parametrize("backend", ["eager", "script", "bptt"])
def test_irnn_adds_up_positive_inputs(backend):
    layers = build_recurrence("irnn", 3, 5, backend=backend)
    with torch.no_grad():
        layers.weight_ih_l0.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [-1, -1, -1]]))
    inputs = torch.rand(2, 6, 3, generator=torch.Generator().manual_seed(0))
    outputs, _ = layers(inputs)
    sums = inputs.cumsum(1)
    expected = torch.cat([sums, sums.sum(-1, keepdim=True), torch.zeros(2, 6, 1)], dim=-1)  # ReLU shuts the last
    torch.testing.assert_close(outputs, expected)


@pytest.mark.parametrize(("cell", "gate"), [("lstm", 1), ("gru", 1)])
@pytest.mark.parametrize("bias", ["two", "one"])
def test_forget_bias_starts_the_keeping_gate_of_all_layers(cell, gate, bias):
    layers = build_recurrence(cell, 3, 5, num_layers=2, bias=bias, forget_bias=4.5)
    for start in (layers.bias_ih_l0, layers.bias_ih_l1):
        gates = start.split(5)
        assert (gates[gate] == 4.5).all()
        assert all((other == 0).all() for place, other in enumerate(gates) if place != gate)


@pytest.mark.parametrize("bias", ["two", "one"])
def test_any_gates_start_by_name(bias):
    layers = build_recurrence("gru", 3, 5, num_layers=2, bias=bias, forget_bias={"reset_gate": 1, "update_gate": -2.5})
    for start in (layers.bias_ih_l0, layers.bias_ih_l1):
        assert torch.equal(start, torch.tensor([1, -2.5, 0]).repeat_interleave(5))
    if bias == "two":
        assert (layers.bias_hh_l0 == 0).all()


def test_unknown_gate_is_refused():
    message = (
        r"`forget_bias` \(=\{'forget_gate': 1.0\}\): there is no forget_gate among reset_gate, update_gate, candidate"
    )
    with pytest.raises(ValueError, match=message):
        build_recurrence("gru", 3, 5, forget_bias={"forget_gate": 1.0})


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_state_outlasts_a_long_pause_with_a_large_forget_bias(cell):
    kept = {}
    for forget_bias in (0.0, 6.0):
        torch.manual_seed(0)
        layers = build_recurrence(cell, 3, 5, forget_bias=forget_bias)
        initial = torch.ones(1, 1, 5)
        with torch.no_grad():
            _, final = layers(torch.zeros(1, 30, 3), (0 * initial, initial) if cell == "lstm" else initial)
        kept[forget_bias] = float((final[1] if cell == "lstm" else final).norm())
    assert kept[6.0] > 1.5
    assert kept[0.0] < 0.7 * kept[6.0]


def test_default_is_the_cells_own_start():
    assert (build_recurrence("lstm", 3, 5).bias_ih_l0[5:10] == 1).all()
    assert (build_recurrence("gru", 3, 5).bias_ih_l0 == 0).all()


@pytest.mark.parametrize("arguments", [("rnn", "two"), ("torch_lstm", "two"), ("lstm", "none")])
def test_forget_bias_without_its_gate_is_refused(arguments):
    cell, bias = arguments
    message = rf"`forget_bias` \(=1.0\) must be left out for `cell` '{cell}' with `bias` '{bias}': it sets a gate"
    with pytest.raises(ValueError, match=message):
        build_recurrence(cell, 3, 5, bias=bias, forget_bias=1.0)
