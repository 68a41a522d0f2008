"""The Triton kernels against torch.nn and the plain loop: on a GPU, or without one in Triton's interpreter.

The interpreter works as one thread and compiles nothing, so it finds no missing barrier and nothing that a
compiler refuses. Hence the last test, which compiles all kernels for a GPU that need not be there.
"""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from seqsum import GRU, LSTM, GRUCell, LSTMCell, RNNCell
from seqsum.recurrent import resolve_backend, unroll
from seqsum.recurrent.kernels import triton as triton_kernels
from tests.recurrent.oracles import LENGTHS, B, F, H, T, assert_same, pair, parameter_gradients, random_state, run

triton = pytest.importorskip("triton")
tl = pytest.importorskip("triton.language")
common = pytest.importorskip("seqsum.recurrent.kernels.triton.common")
CUDA = torch.cuda.is_available() and not common.INTERPRETED
DEVICE, DTYPE, *TOLERANCE = ("cuda", torch.float32, 1e-4, 1e-3) if CUDA else ("cpu", torch.float64, 1e-10, 0.0)
CELLS = {"lstm": LSTMCell, "gru": GRUCell}


@triton.jit
def _count(pointer, length):
    for k in range(length):
        tl.store(pointer, k)


def why_not_here():
    if not CUDA and not common.INTERPRETED:
        return "needs a GPU or TRITON_INTERPRET=1"
    try:
        _count[(1,)](torch.zeros(1, device=DEVICE), 2)
    except Exception as error:  # Triton 3.6 with NumPy 2.4, say: there an array is no length of a loop
        return f"Triton can't run a loop here: {error}"
    return ""


runs = pytest.mark.skipif(bool(why_not_here()), reason=why_not_here())


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """The oracles in float32 proper, on a GPU."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="module")
def compiler():
    """Another process, which compiles all kernels while the other tests run."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    sizes = ("lstm:bfloat16:128", "gru:bfloat16:32", "lstm:bfloat16:160", "gru:bfloat16:160")
    command = [sys.executable, "-m", "tests.recurrent.compile_triton", *sizes]
    root, pipe = Path(__file__).parents[2], subprocess.PIPE
    with subprocess.Popen(command, cwd=root, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        yield process
        process.kill()


@pytest.fixture(params=["on chip", "blocked"])
def form(request, monkeypatch, compiler):
    """Either form of the kernels; the blocked one with blocks so small that there are several."""
    from seqsum.recurrent.kernels.triton import gru, lstm

    if request.param == "blocked":
        monkeypatch.setattr(common, "ON_CHIP", 0)
        monkeypatch.setattr(common, "UNITS", 16)
        monkeypatch.setattr(common, "INNER", 16 * DTYPE.itemsize)
    other = (request.param == "blocked" and "_on_chip") or "_blocked"
    for module in (lstm, gru):
        monkeypatch.setattr(module, f"_forward{other}", None)
        monkeypatch.setattr(module, f"_backward{other}", None)
    return request.param


def make(kind, size=H, rows=B, steps=3, dtype=DTYPE, masked=False, dropout=False, **options):
    """A cell with what to run it on, none of it contiguous; the state with the dropout mask, if there is one."""
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


def results(backend, cell, inputs, state, mask=None, reverse=False):
    """Outputs, final states and all gradients, by name."""
    inputs, state = inputs.detach().requires_grad_(), [s.detach().requires_grad_() for s in state]
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
    """In both directions, with given states."""
    layer, oracle = (m.to(DEVICE) for m in pair(kind, DTYPE, bidirectional=True, batch_first=True, backend="triton"))
    inputs = torch.randn(B, T, F, dtype=DTYPE).to(DEVICE)
    state = random_state(layer, (B,), DTYPE)
    state = tuple(s.to(DEVICE) for s in state) if isinstance(state, tuple) else state.to(DEVICE)
    actual = run(layer, inputs, state, lengths=LENGTHS)
    assert layer.last_backend == "triton"
    assert_same(actual, run(oracle, inputs, state, padded_to=T), *TOLERANCE)


@runs
@pytest.mark.parametrize("kind", CELLS)
def test_layer_matches_torch_on_one_step_without_bias(kind, compiler):
    layer, oracle = (m.to(DEVICE) for m in pair(kind, DTYPE, bias=False, backend="triton"))
    inputs = torch.randn(1, B, F, dtype=DTYPE).to(DEVICE)
    assert_same(run(layer, inputs), run(oracle, inputs), *TOLERANCE)


@runs
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("reverse", [False, True])
def test_every_option_matches_the_plain_loop(kind, reverse, form):
    """A mask with holes, recurrent dropout, the identity output; more rows than a program has, more units than a block.

    One direction has them all, the other none.
    """
    given = {"masked": True, "dropout": True} if reverse else {"bias": False}
    given |= {"output_activation": "identity"} if reverse and kind == "lstm" else {}
    everything = make(kind, 20, 18 if reverse else 3, 3 if form == "on chip" else 2, **given)
    expected = results("eager", *everything, reverse)
    assert_same(results("triton", *everything, reverse), expected, *TOLERANCE)


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
    cell, *given = make(kind, steps=2, dtype=torch.float32 if dtype == "autocast" else low, masked=True, dropout=True)
    with torch.autocast(DEVICE, low, enabled=dtype == "autocast"):
        actual, expected = (results(backend, cell, *given) for backend in ("triton", "eager"))
    for name in expected:
        assert actual[name].dtype == expected[name].dtype, name
        difference = (actual[name].float() - expected[name].float()).abs().max()
        assert difference <= 8 * torch.finfo(low).eps * expected[name].float().abs().max().clamp(min=1), name


@runs
def test_memory_is_summed_in_float32_whatever_the_type(form):
    """Each step adds what a bfloat16 of one, kept from step to step, would not notice."""
    cell, inputs, state, _ = make("lstm", steps=8, dtype=torch.bfloat16)
    for parameter in cell.parameters():
        parameter.data.zero_()
    cell.bias_ih.data[:] = torch.tensor([20.0, 20, 2**-9, 0]).repeat_interleave(H)  # i and f open, g = 2^-9
    with torch.no_grad():
        _, (_, memory) = unroll(cell, inputs, [state[0], torch.ones_like(state[1])], backend="triton")
    assert (memory == 1 + 8 * 2**-9).all()


@runs
@pytest.mark.parametrize("layer_class", [LSTM, GRU])
def test_gradients_reach_only_what_wants_them(layer_class):
    layer = layer_class(F, H, backend="triton").to(DEVICE, DTYPE)
    inputs = torch.randn(2, B, F, device=DEVICE, dtype=DTYPE)
    layer(inputs)[1][0].sum().backward()  # the final state alone
    assert all(p.grad is not None for p in layer.parameters())
    layer.zero_grad()
    layer.cells[0].weight_hh.requires_grad_(False)
    layer(inputs)[0].sum().backward()
    assert layer.cells[0].weight_hh.grad is None
    assert layer.cells[0].weight_ih.grad.abs().sum() > 0
    with torch.inference_mode():
        assert not layer(inputs)[0].requires_grad


@runs
@pytest.mark.parametrize("kind", CELLS)
def test_results_may_change_in_place_and_gradients_be_taken_twice(kind):
    cell, inputs, state, _ = make(kind, steps=2)
    outputs, final = unroll(cell, inputs, state, backend="eager")
    given = [torch.randn_like(result) for result in (outputs, *final)]
    expected = torch.autograd.grad([outputs, *final], list(cell.parameters()), given)
    outputs, final = unroll(cell, inputs, state, backend="triton")
    kept = [gradient.clone() for gradient in given]
    for _ in range(2):
        actual = torch.autograd.grad([outputs, *final], list(cell.parameters()), given, retain_graph=True)
        torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(given, kept)
    changed = [result.mul_(2) for result in (outputs, *final)]
    actual = torch.autograd.grad(changed, list(cell.parameters()), [gradient / 2 for gradient in given])
    torch.testing.assert_close(actual, expected)


@runs
@pytest.mark.parametrize("layer_class", [LSTM, GRU])
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


@pytest.mark.parametrize("kind", CELLS)
def test_auto_leaves_them_until_they_are_measured(kind):
    assert resolve_backend(make(kind)[0], "auto") != "triton"


class Mine(GRUCell):
    """May compute something else."""


@pytest.mark.parametrize(
    "cell", [RNNCell(F, H), LSTMCell(F, H, proj_size=2), GRUCell(F, H, layer_norm=True), Mine(F, H)]
)
def test_other_cells_are_refused(cell):
    with pytest.raises(RuntimeError, match=r"`backend` \(='triton'\) can't run \w+Cell|Mine: .* LSTMCell and GRUCell"):
        unroll(cell, torch.randn(2, B, F), cell.initial_state(B, torch.randn(1)), backend="triton")


@pytest.mark.parametrize(
    ("device", "dtype", "capability", "why"),
    [
        ("cpu", torch.float32, None, "need a CUDA device, the weights are on cpu"),
        ("cuda:1", torch.float64, None, r"know torch\.float32.*, the weights are of torch\.float64"),
        ("cuda:1", torch.float16, (7, 5), r"need compute capability \(8, 0\), cuda:1 has \(7, 5\)"),
        ("cuda:1", torch.bfloat16, (9, 0), None),
    ],
)
def test_weights_are_refused_where_or_as_no_kernel_takes_them(device, dtype, capability, why, monkeypatch):
    weight = SimpleNamespace(device=torch.device(device), dtype=dtype)
    cell = LSTMCell(F, H)
    monkeypatch.setattr(common, "INTERPRETED", False)
    monkeypatch.setattr(cell, "parameters", lambda: iter([weight]))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    if why is None:
        assert triton_kernels.triton_obstacle(cell) is None
    else:
        with pytest.raises(RuntimeError, match=rf"`backend` \(='triton'\) can't run LSTMCell: the kernels {why}"):
            triton_kernels.find_triton_kernel(cell)


@pytest.mark.parametrize(
    ("gates", "size", "dtype", "on_chip"),
    [
        (4, 128, torch.bfloat16, True),
        (4, 129, torch.bfloat16, False),
        (3, 128, torch.float32, False),
        (4, 64, torch.float32, True),
        (4, 65, torch.float32, False),
        (4, 1, torch.float32, True),
    ],
)
def test_weights_stay_on_chip_as_long_as_they_fit(gates, size, dtype, on_chip):
    assert common.blocks_for(torch.empty(gates * size, size, dtype=dtype)).on_chip == on_chip


@pytest.mark.parametrize(
    ("matmul", "precision"),
    [
        ({"fp32_precision": "tf32"}, "tf32"),
        ({"fp32_precision": "ieee"}, "ieee"),
        ({"allow_tf32": True}, "tf32"),  # before torch 2.9
        ({"allow_tf32": False}, "ieee"),
    ],
)
def test_products_are_as_precise_as_torchs(matmul, precision, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(**matmul))
    assert common.float32_precision() == precision


def test_all_kernels_compile_for_an_h100(compiler):
    output, errors = compiler.communicate()
    assert compiler.returncode == 0, errors
    kernels = [json.loads(line) for line in output.splitlines()]
    forms = [f"{way}_{form}" for way in ("forward", "backward") for form in ("on_chip", "blocked")]
    assert {kernel["kernel"] for kernel in kernels} == {f"{cell}_{form}" for cell in CELLS for form in forms}
    for kernel in kernels:
        assert kernel["shared"] <= 227 * 1024, kernel
        assert kernel["stack"] <= 64, kernel  # no more than a few registers spilled
        # threads meet once a step before the state is read, backwards also before δsummed is
        meetings = {"forward_blocked": 1, "backward_blocked": 2}.get(kernel["kernel"].partition("_")[2], 0)
        assert kernel["barriers"] == meetings, kernel
