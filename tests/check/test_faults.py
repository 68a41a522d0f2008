"""One fault a cell: each is found by the check that is made for it, in words, with its line."""

import pytest
import torch
from torch import Tensor, nn

from seqsum import RecurrentCell, check_cell
from tests.check import styles

LSTM_INIT = "        self.b = nn.Parameter(torch.zeros(4 * hidden_size))\n"
STEP = "        h, c = state[0], state[1]\n"
NEW = "        h_new = o * torch.tanh(c_new)\n"
RETURN = "return output, [h_new, c_new]"
READ = "z = projected + h @ self.U.T"
ANNOTATED = "def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:"
PROJECT = "return input @ self.W.T + self.b"


def begins(function):
    """An initial state of another kind."""
    method = (
        f"    def initial_state(self, batch_size, like):\n        made = {function}(batch_size, self.hidden_size)\n"
    )
    return (f"    {ANNOTATED}", f"{method}        return [made.to(like), made.to(like)]\n\n    {ANNOTATED}")


def returns(states):
    """An initial state of zeros, returned in another form."""
    old, new = begins("torch.zeros")
    return old, new.replace("[made.to(like), made.to(like)]", states)


# the check that finds it, the change, what the message says, and what stands in the line that is shown
FAULTS = {
    "one tensor": ("step_returns", (RETURN, "return h_new"), "`step` must return (output, state)", "step"),
    "three values": ("step_returns", (RETURN, "return output, h_new, c_new"), "must return (output, state)", "step"),
    "one state of two": ("step_returns", (RETURN, "return output, [h_new]"), "must return (output, state)", "step"),
    "None": ("step_returns", (RETURN, "pass"), "must return (output, state)", "step"),
    "names of states": ("sizes", ('("hidden", "cell")', '("hidden",)'), "each state must have a name", "__init__"),
    "no annotation": (
        "compiles",
        (ANNOTATED, "def step(self, projected, state):"),
        "annotate `state: list[Tensor]`",
        "step",
    ),
    "weights in a list": (
        "parameters_registered",
        (LSTM_INIT, LSTM_INIT + "        self.more = [nn.Parameter(torch.zeros(3))]\n"),
        "`self.more[0]` is not registered",
        "self.more = [",
    ),
    "layers in a dict": (
        "parameters_registered",
        (LSTM_INIT, LSTM_INIT + "        self.more = {'x': nn.Linear(2, 2)}\n"),
        "`self.more['x']` is not registered",
        "self.more = {",
    ),
    "a plain tensor": (
        "parameters_registered",
        ("self.b = nn.Parameter(torch.zeros(4 * hidden_size))", "self.b = torch.zeros(4 * hidden_size)"),
        "`self.b` is not registered",
        "self.b = torch.zeros",
    ),
    "a weight made in step": (
        "makes_no_weights",
        (NEW, "        h_new = nn.Linear(self.hidden_size, self.hidden_size)(o) * torch.tanh(c_new)\n"),
        "`step` makes weights",
        "nn.Linear(self.hidden_size",
    ),
    "an idle parameter": (
        "parameters_used",
        (LSTM_INIT, LSTM_INIT + "        self.idle = nn.Parameter(torch.zeros(3))\n"),
        "`idle` gets no gradient",
        "self.idle",
    ),
    "the state in place": (
        "changes_nothing",
        (STEP, STEP + "        c.mul_(0.5)\n"),
        "`state[1]`, cell is changed",
        "c.mul_",
    ),
    "the projection in place": (
        "changes_nothing",
        (STEP, STEP + "        projected += 1\n"),
        "`projected` is changed",
        "projected += 1",
    ),
    "wrong output": ("shapes", ("output = h_new", "output = h_new.sum(-1)"), "the output has the wrong shape", "step"),
    "squeezed": (
        "shapes",
        ("output = h_new", "output = h_new.squeeze()"),
        "the output has the wrong shape",
        "squeeze()",
    ),
    "another type": ("shapes", ("output = h_new", "output = h_new.float()"), "the output changes its type", "float()"),
    "dropout": (
        "deterministic",
        ("output = h_new", "output = torch.nn.functional.dropout(h_new, 0.5)"),
        "random in evaluation",
        "dropout(h_new",
    ),
    "noise": (
        "deterministic",
        (NEW, NEW + "        h_new = h_new + torch.randn_like(h)\n"),
        "random in evaluation",
        "randn",
    ),
    "noise in few steps": (
        "deterministic",
        (NEW, NEW + "        if bool(torch.rand(()) < 0.05):\n            h_new = 2 * h_new\n"),
        "random in evaluation",
        "torch.rand",
    ),
    "noise from elsewhere": (
        "deterministic",
        (NEW, "        import random\n" + NEW + "        h_new = h_new if random.random() < 0.95 else 2 * h_new\n"),
        "random in evaluation",
        "random",
    ),
    "a start that is no list": (
        "shapes",
        returns("made.to(like), made.to(like)"),
        "`initial_state` must return a list",
        "initial_state",
    ),
    "a start without a state": ("shapes", returns("[made.to(like)]"), "`initial_state` must return", "initial_state"),
    "a start of another type": ("shapes", returns("[made, made]"), "`initial_state` must return", "initial_state"),
    "a start of another size": (
        "shapes",
        returns("[made.to(like)[:1], made.to(like)]"),
        "`initial_state` must return",
        "initial_state",
    ),
    "a random start": ("deterministic", begins("torch.randn"), "the initial state is random", "torch.randn"),
    "another start": ("equations", begins("torch.ones"), "hidden state begins with other numbers", "initial_state"),
    "names of states swapped": (
        "equations",
        ('("hidden", "cell")', '("cell", "hidden")'),
        "`state_names` calls them cell, hidden, and they work as hidden, cell",
        "h, c = state[0], state[1]",
    ),
    "sums clamped": (
        "equations",
        (READ, READ + "\n        z = z.clamp(-5, 5)"),
        "but not for large ones",
        "clamp(-5, 5)",
    ),
    "weights clamped": ("equations", (READ, READ + ".clamp(-4, 4)"), "but not for large ones", "clamp(-4, 4)"),
    "hidden state clamped": ("equations", (READ, READ.replace("h @", "h.clamp(-9, 9) @")), "not for large", "clamp"),
    "exponentials overflow": (
        "equations",
        ("g = torch.tanh(g)", "g = (g.exp() - (-g).exp()) / (g.exp() + (-g).exp())"),
        "but not for large ones",
        "exp()",
    ),
    "nothing from zeros": (
        "equations",
        (STEP, STEP + "        projected = projected * (h.abs().sum(-1, keepdim=True) > 0)\n"),
        "but not for zeros",
        "step",
    ),
    "state kept on self": (
        "deterministic",
        (STEP, STEP + "        h = h + getattr(self, 'last', 0)\n        self.last = h.detach()\n"),
        "remembers something from one call to the next: `self.last`",
        "'last'",
    ),
    "steps counted": (
        "deterministic",
        (STEP, STEP + "        self.t = getattr(self, 't', 0) + 1\n        h = h / self.t\n"),
        "remembers something from one call to the next: `self.t`",
        "self.t",
    ),
    "softmax over the batch": (
        "rows_independent",
        ("i = torch.sigmoid(i)", "i = torch.softmax(i, dim=0)"),
        "rows of the batch are mixed",
        "dim=0",
    ),
    "norm over the batch": (
        "rows_independent",
        (NEW, NEW + "        h_new = h_new - h_new.mean(0)\n"),
        "rows of the batch are mixed",
        "mean(0)",
    ),
    "the future": (
        "no_look_ahead",
        (PROJECT, "return input.flip(0) @ self.W.T + self.b"),
        "looks into the future",
        "flip",
    ),
    "the past": (
        "project_alone",
        (PROJECT, "return input.cumsum(0) @ self.W.T + self.b if input.dim() == 3 else input @ self.W.T + self.b"),
        "mixes steps",
        "cumsum",
    ),
    "the time": (
        "project_alone",
        (
            PROJECT,
            "x = input @ self.W.T\n        return x * torch.arange(len(x))[:, None, None] if x.dim() == 3 else x",
        ),
        "for all steps at once than for one after another",
        "project",
    ),
    "state not read": (
        "state_used",
        (STEP, "        h, c = 0 * state[0], state[1]\n"),
        "the state `hidden` is not read",
        "step",
    ),
    "no memory of inputs": ("state_used", (RETURN, "return output, [h, c]"), "does not depend on the input", "step"),
    "detach": (
        "gradients_right",
        (NEW, "        h_new = o.detach() * torch.tanh(c_new)\n"),
        "`detach()` cuts",
        "o.detach()",
    ),
    ".data": (
        "gradients_right",
        (STEP, "        h, c = state[0].data, state[1]\n"),
        "`.data` is outside",
        "state[0].data",
    ),
    "no_grad": (
        "gradients_right",
        (NEW, "        with torch.no_grad():\n            c_new = c_new * 1\n" + NEW),
        "`torch.no_grad()` cuts",
        "torch.no_grad()",
    ),
    "everything detached": (
        "backward_runs",
        (RETURN, "return output.detach(), [h_new.detach(), c_new.detach()]"),
        "has no gradient at all: `detach()` cuts",
        "detach",
    ),
    "in place": (
        "backward_runs",
        (NEW, NEW + "        o += 1\n"),
        "`add_(…)` works in place",
        "o += 1",
    ),
    "an error of its own": (
        "step_returns",
        (NEW, "        h_new = o @ torch.tanh(c_new)\n"),
        "RuntimeError: mat1 and mat2 shapes",
        "h_new = o @ torch.tanh(c_new)",
    ),
    "project for two axes alone": (
        "projects",
        (PROJECT, "return (self.W @ input.mT).mT.squeeze(0)[0] + self.b"),
        "`project` must keep the axes",
        "project",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check_and_shown_with_its_line(mutate, fault):
    name, change, says, line = FAULTS[fault]
    report = check_cell(mutate("lstm", change), like="lstm")
    result = report.find(name)
    assert result.status == ("noted" if name == "compiles" else "failed"), report
    assert says in result.message
    assert line in result.where
    first = report.failures[0] if report.failures else result
    told = {"parameters_used", "deterministic", "changes_nothing"}  # may be the first sign of what a later one explains
    assert first.check in {name, *told}, report


def test_what_needs_a_failed_check_is_not_made_and_says_why(mutate):
    report = check_cell(mutate("lstm", (RETURN, "return h_new")), like="lstm")
    assert [result.check for result in report.failures] == ["step_returns"]
    why = 'not checked until "a step returns (output, state)" is right'
    skipped = [result for result in report if result.status == "skipped"]
    assert {"gradients_right", "equations"} <= {result.check for result in skipped}
    assert {result.message for result in skipped} == {why}, "the check that failed, not one between"
    assert f"{why}: all the rest" in str(report)
    assert "Mend first: a step returns (output, state)" in str(report)


def test_a_backward_pass_that_is_wrong_shows_the_number_that_was_expected():
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.tanh()

        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient

    class Own(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            return Doubled.apply(self.i2h(torch.cat((input, hidden), 1)))

    result = check_cell(Own, like="rnn").find("gradients_right")
    assert result.status == "failed"
    assert "gradient of input is wrong" in result.message
    assert "by differences" in result.expected
    assert "Doubled.apply" in result.where


def test_second_derivatives_that_are_missing_are_noted():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.tanh()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return gradient * (1 - ctx.saved_tensors[0].tanh() ** 2)

    class Own(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            return Once.apply(self.i2h(torch.cat((input, hidden), 1)))

    report = check_cell(Own, like="rnn")
    assert report.passed
    assert report.find("second_derivatives").status == "noted"


def test_a_norm_over_the_batch_is_found_though_it_mixes_rows_in_training_alone():
    class Own(styles.OneMatrixRNN):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.norm = nn.BatchNorm1d(hidden_size)

        def forward(self, input, hidden):
            hidden = torch.tanh(self.norm(self.i2h(torch.cat((input, hidden), 1))))
            return hidden, hidden

    result = check_cell(Own, like="rnn").find("rows_independent")
    assert result.status == "failed"
    assert "in training" in result.message
    assert "BatchNorm1d" in result.where


def test_dropout_in_training_is_no_fault():
    class Own(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            dropped = nn.functional.dropout(input, 0.5, self.training)
            return super().forward(dropped, hidden)

    assert check_cell(Own, like="rnn").passed


class NoProject(RecurrentCell):
    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return projected, state


class NoSuper(nn.Module):
    def __init__(self, input_size, hidden_size):
        self.linear = nn.Linear(input_size, hidden_size)


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


def test_what_exits_only_later_is_a_fault_of_the_check_that_meets_it():
    class Later(Plain):
        def forward(self, x, h):
            if len(x) == 1:
                raise SystemExit(0)
            return self.candidate(x, h)

    result = check_cell(Later).find("shapes")
    assert result.status == "failed"
    assert result.message == "SystemExit: 0, raised here"


def test_nan_is_called_by_its_name_and_not_chance():
    report = check_cell(Rooted)
    assert [result.check for result in report.failures] == ["finite"]
    assert report.find("finite").came.startswith("nan in ")
    assert "return torch.sqrt(" in report.find("finite").where


def test_what_forward_returned_is_said_where_it_is_not_understood():
    assert check_cell(Keeps).find("made").came == "None"


def test_a_line_below_a_decorator_is_shown_with_the_users_file():
    where = check_cell(Detached).find("parameters_used").where
    assert "test_faults.py" in where


@pytest.mark.parametrize(
    ("cell", "check", "says", "line"),
    [
        (NoProject, "projects", "NoProject must define `project`", "test_faults.py"),
        (NoSuper, "made", "raised AttributeError: cannot assign module before Module.__init__() call", "nn.Linear"),
        (Computed, "made", "`self.scale` is computed from parameters once", "self.scale = nn.Parameter"),
        (Uncopied, "made", "it can't be copied: TypeError: cannot pickle 'generator' object", "test_faults.py"),
        (Units, "made", "what `depth` is to be is not known", "test_faults.py"),
        (Stateless, "made", "takes no state", "`forward`"),
        (Broken, "made", "NameError: name 'undefined' is not defined", "+ undefined"),
        (nn.LSTM, "made", "LSTM is a layer", ""),
        (nn.Sequential(), "made", "takes no state|does not say its sizes", ""),
        (42, "made", "is no module", ""),
    ],
)
def test_what_is_no_cell_is_told_what_one_is(cell, check, says, line):
    report = check_cell(cell, like="rnn")
    result = report.find(check)
    assert result.status == "failed"
    assert any(part in result.message for part in says.split("|"))
    assert result.expected
    assert line in result.where


@pytest.mark.parametrize("bound", [0.5, 3, 5, 50])
def test_a_cell_state_within_bounds_is_a_variant(mutate, bound):
    clamped = ("c_new = f * c + i * g", f"c_new = (f * c + i * g).clamp(-{bound}, {bound})")
    result = check_cell(mutate("lstm", clamped), like="lstm").find("equations")
    if bound > 1:
        assert result.status == "noted"
        assert f"its cell state is kept within ±{bound}" in result.message
        assert "clamp(" in result.where
    else:
        assert result.status == "failed", "common numbers are clamped"


CLAMPED = ("c_new = f * c + i * g", "c_new = (f * c + i * g).clamp(-5, 5)")
FORGET = ("f = torch.sigmoid(f)", "f = torch.sigmoid(f + 1)")


@pytest.mark.parametrize("variant", [CLAMPED, FORGET], ids=["clamped", "forget bias"])
@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (begins("torch.ones"), "hidden state begins with other numbers"),
        (('("hidden", "cell")', '("cell", "hidden")'), "states are swapped"),
        ((READ, READ + "\n        z = z.clamp(-6, 6)"), "but not for large ones"),
        (("h_new = o * torch.tanh(c_new)", "h_new = o * torch.tanh(c_new).clamp(-0.9, 0.9)"), "but not for large ones"),
    ],
    ids=["start", "names", "sums", "hidden"],
)
def test_a_variant_hides_no_mistake(mutate, variant, mistake, says):
    result = check_cell(mutate("lstm", variant, mistake), like="lstm").find("equations")
    assert result.status == "failed"
    assert says in result.message


def test_a_constant_start_beside_a_learned_one_is_wrong(mutate):
    learned = "        self.start = nn.Parameter(torch.ones(hidden_size))\n"
    zeros = begins("torch.ones")
    change = ("return [made.to(like), made.to(like)]", "return [self.start.expand_as(made), made.to(like)]")
    cell = mutate("lstm", (LSTM_INIT, LSTM_INIT + learned), (zeros[0], zeros[1].replace(*change)))
    result = check_cell(cell, like="lstm").find("equations")
    assert result.status == "failed"
    assert "the cell state begins with other numbers than zero" in result.message


def test_a_sigmoid_whose_derivative_overflows_is_noted(mutate):
    by_hand = ("f = torch.sigmoid(f)", "f = 1 / (1 + torch.exp(-f))")
    report = check_cell(mutate("lstm", by_hand), like="lstm")
    assert report.passed
    assert "gradients are no numbers where inputs and states are large" in report.find("equations").message
    assert "torch.exp(-f)" in report.find("equations").where


@pytest.mark.parametrize("bound", [20, 30, 50])
def test_a_sigmoid_that_is_clamped_where_it_is_flat_is_right(mutate, bound):
    by_hand = ("f = torch.sigmoid(f)", f"f = 1 / (1 + torch.exp(-f.clamp(-{bound}, {bound})))")
    assert check_cell(mutate("lstm", by_hand), like="lstm").passed


def test_an_initial_state_that_is_random_once_in_a_while_is_found(mutate):
    rare = begins("torch.zeros")
    change = ("made.to(like), made.to(like)]", "made.to(like) + float(torch.rand(()) < 0.05), made.to(like)]")
    result = check_cell(mutate("lstm", (rare[0], rare[1].replace(*change))), like="lstm").find("deterministic")
    assert "the initial state is random" in result.message


def test_learned_initial_states_are_a_variant(mutate):
    learned = "        self.start = nn.Parameter(torch.ones(2, hidden_size))\n"
    change = ("return [made.to(like), made.to(like)]", "return [s.expand_as(made) for s in self.start]")
    zeros = begins("torch.zeros")
    cell = mutate("lstm", (LSTM_INIT, LSTM_INIT + learned), (zeros[0], zeros[1].replace(*change)))
    report = check_cell(cell, like="lstm")
    assert report.passed, report
    assert report.find("equations").status == "noted"
    assert "begin from learned states" in report.find("equations").message


@pytest.mark.parametrize("without", ["i", "f", "g", "o", "fo"])
def test_a_gate_without_bias_beside_others_with_one_is_found(without):
    class Own(RecurrentCell):
        state_names = ("hidden", "cell")

        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size, state_size=[hidden_size] * 2)
            sizes = input_size + hidden_size, hidden_size
            self.i, self.f, self.g, self.o = (nn.Linear(*sizes, bias=gate not in without) for gate in "ifgo")

        def project(self, input: Tensor) -> Tensor:
            return input

        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            both = torch.cat([projected, state[0]], dim=-1)
            c = self.f(both).sigmoid() * state[1] + self.i(both).sigmoid() * self.g(both).tanh()
            h = self.o(both).sigmoid() * c.tanh()
            return h, [h, c]

    report = check_cell(Own, like="lstm")
    assert report.find("equations").status == "noted"
    words = {"i": "input gate", "f": "forget gate", "g": "cell update", "o": "output gate"}
    assert report.passed
    assert all(words[gate] in report.find("equations").message for gate in without)
    assert "no bias" in report.find("equations").message


def test_what_one_step_on_common_numbers_does_not_show_is_noted_where_nobody_said_what_it_is_to_be(mutate):
    result = check_cell(mutate("lstm", (READ, READ + ".clamp(-5, 5)"))).find("equations")
    assert result.status == "noted"
    assert "nearly an LSTM's: it gives the reference's numbers, but not for large ones" in result.message


def test_another_number_of_states_than_the_reference_is_named(mutate):
    result = check_cell(mutate("gru"), like="lstm").find("equations")
    assert result.message == "it has another number of states than an LSTM"
    assert result.came == "1: hidden"


def test_weights_of_other_shapes_than_the_reference_are_listed(mutate):
    result = check_cell(mutate("rnn"), like="gru").find("equations")
    assert result.message == "its weights are not those of a GRU"
    assert "W_hh (5, 5)" in result.came
