"""The loop over time: its backends agree, and nothing of them shows outside."""

import copy
import pickle
import sys

import pytest
import torch

from seqsum import LSTMCell, RecurrentCell
from seqsum.recurrent import resolve_backend, unroll
from seqsum.recurrent.unroll import Unroll

BACKENDS = ("eager", "script")


class Unscriptable(RecurrentCell):
    """A cell that plain Python runs and TorchScript can't compile."""

    def project(self, input):
        return input

    def step(self, projected, state):
        new = torch.tanh(projected + sum(state, start=0.5 * state[0]))  # sum(start=…) is beyond TorchScript
        return new, [new]


def make(steps=6, batch=4, dtype=torch.float64):
    torch.manual_seed(0)
    cell = LSTMCell(3, 5).to(dtype)
    inputs = torch.randn(steps, batch, 3, dtype=dtype)
    state = [torch.randn(batch, 5, dtype=dtype) for _ in range(2)]
    return cell, inputs, state


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_matches_a_loop_over_the_cell(backend, reverse):
    cell, inputs, state = make()
    outputs, final = unroll(cell, inputs, state, reverse=reverse, backend=backend)
    hidden, memory = state
    expected = [None] * len(inputs)
    for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        hidden, memory = cell(inputs[t], (hidden, memory))
        expected[t] = hidden
    torch.testing.assert_close(outputs, torch.stack(expected))
    torch.testing.assert_close(final, [hidden, memory])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_mask_skips_steps_as_if_they_were_not_there(backend, reverse):
    cell, inputs, state = make()
    mask = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[:, 0], mask[:, 1] = True, False  # all steps of a row, and none
    outputs, final = unroll(cell, inputs, state, mask, reverse, backend)
    for row in range(4):
        kept, row_state = mask[:, row], [s[row : row + 1] for s in state]
        assert (outputs[~kept, row] == 0).all()
        if kept.any():
            alone, row_state = unroll(cell, inputs[kept, row : row + 1], row_state, reverse=reverse, backend="eager")
            torch.testing.assert_close(outputs[kept, row], alone[:, 0])
        torch.testing.assert_close([s[row : row + 1] for s in final], row_state)


@pytest.mark.parametrize("backend", BACKENDS)
def test_masked_inputs_get_no_gradient(backend):
    cell, inputs, state = make()
    mask = torch.ones(6, 4, dtype=torch.bool)
    mask[2, 1] = mask[5, 3] = False
    inputs.requires_grad_()
    outputs, final = unroll(cell, inputs, state, mask, backend=backend)
    (outputs.sum() + final[1].sum()).backward()
    touched = inputs.grad.abs().sum(-1) > 0
    assert torch.equal(touched, mask)


def test_script_really_runs_torchscript(monkeypatch):
    cell, inputs, state = make()
    monkeypatch.setattr(Unroll, "forward", lambda *_: pytest.fail("the eager loop ran"))
    with pytest.raises(pytest.fail.Exception, match="the eager loop ran"):
        unroll(cell, inputs, state, backend="eager")
    monkeypatch.undo()
    unroll(cell, inputs, state, backend="script")  # compiled from the true source
    monkeypatch.setattr(Unroll, "forward", lambda *_: pytest.fail("the eager loop ran"))
    unroll(cell, inputs, state, backend="script")
    assert resolve_backend(cell, "auto") == "script"
    unroll(cell, inputs, state, backend="auto")


def test_auto_falls_back_to_eager_and_says_so_once():
    cell = Unscriptable(5, 5)
    inputs, state = torch.randn(6, 4, 5), [torch.randn(4, 5)]
    with pytest.warns(UserWarning, match="Unscriptable runs eagerly, since TorchScript can't compile"):
        outputs, _ = unroll(cell, inputs, state)
    unroll(Unscriptable(5, 5), inputs, state)  # a second warning would be an error
    torch.testing.assert_close(outputs, unroll(cell, inputs, state, backend="eager")[0])
    with pytest.raises(RuntimeError, match="TorchScript can't compile Unscriptable"):
        unroll(cell, inputs, state, backend="script")


@pytest.mark.parametrize("removal", ["missing", "deprecated to an error"])
def test_auto_survives_the_removal_of_torchscript(monkeypatch, removal):
    def script(_):
        raise DeprecationWarning("torch.jit.script is no more")

    if removal == "missing":
        monkeypatch.delattr(torch.jit, "script")
    else:
        monkeypatch.setattr(torch.jit, "script", script)
    monkeypatch.setattr(sys.modules[Unroll.__module__], "_not_scriptable", set())
    cell, inputs, state = make()
    with pytest.warns(UserWarning, match="LSTMCell runs eagerly"):
        outputs, _ = unroll(cell, inputs, state)
    torch.testing.assert_close(outputs, unroll(cell, inputs, state, backend="eager")[0])


def test_scripting_shows_in_no_state_dict_copy_or_pickle():
    cell, inputs, state = make()
    names = list(cell.state_dict())
    expected = unroll(cell, inputs, state, backend="script")
    assert list(cell.state_dict()) == names
    for twin in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        torch.testing.assert_close(unroll(twin, inputs, state, backend="script"), expected)
        twin.weight_hh.data.zero_()  # a copy has weights of its own
    torch.testing.assert_close(unroll(cell, inputs, state, backend="script"), expected)


@pytest.mark.parametrize("change", ["in place", "new parameter", "dtype", "frozen"])
def test_script_follows_changed_parameters(change):
    cell, inputs, state = make()
    unroll(cell, inputs, state, backend="script")
    if change == "in place":
        cell.weight_hh.data.mul_(0.5)
    elif change == "new parameter":
        cell.weight_hh = torch.nn.Parameter(0.5 * cell.weight_hh.detach())
    elif change == "dtype":
        cell, inputs, state = cell.float(), inputs.float(), [s.float() for s in state]
    else:
        cell.weight_hh.requires_grad_(False)
    ours, oracle = (unroll(cell, inputs, state, backend=backend) for backend in ("script", "eager"))
    torch.testing.assert_close(ours, oracle)
    ours[0].sum().backward()
    assert (cell.weight_hh.grad is None) == (change == "frozen")


def test_empty_time_is_refused():
    cell, inputs, state = make()
    with pytest.raises(ValueError, match=r"`inputs` of shape \(0, 4, 3\) \(T, B, F\) must have at least one time step"):
        unroll(cell, inputs[:0], state)


def test_empty_batch_works():
    cell, inputs, state = make()
    outputs, final = unroll(cell, inputs[:, :0], [s[:0] for s in state])
    assert outputs.shape == (6, 0, 5)
    assert [s.shape for s in final] == [(0, 5), (0, 5)]


def test_unknown_backend_is_refused():
    cell, inputs, state = make()
    with pytest.raises(ValueError, match=r"`backend` \(='fast'\) must be one of .*auto.*eager.*script"):
        unroll(cell, inputs, state, backend="fast")


@pytest.mark.parametrize("backend", BACKENDS)
def test_inference_mode_after_training(backend):
    """TorchScript specialises its code in the first calls: to inputs without gradients, in training."""
    cell, inputs, state = make()
    for _ in range(4):
        unroll(cell, inputs, state, backend=backend)[0].sum().backward()
    expected = unroll(cell, inputs, state, backend="eager")
    with torch.inference_mode():
        outputs, final = unroll(cell, inputs * 1, [s * 1 for s in state], backend=backend)
    torch.testing.assert_close(outputs, expected[0].detach())
    torch.testing.assert_close(final, [s.detach() for s in expected[1]])
