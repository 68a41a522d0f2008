"""Backends agree, the requested one runs, and they leave no trace in state dicts, copies and pickles."""

import copy
import importlib
import pickle
import sys

import pytest
import torch
from torch import Tensor

import seqsum.recurrent
from seqsum import GRU, LSTM, RNN, GRUCell, LSTMCell, Recurrent, RecurrentCell, RNNCell
from seqsum.recurrent import backends, resolve_backend, unroll
from seqsum.recurrent.kernels.stretches import run_in_stretches
from seqsum.recurrent.unroll import Unroll
from tests.recurrent.oracles import (
    BACKENDS,
    NO_COMPILER,
    B,
    F,
    H,
    T,
    assert_same,
    pair,
    parameter_gradients,
    run,
)

FASTEST = "bptt" if NO_COMPILER else "native"


class Unscriptable(RecurrentCell):
    """Cell that runs in Python but that TorchScript can't compile."""

    def project(self, input):
        return input

    def step(self, projected, state):
        new = torch.tanh(projected + sum(state, start=0.5 * state[0]))  # TorchScript lacks sum(start=…)
        return new, [new]


def make(cell=None, steps=6, batch=4, dtype=torch.float64):
    torch.manual_seed(0)
    cell = (LSTMCell(3, 5) if cell is None else cell).to(dtype)
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
    mask[:, 0], mask[:, 1] = True, False  # a row with all steps, and one with none
    outputs, final = unroll(cell, inputs, state, mask, reverse, backend)
    for row in range(4):
        kept, row_state = mask[:, row], [s[row : row + 1] for s in state]
        assert (outputs[~kept, row] == 0).all()
        if kept.any():
            alone, row_state = unroll(cell, inputs[kept, row : row + 1], row_state, reverse=reverse, backend="eager")
            torch.testing.assert_close(outputs[kept, row], alone[:, 0])
        torch.testing.assert_close([s[row : row + 1] for s in final], row_state)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("cell", "backend"),
    [
        (RNNCell(3, 5), "bptt"),
        (LSTMCell(3, 5, proj_size=2), "bptt"),
        (LSTMCell(3, 5, output_activation="identity"), "bptt"),
        (GRUCell(3, 5), "bptt"),
        (LSTMCell(3, 5, output_activation="identity"), FASTEST),
        (GRUCell(3, 5), FASTEST),
    ],
)
def test_kernels_without_gradients_keep_less_and_give_the_same(cell, backend, reverse, masked):
    cell, inputs, _ = make(cell)
    mask = torch.rand(6, 4, generator=torch.Generator().manual_seed(1)) < 0.6 if masked else None
    state = [torch.randn(4, size, dtype=torch.float64) for size in cell.state_size]
    expected = unroll(cell, inputs, state, mask, reverse, backend)
    assert expected[0].requires_grad
    with torch.no_grad():
        torch.testing.assert_close(unroll(cell, inputs, state, mask, reverse, backend), expected)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("pattern", ["lengths", "late", "holes", "nothing"])
def test_rows_that_rest_through_a_stretch_of_time_are_no_work(reverse, pattern):
    cell, inputs, state = make(GRUCell(3, 5), steps=25, batch=6)
    mask = {
        "lengths": torch.arange(25).unsqueeze(1) < torch.tensor([1, 25, 9, 3, 2, 17]),
        "late": torch.arange(25).unsqueeze(1) >= torch.tensor([0, 24, 12, 22, 23, 8]),
        "holes": (torch.arange(25).unsqueeze(1) // 9 + torch.arange(6)) % 3 == 1,
        "nothing": torch.zeros(25, 6, dtype=torch.bool),
    }[pattern]
    work = []

    def run(inputs, state, mask, reverse):
        work.append(mask.shape)
        return Unroll(cell)(inputs, state, mask, reverse)

    inputs.requires_grad_()
    constant = torch.rand(6, 5, dtype=torch.float64) + 0.5  # for each row, like a dropout mask
    expected = run(inputs, [state[0], constant], mask, reverse)
    actual = run_in_stretches(run, inputs, [state[0], constant], mask, reverse)
    torch.testing.assert_close(actual, expected)
    shares = {
        "lengths": [(9, 6), (9, 2), (7, 1)],
        "late": [(9, 2), (9, 3), (7, 6)],
        "holes": [(9, 2), (9, 2), (7, 2)],
        "nothing": [(9, 0), (9, 0), (7, 0)],
    }
    assert work[1:] == (shares[pattern][::-1] if reverse else shares[pattern])
    weights = [torch.randn_like(expected[0]), torch.randn_like(expected[1][0])]
    gradients = [
        torch.autograd.grad((outputs, final[0]), [inputs, *cell.parameters()], weights)
        for outputs, final in (expected, actual)
    ]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_full_or_short_batch_is_run_at_once():
    _, inputs, state = make(GRUCell(3, 5), steps=25)
    calls = []
    run_in_stretches(lambda *arguments: calls.append(arguments[0].shape), inputs, state, None, False)
    run_in_stretches(lambda *arguments: calls.append(arguments[0].shape), inputs, state, torch.rand(25, 4) < 2, False)
    run_in_stretches(
        lambda *arguments: calls.append(arguments[0].shape), inputs[:7], state, torch.rand(7, 4) < 0, False
    )
    assert calls == [(25, 4, 3), (25, 4, 3), (7, 4, 3)]


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


def test_the_backend_asked_for_really_runs(monkeypatch):
    """Break all backends but one: only that one works."""
    cell, inputs, state = make()
    expected = unroll(cell, inputs, state, backend="eager")
    unroll(cell, inputs, state, backend="script")  # compiled from the original source

    def broken(*_):
        raise AssertionError("another one ran")

    with monkeypatch.context() as patch:
        patch.setattr(Unroll, "forward", broken)
        patch.setitem(backends.KERNELS, "bptt", lambda _: broken)
        torch.testing.assert_close(unroll(cell, inputs, state, backend="script"), expected)
        for backend in ("eager", "bptt"):
            with pytest.raises(AssertionError, match="another one ran"):
                unroll(cell, inputs, state, backend=backend)
    with monkeypatch.context() as patch:
        patch.setattr(LSTMCell, "step", broken)
        for backend in BACKENDS[2:]:  # their own equations no longer match the cell
            with pytest.raises(RuntimeError, match="can't run LSTMCell"):
                unroll(cell, inputs, state, backend=backend)
        with pytest.raises(AssertionError, match="another one ran"):
            unroll(cell, inputs, state, backend="eager")
    with monkeypatch.context() as patch:
        patch.setitem(backends.KERNELS, "native", lambda _: broken)
        for backend in ("eager", "script", "bptt"):
            torch.testing.assert_close(unroll(cell, inputs, state, backend=backend), expected)
        for backend in ("native", "auto") if NO_COMPILER is None else ("native",):
            with pytest.raises(AssertionError, match="another one ran"):
                unroll(cell, inputs, state, backend=backend)


@pytest.mark.parametrize("cell", [RNNCell(3, 5), LSTMCell(3, 5), GRUCell(3, 5)])
def test_auto_is_the_hand_written_backward_for_built_in_cells(cell):
    assert resolve_backend(cell, "auto") == FASTEST
    layer = LSTM(3, 5)
    assert layer.last_backend is None
    layer(torch.randn(6, 4, 3))
    assert layer.last_backend == FASTEST
    assert resolve_backend(LSTMCell(3, 5, proj_size=2), "auto") == "bptt"  # native doesn't support proj_size
    assert resolve_backend(type(cell)(3, 5, dtype=torch.complex64), "auto") == "script"


def test_auto_is_script_where_no_backward_is_written():
    class Mine(LSTMCell):
        """May compute something else."""

    for cell in (Mine(3, 5), LSTMCell(3, 5, layer_norm=True)):
        assert resolve_backend(cell, "auto") == "script"
        with pytest.raises(RuntimeError, match=r"`backend` \(='bptt'\) can't run (Mine|LSTMCell)"):
            unroll(cell, torch.randn(2, 4, 3), cell.initial_state(4, torch.randn(1)), backend="bptt")


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # forward mode, in torch itself
def test_auto_is_eager_inside_whatever_takes_the_model_apart():
    layer, inputs = LSTM(F, H).double(), torch.randn(T, B, F, dtype=torch.float64)
    weights = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(weights, inputs):
        return torch.func.functional_call(layer, weights, (inputs,))[0].square().sum()

    outputs = torch.func.vmap(lambda row: layer(row)[0], in_dims=1, out_dims=1)(inputs)
    assert layer.last_backend == "eager"
    torch.testing.assert_close(outputs, layer(inputs)[0])
    by_func = torch.func.grad(loss)(weights, inputs)
    layer(inputs)[0].square().sum().backward()
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(by_func[name], parameter.grad)
    tangent = torch.randn_like(inputs)
    _, forward_mode = torch.func.jvp(lambda x: layer(x)[0], (inputs,), (tangent,))
    _, by_backward = torch.autograd.functional.jvp(lambda x: layer(x)[0], inputs, tangent)
    torch.testing.assert_close(forward_mode, by_backward)


def test_triton_is_not_needed_until_it_is_asked_for(monkeypatch):
    """Triton is missing on macOS and Windows, and in torch's CPU builds."""
    monkeypatch.setattr(seqsum.recurrent, "kernels", seqsum.recurrent.kernels)
    for name in [name for name in sys.modules if name.startswith("seqsum.recurrent.kernels")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "triton", None)  # makes importing it fail
    kernels = importlib.import_module("seqsum.recurrent.kernels")
    assert kernels.find_triton_kernel(LSTMCell(3, 5)) == "the package triton is not installed"


@pytest.mark.filterwarnings("default")  # torch.compile warns about its own code
@pytest.mark.parametrize(
    "kind", ["lstm", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("rnn_tanh", "gru"))]
)
def test_compile_matches_eager(kind):
    """Needs a C++ compiler on the CPU; without one, the error says so."""
    layer, oracle = pair(kind, backend="compile")
    inputs = torch.randn(T, B, F, dtype=torch.float64)
    try:
        torch.compile(torch.sin)(inputs)
    except torch._dynamo.exc.TorchDynamoException as error:
        with pytest.raises(RuntimeError, match=r"torch\.compile can't compile"):
            layer(inputs)
        pytest.skip(f"no compiler: {error}")
    mask = torch.rand(T, B) < 0.6
    assert_same(run(layer, inputs), run(oracle, inputs), 1e-10)
    assert layer.last_backend == "compile"
    compiled = run(layer, inputs, mask=mask)
    with pytest.raises(RuntimeError, match=r"donated buffers|double backward"):  # torch.compile's own limit
        torch.autograd.grad(layer(inputs.requires_grad_())[0].sum(), inputs, create_graph=True)[0].sum().backward()
    layer.backend = "eager"
    assert_same(compiled, run(layer, inputs.detach(), mask=mask), 1e-10)
    twin = copy.deepcopy(layer)
    assert list(twin.state_dict()) == list(layer.state_dict())
    torch.testing.assert_close(twin(inputs), layer(inputs))


def test_compile_says_why_it_can_not(monkeypatch):
    def no_compiler(*_):
        raise torch._dynamo.exc.TorchDynamoException("no C++ compiler found")

    cell, inputs, state = make()
    monkeypatch.setattr(torch, "compile", lambda _: no_compiler)
    with pytest.raises(RuntimeError, match=r"torch.compile can't compile LSTMCell: no C\+\+ compiler found"):
        unroll(cell, inputs, state, backend="compile")


@pytest.mark.parametrize("layer_class", [RNN, LSTM, GRU])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_reach_only_what_wants_them(layer_class, backend):
    """Frozen weights, frozen inputs and unused outputs raise no error and get no gradient."""
    layer = layer_class(F, H, backend=backend)
    inputs = torch.randn(T, B, F)
    layer(inputs)[1][0].sum().backward()  # only the final state is used
    assert all(p.grad is not None for p in layer.parameters())
    layer.zero_grad()
    layer.cells[0].weight_hh.requires_grad_(False)
    layer(inputs)[0].sum().backward()
    assert layer.cells[0].weight_hh.grad is None
    assert layer.cells[0].weight_ih.grad.abs().sum() > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_backward_twice_through_the_same_graph(backend):
    layer = LSTM(F, H, backend=backend)
    loss = layer(torch.randn(T, B, F))[0].sum()
    loss.backward(retain_graph=True)
    first = layer.cells[0].weight_hh.grad.clone()
    loss.backward()
    torch.testing.assert_close(layer.cells[0].weight_hh.grad, 2 * first)


class Inherits(LSTMCell):
    def gates(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        input_gate, _, cell_update, output_gate = super().gates(projected, state)
        return input_gate, 1 - input_gate, cell_update, output_gate


def test_super_is_said_not_to_compile():
    with pytest.warns(
        UserWarning, match=r"Inherits runs eagerly, since TorchScript can't compile Inherits: it knows no `super\(\)`"
    ):
        Recurrent(Inherits(F, H))(torch.randn(T, B, F))


def test_auto_falls_back_to_eager_and_says_so_once():
    cell = Unscriptable(5, 5)
    inputs, state = torch.randn(6, 4, 5), [torch.randn(4, 5)]
    with pytest.warns(UserWarning, match="Unscriptable runs eagerly, since TorchScript can't compile") as said:
        outputs, _ = unroll(cell, inputs, state)
    assert said[0].filename == __file__
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
    monkeypatch.setattr(backends, "not_scriptable", set())
    cell, inputs, state = make(LSTMCell(3, 5, layer_norm=True))
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
        twin.weight_hh.data.zero_()  # a copy has its own weights
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
    """TorchScript specialises its code in the first calls: here in training, to inputs without gradients."""
    cell, inputs, state = make()
    for _ in range(4):
        unroll(cell, inputs, state, backend=backend)[0].sum().backward()
    expected = unroll(cell, inputs, state, backend="eager")
    with torch.inference_mode():
        outputs, final = unroll(cell, inputs * 1, [s * 1 for s in state], backend=backend)
    assert not any(tensor.requires_grad for tensor in (outputs, *final))
    torch.testing.assert_close(outputs, expected[0].detach())
    torch.testing.assert_close(final, [s.detach() for s in expected[1]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_distributed_data_parallel(backend, tmp_path):
    """Gradients reach DDP's hooks, also in the second step, after DDP has rebuilt its buckets."""
    torch.manual_seed(0)
    layer = LSTM(F, H, 2, bidirectional=True, backend=backend)
    inputs = torch.randn(T, B, F)
    expected = run(layer, inputs)
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        distributed = torch.nn.parallel.DistributedDataParallel(layer)
        for _ in range(3):
            layer.zero_grad()
            outputs, final = distributed(inputs)
            results = {"outputs": outputs} | {f"final {k}": s for k, s in enumerate(final)}
            sum(
                (result * torch.randn(result.shape, generator=torch.Generator().manual_seed(k))).sum()
                for k, result in enumerate(results.values())
            ).backward()
            for name, gradient in parameter_gradients(layer).items():
                torch.testing.assert_close(gradient, expected[f"grad {name}"])
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("layer_class", [RNN, LSTM, GRU])
@pytest.mark.parametrize("backend", BACKENDS)
def test_results_may_be_changed_in_place(layer_class, backend):
    """Users do so after torch.nn's layers: `outputs *= mask`, or in-place dropout."""
    layer = layer_class(F, H, backend=backend)
    inputs = torch.randn(T, B, F)
    expected = torch.autograd.grad((2 * layer(inputs)[0]).sum(), list(layer.parameters()))
    outputs, final = layer(inputs)
    for state in final if isinstance(final, tuple) else (final,):
        state.mul_(3)
    actual = torch.autograd.grad(outputs.mul_(2).sum(), list(layer.parameters()))
    torch.testing.assert_close(actual, expected)
