"""One fault a cell: each is found by the check that is made for it, in words, with its line."""

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import nn

import seqsum
from seqsum import RecurrentCell, check_cell
from seqsum.check.run import check_target
from tests.check import styles
from tests.check.changes import (
    GATES,
    LSTM_INIT,
    READ,
    RETURN,
    STEP,
    gates,
    returns,
)
from tests.check.faults import FAULTS, FORGOTTEN

SUBMISSIONS = Path(__file__).parent / "submissions"


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


@pytest.mark.parametrize("fault", ["one tensor", *(pytest.param(fault, marks=pytest.mark.slow) for fault in FAULTS)])
def test_a_fault_is_found_in_a_notebook_too(mutate_in_notebook, fault):
    name, change, says, line = FAULTS[fault]
    result = check_cell(mutate_in_notebook("lstm", change), like="lstm").find(name)
    assert result.status == ("noted" if name == "compiles" else "failed")
    assert says in result.message
    assert line in result.where


def test_names_without_a_comma_are_a_text(mutate):
    line = "class MyRNN(RecurrentCell):\n"
    result = check_cell(mutate("rnn", (line, f'{line}    state_names = ("hidden")\n')), like="rnn").find("sizes")
    assert result.message == "`state_names` is a text, and must be a tuple of texts"
    assert result.expected == '`state_names = ("hidden",)`, with a comma'


def test_the_type_of_a_start_is_said(mutate):
    result = check_cell(mutate("lstm", returns("[made, made]")), like="lstm").find("shapes")
    assert "float64" in result.expected
    assert "float32" in result.came


def test_what_is_wrong_with_the_weights_of_a_plain_module_is_shown_where_they_are_made():
    class Few(styles.Torchs):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.weight_ih = nn.Parameter(torch.zeros(3 * hidden_size, input_size))

        def forward(self, input, hx):
            return hx

    result = check_cell(Few, like="lstm").find("equations")
    assert "its weights are not those" in result.message
    assert "`__init__`" in result.where


def test_a_state_in_place_is_not_said_to_forget_the_input(mutate):
    report = check_cell(mutate("lstm", (STEP, STEP + "        h.add_(1)\n")), like="lstm")
    assert report.find("state_used").status == "passed"


def test_capitals_are_shown_as_well(mutate):
    """As in d2l.ai."""
    line = "        C_new = f * c + g\n        c_new = C_new\n"
    report = check_cell(mutate("lstm", ("        c_new = f * c + i * g\n", line)), like="lstm")
    assert "C_new = f * c + g" in report.find("equations").where


def test_peepholes_that_do_not_fit_are_not_put_down_to_the_matrices(mutate):
    made = (
        LSTM_INIT,
        LSTM_INIT + "        self.w_ci, self.w_cf, self.w_co = (nn.Parameter(torch.rand(5)) for _ in range(3))\n",
    )
    used = (
        READ,
        READ + "\n        z = z + torch.cat([self.w_ci * c, self.w_ci * c, self.w_cf * c, self.w_co * c], -1)",
    )
    message = check_cell(mutate("lstm", made, used), like="lstm").find("equations").message
    assert message.startswith("other equations than an LSTM's")


def test_what_is_changed_in_place_is_shown_before_and_after(mutate):
    report = check_cell(mutate("lstm", (STEP, STEP + "        c[:, -1] += 1\n")), like="lstm")
    before, after = map(float, re.findall(r"-?\d+\.\d+", report.find("changes_nothing").came))
    assert after == pytest.approx(before + 1, abs=1e-3)


@pytest.mark.parametrize("changed", ["self.wf(projected) + self.ui(h)", "self.wi(projected) + self.uf(h)"])
def test_half_a_line_that_was_copied_is_named_with_its_line(here, changed):
    """With layers of its own for each gate, as it happens."""
    right = "self.wf(projected) + self.uf(h)"
    source = (SUBMISSIONS / "lstm.py").read_text()
    start, end = source.index("        self.W = "), source.index("        c_new")
    source = (
        source[:start]
        + """        self.wi, self.wf, self.wg, self.wo = [nn.Linear(input_size, hidden_size) for _ in range(4)]
        self.ui, self.uf, self.ug, self.uo = [nn.Linear(hidden_size, hidden_size) for _ in range(4)]

    def project(self, input: Tensor) -> Tensor:
        return input

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        h, c = state[0], state[1]
        i = torch.sigmoid(self.wi(projected) + self.ui(h))
        f = torch.sigmoid(self.wf(projected) + self.uf(h))
        g = torch.tanh(self.wg(projected) + self.ug(h))
        o = torch.sigmoid(self.wo(projected) + self.uo(h))
"""
        + source[end:]
    )
    (here / "right.py").write_text(source)
    assert check_target("right.py", "lstm").passed
    (here / "copied.py").write_text(source.replace(right, changed))
    found = check_target("copied.py", "lstm").find("equations")
    which = "hidden state" if "ui" in changed else "input"
    assert found.message == f"your forget gate has the input gate's layer of the {which}"
    assert f"f = torch.sigmoid({changed})" in found.where


def test_a_method_that_is_missing_is_looked_for_in_the_users_file(here):
    text = "import seqsum\n\n\nclass Mine(seqsum.RecurrentCell):\n    def forward(self, x, h):\n        return h\n"
    (here / "mine.py").write_text(text)
    (found,) = check_target("mine.py").failures
    assert found.message.startswith("NotImplementedError: Mine must define `project`")
    assert found.where == "mine.py:4, `Mine`"


@pytest.mark.parametrize(
    ("names", "returned"),
    [
        ('("input_gate", "forget_gate", "cell_update", "output_gate")', GATES),
        ('("forget_gate",)', "[torch.sigmoid(f)]"),
        ('("f", "i", "o", "g")', "[torch.sigmoid(f), torch.sigmoid(i), torch.sigmoid(o), torch.tanh(g)]"),
        ('("forgotten", "kept")', "[1 - torch.sigmoid(f), torch.sigmoid(f)]"),  # names that are no gates of an LSTM
    ],
)
def test_right_gates_are_right(mutate, names, returned):
    report = check_cell(mutate("lstm", gates(returned, names)), like="lstm")
    assert report.passed, report
    assert report.find("gates_named").status == "passed"


@pytest.mark.parametrize("returned", ["[None] * 4", "{'i': i, 'f': f, 'g': g, 'o': o}"])
def test_gates_that_are_no_tensors_are_no_fault_of_the_equations(mutate, returned):
    report = check_cell(mutate("lstm", gates(returned)), like="lstm")
    assert [result.check for result in report.failures] == ["gates_named"]


class Keyed(seqsum.RecurrentCell):
    """Reads a constant, and doesn't return it."""

    constant_names = ("keys",)

    def project(self, input):
        return input

    def step(self, projected, state):
        hidden = torch.tanh(projected + state[0] + state[1])
        return hidden, [hidden]


def test_constants_that_are_not_returned_are_said():
    found = check_cell(Keyed(5, 5), constants=torch.randn(3, 5)).failures[0]
    assert found.check == "step_returns"
    assert found.expected.startswith("`return output, [hidden, *state[1:]]`: a tensor and a list of 1 state")
    assert found.expected.endswith("and of the constants behind")
    assert found.came == "a state of 1 tensor"


@pytest.mark.parametrize(
    "made",
    [
        "self.register_buffer('seen', torch.zeros(1))",
        "self.seen = __import__('numpy').zeros(1)",
        "self.seen = [0]",
    ],
)
def test_what_a_cell_remembers_is_named_however_it_is_kept(mutate, made):
    counts = STEP + "        self.seen[0] += 1\n        h = h / self.seen[0]\n"
    cell = mutate("lstm", (LSTM_INIT, f"{LSTM_INIT}        {made}\n"), (STEP, counts))
    result = check_cell(cell).find("deterministic")
    assert result.message == "the cell remembers something from one call to the next: `self.seen`"
    assert "self.seen[0]" in result.where


def test_names_of_states_that_a_cell_gives_itself_are_kept(mutate):
    start = "        super().__init__(input_size"
    own = mutate(
        "lstm",
        ('    state_names = ("hidden", "cell")\n', ""),
        (start, f'        self.state_names = ("a", "b")\n{start}'),
    )
    assert own(3, 5).state_names == ("a", "b")


def test_a_state_that_has_no_size_is_said_without_names_too(mutate):
    result = check_cell(mutate("lstm", ('    state_names = ("hidden", "cell")\n', ""), FORGOTTEN)).failures[0]
    assert result.message == "`step` reads and returns 2 states, and `state_size` says 1"
    assert result.expected == "`super().__init__(input_size, hidden_size, state_size=[hidden_size, hidden_size])`"
    assert "__init__" in result.where


def test_states_need_no_names(mutate):
    kind = mutate("lstm", ('    state_names = ("hidden", "cell")\n', ""))
    assert kind(3, 5).state_names == ("hidden", "state_1")
    report = check_cell(kind, like="lstm")
    assert report.passed, report
    cut = check_cell(
        mutate("lstm", ('("hidden", "cell")', '("hidden",)'), ("c = state[0], ", "c = state[0].detach(), "))
    )
    assert [result.check for result in cut.failures] == ["sizes", "gradients_right"], "the names hide no other mistake"


def test_what_needs_a_failed_check_is_not_made_and_says_why(mutate):
    report = check_cell(mutate("lstm", (RETURN, "return h_new")), like="lstm")
    assert [result.check for result in report.failures] == ["step_returns"]
    why = 'not checked until "a step returns (output, state)" is right'
    skipped = [result for result in report if result.status == "skipped"]
    assert {"gradients_right", "equations"} <= {result.check for result in skipped}
    assert {result.message for result in skipped} == {why}, "the check that failed, not one between"
    assert f"{why}: all the rest" in str(report)
    assert "Mend first: a step returns (output, state)" in str(report)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.tanh()

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient


def test_a_backward_pass_that_is_wrong_shows_the_number_that_was_expected():
    class Own(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            return Doubled.apply(self.i2h(torch.cat((input, hidden), 1)))

    result = check_cell(Own, like="rnn").find("gradients_right")
    assert result.status == "failed"
    assert "gradient of input is wrong" in result.message
    assert "by differences" in result.expected
    assert "Doubled.apply" in result.where


def test_what_the_check_does_with_constants_is_no_culprit():
    class Own(Keyed):
        def step(self, projected, state):
            hidden = Doubled.apply(projected + state[0] + state[1])
            return hidden, [hidden, state[1]]

    result = check_cell(Own(5, 5), constants=torch.randn(3, 5)).find("gradients_right")
    assert result.message == "the gradient of input is wrong"
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


@pytest.mark.parametrize("mistake", ["h[:, :2] @ self.U.T", "h @ self.V.T"])
def test_what_raises_in_a_notebook_is_shown_with_its_line(mutate_in_notebook, mistake):
    report = check_cell(mutate_in_notebook("lstm", ("h @ self.U.T", mistake)), like="lstm")
    assert "raised" in report.failures[0].message
    assert mistake in report.failures[0].where


def test_right_cells_are_right_in_threads(mutate):
    cells = [mutate("rnn") for _ in range(6)]
    before = list(warnings.filters)
    with ThreadPoolExecutor(3) as threads:
        for _ in range(4):
            made = threads.submit(torch.nn.Linear, 2, 2)  # of another thread, while a step is watched for new weights
            assert [report.failures for report in threads.map(check_cell, cells)] == [()] * len(cells)
            made.result()
    assert warnings.filters == before


def test_dropout_in_training_is_no_fault():
    class Own(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            dropped = nn.functional.dropout(input, 0.5, self.training)
            return super().forward(dropped, hidden)

    assert check_cell(Own, like="rnn").passed


class Chosen(styles.OneMatrixRNN):
    """Reads shares of its input, which don't change if all numbers grow alike."""

    def forward(self, input, hidden):
        return super().forward(input.softmax(-1), hidden)


class Normalised(styles.OneMatrixRNN):
    """Reads its state without its mean."""

    def forward(self, input, hidden):
        return super().forward(input, hidden - hidden.mean(-1, keepdim=True))


class Lazy(nn.Module):
    """Makes its weights in the first step."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.both = nn.LazyLinear(hidden_size)

    def forward(self, input, hidden):
        new = torch.tanh(self.both(torch.cat((input, hidden), 1)))
        return new, new


@pytest.mark.parametrize("kind", [Chosen, Normalised, Lazy])
def test_unusual_cells_are_right(kind):
    report = check_cell(kind)
    assert report.passed, report


def test_a_check_may_run_where_no_gradients_are_wanted():
    with torch.inference_mode():
        assert check_cell(styles.OneMatrixRNN, like="rnn").passed


class BeginsOnTheCPU(RecurrentCell):
    """Makes its state by hand."""

    device = None

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.read, self.again = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)

    def initial_state(self, batch_size, like):
        return [torch.zeros(batch_size, self.hidden_size, dtype=like.dtype, device=self.device and like.device)]

    def project(self, input):
        return self.read(input)

    def step(self, projected, state):
        hidden = torch.tanh(projected + self.again(state[0]))
        return hidden, [hidden]


class StepsOnTheCPU(BeginsOnTheCPU):
    device = "that of the input"

    def step(self, projected, state):
        _, (hidden,) = super().step(projected, state)
        hidden = hidden * torch.ones(len(hidden), 1, dtype=hidden.dtype)
        return hidden, [hidden]


class Reads(BeginsOnTheCPU):
    """Looks at a number, which a device without any has not."""

    device = "that of the input"

    def step(self, projected, state):
        return super().step(projected if projected.sum().item() < 1e9 else 0 * projected, state)


@pytest.mark.parametrize(
    ("kind", "message", "line"),
    [
        (BeginsOnTheCPU, "`initial_state` makes states on the CPU", "initial_state"),
        (StepsOnTheCPU, "a step makes tensors on the CPU", "torch.ones(len(hidden)"),
        (Reads, "", ""),
    ],
)
def test_what_is_made_on_the_cpu_is_noted(kind, message, line):
    report = check_cell(kind)
    result = report.find("shapes")
    assert report.passed
    assert result.status == ("noted" if message else "passed")
    assert result.message.startswith(message)
    assert line in result.where


class BeginsByRow(RecurrentCell):
    """Begins each row of a batch from a state of its own."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.read, self.again = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.begun = nn.Parameter(torch.randn(9, hidden_size))

    def initial_state(self, batch_size, like):
        return [self.begun[:batch_size].to(like)]

    def project(self, input):
        return self.read(input)

    def step(self, projected, state):
        hidden = torch.tanh(projected + self.again(state[0]))
        return hidden, [hidden]


def test_rows_that_begin_from_states_of_their_own_are_found():
    result = check_cell(BeginsByRow).find("rows_independent")
    assert result.message == "a row gives something else alone than among others"
    assert "initial_state" in result.where


class Scaled(styles.OneMatrixRNN):
    """With one more parameter."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = nn.Parameter(torch.ones(hidden_size))


class Cancelled(Scaled):
    def forward(self, input, hidden):
        new = torch.tanh(self.i2h(torch.cat((input, hidden), 1))) + 0 * self.scale
        return new, new


class OfTheFirstStep(Scaled):
    def forward(self, input, hidden):
        begins = (hidden == 0).all(1, keepdim=True)
        new = torch.tanh(self.i2h(torch.cat((input, hidden), 1)) + torch.where(begins, self.scale, 0))
        return new, new


@pytest.mark.parametrize(("kind", "status"), [(Scaled, "failed"), (Cancelled, "failed"), (OfTheFirstStep, "passed")])
def test_a_parameter_is_used_if_it_changes_anything_from_any_state(kind, status):
    report = check_cell(kind)
    assert report.find("parameters_used").status == status
    assert report.find("gradients_right").status == "passed", "that of a parameter that is not used is zero"


def test_one_entry_of_a_gradient_that_is_wrong_is_found():
    class LastOff(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return torch.cat([gradient[:, :-1], 1.001 * gradient[:, -1:]], 1)

    class Own(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            return super().forward(LastOff.apply(input), hidden)

    result = check_cell(Own, like="rnn").find("gradients_right")
    assert result.status == "failed"
    assert "at input[0, 6], by differences" in result.expected


def test_a_gradient_that_goes_to_other_units_is_found():
    class Mirrored(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient.flip(1)

    class Own(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            return Mirrored.apply(torch.tanh(self.i2h(torch.cat((input, hidden), 1))))

    assert check_cell(Own, like="rnn").find("gradients_right").status == "failed"


def test_second_derivatives_that_are_wrong_are_noted():
    class Detached(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.tanh()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * (1 - ctx.saved_tensors[0].detach().tanh() ** 2)

    class Own(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            new = Detached.apply(self.i2h(torch.cat((input, hidden), 1)))
            return new, new

    result = check_cell(Own, like="rnn").find("second_derivatives")
    assert (result.status, result.message) == ("noted", "second derivatives are wrong")


class Summing(seqsum.RecurrentCell):
    """A state that only its own next value reads."""

    state_names = ("hidden", "total")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, state_size=[hidden_size, hidden_size])
        self.read = nn.Linear(input_size, hidden_size)
        self.keep = nn.Linear(hidden_size, hidden_size)

    def project(self, input):
        return self.read(input)

    def step(self, projected, state):
        hidden = torch.tanh(projected + self.keep(state[0]))
        return hidden, [hidden, state[1] + hidden]


def test_a_state_may_be_read_by_itself_alone():
    assert check_cell(Summing).find("state_used").status == "passed"


class Slow(seqsum.RecurrentCell):
    """A state that only every eighth step changes, by a count that is whole from the initial state alone."""

    state_names = ("hidden", "slow", "count")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, state_size=[hidden_size, hidden_size, 1])
        self.read = nn.Linear(input_size, hidden_size)

    def project(self, input):
        return self.read(input)

    def step(self, projected, state):
        hidden, slow, count = torch.tanh(projected + state[0] + state[1]), state[1], state[2]
        return hidden, [hidden, torch.where(torch.remainder(count, 8) == 7, hidden, slow), count + 1]


def test_a_state_may_stay_as_it_is_for_some_steps():
    assert check_cell(Slow).find("state_used").status == "passed"


def test_an_input_that_is_projected_otherwise_without_time_is_found():
    class Own(Summing):
        def project(self, input):
            return self.read(input) * (1 if input.dim() == 3 else 2)

    result = check_cell(Own).find("project_alone")
    assert result.status == "failed"
    assert "for all steps at once" in result.message
