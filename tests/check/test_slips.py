"""Slips that students make around right equations: each is found, with the line, and named as what it is."""

import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.utils import prune

import seqsum
from seqsum import RecurrentCell, check_cell
from seqsum.check.run import check_target
from tests.check import styles


class Plain(nn.Module):
    """A right LSTM, whose parts the subclasses change."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.W = nn.Parameter(torch.randn(input_size, 4 * hidden_size))
        self.U = nn.Parameter(torch.randn(hidden_size, 4 * hidden_size))
        self.b = nn.Parameter(torch.zeros(4 * hidden_size))

    def sums(self, x, h):
        return x @ self.W + h @ self.U + self.b

    def forward(self, x, hx):
        h, c = hx
        i, f, g, o = self.sums(x, h).chunk(4, 1)
        c = torch.sigmoid(f) * self.kept(c) + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, c

    def kept(self, c):
        return c


class PrivateList(Plain):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self._layers = [nn.Linear(input_size, 4 * hidden_size)]

    def sums(self, x, h):
        return super().sums(x, h) + self._layers[0].to(x.dtype)(x)


class Gate:  # nn.Module forgotten
    def __init__(self, input_size, hidden_size):
        self.layers = {"read": nn.Linear(input_size, 4 * hidden_size)}
        self.again = self  # objects may refer to each other


class PlainObject(Plain):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.gate = Gate(input_size, hidden_size)


OF_THE_FILE = nn.Parameter(torch.randn(7, 20))
PARTS_OF_THE_FILE = [nn.Linear(7, 20)]


class FromTheFile(Plain):
    def sums(self, x, h):
        return super().sums(x, h) + x @ OF_THE_FILE.to(x)


class PartOfTheFile(Plain):
    def sums(self, x, h):
        return super().sums(x, h) + x @ PARTS_OF_THE_FILE[0].weight.to(x).T


class OfTheClass(Plain):
    shared = nn.Linear(7, 20)

    def sums(self, x, h):
        return super().sums(x, h) + x @ self.shared.weight.to(x).T


def enclosed():
    hidden_weight = nn.Parameter(torch.randn(7, 20))

    class Enclosed(Plain):
        def sums(self, x, h):
            return super().sums(x, h) + x @ hidden_weight.to(x)

    return Enclosed


@pytest.mark.parametrize("like", [None, "lstm"])
@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        (PrivateList, "self._layers[0]", "self._layers = ["),
        (PlainObject, "self.gate.layers['read']", "self.gate = Gate("),
        (FromTheFile, "OF_THE_FILE", "x @ OF_THE_FILE.to(x)"),
        (PartOfTheFile, "PARTS_OF_THE_FILE[0]", "x @ PARTS_OF_THE_FILE[0]"),
        (OfTheClass, "shared", "x @ self.shared.weight"),
    ],
)
def test_weights_that_no_optimizer_finds_are_named_wherever_they_are(kind, name, line, like):
    report = check_cell(kind, like=like)
    assert report.failures[0].check == "parameters_registered"
    assert report.failures[0].message.startswith(f"`{name}` is not registered: an optimizer does not find it")
    assert line in report.failures[0].where


def test_a_weight_of_an_enclosing_function_is_found_without_a_name():
    found = check_cell(enclosed()).failures[0]
    assert found.check == "makes_no_weights"
    assert "a weight, or reads one that is not registered" in found.message
    assert found.came == "a Parameter (7, 20) that is not in `parameters()`"


def test_an_object_without_weights_may_be_kept():
    class Config:
        def __init__(self):
            self.size, self.names, self.again = 3, ["a"], self

    class Configured(Plain):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.config, self._cache, self.function = Config(), {}, torch.tanh

    assert check_cell(Configured, like="lstm").passed


class Empty(Plain):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.U = nn.Parameter(torch.empty(hidden_size, 4 * hidden_size))


class OldEmpty(Plain):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.b = nn.Parameter(torch.Tensor(4 * hidden_size))


class EmptyCell(RecurrentCell):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.U = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.read = nn.Linear(input_size, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = torch.tanh(projected + state[0] @ self.U)
        return hidden, [hidden]


@pytest.mark.parametrize(
    ("given", "weight", "line"),
    [(Empty, "U", "torch.empty("), (OldEmpty, "b", "torch.Tensor("), (EmptyCell, "U", "torch.empty(")],
)
def test_a_weight_without_values_is_found_whatever_was_in_memory(given, weight, line):
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    found = check_cell(given).find("finite")
    assert found.status == "failed"
    assert found.message == f"the weight `{weight}` is given no values"
    assert line in found.where
    assert before == (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


class SeededNumPy(Plain):
    def kept(self, c):
        np.random.seed(0)  # noqa: NPY002  # as it is often done
        return c


class ClampedInTraining(Plain):
    def kept(self, c):
        return c.clamp(-6, 6) if self.training else c


class Seeded(Plain):
    def kept(self, c):
        torch.manual_seed(0)
        return nn.functional.dropout(c, 0.1, self.training)


@pytest.mark.parametrize(
    ("kind", "says", "line"),
    [
        (ClampedInTraining, "something else than in evaluation", "c.clamp(-6, 6) if self.training"),
        (Seeded, "a step sets the seed of torch's random numbers", "torch.manual_seed(0)"),
        (SeededNumPy, "a step sets the seed of NumPy's random numbers", "np.random.seed(0)"),
    ],
)
def test_what_large_numbers_or_other_seeds_show_in_training(kind, says, line):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    report = check_cell(kind, like="lstm")
    assert torch.equal(torch.rand(1), expected)  # the user's own random numbers go on
    assert [found.check for found in report.failures] == ["same_in_training"]
    assert says in report.failures[0].message
    assert line in report.failures[0].where


class AllEqual(Plain):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        nn.init.constant_(self.W, 0.1)
        nn.init.zeros_(self.U)


def test_units_that_stay_equal_are_noted():
    report = check_cell(AllEqual, like="lstm")
    assert report.passed
    found = report.find("parameters_used")
    assert (found.status, found.came) == ("noted", "one number everywhere in `W`, `U`")
    assert "nn.init.constant_(self.W, 0.1)" in found.where


class StatesFirst(Plain):
    def forward(self, h, c, x):
        return super().forward(x, (h, c))


class StateFirst(styles.WrappedGRU):
    def forward(self, h_prev, inputs):
        return super().forward(inputs, h_prev)


@pytest.mark.parametrize(("kind", "like", "first"), [(StatesFirst, "lstm", "h"), (StateFirst, "gru", "h_prev")])
def test_a_state_before_the_input_is_told_by_its_name(kind, like, first):
    found = check_cell(kind, like=like).find("made")
    assert found.message.startswith(f"`forward` takes the input first, and yours has `{first}` before")


class Named(NamedTuple):
    hidden: Tensor
    cell: Tensor


@dataclass
class Held:
    hidden: Tensor
    cell: Tensor


class WithNamed(Plain):
    def forward(self, x, state: Named):
        h, c = super().forward(x, (state.hidden, state.cell))
        return h, Named(h, c)


class WithHeld(Plain):
    def forward(self, x, state: "Held"):
        return Held(*super().forward(x, (state.hidden, state.cell)))


class WithTexts(Plain):
    def forward(self, x, state: "Nowhere"):  # noqa: F821
        return super().forward(x, state)


@pytest.mark.parametrize("kind", [WithNamed, WithHeld, WithTexts])
def test_states_may_have_a_class_of_their_own(kind):
    assert check_cell(kind, like="lstm").passed


class CourseLSTM(Plain):
    def __init__(self, n_a, n_x):
        super().__init__(n_x, n_a)


class WithDevice(Plain):
    def __init__(self, input_size, hidden_size, device):
        super().__init__(input_size, hidden_size)
        self.to(device)


@pytest.mark.parametrize("kind", [CourseLSTM, WithDevice])
def test_other_constructors_are_understood(kind):
    assert check_cell(kind, like="lstm").passed


class Elman(nn.Module):
    """As torch's tutorial on names has it."""

    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.i2h, self.h2h = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.h2o = nn.Linear(hidden_size, output_size)

    def forward(self, input, hidden):
        hidden = torch.tanh(self.i2h(input) + self.h2h(hidden))
        output = self.h2o(hidden)
        return output, hidden


class Elman10(Elman):
    def __init__(self, input_size, hidden_size, output_size=10):
        super().__init__(input_size, hidden_size, output_size)


def test_a_readout_is_said_to_belong_behind_the_layer():
    found = check_cell(Elman, like="rnn").find("equations")
    assert found.message == "`h2o` reads the output from the state, which an RNN does not"
    assert "output = self.h2o(hidden)" in found.where
    assert "a readout belongs behind the layer" in check_cell(Elman10, like="rnn").find("shapes").expected


class OneLayer(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x = nn.ModuleList([nn.Linear(input_size, hidden_size)] * 4)
        self.h = nn.ModuleList([nn.Linear(hidden_size, hidden_size)] * 4)

    def forward(self, x, hx):
        h, c = hx
        i, f, o, g = (read(x) + recall(h) for read, recall in zip(self.x, self.h, strict=True))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def test_one_layer_under_several_names_is_told():
    found = check_cell(OneLayer, like="lstm").find("equations")
    assert found.message == "`x.0` and `x.1` are the same layer, with the same weights"
    assert "] * 4)" in found.where


class Rounded(Plain):
    def kept(self, c):
        return c.float().to(c.dtype)


class Squeezed(Plain):
    def sums(self, x, h):
        return super().sums(x, h).squeeze()


class ByView(Plain):
    def forward(self, x, hx):
        h, c = hx
        i, f, g, o = self.sums(x, h).view(4, -1, c.shape[1])
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


@pytest.mark.parametrize(
    ("kind", "check", "says", "line"),
    [
        (Rounded, "shapes", "another type than its input's: `float(…)` gives float32", "c.float().to("),
        (Squeezed, "shapes", "a batch of one row raises IndexError", ".squeeze()"),
        (ByView, "rows_independent", "rows of the batch are mixed", ".view(4, -1"),
    ],
)
def test_the_line_that_rounds_squeezes_or_mixes_is_shown(kind, check, says, line):
    found = check_cell(kind, like="lstm").failures[0]
    assert found.check == check
    assert says in found.message
    assert line in found.where


def test_hard_sigmoids_of_torch_are_a_variant():
    class Hard(Plain):
        def forward(self, x, hx):
            h, c = hx
            i, f, g, o = self.sums(x, h).chunk(4, 1)
            sigmoid = nn.functional.hardsigmoid
            c = sigmoid(f) * c + sigmoid(i) * torch.tanh(g)
            return sigmoid(o) * torch.tanh(c), c

    found = check_cell(Hard, like="lstm").find("equations")
    assert found.status == "noted"
    assert "x / 6 + 0.5" in found.message


def test_the_order_of_states_is_not_said_to_be_another_than_it_is():
    class Swapped(Plain):
        def forward(self, x, hx):
            c, h = hx
            return super().forward(x, (h, c))

    found = check_cell(Swapped, like="lstm").find("equations")
    assert found.message == "your states are returned in another order than the one in which they are read"


@pytest.mark.parametrize("name", ["gates", "project", "step", "constants"])
def test_a_layer_with_the_name_of_a_method_is_refused(name):
    class Named(RecurrentCell):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)
            setattr(self, name, nn.Linear(input_size, hidden_size))

    said = f"`{name}` is a method of Named, so a Linear needs another name"
    with pytest.raises(AttributeError, match=said):
        Named(3, 4)
    assert said in check_cell(Named).find("made").message
    cell = seqsum.LSTMCell(3, 4)
    cell.step = cell.step  # a method of one's own, as a wrapper has it, is none


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_a_script_module_is_told_to_be_a_plain_one():
    class Scripted(torch.jit.ScriptModule):
        def __init__(self, input_size: int, hidden_size: int):
            super().__init__()
            self.read = nn.Linear(input_size, hidden_size)

        @torch.jit.script_method
        def forward(self, x: Tensor, h: Tensor) -> Tensor:
            return torch.tanh(self.read(x) + h)

    found = check_cell(Scripted).find("made")
    assert found.message == "a `torch.jit.ScriptModule` can't be looked into"
    assert found.expected == "`nn.Module`, and no `@torch.jit.script_method`"


def test_a_script_reads_no_flags_of_the_command(tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text(
        "import argparse\n"
        "from torch import nn\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--rate', default=1)\n"
        "rate = parser.parse_args().rate\n"
        "class Cell(nn.GRUCell):\n"
        "    def forward(self, x, h):\n"
        "        return super().forward(x, h)\n"
    )
    (tmp_path / "ends.py").write_text("import sys\nsys.exit(2)\n")
    given = ["check", "script.py", "--like=gru"]
    monkeypatch.setattr(sys, "argv", given)
    assert check_target(str(tmp_path / "script.py"), like="gru").passed
    assert 'if __name__ == "__main__"' in check_target(str(tmp_path / "ends.py")).find("made").expected
    assert sys.argv is given


def test_what_torch_compile_wraps_is_not_compiled():
    from torch._dynamo.utils import counters

    counters.clear()

    class Compiled(styles.WrappedGRU):
        forward = torch.compile(styles.WrappedGRU.forward)

    assert check_cell(Compiled, like="gru").passed
    assert not counters["frames"]


# --- right cells, which these rules must not call wrong


class Masked(Plain):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.register_buffer("mask", (torch.rand(hidden_size) > 0.3).float())

    def kept(self, c):
        self.seen = c.detach().to(torch.float32).numpy()  # what is looked at, and never read
        return c * (0 * self.mask + 1).float() * torch.sign(c * c + 1).float()


class Monitored(Plain):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self._step_size, self._teacher = torch.tensor(0.1), [Plain(input_size, hidden_size).requires_grad_(False)]
        self._kept = {"c": torch.ones(3)}
        self.averages = Averages(self)

    def kept(self, c):
        return c + 0 * self._step_size


class Averages:
    """A moving average of a cell's weights, which it knows too."""

    def __init__(self, cell):
        self.shadow = {name: weight.detach().clone() for name, weight in cell.named_parameters()}
        self.cell_again = [cell]


class FromEnergy(RecurrentCell):
    """Differentiates within a step, by its state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read, self.energy = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, 1)

    def project(self, input):
        return self.read(input)

    def step(self, projected, state):
        with torch.enable_grad():
            held = state[0] if state[0].requires_grad else state[0].detach().requires_grad_()
            (slope,) = torch.autograd.grad(torch.tanh(self.energy(held)).sum(), held, create_graph=True)
        hidden = torch.tanh(state[0] - 0.1 * slope + projected)
        return hidden, [hidden]


class WithMask(styles.WrappedGRU):
    def forward(self, cell_input, hidden, input_mask=None):
        return super().forward(cell_input, hidden)


class Pruned(nn.Module):
    """A layer of torch inside a cell, whose weights a hook computes."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.layer = nn.GRU(input_size, hidden_size)
        prune.random_unstructured(self.layer, "weight_hh_l0", 0.2)

    def forward(self, x, h):
        return self.layer(x[None], h[None])[1][0]


class OfLightning(LightningModule):
    def __init__(self, input_size, hidden_size, class_weights=None):
        super().__init__()
        class_weights = torch.ones(3) if class_weights is None else class_weights
        self.save_hyperparameters()
        self.inside = nn.GRUCell(input_size, hidden_size)

    def forward(self, x, h):
        return self.inside(x, h)


class WithScript(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.read = nn.Linear(input_size, hidden_size)
        self.recall = torch.jit.script(nn.Linear(hidden_size, hidden_size))

    def forward(self, x, h):
        return torch.tanh(self.read(x) + self.recall(h))


class OwnNoise(Plain):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.noise = np.random.default_rng(0)

    def kept(self, c):
        return c + 0.1 * torch.from_numpy(self.noise.normal(size=c.shape)).to(c) if self.training else c


class RandomBiases(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.read, self.recall = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.recall.weight)

    def forward(self, x, h):
        return torch.tanh(self.read(x) + self.recall(h))


RIGHT = [Masked, Monitored, FromEnergy, WithMask, Pruned, OfLightning, WithScript, OwnNoise, RandomBiases]


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("kind", RIGHT)
def test_right_cells_stay_right(kind):
    report = check_cell(kind)
    assert report.passed, report
    assert report.find("parameters_used").status == "passed"


def test_a_cell_that_got_its_values_later_is_right():
    cell = EmptyCell(7, 5)
    nn.init.orthogonal_(cell.U)
    assert check_cell(cell, like="rnn").passed


def test_nan_that_is_meant_is_not_put_down_to_memory():
    class Meant(Plain):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.scale = nn.Parameter(torch.full((hidden_size,), torch.nan))

        def kept(self, c):
            return c * self.scale

    found = check_cell(Meant).find("finite")
    assert found.status == "failed"
    assert "is given no values" not in found.message


def test_a_lambda_that_keeps_the_first_cell_is_told():
    class Closed(Plain):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.sums = lambda x, h: x @ self.W + h @ self.U + self.b

    found = check_cell(Closed).failures[0]
    assert found.message == "a copy of the cell reads the weights of the first one"
    assert "self.sums = lambda" in found.where


@pytest.mark.parametrize(
    "names", ["n_in, n_out, activation", "input_size, hidden_size, out_act", "in_dim, out_dim, bias"]
)
def test_other_arguments_are_no_sizes_of_a_readout(names):
    scope = {"nn": nn, "torch": torch}
    exec(f"class Needs(nn.Module):\n    def __init__(self, {names}):\n        super().__init__()", scope)
    assert check_cell(scope["Needs"]).find("made").message == f"what `{names.split(', ')[2]}` is to be is not known"
