"""One step of the LSTM, against torch and against its own equations."""

import pytest
import torch

from seqsum import LSTMCell, RecurrentCell


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("given_state", [True, False])
def test_lstm_cell_matches_torch(bias, given_state):
    torch.manual_seed(0)
    cell, oracle = LSTMCell(3, 5, bias).double(), torch.nn.LSTMCell(3, 5, bias).double()
    cell.load_state_dict(oracle.state_dict())
    inputs = torch.randn(4, 3, dtype=torch.float64)
    state = (torch.randn(4, 5).double(), torch.randn(4, 5).double()) if given_state else None
    for ours, theirs in zip(cell(inputs, state), oracle(inputs, state), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


def test_identity_output_changes_the_output_alone():
    torch.manual_seed(0)
    cell, identity = LSTMCell(3, 5), LSTMCell(3, 5, output_activation="identity")
    identity.load_state_dict(cell.state_dict())
    projected = cell.project(torch.randn(4, 3))
    state = [torch.randn(4, 5), torch.randn(4, 5)]
    output, (hidden, memory) = cell.step(projected, state)
    identity_output, (identity_hidden, identity_memory) = identity.step(projected, state)
    torch.testing.assert_close((identity_hidden, identity_memory), (hidden, memory))
    torch.testing.assert_close(output, hidden)
    output_gate = hidden / memory.tanh()
    torch.testing.assert_close(identity_output, output_gate * memory)


def test_recurrent_weights_start_orthogonal_gate_by_gate():
    torch.manual_seed(0)
    for gate in LSTMCell(3, 6).weight_hh.split(6):
        torch.testing.assert_close(gate @ gate.T, torch.eye(6), atol=1e-5, rtol=0)


def test_forget_bias_starts_at_one():
    cell = LSTMCell(3, 2)
    assert (cell.bias_ih + cell.bias_hh).tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(("sizes", "culprit"), [((0, 5), r"`input_size` \(=0\)"), ((3, -1), r"`hidden_size` \(=-1\)")])
def test_sizes_below_one_are_refused(sizes, culprit):
    with pytest.raises(ValueError, match=culprit + " must be at least 1"):
        LSTMCell(*sizes)


def test_unknown_output_activation_is_refused():
    with pytest.raises(ValueError, match=r"`output_activation` \(='relu'\) must be one of .*tanh.*identity"):
        LSTMCell(3, 5, output_activation="relu")


def test_contract_names_what_a_cell_lacks():
    with pytest.raises(NotImplementedError, match="RecurrentCell must define `step`"):
        RecurrentCell(3, 5).step(torch.randn(4, 5), [])
