"""What a step writes to `self` stays in the cell, whichever way the cell is run."""

import importlib.util
import random
import sys

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from seqsum.recurrent import Recurrent, RecurrentCell
from seqsum.recurrent.backends import not_scriptable, runner

CELL = """
import torch
from torch import Tensor, nn
from seqsum.recurrent import RecurrentCell

class Part(nn.Module):
    counted: int

    def __init__(self) -> None:
        super().__init__()
        self.counted = 0
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, hidden: Tensor) -> Tensor:
        {part}
        return hidden + self.mean / (1 + self.counted)

class Writing(RecurrentCell):
    seen: list[float]
    named: dict[str, int]
    nested: list[list[int]]
    pair: tuple[list[int], int]
    many: dict[str, list[int]]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read, self.part = nn.Linear(input_size, hidden_size), Part()
        self.weight = nn.Parameter(torch.ones(hidden_size, hidden_size) / 7)
        self.count, self.seen, self.named, self.nested = 0, [0.0], {{"steps": 0}}, [[0]]
        self.pair, self.many = ([], 1), {{"a": [0]}}
        self.register_buffer("mean", torch.zeros(hidden_size))
        self.register_buffer("penalty", torch.zeros(()))

    @torch.jit.ignore
    def note(self) -> None:
        self.count += 2

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = self.part(torch.tanh(projected + state[0] @ self.weight - self.mean + self.count))
        {step}
        return hidden, [hidden * len(self.seen) / (1 + self.named["steps"] + len(self.nested[0]))]
"""
WRITES = [
    "self.count += 1",
    "self.mean = 0.9 * self.mean + 0.1 * hidden.detach().mean(0)",
    "self.penalty = self.penalty + hidden.square().mean()",
    "self.mean = self.part.mean.add_(0.1)",
    "self.seen.append(float(self.count))",
    "self.seen[0] = 2.0",
    "self.named['steps'] += 1",
    "self.nested[0].append(1)",
    "self.nested.append([1])",
    "for part in self.nested: part.append(2)",
    "first = self.nested[0] if self.count > 1 else self.nested[-1]; first.append(3)",
    "for number in self.pair[0]: self.pair[0].append(number)",
    "self.many['a'].append(1)",
    "for part in self.many.values(): part.append(1)",
    "self.note()",
]
SHARED = [  # or not the cell's, as a copy of its list is not
    "self.mean.add_(hidden.detach().mean(0))",
    "self.mean += 0.1",
    "self.part.mean += 0.1",
    "self.mean.copy_(0.5 * self.mean + 0.1)",
    "mine = list(self.seen); mine.append(1.0)",
]
OF_PART = ["self.counted += 1", "self.mean = self.mean + hidden.detach().mean()", "self.mean.add_(0.1)", "pass"]


def draw(folder, seed):
    """A class of cells with statements that are drawn, and whether TorchScript would run them on a copy."""
    drawn = random.Random(seed)
    part, written = drawn.choice(OF_PART), drawn.sample(WRITES + SHARED, drawn.choice([0, 1, 3]))
    if drawn.random() < 0.5:
        written = [f"if self.training: {line}" for line in written if not line.startswith("for")]
    copied = any(statement in line for line in written for statement in WRITES) or part in OF_PART[:2]
    return load(folder / f"writing_{seed}.py", part, written), copied


def load(path, part, written):
    path.write_text(CELL.format(part=part, step="\n        ".join(written or ["pass"])))  # TorchScript reads a file
    spec = importlib.util.spec_from_file_location(path.stem, path)
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Writing


def observe(kind, backend, watch):
    torch.manual_seed(0)
    layer = Recurrent(kind(3, 4), backend=backend)
    cell = layer.cells[0]
    {"": lambda: None, "hook": lambda: cell.register_forward_hook(lambda *_: None),
     "pre-hook": lambda: cell.register_forward_pre_hook(lambda *_: None),
     "norm": lambda: nn.utils.parametrizations.weight_norm(cell, "weight")}[watch]()  # fmt: skip
    found = []
    for _ in range(2):
        outputs, final = layer(torch.randn(5, 2, 3))
        (outputs.sum() + final.sum() + cell.penalty).backward()
        found += [outputs.detach(), final.detach(), cell.read.weight.grad.clone(), cell.penalty.detach()]
        cell.penalty = torch.zeros(())
    found += [cell.count, cell.seen, cell.named, cell.nested, cell.pair, cell.many]
    found += [cell.mean, cell.part.counted, cell.part.mean]
    return found, layer.last_backend


@pytest.mark.parametrize("watch", ["", "hook", "pre-hook", "norm"])
@pytest.mark.parametrize("seed", range(24))
def test_what_a_step_writes_stays_in_the_cell(tmp_path, seed, watch):
    kind, copied = draw(tmp_path, seed)
    expected, _ = observe(kind, "eager", "")
    if copied and not watch:
        with pytest.warns(UserWarning, match=r"^Writing runs eagerly, since TorchScript would change `\w+` of a copy"):
            found, backend = observe(kind, "auto", watch)
        with pytest.raises(RuntimeError, match="of a copy of Writing, and not of Writing itself"):
            runner(kind(3, 4), "script")
    else:
        found, backend = observe(kind, "auto", watch)
    assert backend == ("eager" if copied or watch else "script")
    for mine, own in zip(found, expected, strict=True):
        if isinstance(own, torch.Tensor):
            torch.testing.assert_close(mine, own)
        else:
            assert mine == own


ALONE = [
    *WRITES,
    "self.penalty = self.part.mean.add_(0.1)",  # in place, but of another one
    "mine = [0.0]\n        for _ in range(2):\n            mine.append(1.0)\n            mine = self.seen",
]


@pytest.mark.parametrize("place", range(len(ALONE)))
def test_each_write_is_noticed_by_itself(tmp_path, place):
    kind = load(tmp_path / f"alone_{place}.py", "pass", [ALONE[place]])
    with pytest.raises(RuntimeError, match="of a copy of Writing, and not of Writing itself"):
        runner(kind(3, 4), "script")


@pytest.mark.parametrize("place", range(len(SHARED)))
def test_what_is_not_the_cells_is_left_to_the_script(tmp_path, place):
    runner(load(tmp_path / f"shared_{place}.py", "pass", [SHARED[place]])(3, 4), "script")


def test_gradients_may_be_switched_off_within_a_step(tmp_path):
    """TorchScript sets an attribute for it, of an object that the step makes."""
    without = "with torch.no_grad():\n            factor = 1 + torch.tanh(hidden)\n        hidden = hidden * factor"
    kind = load(tmp_path / "switched_off.py", "pass", [without])
    (found, backend), (expected, _) = observe(kind, "auto", ""), observe(kind, "eager", "")
    assert backend == "script"
    torch.testing.assert_close(found, expected)


class Remembering(RecurrentCell):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight, self.last = nn.Parameter(torch.ones(hidden_size, input_size)), None
        self.scale = torch.full((), 2.0)

    def project(self, input: Tensor) -> Tensor:
        return input

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        self.last = projected @ self.weight.T * self.scale + state[0]
        return self.last, [self.last]


@pytest.mark.parametrize(
    "watch",
    [
        lambda cell: cell.register_forward_pre_hook(lambda *_: None),
        lambda cell: prune.identity(cell, "weight"),
        lambda cell: nn.utils.spectral_norm(cell, "weight"),
    ],
)
def test_a_step_may_keep_tensors_beside_weights_that_hooks_compute(watch):
    layer = Recurrent(Remembering(3, 4), backend="eager")
    watch(layer.cells[0])
    for _ in range(2):
        outputs, _ = layer(torch.randn(5, 2, 3))
        assert torch.equal(layer.cells[0].last, outputs[-1])


RUNS_IN_PYTHON = """
import torch
from torch import Tensor
from seqsum.recurrent import RecurrentCell

class Halves(RecurrentCell):
    def project(self, input: Tensor) -> Tensor:
        return input

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        {statement}
        hidden = torch.tanh(projected + state[0]) * factor
        return hidden, [hidden]
"""


@pytest.mark.parametrize("statement", ["factor = 2 // torch.tensor(0.3)", "factor = torch.tensor([0.1, 2]).sum()"])
def test_auto_runs_in_python_what_a_script_can_not(tmp_path, statement):
    path = tmp_path / "halves.py"
    path.write_text(RUNS_IN_PYTHON.format(statement=statement))
    spec = importlib.util.spec_from_file_location("halves", path)
    sys.modules["halves"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    layer, inputs = Recurrent(module.Halves(3, 3)), torch.randn(5, 2, 3)
    expected = Recurrent(module.Halves(3, 3), backend="eager")(inputs)[0]
    with pytest.warns(UserWarning, match="^Halves runs eagerly, since TorchScript can't run it: "):
        torch.testing.assert_close(layer(inputs)[0], expected)
    torch.testing.assert_close(layer(inputs)[0], expected)
    assert layer.last_backend == "eager"
    assert frozenset([module.Halves]) in not_scriptable
    with pytest.raises(RuntimeError, match="TorchScript"):
        Recurrent(module.Halves(3, 3), backend="script")(inputs)
