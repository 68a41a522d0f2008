"""C++ kernels where the parity matrix doesn't test them: sizes around the tile's, threads, compilers."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from seqsum import GRUCell, LSTMCell, RNNCell
from seqsum.recurrent import LSTM, resolve_backend, unroll
from seqsum.recurrent.cache import cache_folder
from seqsum.recurrent.kernels import native
from seqsum.recurrent.kernels.native import build
from tests.recurrent.oracles import NO_COMPILER

CELLS = {
    "rnn": lambda *sizes, **options: RNNCell(*sizes, **options),
    "relu": lambda *sizes, **options: RNNCell(*sizes, nonlinearity="relu", **options),
    "lstm": lambda *sizes, **options: LSTMCell(*sizes, **options),
    "identity": lambda *sizes, **options: LSTMCell(*sizes, output_activation="identity", **options),
    "gru": lambda *sizes, **options: GRUCell(*sizes, **options),
}
TOLERANCES = {torch.float64: 1e-11, torch.float32: 3e-5}
needs_compiler = pytest.mark.skipif(NO_COMPILER is not None, reason=str(NO_COMPILER))


def make(kind, steps, batch, features, hidden, dtype, **options):
    torch.manual_seed(0)
    cell = CELLS[kind](features, hidden, **options).to(dtype)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7 / hidden**0.5)
    inputs = torch.randn(steps, batch, features, dtype=dtype, requires_grad=True)
    state = [torch.randn(batch, size, dtype=dtype, requires_grad=True) for size in cell.state_size]
    return cell, inputs, state, [constant.detach() for constant in cell.constants(batch, inputs)]


def results(cell, inputs, state, constants, mask, reverse, backend):
    """Return outputs, final states and all gradients of a differently weighted sum of the results."""
    outputs, final = unroll(cell, inputs, [*state, *constants], mask, reverse, backend)
    values = [outputs, *final[: len(state)]]
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(value.shape, generator=generator).to(value) for value in values]
    return values + list(torch.autograd.grad(values, [inputs, *state, *cell.parameters()], weights))


@needs_compiler
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(
    ("steps", "batch", "features", "hidden"),
    # below a vector; full vectors and tiles; one more of everything, and more steps than INNER; few rows
    [(3, 2, 1, 1), (4, 12, 64, 64), (11, 13, 65, 67), (2, 7, 17, 130), (31, 1, 9, 20), (10, 5, 3, 33)],
)
@pytest.mark.parametrize("masked", [False, True])
def test_matches_the_plain_loop_at_all_sizes(kind, steps, batch, features, hidden, dtype, masked):
    options = {"recurrent_dropout": 0.3, "recurrent_bias": False} if masked else {}
    made = make(kind, steps, batch, features, hidden, dtype, **options)
    mask = None
    if masked:
        mask = torch.rand(steps, batch, generator=torch.Generator().manual_seed(2)) < 0.6
        mask[:, :2] = torch.tensor([True, False])[:batch]  # a row without holes, and one without valid steps
    reverse = masked or batch == 13
    expected = results(*made, mask, reverse, "eager")
    actual = results(*made, mask, reverse, "native")
    for ours, theirs in zip(actual, expected, strict=True):
        scale = theirs.abs().max().clamp(min=1).item()
        torch.testing.assert_close(ours / scale, theirs / scale, atol=TOLERANCES[dtype], rtol=0)


@needs_compiler
@pytest.mark.parametrize("dtype", native.MULTIPLIES)
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("masked", [False, True])
def test_a_cell_of_16_bits_runs_in_float32_and_only_its_results_are_rounded(kind, dtype, masked):
    cell, inputs, state, constants = make(kind, 5, 4, 3, 18, dtype, recurrent_dropout=0.3 if masked else 0.0)
    mask = torch.rand(5, 4, generator=torch.Generator().manual_seed(2)) < 0.6 if masked else None
    found = results(cell, inputs, state, constants, mask, masked, "native")
    given = [each.detach().float().requires_grad_() for each in (inputs, *state)]
    outputs, final = unroll(
        cell.float(), given[0], [*given[1:], *(each.float() for each in constants)], mask, masked, "native"
    )
    values = [outputs, *final[: len(state)]]
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(value.shape, generator=generator).to(dtype).float() for value in values]
    expected = values + list(torch.autograd.grad(values, [*given, *cell.parameters()], weights))
    for ours, exact in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert torch.equal(ours, exact.to(dtype))


@needs_compiler
def test_auto_is_native_for_16_bits_where_the_processor_does_not_multiply_them(monkeypatch):
    for dtype in native.MULTIPLIES:
        cell = LSTMCell(3, 5).to(dtype)
        for multiplies, expected in ((True, "bptt"), (False, "native")):
            monkeypatch.setitem(native.MULTIPLIES, dtype, lambda multiplies=multiplies: multiplies)
            assert resolve_backend(cell, "auto") == resolve_backend(cell, "auto", steps=9) == expected
        layer, theirs, inputs = LSTM(3, 5).to(dtype), torch.nn.LSTM(3, 5).to(dtype), torch.randn(7, 2, 3).to(dtype)
        layer.load_state_dict(theirs.state_dict())
        torch.testing.assert_close(layer(inputs), theirs(inputs), atol=0.01, rtol=0)  # theirs rounds each step
        assert layer.last_backend == "native"
        wide = LSTMCell(512, 512).to(dtype)  # few steps don't repay packing its weights, in float32
        assert [resolve_backend(wide, "auto", steps=steps) for steps in (33, 34)] == ["bptt", "native"]


@needs_compiler
@pytest.mark.parametrize("kind", CELLS)
def test_any_number_of_threads_computes_the_same_bits(kind, monkeypatch):
    made = make(kind, 9, 50, 20, 48, torch.float32)
    mask = torch.arange(9).unsqueeze(1) < torch.arange(50) % 10
    found = []
    for threads in (1, 2, 3, 7):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(results(*made, mask, False, "native"))
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(others, found[0], strict=True))


@needs_compiler
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("kind", CELLS)
def test_a_row_has_the_same_bits_in_any_batch(kind, dtype):
    chance = random.Random(0)
    for _ in range(12):
        features, hidden = chance.choice([1, 3, 8, 9, 17, 33]), chance.choice([1, 5, 16, 33])
        cell, inputs, state, _ = make(kind, 14, 20, features, hidden, dtype)
        first = chance.randrange(12)
        rows = slice(first, first + chance.choice([1, 1, 2, 4, 7]))

        def run(rows, cell=cell, inputs=inputs, state=state):
            given = [inputs[:, rows].detach(), *(each[rows].detach() for each in state)]
            given = [each.requires_grad_() for each in given]
            outputs, final = unroll(cell, given[0], given[1:], backend="native")
            found = torch.autograd.grad([outputs.sin().sum(), *(each.sin().sum() for each in final)], given)
            return [outputs.transpose(0, 1), *final, found[0].transpose(0, 1), *found[1:]]

        for ours, among_others in zip(run(rows), run(slice(None)), strict=True):
            assert torch.equal(ours, among_others[rows])


@needs_compiler
@pytest.mark.parametrize("kind", CELLS)
def test_what_is_not_finite_shows_and_stays_in_its_row(kind):
    cell, inputs, state, _ = make(kind, 4, 9, 5, 20, torch.float32)
    with torch.no_grad():
        inputs[1, 2, 0], inputs[1, 4] = torch.nan, 1e30
        outputs, _ = unroll(cell, inputs, state, backend="native")
        expected, _ = unroll(cell, inputs, state, backend="eager")
    assert outputs[1:, 2].isnan().any(-1).all()
    torch.testing.assert_close(outputs, expected, equal_nan=True, atol=1e-5, rtol=1e-5)


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_has_all_its_digits_whatever_its_size(dtype):
    cell = RNNCell(1, 1, recurrent_bias=False).to(dtype)
    near, far, tiny = torch.linspace(-20, 20, 4001), torch.linspace(-3000, 3000, 3001), torch.logspace(-35, 0, 3001)
    inputs = torch.cat([near, far, tiny, -tiny]).to(dtype).view(1, -1, 1)
    with torch.no_grad():
        cell.weight_ih.fill_(1)
        outputs, _ = unroll(cell, inputs, cell.initial_state(inputs.shape[1], inputs), backend="native")
    torch.testing.assert_close(outputs, torch.tanh(inputs), atol=0, rtol=4 * torch.finfo(dtype).eps)


@needs_compiler
def test_inputs_and_gradients_may_have_any_strides():
    cell, _, state, _ = make("lstm", 5, 6, 8, 10, torch.float64)
    inputs = torch.randn(8, 6, 5, dtype=torch.float64).permute(2, 1, 0)
    outputs, _ = unroll(cell, inputs, state, backend="native")
    expected, _ = unroll(cell, inputs, state, backend="eager")
    weights = torch.randn(10, 6, 5, dtype=torch.float64).permute(2, 1, 0)
    for weight in (weights, torch.ones(1, 1, 1, dtype=torch.float64).expand(5, 6, 10)):
        ours, theirs = (
            torch.autograd.grad(o, list(cell.parameters()), weight, retain_graph=True) for o in (outputs, expected)
        )
        torch.testing.assert_close(ours, theirs)


@needs_compiler
@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize(("dtype", "huge"), [(torch.float32, 1e36), (torch.float64, 1e306)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_saturated_gates_let_no_gradient_of_an_enormous_input_through(kind, dtype, huge, sign):
    cell, _, state, constants = make(kind, 3, 2, 2, 3, dtype)
    inputs = torch.full((3, 2, 2), sign * huge, dtype=dtype, requires_grad=True)
    found, expected = (results(cell, inputs, state, constants, None, False, name) for name in ("native", "eager"))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """Use an empty cache, as on a machine that has compiled nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    build.load_library.cache_clear()
    yield tmp_path / "cache" / "seqsum"
    build.load_library.cache_clear()


def test_without_a_compiler_auto_says_nothing_and_native_says_why(empty_cache, monkeypatch):
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    cell, inputs, state, _ = make("lstm", 3, 2, 4, 5, torch.float32)
    assert resolve_backend(cell, "auto") == "bptt"
    unroll(cell, inputs, state)
    with pytest.raises(RuntimeError, match=r"`backend` \(='native'\) can't run LSTMCell: no C\+\+ compiler was found"):
        unroll(cell, inputs, state, backend="native")


@needs_compiler
@pytest.mark.parametrize(("features", "hidden", "fewest"), [(64, 64, 1), (28, 128, 1), (1, 512, 3), (512, 512, 34)])
def test_auto_takes_native_from_so_many_steps_on_as_repay_packing_the_weights(features, hidden, fewest):
    cell, inputs, state, _ = make("lstm", 2, 3, features, hidden, torch.float32)
    chosen = [resolve_backend(cell, "auto", batch=3, steps=steps) for steps in range(1, 100)]
    assert chosen == ["bptt"] * (fewest - 1) + ["native"] * (100 - fewest)
    torch.testing.assert_close(unroll(cell, inputs, state), unroll(cell, inputs, state, backend="native"))


@pytest.mark.parametrize(
    ("script", "seconds", "message"),
    [
        ("echo 'no room for OpenMP' >&2; exit 1", build.SECONDS, "failed: no room for OpenMP"),
        ('while [ $# -gt 1 ]; do shift; done; echo rubbish > "$1"', build.SECONDS, "no library that can be loaded"),
        ("exec sleep 60", 0.2, "produced no library that can be loaded: .*timed out"),
    ],
)
def test_a_compiler_that_fails_is_as_none(empty_cache, monkeypatch, tmp_path, script, seconds, message):
    monkeypatch.setattr(build, "SECONDS", seconds)
    compiler = tmp_path / "c++"
    compiler.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit 0\n{script}\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    cell, inputs, state, _ = make("gru", 3, 2, 4, 5, torch.float32)
    assert resolve_backend(cell, "auto") == "bptt"
    with pytest.raises(RuntimeError, match=message):
        unroll(cell, inputs, state, backend="native")


@pytest.mark.slow
@needs_compiler
def test_a_machine_compiles_once(empty_cache, monkeypatch, tmp_path):
    """Two processes compile at once and a third load doesn't: all get the same library."""
    command = (
        "from seqsum.recurrent.kernels.native import build; assert not isinstance(build.load_library('float'), str)"
    )
    processes = [subprocess.Popen([sys.executable, "-c", command]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    (library,) = empty_cache.iterdir()
    written = library.stat().st_mtime_ns
    assert not isinstance(build.load_library("float"), str)
    assert [path.stat().st_mtime_ns for path in empty_cache.iterdir()] == [written]


@needs_compiler
def test_a_damaged_library_is_made_anew(empty_cache):
    build.load_library("float")
    (library,) = empty_cache.iterdir()
    library.unlink()  # this process runs the file itself, and would crash as it ends
    library.write_text("junk")
    build.load_library.cache_clear()
    assert not isinstance(build.load_library("float"), str)


def test_a_compiler_may_print_other_characters_than_utf_8(empty_cache, monkeypatch, tmp_path):
    compiler = tmp_path / "c++"
    compiler.write_bytes(b"#!/bin/sh\necho 'Gr\xfc\xdfe' >&2\necho 'Gr\xfc\xdfe'\n[ \"$1\" = --version ]\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert "failed: Gr" in build.load_library("float")


def test_other_sources_compilers_flags_and_processors_have_a_library_of_their_own(empty_cache, monkeypatch, tmp_path):
    """As after an update, or where machines that differ share a home folder."""
    compiler = tmp_path / "c++"

    def library(version=1):
        print_it = f'[ "$1" = --version ] && echo {version} && exit 0'
        compiler.write_text(f'#!/bin/sh\n{print_it}\nwhile [ $# -gt 1 ]; do shift; done; echo "$1" > "$1"\n')
        compiler.chmod(0o755)
        return build._compiled(str(compiler), "float")

    found = [library(), library(version=2)]
    for name, other in (("_processor", lambda: "another"), ("FLAGS", ("-O3",)), ("__file__", str(tmp_path / "it.py"))):
        with monkeypatch.context() as patch:
            patch.setattr(build, name, other)
            found.append(library())
    assert len(set(found)) == 5
    assert library() == found[0]
    assert all(Path(made.read_text()).parent.parent == made.parent for made in found), (
        "made where no other process writes"
    )


@pytest.mark.parametrize("home", ["/proc/nowhere", "/dev/null"])
def test_a_home_that_can_not_be_written_to_is_no_obstacle(tmp_path, home):
    write = "folder = cache_folder(); (folder / 'library').write_text(''); print(folder == cache_folder(), folder)"
    command = [sys.executable, "-c", f"from seqsum.recurrent.cache import cache_folder; {write}"]
    environment = {**os.environ, "XDG_CACHE_HOME": home, "TMPDIR": str(tmp_path)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert found.startswith(f"True {tmp_path}")
    assert not list(tmp_path.iterdir())  # nothing is left


def test_a_user_without_a_home_is_no_obstacle(monkeypatch):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    (cache_folder() / "library").write_text("")


def test_a_cache_that_is_there_and_can_not_be_written_to_is_no_obstacle(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "seqsum"
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root, who may write anywhere
    assert cache_folder() != tmp_path / "seqsum"
    (cache_folder() / "library").write_text("")
