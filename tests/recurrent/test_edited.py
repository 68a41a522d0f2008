"""An edited cell runs as edited, not as a kernel's copy of the original."""

import copy
import importlib.util
import os
import shutil
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

import seqsum
from seqsum import GRUCell, LSTMCell, RecurrentCell, RNNCell
from seqsum.recurrent import backends, resolve_backend, unroll
from seqsum.recurrent.kernels import find_bptt_kernel, native_obstacle, triton_obstacle, written_for

CELLS = [RNNCell, LSTMCell, GRUCell]
KERNELS = ("bptt", "native", "triton")


def halved(original):
    """Halve the output and state of a step."""

    def step(self, projected, state):
        output, new = original(self, projected, state)
        return output / 2, [tensor / 2 for tensor in new]

    return step


@pytest.fixture(scope="module", autouse=True)
def originals_compiled():
    """TorchScript keeps the version of a class that it compiles first: for tests after these, the original."""
    for cell_class in CELLS:
        backends.runner(cell_class(3, 5), "script")


@pytest.fixture
def anew(monkeypatch):
    """Forget earlier warnings and compiled loops."""
    monkeypatch.setattr(backends, "said_to_be_edited", set())
    monkeypatch.setattr(backends, "not_scriptable", set())


def arguments(cell):
    inputs = torch.randn(4, 2, 3)
    return cell, inputs, cell.initial_state(2, inputs)


@pytest.mark.parametrize("cell_class", CELLS)
def test_the_kernels_were_written_for_the_cells_as_they_are(cell_class):
    """If this fails, first change the kernels, then copy the value to `written_for.py`."""
    assert written_for.fingerprint(cell_class) == written_for.FINGERPRINTS[cell_class]
    assert written_for.edited(cell_class(3, 5)) is None


@pytest.mark.parametrize("cell_class", CELLS)
def test_a_method_replaced_at_run_time_runs(cell_class, monkeypatch, anew):
    cell, inputs, state = arguments(cell_class(3, 5))
    original, _ = unroll(cell, inputs, state)
    monkeypatch.setattr(cell_class, "step", halved(cell_class.step))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outputs, _ = unroll(cell, inputs, state)
        unroll(cell, inputs, state)
        said = [str(warning.message) for warning in caught if "runs as edited" in str(warning.message)]
        assert len(said) == 1
        assert f"{cell_class.__name__} runs as edited" in said[0]
        assert "its `step` was replaced" in said[0]
        torch.testing.assert_close(outputs, unroll(cell, inputs, state, backend="eager")[0])
        assert not torch.equal(outputs, original)
        assert resolve_backend(cell, "auto") not in KERNELS
    for backend in KERNELS:
        with pytest.raises(RuntimeError, match=f"can't run {cell_class.__name__}"):
            unroll(cell, inputs, state, backend=backend)
    monkeypatch.undo()
    torch.testing.assert_close(unroll(cell, inputs, state)[0], original)


@pytest.mark.parametrize("cell_class", CELLS)
@pytest.mark.parametrize("method", written_for.METHODS)
def test_every_method_counts_also_on_a_single_cell(cell_class, method, anew):
    cell, other = cell_class(3, 5), cell_class(3, 5)
    replaced = getattr(cell_class, method)
    setattr(cell, method, types.MethodType(lambda self, *given: replaced(self, *given), cell))
    why = f"its `{method}` was replaced"
    assert find_bptt_kernel(cell) == why != find_bptt_kernel(other)
    assert why in (native_obstacle(cell), triton_obstacle(cell))
    with pytest.warns(UserWarning, match="runs as edited"):
        assert resolve_backend(cell, "auto") == "eager"
    assert resolve_backend(other, "auto") in ("native", "bptt")


@pytest.mark.parametrize(
    ("cell_class", "name"), [*((each, "norm_hh") for each in CELLS), (LSTMCell, "norm_cell_state")]
)
def test_a_normalisation_in_its_place_runs(cell_class, name, anew):
    cell, inputs, state = arguments(cell_class(3, 5))
    norm = getattr(cell_class(3, 5, layer_norm=True), name)
    setattr(cell, name, norm)
    with pytest.warns(UserWarning, match=f"its `{name}` was replaced"):
        outputs, _ = unroll(cell, inputs, state)
    torch.testing.assert_close(outputs, unroll(cell, inputs, state, backend="eager")[0])
    outputs.sum().backward()
    assert norm.weight.grad.any()
    for backend in KERNELS:
        with pytest.raises(RuntimeError, match=f"can't run {cell_class.__name__}"):
            unroll(cell, inputs, state, backend=backend)


def test_a_method_replaced_after_it_was_compiled_runs(monkeypatch, anew):
    """TorchScript caches a class's methods when it first compiles them."""
    cell, inputs, state = arguments(LSTMCell(3, 5, layer_norm=True))
    unroll(cell, inputs, state, backend="script")
    monkeypatch.setattr(LSTMCell, "step", halved(LSTMCell.step))
    with pytest.warns(UserWarning, match="runs as edited|runs eagerly"):
        outputs, _ = unroll(cell, inputs, state)
    torch.testing.assert_close(outputs, unroll(cell, inputs, state, backend="eager")[0])
    with pytest.raises(RuntimeError, match="has compiled LSTMCell before one of its methods, or of the functions"):
        unroll(cell, inputs, state, backend="script")


class Undecided(RecurrentCell):
    """A cell that TorchScript can't compile, until it is mended."""

    def project(self, input: Tensor) -> Tensor:
        return input

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return projected, [undefined]  # noqa: F821


class Mended(Undecided):
    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = torch.tanh(projected + state[0])
        return hidden, [hidden]


def test_a_cell_that_could_not_be_compiled_can_be_once_it_is_mended(monkeypatch):
    inputs, state = torch.randn(4, 2, 3), [torch.zeros(2, 3)]
    with pytest.raises(RuntimeError, match="TorchScript can't compile Undecided"):
        unroll(Undecided(3, 3), inputs, state, backend="script")
    monkeypatch.setattr(Undecided, "step", Mended.step)
    outputs, _ = unroll(Undecided(3, 3), inputs, state, backend="script")
    torch.testing.assert_close(outputs, unroll(Undecided(3, 3), inputs, state, backend="eager")[0])


EDITS = {
    "lstm": ("forget_gate * state[1]", "state[1]"),
    "gru": ("candidate + update_gate * (state[0] - candidate)", "state[0] + update_gate * (candidate - state[0])"),
    "rnn": ("torch.tanh(summed)", "torch.sigmoid(summed)"),
}
PROGRAM = """
import sys, torch, warnings, seqsum
torch.manual_seed(0)
inputs = torch.randn(4, 2, 3)
for name in sys.argv[1:]:
    layer = getattr(seqsum, name.upper())(3, 5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outputs = [layer(inputs)[0] for _ in range(2)][0]
    layer.backend = "eager"
    assert torch.allclose(outputs, layer(inputs)[0], atol=1e-6), name
    print(sum("runs as edited" in str(w.message) and f"{name}.py" in str(w.message) for w in caught))
"""


@pytest.mark.parametrize("edited", [False, True])
def test_an_edited_file_runs(edited, tmp_path):
    """Change an equation of each cell in a copy of the package, as README suggests: `auto` runs it and warns once."""
    shutil.copytree(Path(seqsum.__file__).parent, tmp_path / "seqsum", ignore=shutil.ignore_patterns("__pycache__"))
    for name, change in EDITS.items():
        file = tmp_path / "seqsum/recurrent/cells" / f"{name}.py"
        text = file.read_text()
        assert change[0] in text
        file.write_text(text.replace(*change) if edited else f"{text}\n# a comment\n")
    run = [sys.executable, "-c", PROGRAM, *EDITS]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, [str(int(edited))] * len(EDITS)), done.stderr


SOURCES = {
    "written": """
def step(self, x):
    '''Says so.'''
    if x:  # why
        x = (
            x + 1
        )
    return x
""",
    "plain": """
def step(self, x):
    if x:
        x = (x + 1)
    return x
""",
    "deeper": """
def step(self, x):
    if x:
        x = (x + 1)
        return x
""",
}


def test_layout_comments_and_docstrings_do_not_count(tmp_path):
    words = {}
    for name, text in SOURCES.items():
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        words[name] = written_for.words_of(module.step)
    assert words["written"] == words["plain"] != words["deeper"]


SOURCE = """
import torch
from torch import Tensor

import seqsum


class Leaky(seqsum.RecurrentCell):
    def project(self, input: Tensor) -> Tensor:
        return input * 2

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = torch.tanh(projected + 0.5 * state[0])  # of the units
        return hidden, [hidden]
"""


SOURCE_EDITS = {
    "of the step": ("0.5 * state", "3 * state"),
    "of the projection": ("input * 2", "input"),
    "of a name": ("torch.tanh", "torch.sin"),
    "half done": ("hidden = ", "hidden = = "),
    "of lines above": ("\nclass", "\nOTHER = 2\n\n\nclass"),
}


@pytest.fixture
def leaky(tmp_path, monkeypatch, anew):
    """A cell's file, and its module, which is imported."""
    file = tmp_path / "leaky_cells.py"
    file.write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "leaky_cells", raising=False)
    return file, importlib.import_module("leaky_cells")


@pytest.mark.parametrize("edit", list(SOURCE_EDITS.values()), ids=list(SOURCE_EDITS))
def test_a_file_edited_since_it_was_imported_is_not_compiled(leaky, edit):
    """TorchScript reads the file: training would be of other equations than all else."""
    file, module = leaky
    cell, inputs, state = arguments(module.Leaky(3, 3))
    expected = unroll(cell, inputs, state, backend="eager")
    file.write_text(SOURCE.replace(*edit))
    with pytest.raises(RuntimeError, match=r"leaky_cells\.py was edited since it was imported: reload it"):
        unroll(cell, inputs, state, backend="script")
    with pytest.warns(UserWarning, match="Leaky runs eagerly, since .*leaky_cells.py was edited"):
        torch.testing.assert_close(unroll(cell, inputs, state), expected)


def test_a_copy_of_a_compiled_cell_is_compiled_whatever_its_file_says(leaky):
    """As the copies that a training keeps, when its file is edited meanwhile: TorchScript reads no file for them."""
    file, module = leaky
    cell, inputs, state = arguments(module.Leaky(3, 3))
    expected = unroll(cell, inputs, state, backend="script")
    file.write_text(SOURCE.replace("0.5 * state", "3 * state"))
    assert resolve_backend(copy.deepcopy(cell), "auto") == "script"
    torch.testing.assert_close(unroll(copy.deepcopy(cell), inputs, state, backend="script"), expected)
    cell.other = 3  # of which TorchScript compiles it anew
    with pytest.raises(RuntimeError, match="was edited since it was imported"):
        unroll(cell, inputs, state, backend="script")


def test_an_older_file_in_its_place_is_not_compiled(leaky):
    file, module = leaky
    file.write_text(SOURCE.replace("0.5 * state", "3 * state"))
    os.utime(file, (1, 1))
    with pytest.warns(UserWarning, match="Leaky runs eagerly, since .* was edited"):
        assert resolve_backend(module.Leaky(3, 3), "auto") == "eager"


def test_a_loader_that_changes_code_is_no_edit(leaky):
    """Such as pytest's, which writes out what an `assert` compares."""
    file, module = leaky
    module.__loader__ = None
    file.write_text(SOURCE.replace("0.5 * state", "3 * state"))
    os.utime(file, (1, 1))
    assert resolve_backend(module.Leaky(3, 3), "auto") == "script"


def test_a_file_edited_and_reloaded_is_compiled(leaky):
    file, module = leaky
    file.write_text(SOURCE.replace("0.5 * state", "3.25 * state"))
    cell, inputs, state = arguments(importlib.reload(module).Leaky(3, 3))
    assert resolve_backend(cell, "auto") == "script"
    torch.testing.assert_close(unroll(cell, inputs, state), unroll(cell, inputs, state, backend="eager"))


@pytest.mark.parametrize("edit", [("  # of the units", ""), ("import seqsum", "import seqsum, os")])
def test_a_file_with_other_comments_is_compiled(leaky, edit):
    file, module = leaky
    file.write_text(SOURCE.replace(*edit))
    assert resolve_backend(module.Leaky(3, 3), "auto") == "script"


@pytest.mark.filterwarnings("ignore:.* runs eagerly")  # if TorchScript has compiled the original before
@pytest.mark.parametrize("cell_class", CELLS)
def test_other_code_in_the_same_function_runs(cell_class, monkeypatch, anew):
    """As IPython's autoreload puts it there."""
    cell, inputs, state = arguments(cell_class(3, 5))

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return projected[..., :5], state

    monkeypatch.setattr(cell_class.step, "__code__", step.__code__)
    with pytest.warns(UserWarning, match=f"{cell_class.__name__} runs as edited, without the kernels"):
        outputs, _ = unroll(cell, inputs, state)
    torch.testing.assert_close(outputs, cell.project(inputs)[..., :5])
    for kernel in KERNELS:
        with pytest.raises(RuntimeError, match="`step` was replaced"):
            unroll(cell, inputs, state, backend=kernel)
