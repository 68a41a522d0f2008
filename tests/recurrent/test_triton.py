"""The Triton kernels against torch.nn and the plain loop, on a GPU or in Triton's interpreter.

The interpreter runs a single thread and compiles nothing, so it finds neither missing barriers nor errors of the
compiler. So the last test compiles all kernels for GPUs that this machine needn't have.
"""

import copy
import itertools
import json
import os
import pickle
import subprocess
import sys
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from seqsum import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from seqsum.recurrent import unroll
from seqsum.recurrent.backends import runner
from seqsum.recurrent.kernels import triton as triton_kernels
from tests.covering import covering
from tests.recurrent import programs
from tests.recurrent.oracles import LENGTHS, B, F, H, T, assert_same, pair, parameter_gradients, random_state, run

if problem := triton_kernels.problem_with_triton():
    pytest.skip(problem, allow_module_level=True)
compiled = pytest.importorskip("seqsum.recurrent.kernels.triton.compiled")
launch = pytest.importorskip("seqsum.recurrent.kernels.triton.launch")
plans = pytest.importorskip("seqsum.recurrent.kernels.triton.plan")
persistent = pytest.importorskip("seqsum.recurrent.kernels.triton.persistent")
triton_unroll = pytest.importorskip("seqsum.recurrent.kernels.triton.unroll")
triton_here = pytest.importorskip("tests.recurrent.triton_here")
CUDA, why_not_here = triton_here.CUDA, triton_here.why_not_here
DEVICE, DTYPE, *TOLERANCE = ("cuda", torch.float32, 1e-4, 1e-3) if CUDA else ("cpu", torch.float64, 1e-10, 0.0)
CELLS = {"lstm": LSTMCell, "gru": GRUCell, "rnn": RNNCell}
LAYERS = [LSTM, GRU, RNN]
NAMES = {"rnn": "rnn_tanh"}  # names in `oracles.py`
H100 = plans.Device(132, 227 * 1024)

SHARED = [
    *((500, 70, torch.bfloat16), (256, 20, torch.bfloat16), (160, 33, torch.float32), (1000, 9, torch.bfloat16)),
    *((500, 64, torch.float32), (600, 8, torch.float32), (2048, 8, torch.bfloat16)),  # weights read in each step
]
COMPILED = (
    *("lstm:bfloat16:128:32:90", "lstm:bfloat16:512:64:90", "gru:bfloat16:160:32:90", "rnn:bfloat16:512:64:90"),
    *("lstm:float32:128:32:90", "lstm:float32:512:64:90", "lstm:bfloat16:256:32:80", "gru:float16:64:8:80"),
    *("lstm:bfloat16:1024:16:90", "lstm:float32:1024:200:90", "lstm:float32:1024:16:90", "lstm:float16:128:32:100"),
)  # cell, type, units, rows, compute capability


runs = pytest.mark.skipif(bool(why_not_here()), reason=why_not_here())
# on a GPU no case is left out by `conftest.py`: what runs there proves the kernels, and takes seconds
pytestmark = [pytest.mark.gpu] if CUDA else []


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Run the oracles on a GPU in full float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="module")
def compiler():
    """Start a process that compiles all kernels while the other tests run, unless these compile them for a GPU."""
    if CUDA:
        yield None
        return
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.recurrent.compile_triton", *COMPILED]
    root, pipe = Path(__file__).parents[2], subprocess.PIPE
    with subprocess.Popen(command, cwd=root, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        yield process
        process.kill()


FORMS = {
    "alone": lambda rows: plans.Plan(32, 32, 8, (1, -(-rows // 8)), 4, alone=True, chunk=32),
    "together": lambda rows: plans.Plan(32, 32, 8, (1, -(-rows // 8)), 4, alone=False, chunk=16),
    "stepped": lambda rows: None,
}


@pytest.fixture(params=FORMS)
def form(request, monkeypatch, compiler):
    """Run every form of the kernels, for up to 32 units; "together" is a single program, for the interpreter."""
    monkeypatch.setattr(launch, "plan", lambda cell, way, size, rows, *_: FORMS[request.param](rows))
    return request.param


DIRECTIONS = (False, True)
CASES = covering(CELLS, DIRECTIONS, FORMS)
matrix = pytest.mark.parametrize(("kind", "reverse", "form"), CASES, indirect=["form"])


def make(kind, size=H, rows=B, steps=3, dtype=DTYPE, masked=False, dropout=False, **options):
    """Make a cell, its inputs and state, none contiguous; with `dropout`, the state includes the dropout mask."""
    torch.manual_seed(0)
    cell = CELLS[kind](F, size, **options).to(DEVICE, dtype)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    inputs = torch.randn(F, rows, steps).permute(2, 1, 0).to(DEVICE, dtype)
    state = [torch.randn(size, rows).t().to(DEVICE, dtype) for _ in cell.state_size]
    if dropout:
        state.append(torch.empty(size, rows).bernoulli_(0.6).div(0.6).t().to(DEVICE, dtype))
    mask = (torch.rand(rows, steps) < 0.6).t().to(DEVICE) if masked else None
    return cell, inputs, state, mask


def results(backend, cell, inputs, state, mask=None, reverse=False, within=None):
    """Return outputs, final states and all gradients by name; `within` is entered for the forward pass alone."""
    inputs, state = inputs.detach().requires_grad_(), [s.detach().requires_grad_() for s in state]
    with within or nullcontext():
        outputs, final = unroll(cell, inputs, state, mask, reverse, backend)
    number = len(cell.state_size)
    found = {"outputs": outputs} | {f"final {k}": s for k, s in enumerate(final[:number])}
    generator = torch.Generator().manual_seed(1)
    loss = sum((r.float() * torch.randn(r.shape, generator=generator).to(DEVICE)).sum() for r in found.values())
    wanted = {"input": inputs, **dict(cell.named_parameters())}
    wanted |= {f"initial {k}": s for k, s in enumerate(state[:number])}
    gradients = torch.autograd.grad(loss, list(wanted.values()))
    return found | {f"grad {name}": gradient for name, gradient in zip(wanted, gradients, strict=True)}


@runs
@pytest.mark.parametrize("kind", CELLS)
def test_layer_matches_torch_on_lengths(kind, compiler):
    """Bidirectional, with initial states."""
    layer, oracle = (
        m.to(DEVICE) for m in pair(NAMES.get(kind, kind), DTYPE, bidirectional=True, batch_first=True, backend="triton")
    )
    inputs = torch.randn(B, T, F, dtype=DTYPE).to(DEVICE)
    state = random_state(layer, (B,), DTYPE)
    state = tuple(s.to(DEVICE) for s in state) if isinstance(state, tuple) else state.to(DEVICE)
    actual = run(layer, inputs, state, lengths=LENGTHS)
    assert layer.last_backend == "triton"
    assert_same(actual, run(oracle, inputs, state, padded_to=T), *TOLERANCE)


@runs
@pytest.mark.parametrize("kind", CELLS)
def test_layer_matches_torch_on_one_step_without_bias(kind, compiler):
    layer, oracle = (m.to(DEVICE) for m in pair(NAMES.get(kind, kind), DTYPE, bias=False, backend="triton"))
    inputs = torch.randn(1, B, F, dtype=DTYPE).to(DEVICE)
    assert_same(run(layer, inputs), run(oracle, inputs), *TOLERANCE)


@runs
@matrix
def test_every_option_matches_the_plain_loop(kind, reverse, form):
    """Mask with holes, recurrent dropout, identity output, ReLU; more rows than a program has.

    One direction has all options, the other none.
    """
    given = {"masked": True, "dropout": True} if reverse else {"bias": False}
    given |= {"output_activation": "identity"} if reverse and kind == "lstm" else {}
    given |= {"nonlinearity": "relu"} if reverse and kind == "rnn" else {}
    everything = make(kind, 20, 18 if reverse else 3, **given)
    expected = results("eager", *everything, reverse)
    assert_same(results("triton", *everything, reverse), expected, *TOLERANCE)


@runs
@matrix
def test_steps_behind_all_of_a_programs_rows_are_left_out(kind, reverse, form):
    """With rows sorted by length, the second program has two steps of five. Old contents of memory must not show."""
    cell, inputs, state, _ = make(kind, 20, 16, 5)
    lengths = torch.tensor([5] * 4 + [3] * 4 + [2] * 7 + [0], device=DEVICE)
    mask = torch.arange(5, device=DEVICE)[:, None] < lengths
    rubbish = torch.full(
        (2**16,), torch.nan, device=DEVICE, dtype=DTYPE
    )  # the caching allocator may return this memory again
    del rubbish
    actual = results("triton", cell, inputs, state, mask, reverse)
    assert_same(actual, results("eager", cell, inputs, state, mask, reverse), *TOLERANCE)


@runs
@matrix
def test_what_is_masked_takes_no_part(kind, reverse, form):
    """Puts NaN in the inputs of masked steps and in the gradients of their outputs."""
    cell, inputs, state, mask = make(kind, 20, 9, masked=True)
    spoilt = torch.where(mask[..., None], inputs, torch.nan)
    found = []
    for given in (inputs, spoilt):
        outputs, final = unroll(cell, given.detach(), state, mask, reverse, "triton")
        weights = torch.where(mask[..., None], torch.ones_like(outputs), torch.nan if given is spoilt else 1.0)
        found.append([outputs, *final, *torch.autograd.grad(outputs, [cell.weight_hh], weights)])
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


@runs
@pytest.mark.skipif(CUDA, reason="a GPU runs programs at the same time itself")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.parametrize(("kind", "streamed", "reverse"), covering(CELLS, [False, True], DIRECTIONS))
def test_programs_wait_for_each_other_in_every_step(kind, streamed, reverse, monkeypatch):
    """Three programs, with room for four, share 40 units; two groups of them share the rows."""
    several = plans.Plan(64, 16, 8, (3, 2), 4, alone=False, chunk=16, streamed=streamed)
    started = []

    def start(self, *numbers):
        started.append(self.grid)
        programs.start_in_processes(self.kernel, self.grid, *self.tensors, *numbers, **self.constants())

    monkeypatch.setattr(triton_unroll, "find_plan", lambda *_: several)
    monkeypatch.setattr(launch.Launch, "__call__", start)
    everything = make(kind, 40, 11, 5, masked=reverse, dropout=reverse)
    actual = results("triton", *everything, reverse)
    assert started == [(3, 2, 1), (3, 2, 1)]  # forwards and backwards
    assert_same(actual, results("eager", *everything, reverse), *TOLERANCE)


@pytest.mark.gpu
@pytest.mark.skipif(not CUDA, reason="needs a GPU")
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(("size", "rows", "dtype"), SHARED)
@pytest.mark.parametrize("reverse", [False, True])
def test_programs_that_wait_for_each_other_match_the_plain_loop(kind, size, rows, dtype, reverse):
    cell, inputs, state, mask = make(kind, size, rows, 6, dtype, masked=reverse, dropout=reverse)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7 * size**-0.5)
    expected = results("eager", cell.double(), inputs.double(), [s.double() for s in state], mask, reverse)
    actual = results("triton", cell.to(dtype), inputs, state, mask, reverse)
    bound = 2e-5 if dtype == torch.float32 else 0.03
    for name, right in expected.items():
        assert (actual[name] - right).norm() <= bound * right.norm(), name


@runs
@pytest.mark.parametrize("kind", CELLS)
def test_second_derivatives_match_the_plain_loop(kind):
    cell, inputs, state, mask = make(kind, steps=2, masked=True, dropout=True)
    wanted = [inputs.requires_grad_(), *(s.requires_grad_() for s in state[: len(cell.state_size)]), *cell.parameters()]
    found = {}
    for backend in ("triton", "eager"):
        outputs, final = unroll(cell, inputs, state, mask, backend=backend)
        loss = outputs.pow(2).sum() + final[0].pow(3).sum()
        first = torch.autograd.grad(loss, wanted, create_graph=True)
        second = torch.autograd.grad(sum(gradient.pow(2).sum() for gradient in first), wanted)
        found[backend] = dict(enumerate((*first, *second)))
    assert_same(found["triton"], found["eager"], *TOLERANCE)


@runs
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, "autocast"])
def test_lower_precision_is_near_the_plain_loop(kind, dtype):
    low = torch.bfloat16 if dtype == "autocast" else dtype
    casts = dtype == "autocast"
    cell, *given = make(kind, steps=2, dtype=torch.float32 if casts else low, masked=not casts, dropout=True)
    within = torch.autocast(DEVICE, low, enabled=casts)
    actual, expected = (results(backend, cell, *given, within=within) for backend in ("triton", "eager"))
    for name in expected:
        if (kind, dtype) != ("rnn", "autocast"):  # there, the plain loop has states of two types
            assert actual[name].dtype == expected[name].dtype, name
        difference = (actual[name].float() - expected[name].float()).abs().max()
        assert difference <= 8 * torch.finfo(low).eps * expected[name].float().abs().max().clamp(min=1), name


@runs
def test_the_cell_state_is_summed_in_float32_whatever_the_type(form):
    """Each step adds too little to change a bfloat16 of 1."""
    cell, inputs, state, _ = make("lstm", steps=8, dtype=torch.bfloat16)
    for parameter in cell.parameters():
        parameter.data.zero_()
    cell.bias_ih.data[:] = torch.tensor([20.0, 20, 2**-9, 0]).repeat_interleave(H)  # i and f open, g = 2^-9
    with torch.no_grad():
        _, (_, cell_state) = unroll(cell, inputs, [state[0], torch.ones_like(state[1])], backend="triton")
    assert (cell_state == 1 + 8 * 2**-9).all()


@runs
@pytest.mark.parametrize("layer_class", LAYERS)
def test_gradients_reach_only_what_wants_them(layer_class):
    layer = layer_class(F, H, backend="triton").to(DEVICE, DTYPE)
    inputs = torch.randn(2, B, F, device=DEVICE, dtype=DTYPE)
    layer(inputs)[1][0].sum().backward()  # only the final state (for GRU and RNN, of the first layer)
    assert all(p.grad is not None for p in layer.parameters())
    layer.zero_grad()
    layer.cells[0].weight_hh.requires_grad_(False)
    layer(inputs)[0].sum().backward()
    assert layer.cells[0].weight_hh.grad is None
    assert layer.cells[0].weight_ih.grad.abs().sum() > 0
    with torch.inference_mode():
        assert not layer(inputs)[0].requires_grad


@runs
@matrix
def test_results_may_change_in_place_and_gradients_be_taken_twice(kind, reverse, form):
    """And what is given stays as it is."""
    cell, inputs, state, _ = make(kind, 20, steps=2)
    state = [part.contiguous() for part in state]
    before = [part.clone() for part in state]
    outputs, final = unroll(cell, inputs, state, reverse=reverse, backend="eager")
    given = [torch.randn_like(result) for result in (outputs, *final)]
    expected = torch.autograd.grad([outputs, *final], list(cell.parameters()), given)
    outputs, final = unroll(cell, inputs, state, reverse=reverse, backend="triton")
    torch.testing.assert_close(state, before, rtol=0, atol=0)
    kept = [gradient.clone() for gradient in given]
    for _ in range(2):
        actual = torch.autograd.grad([outputs, *final], list(cell.parameters()), given, retain_graph=True)
        torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(given, kept)
    changed = [result.mul_(2) for result in (outputs, *final)]
    actual = torch.autograd.grad(changed, list(cell.parameters()), [gradient / 2 for gradient in given])
    torch.testing.assert_close(actual, expected)


@runs
@pytest.mark.parametrize("layer_class", LAYERS)
def test_empty_batch(layer_class):
    layer = layer_class(F, H, backend="triton").to(DEVICE, DTYPE)
    outputs, final = layer(torch.randn(2, 0, F, device=DEVICE, dtype=DTYPE))
    assert outputs.shape == (2, 0, H)
    (outputs.sum() + final[0].sum()).backward()
    assert all((gradient == 0).all() for gradient in parameter_gradients(layer).values())


@runs
def test_the_kernels_show_in_no_state_dict_copy_or_pickle():
    layer = LSTM(F, H, backend="triton").to(DEVICE, DTYPE)
    inputs, names = torch.randn(2, B, F, device=DEVICE, dtype=DTYPE), list(layer.state_dict())
    outputs, _ = layer(inputs)
    assert list(layer.state_dict()) == names
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(inputs)[0], outputs)


class Mine(GRUCell):
    """May compute something else."""


@pytest.mark.parametrize("cell", [RNNCell(F, H, layer_norm=True), LSTMCell(F, H, proj_size=2), Mine(F, H)])
def test_other_cells_are_refused(cell):
    with pytest.raises(
        RuntimeError, match=r"`backend` \(='triton'\) can't run (\w+Cell|Mine): .* LSTMCell and GRUCell"
    ):
        unroll(cell, torch.randn(2, B, F), cell.initial_state(B, torch.randn(1)), backend="triton")


@pytest.fixture
def forget_devices():
    """Ask a device anew, as in a new process."""
    triton_kernels._obstacle_on_device.cache_clear()
    yield
    triton_kernels._obstacle_on_device.cache_clear()


@pytest.mark.usefixtures("forget_devices")
@pytest.mark.parametrize(
    ("device", "dtype", "capability", "why"),
    [
        ("cpu", torch.float32, None, "need a CUDA device, the weights are on cpu"),
        ("cuda:1", torch.float64, None, r"support torch\.float32.*, the weights are of torch\.float64"),
        ("cuda:1", torch.float16, (7, 5), r"need compute capability \(8, 0\), cuda:1 has \(7, 5\)"),
        ("cuda:1", torch.bfloat16, (9, 0), None),
    ],
)
def test_weights_are_refused_where_or_as_no_kernel_takes_them(device, dtype, capability, why, monkeypatch):
    weight = SimpleNamespace(device=torch.device(device), dtype=dtype)
    cell = LSTMCell(F, H)
    monkeypatch.setattr(compiled, "INTERPRETED", False)
    monkeypatch.setitem(cell._parameters, "weight_hh", weight)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    if why is None:
        assert triton_kernels.triton_obstacle(cell) is None
    else:
        with pytest.raises(RuntimeError, match=rf"`backend` \(='triton'\) can't run LSTMCell: the kernels {why}"):
            runner(cell, "triton")


@pytest.mark.usefixtures("forget_devices")
@pytest.mark.parametrize(("hip", "why"), [(None, None), ("6.4", "the kernels are written for NVIDIA GPUs")])
def test_gpus_of_amd_are_refused(hip, why, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 4))
    monkeypatch.setattr(torch.version, "hip", hip)
    assert triton_kernels._obstacle_on_device(torch.device("cuda:0"), torch.float32) == why


@pytest.mark.parametrize(("found", "fits"), [("3.5.1", False), ("3.6.0", True), ("3.10.0+git", True)])
def test_an_older_triton_is_refused(found, fits, monkeypatch):
    monkeypatch.setattr(triton_kernels, "version", lambda _: found)
    monkeypatch.setattr(compiled, "INTERPRETED", True)
    triton_kernels.problem_with_triton.cache_clear()
    obstacle = triton_kernels.triton_obstacle(LSTMCell(F, H))
    triton_kernels.problem_with_triton.cache_clear()
    assert obstacle == (None if fits else f"the kernels need triton 3.6 or later, and {found} is installed")


@pytest.mark.parametrize(
    ("cell", "size", "rows", "width", "expected"),
    [
        ("lstm", 128, 32, 2, plans.Plan(128, 128, 8, (1, 4), 4, alone=True, chunk=128)),
        ("lstm", 128, 2000, 2, plans.Plan(128, 128, 16, (1, 125), 8, alone=True, chunk=128)),
        ("lstm", 1, 1, 8, plans.Plan(16, 16, 8, (1, 1), 4, alone=True, chunk=16)),
        ("lstm", 129, 32, 2, plans.Plan(256, 16, 8, (9, 4), 4, alone=False, chunk=128)),
        ("lstm", 512, 64, 2, plans.Plan(512, 32, 8, (16, 8), 4, alone=False, chunk=128)),
        ("rnn", 512, 64, 2, plans.Plan(512, 64, 8, (8, 8), 4, alone=False, chunk=128)),
        # in float32, the weights of 16 units take too much memory
        ("lstm", 512, 64, 8, plans.Plan(512, 16, 16, (32, 4), 8, alone=False, chunk=64, streamed=True)),
        ("lstm", 512, 129, 2, plans.Plan(512, 32, 32, (16, 5), 8, alone=False, chunk=128, streamed=True)),
        ("lstm", 2048, 8, 2, plans.Plan(2048, 16, 8, (128, 1), 8, alone=False, chunk=128, streamed=True)),
        ("lstm", 512, 512, 2, None),  # more programs than can run at the same time
        ("lstm", 2048, 9, 2, None),
    ],
)
def test_work_is_cut_to_fit_an_h100(cell, size, rows, width, expected):
    assert plans.plan(cell, "forward", size, rows, width, H100) == expected


@pytest.mark.parametrize("shared_memory", [99, 163, 227])
def test_no_program_gets_more_than_the_device_has(shared_memory):
    device = plans.Device(108, shared_memory * 1024)
    some = itertools.product(CELLS, ("forward", "backward"), range(1, 2100, 29), (1, 9, 70, 300, 2_000_000), (2, 4, 8))
    for cell, way, size, rows, width in some:
        found = plans.plan(cell, way, size, rows, width, device)
        if found is not None:
            gates = launch.NUM_GATES[cell] if found.alone else (1 if cell == "rnn" else 4)
            assert gates * found.units * found.padded * width < device.shared_memory or found.streamed
            assert not (found.alone and found.streamed)
            assert found.groups[0] * found.units >= size
            assert found.alone or way == "forward" or found.chunk >= found.units
            assert found.groups[1] * found.rows >= rows
            assert found.alone or found.groups[0] * found.groups[1] <= device.multiprocessors
            assert found.groups[1] <= 65_535, "the second axis of a grid has no more"


@pytest.mark.parametrize(
    ("matmul", "precision"),
    [
        ({"fp32_precision": "tf32"}, "tf32"),
        ({"fp32_precision": "ieee"}, "tf32x3"),
        ({"allow_tf32": True}, "tf32"),  # before torch 2.9
        ({"allow_tf32": False}, "tf32x3"),
    ],
)
def test_products_are_as_precise_as_torchs(matmul, precision, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(**matmul))
    assert launch.product_precision(torch.float32) == precision


@pytest.mark.skipif(CUDA, reason="the other tests compile kernels for this GPU")
def test_all_kernels_compile_for_gpus(compiler):
    """For A100, H100 and B200: shared memory suffices, few registers spill, products use tensor cores.

    Programs that share the units wait in a loop whose loads the compiler mustn't move out of it.
    """
    output, errors = compiler.communicate()
    assert compiler.returncode == 0, errors
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["words"] for line in lines if "words" in line] == list(COMPILED)
    kernels, capability = [], 0
    drawn = lines.pop()
    assert drawn["kinds"] > 100
    assert drawn["taken for another"] == [], "kept under the same key, but compiled differently by Triton"
    for line in lines:
        if "words" in line:
            capability = int(line["words"].rpartition(":")[2])
        else:
            kernels.append((line["kernel"], line["together"], line["streamed"]))
            assert line["steps"] == {"forward_once": [0, 0, 1, 1, 2, 2], "backward_once": [2, 2, 1, 1, 0, 0]}.get(
                line["kernel"], []
            )
            assert line["launches"] == max(2, len(line["steps"])), line  # all are launched twice
            assert line["same"], line  # but for the step
            assert line["shared"] <= (163 if capability == 80 else 227) * 1024, line
            assert line["stack"] <= (448 if line["streamed"] else 192), line
            assert (line["waiting"] > 0) == line["together"], line
            assert (line["products"] > 0) == (not line["kernel"].endswith("once")), line
            few = 84 if line["streamed"] else 24 if line["together"] else 16
            assert line["barriers"] <= (40 if capability == 100 else few), line
    ways = ("forward", "backward")
    persistent_forms = {(False, False), (True, False), (True, True)}
    assert set(kernels) == {(way, *form) for way in ways for form in persistent_forms} | {
        (f"{way}_once", False, False) for way in ways
    }


def test_a_triton_under_another_name_is_asked_itself(monkeypatch):
    def no_such(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("seqsum.recurrent.kernels.triton.version", no_such)
    triton_kernels.problem_with_triton.cache_clear()
    assert triton_kernels.problem_with_triton() is None
    triton_kernels.problem_with_triton.cache_clear()
