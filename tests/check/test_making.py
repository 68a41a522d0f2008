"""How a cell is made from what is given, and what is told where it is none."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import seqsum
from seqsum import RecurrentCell, check_cell
from seqsum.check import places
from seqsum.recurrent.cells import LSTMCell


class NoProject(RecurrentCell):
    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return projected, state


class NoSuper(nn.Module):
    def __init__(self, input_size, hidden_size):
        self.linear = nn.Linear(input_size, hidden_size)


class AroundNoSuper(RecurrentCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.inner = NoSuper(input_size, hidden_size)


class NoSizes(RecurrentCell):
    def __init__(self, input_size, hidden_size):
        super().__init__()


class OneSize(RecurrentCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, state_size=2 * hidden_size)


class Computed(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear = nn.Linear(input_size + hidden_size, hidden_size)
        self.scale = nn.Parameter(torch.ones(hidden_size)) * 2

    def forward(self, x, h):
        return torch.tanh(self.scale * self.linear(torch.cat([x, h], 1)))


class Uncopied(Computed):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = (1 for _ in range(3))


class Units(nn.Module):
    def __init__(self, units, depth, gain):
        super().__init__()


class Stateless(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear = nn.Linear(input_size, hidden_size)

    def forward(self, x):
        return self.linear(x)


class Broken(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear = nn.Linear(input_size, hidden_size)

    def forward(self, x, hx):
        return self.linear(x) + undefined  # noqa: F821


class Plain(nn.Module):
    """A plain network, whose candidate some of the cells below get wrong."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear = nn.Linear(input_size + hidden_size, hidden_size)

    def candidate(self, x, h):
        return torch.tanh(self.linear(torch.cat([x, h], 1)))


class BrokenWithin(Plain):
    def candidate(self, x, h):
        return self.linear(x + h.view(-1))

    def forward(self, x, h):
        return self.candidate(x, h)


class Pair(Plain):
    def forward(self, x, state):
        h, c = state
        h = self.candidate(x, h)
        return h, (h, c + h)


class PairBroken(Plain):
    def forward(self, x, state):
        h, _ = state
        return self.candidate(x, h), undefined  # noqa: F821


class Exits(Plain):
    def forward(self, x, h):
        raise SystemExit(0)


class MuteError(Exception):
    def __str__(self):
        raise ValueError


class Silent(Plain):
    def forward(self, x, h):
        raise MuteError


class Rooted(Plain):
    def forward(self, x, h):
        return torch.sqrt(self.candidate(x, h))


class Keeps(Plain):
    def forward(self, x, h):
        self.h = self.candidate(x, h)


class Detached(Plain):
    @torch.no_grad()
    def forward(self, x, h):
        return torch.tanh(self.linear(torch.cat([x, h], 1)))


class NoSuperOfCell(RecurrentCell):
    def __init__(self, input_size, hidden_size):
        self.linear = nn.Linear(input_size, hidden_size)


class NoBase(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)

    project = step = LSTMCell.step


class Misspelt(nn.Module):
    def __int__(self, input_size, hidden_size):  # noqa: PLE0302  # as it happens
        super().__init__()

    def forward(self, input, hx):
        return hx


class SizesToModule(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size=input_size)


WITH_SIZES = (
    "`super().__init__(input_size, hidden_size)` as the first line, with `state_size=[hidden_size, hidden_size]` for "
    "two states"
)


@pytest.mark.parametrize(
    ("cell", "message", "expected"),
    [
        (NoSuper, "cannot assign module before", "`super().__init__()` as the first line"),
        (AroundNoSuper, "cannot assign module before", "`super().__init__()` as the first line"),
        (NoSizes, "missing 2 required positional", WITH_SIZES),
        (NoSuperOfCell, "cannot assign module before", WITH_SIZES),
        (NoBase, "takes 1 positional argument", "`class NoBase(RecurrentCell)`, whose `__init__` takes the sizes"),
        (SizesToModule, "unexpected keyword argument", "`super().__init__()` without arguments"),
        (Misspelt, "unexpected keyword argument", "`def __init__`, not `def __int__`"),
        (OneSize, "`state_size` (=10) must be a list of sizes, one for each state", ""),
    ],
)
def test_an_error_of_the_constructor_tells_how_it_is_mended(cell, message, expected):
    result = check_cell(cell).find("made")
    assert message in result.message
    assert result.expected == expected


def test_of_several_forms_of_the_state_the_error_of_the_one_that_was_meant_is_told():
    result = check_cell(PairBroken).find("made")
    assert result.message == "`forward(input, (hidden, cell))` raised NameError: name 'undefined' is not defined"
    assert "self.candidate(x, h), undefined" in result.where


@pytest.mark.parametrize(
    ("cell", "like", "expected"), [(Pair, "gru", "1: hidden"), (Rooted, "lstm", "2: hidden, cell")]
)
def test_a_plain_module_with_another_number_of_states_is_told_so(cell, like, expected):
    result = check_cell(cell, like=like).find("made")
    assert "has another number of states" in result.message
    assert result.expected == expected


def test_what_exits_in_a_step_is_a_fault_and_does_not_end_the_check():
    result = check_cell(Exits).find("made")
    assert result.message == "`forward(input, hx)` raised SystemExit: 0"
    assert "raise SystemExit(0)" in result.where


def test_an_error_that_can_not_tell_itself_is_a_fault_too():
    assert check_cell(Silent).find("made").message == "`forward(input, hx)` raised MuteError"


def test_what_exits_only_later_is_a_fault_of_the_check_that_meets_it():
    class Later(Plain):
        def forward(self, x, h):
            if len(x) == 1:
                raise SystemExit(0)
            return self.candidate(x, h)

    result = check_cell(Later).find("shapes")
    assert result.status == "failed"
    assert result.message == "a batch of one row raises SystemExit: 0"


def test_nan_is_called_by_its_name_and_not_chance():
    report = check_cell(Rooted)
    assert [result.check for result in report.failures] == ["finite"]
    assert report.find("finite").came.startswith("nan in ")
    assert "return torch.sqrt(" in report.find("finite").where


def test_what_forward_returned_is_said_where_it_is_not_understood():
    assert check_cell(Keeps).find("made").came == "None"


def test_a_line_below_a_decorator_is_shown_with_the_users_file():
    where = check_cell(Detached).find("parameters_used").where
    assert "test_making.py" in where


@pytest.mark.parametrize(
    ("cell", "check", "says", "line"),
    [
        (NoProject, "projects", "NoProject must define `project`", ", `NoProject`"),
        (NoSuper, "made", "raised AttributeError: cannot assign module before Module.__init__() call", "nn.Linear"),
        (Computed, "made", "`self.scale` is computed from parameters once", "self.scale = nn.Parameter"),
        (Uncopied, "made", "it can't be copied: TypeError: cannot pickle 'generator' object", "test_making.py"),
        (Units, "made", "what `gain` is to be is not known", "test_making.py"),
        (Stateless, "made", "takes no state", "`forward`"),
        (Broken, "made", "NameError: name 'undefined' is not defined", "+ undefined"),
        (BrokenWithin, "made", "RuntimeError: The size of tensor a", "return self.linear(x + h.view(-1))"),
        (nn.LSTM, "made", "LSTM is a layer", ""),
        (nn.Sequential(), "made", "takes no state|does not say its sizes", ""),
        (42, "made", "is no nn.Module", ""),
    ],
)
def test_what_is_no_cell_is_told_what_one_is(cell, check, says, line):
    report = check_cell(cell, like="rnn")
    result = report.find(check)
    assert result.status == "failed"
    assert any(part in result.message for part in says.split("|"))
    assert result.expected
    assert line in result.where


class Layer(nn.Module):
    """A network around a layer of torch's, for whole sequences."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.rnn = nn.RNN(input_size, hidden_size, batch_first=True)

    def forward(self, x, hx=None):
        return self.rnn(x, hx)


class Loop(Plain):
    """A loop over time, in a module that takes no state."""

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.linear.out_features)
        outputs = []
        for step in x.unbind(1):
            h = self.candidate(step, h)
            outputs.append(h)
        return torch.stack(outputs, 1)


@pytest.mark.parametrize("kind", [Layer, Loop])
def test_a_module_for_whole_sequences_is_told_so(kind):
    result = check_cell(kind).find("made")
    assert result.message == f"{kind.__name__} takes whole sequences, and no single step"
    assert result.came == "a tensor of shape (4, 3, 5) for an input of shape (4, 3, 7)"
    assert "`forward`" in result.where


@pytest.mark.parametrize(
    "names",
    ["dim_out, dim_in", "n_out, n_in", "out_features, in_features", "hid, inp", "output_dim, input_dim", "h, x"],
)
def test_sizes_are_told_by_names_in_any_order(names):
    hidden, inputs = names.split(", ")
    made: dict = {}
    source = f"def __init__(self, {names}):\n    Plain.__init__(self, {inputs}, {hidden})\n"
    exec(source, {"Plain": Plain}, made)  # a constructor for each pair of names
    kind = type("Named", (Plain,), {"__init__": made["__init__"], "forward": Plain.candidate})
    assert check_cell(kind, like="rnn").passed


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize(
    "compute",
    [weight_norm, spectral_norm, parametrizations.weight_norm, lambda m: prune.random_unstructured(m, "weight", 0.5)],
    ids=["weight_norm", "spectral_norm", "parametrization", "prune"],
)
def test_weights_that_torchs_hooks_compute_before_each_call_are_right(compute):
    class Normed(Plain):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            compute(self.linear)

        def forward(self, x, h):
            return self.candidate(x, h)

    cell = Normed(7, 5)
    cell.input_size, cell.hidden_size = 7, 5
    before = {name: weight.clone() for name, weight in cell.state_dict().items()}
    for given in (Normed, cell):
        report = check_cell(given)
        assert report.passed, report
    assert all(torch.equal(weight, before[name]) for name, weight in cell.state_dict().items())


def test_a_step_that_takes_no_empty_batch_is_noted():
    class Viewed(Plain):
        def forward(self, x, h):
            return self.candidate(x, h).view(len(x), 1, -1).squeeze(1)

    report = check_cell(Viewed, like="rnn")
    assert report.passed
    assert "a batch of no rows raises RuntimeError" in report.find("shapes").message
    assert ".view(" in report.find("shapes").where


class Transposed(nn.Module):
    """Weights that are not contiguous."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.w = nn.Parameter(torch.randn(hidden_size, input_size).t() * 0.3)
        self.u = nn.Parameter(torch.randn(hidden_size, hidden_size).t() * 0.3)

    def forward(self, x, h):
        return torch.tanh(x @ self.w + h @ self.u)


def test_weights_that_are_not_contiguous_are_right():
    report = check_cell(Transposed, like="rnn")
    assert report.passed, report
    assert report.find("second_derivatives").status == "passed"


def test_the_random_numbers_of_other_devices_stay_as_they_are(monkeypatch):
    seeds: list[int] = []
    monkeypatch.setattr("torch.cuda.manual_seed_all", seeds.append)
    check_cell(Transposed, like="rnn", learn=True)
    assert seeds == []


def test_a_folder_whose_name_begins_as_the_librarys_is_a_users(tmp_path):
    assert places.is_library(f"{places.OWN}cells.py")
    assert not places.is_library(f"{places.OWN.rstrip('/')}_homework/cell.py")


class Headed(RecurrentCell):
    """A tanh network of four heads, so `hidden_size` must be divisible by 4."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.i2h = nn.Linear(input_size, hidden_size)
        self.h2h = nn.Linear(hidden_size // 4, hidden_size // 4)

    def project(self, input: Tensor) -> Tensor:
        return self.i2h(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        heads = self.h2h(state[0].unflatten(1, (4, -1)))
        new = torch.tanh(projected + heads.flatten(1))
        return new, [new]


class HeadedModule(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.cell = Headed(input_size, hidden_size)

    def forward(self, x, h):
        return self.cell.step(self.cell.project(x), [h])[0]


class Refusing(Headed):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        if hidden_size % 4:
            raise ValueError("`hidden_size` must be divisible by 4")
        super().__init__(input_size, hidden_size)


@pytest.mark.parametrize("kind", [Headed, HeadedModule, Refusing])
def test_a_class_that_takes_not_all_sizes_is_made_with_others_and_that_is_noted(kind):
    report = check_cell(kind)
    assert report.passed, report
    said = report.find("made")
    assert said.status == "noted"
    assert said.message.startswith("and run with input_size=28 and hidden_size=16, but not with input_size=7")
    assert said.message.endswith("divisible by 4" if kind is Refusing else "of dim 1 (5) in the input tensor")


@pytest.mark.parametrize("sizes", [(4, 8), (8, 8), (64, 128)])
def test_an_instance_is_not_made_with_sizes_that_it_does_not_take(sizes):
    report = check_cell(Headed(*sizes))
    assert report.passed, report
    assert report.find("made").status == "passed"


@pytest.mark.parametrize("sizes", [(7, 5), (5, 10), (8, 8), (7, 80)])
def test_an_instance_that_was_changed_is_checked_itself_whatever_its_sizes(sizes):
    class Scaled(Plain):
        scale = 1.0

        def candidate(self, x, h):
            return super().candidate(x, self.scale * h)

    class ScaledCell(RecurrentCell):
        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)
            self.plain = Scaled(input_size, hidden_size)

        def project(self, input: Tensor) -> Tensor:
            return input

        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            new = self.plain.candidate(projected, state[0])
            return new, [new]

    cell = ScaledCell(*sizes)
    assert check_cell(cell, like="rnn").passed
    cell.plain.scale = 0.5
    assert [result.check for result in check_cell(cell, like="rnn").failures] == ["equations"]
    cell.plain.scale = 1.0
    with torch.no_grad():
        cell.plain.linear.weight[0, 0] = torch.nan
    report = check_cell(cell, like="rnn")
    assert [result.check for result in report.failures] == ["finite"]
    assert report.find("finite").message == "the output is not finite, nor is the weight `plain.linear.weight`"


def test_of_a_known_cell_with_a_weight_that_is_nan_nothing_else_is_said():
    cell = seqsum.LSTMCell(8, 8)
    with torch.no_grad():
        cell.weight_hh[0, 0] = torch.nan
    assert [result.check for result in check_cell(cell, like="lstm").failures] == ["finite"]
