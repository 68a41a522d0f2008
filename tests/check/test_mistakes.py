"""Each known mistake, made in a student's cell, is named, with the line it is in."""

import cProfile

import pytest
import torch
from torch import nn

from seqsum import check_cell
from seqsum.check.equations.catalogue import CATALOGUE
from seqsum.check.equations.reference import REFERENCES, draw_weights, evaluate
from seqsum.check.run import check_target
from tests.check import styles

# what is changed in submissions/*.py, and what the report must say
CELL, HIDDEN, RETURN = "c_new = f * c + i * g", "h_new = o * torch.tanh(c_new)", "return output, [h_new, c_new]"
READ = "z = projected + h @ self.U.T"
LSTM = {
    "candidate not gated": (CELL, "c_new = f * c + g", "the input gate does not scale it"),
    "old cell state not gated": (CELL, "c_new = c + i * g", "the forget gate does not scale it"),
    "forget gate twice": (CELL, "c_new = f * (f * c) + i * g", "forget gate is applied twice"),
    "forget gate on the sum": (CELL, "c_new = f * (c + i * g)", "forget gate scales the new content as well"),
    "input gate twice": (CELL, "c_new = f * c + i * (i * g)", "input gate is applied twice"),
    "input gate on the sum": (CELL, "c_new = i * (f * c + g)", "input gate scales the old cell state too"),
    "forget gate inverted": (CELL, "c_new = (1 - f) * c + i * g", "forget gate is the wrong way round"),
    "input gate coupled": (CELL, "c_new = f * c + (1 - f) * g", "input gate is 1 − f"),
    "forget gate on hidden": (CELL, "c_new = f * h + i * g", "scales the hidden state, where the cell state"),
    "product of halves": (CELL, "c_new = (f * c) * (i * g)", "are multiplied, not added"),
    "minus": (CELL, "c_new = f * c - i * g", "subtracted, not added"),
    "cell squashed": (CELL, "c_new = torch.tanh(f * c + i * g)", "goes through tanh before it is kept"),
    "output gate writes": (CELL, "c_new = f * c + o * g", "output gate stands where the input gate"),
    "hidden from old cell": (HIDDEN, "h_new = o * torch.tanh(c)", "read from the cell state before its update"),
    "tanh missing": (HIDDEN, "h_new = o * c_new", "the tanh of the cell state is missing"),
    "tanh doubled": (HIDDEN, "h_new = o * torch.tanh(torch.tanh(c_new))", "the tanh of the cell state twice"),
    "tanh outside": (HIDDEN, "h_new = torch.tanh(o * torch.tanh(c_new))", "another tanh, after the output gate"),
    "tanh after the gate": (HIDDEN, "h_new = torch.tanh(o * c_new)", "tanh is taken after the output gate"),
    "sigmoid for tanh": (HIDDEN, "h_new = o * torch.sigmoid(c_new)", "a sigmoid of the cell state, where tanh"),
    "output gate unused": (HIDDEN, "h_new = torch.tanh(c_new)", "the output gate does not scale it"),
    "output gate twice": (HIDDEN, "h_new = o * o * torch.tanh(c_new)", "output gate is applied twice"),
    "hidden from update": (HIDDEN, "h_new = o * torch.tanh(g)", "read from the cell update"),
    "hidden is gated update": (HIDDEN, "h_new = o * g", "output gate scales the cell update, not the tanh"),
    "relu of the cell state": (HIDDEN, "h_new = o * torch.relu(c_new)", "a relu of the cell state"),
    "update without tanh": ("g = torch.tanh(g)", "g = g * 1", "the tanh of your cell update is missing"),
    "update with sigmoid": ("g = torch.tanh(g)", "g = torch.sigmoid(g)", "cell update has a sigmoid, where tanh"),
    "update with two tanhs": ("g = torch.tanh(g)", "g = torch.tanh(torch.tanh(g))", "through tanh twice"),
    "update sigmoid first": ("g = torch.tanh(g)", "g = torch.tanh(torch.sigmoid(g))", "a sigmoid before its tanh"),
    "update with relu": ("g = torch.tanh(g)", "g = torch.relu(g)", "cell update has a relu"),
    "tanh in the input gate": ("i = torch.sigmoid(i)", "i = torch.tanh(i)", "input gate has a tanh, where the sigmoid"),
    "tanh in the forget gate": ("f = torch.sigmoid(f)", "f = torch.tanh(f)", "forget gate has a tanh"),
    "tanh in the output gate": ("o = torch.sigmoid(o)", "o = torch.tanh(o)", "output gate has a tanh"),
    "bare forget gate": ("f = torch.sigmoid(f)", "f = f + 0", "forget gate has no sigmoid"),
    "bare output gate": ("o = torch.sigmoid(o)", "o = o + 0", "output gate has no sigmoid"),
    "sigmoid twice": (
        "f = torch.sigmoid(f)",
        "f = torch.sigmoid(f).sigmoid()",
        "forget gate has two sigmoids",
    ),
    "softmax": ("i = torch.sigmoid(i)", "i = torch.softmax(i, dim=-1)", "input gate has a softmax over the units"),
    "relu gate": ("o = torch.sigmoid(o)", "o = torch.relu(o)", "output gate has a relu"),
    "states swapped": (RETURN, "return output, [c_new, h_new]", "states are returned in the wrong order"),
    "cell state not updated": (RETURN, "return output, [h_new, c]", "cell state is returned as it came in"),
    "hidden not updated": (RETURN, "return output, [h, c_new]", "hidden state is returned as it came in"),
    "hidden twice": (RETURN, "return output, [h_new, h_new]", "hidden state is returned as the cell state too"),
    "cell twice": (RETURN, "return output, [c_new, c_new]", "cell state is returned as the hidden state too"),
    "output is the cell state": ("output = h_new", "output = c_new", "output is the cell state"),
    "output is the gate": ("output = h_new", "output = o", "output is the output gate"),
    "output is old": ("output = h_new", "output = h", "output is the hidden state before the step"),
    "gates read the cell state": (READ, "z = projected + c @ self.U.T", "gates read the cell state"),
    "one gate reads the cell state": (
        "f = torch.sigmoid(f)",
        "f = torch.sigmoid(f + ((c - h) @ self.U.T).split(self.hidden_size, dim=-1)[1])",
        "forget gate reads the old cell state",
    ),
    "a bias copied": (
        "f = torch.sigmoid(f)",
        "b = self.b.split(self.hidden_size)\n        f = torch.sigmoid(f - b[1] + b[0])",
        "forget gate has the input gate's bias",
    ),
    "weights copied": (
        "f = torch.sigmoid(f)",
        "U = self.U.split(self.hidden_size)\n        f = torch.sigmoid(f + h @ (U[0] - U[1]).T)",
        "forget gate has the input gate's weights of the hidden state",
    ),
    "a gate in another's place": (HIDDEN, "h_new = f * torch.tanh(c_new)", "forget gate stands where the output gate"),
    "hidden not read": (READ, "z = projected + 0 * (h @ self.U.T)", "gates do not read the hidden state"),
    "bias twice": (READ, "z = projected + h @ self.U.T + self.b", "biases are added twice"),
    "one square transposed": (
        READ,
        "U = self.U.split(self.hidden_size)\n"
        "        z = projected + torch.cat([h @ U[0].T, h @ U[1], h @ U[2].T, h @ U[3].T], dim=-1)",
        "`U`, its part of the forget gate, is used transposed",
    ),
    "all squares transposed": (
        READ,
        "z = projected + torch.cat([h @ part for part in self.U.split(self.hidden_size)], dim=-1)",
        "square matrix `U` is used transposed",
    ),
    "bias missing": ("input @ self.W.T + self.b", "input @ self.W.T", "biases are never added"),
    "no bias in the forget gate": (
        "f = torch.sigmoid(f)",
        "f = torch.sigmoid(f - self.b.split(self.hidden_size)[1])",
        "forget gate has no bias",
    ),
}
NEW, CANDIDATE = "h_new = (1 - z) * n + z * h", "n = torch.tanh(x_n + r * h_n)"
GRU = {
    "1 − z": (NEW, "h_new = z * n + (1 - z) * h", "update gate is the other way round, `1 − z`"),
    "candidate not gated": (NEW, "h_new = n + z * h", "candidate is added whole"),
    "state not gated": (NEW, "h_new = (1 - z) * n + h", "old state is kept whole"),
    "same gate": (NEW, "h_new = z * n + z * h", "scales old state and candidate alike"),
    "same inverse": (NEW, "h_new = (1 - z) * n + (1 - z) * h", "1 − z scales old state and candidate alike"),
    "another tanh": (NEW, "h_new = torch.tanh((1 - z) * n + z * h)", "new state goes through another tanh"),
    "kept state reset": (NEW, "h_new = (1 - z) * n + z * r * h", "old state is reset where it is kept"),
    "candidate alone": (NEW, "h_new = n", "the update gate is not used"),
    "bias outside": (
        CANDIDATE,
        "n = torch.tanh(x_n + r * (h_n - self.h2h.bias.chunk(3)[2]) + self.h2h.bias.chunk(3)[2])",
        "outside of the reset gate",
    ),
    "reset unused": (CANDIDATE, "n = torch.tanh(x_n + h_n)", "reset gate is not used"),
    "reset on all": (CANDIDATE, "n = torch.tanh(r * (x_n + h_n))", "scales the input's part of the candidate too"),
    "reset on input": (CANDIDATE, "n = torch.tanh(r * x_n + h_n)", "input's part of the candidate, not the state's"),
    "reset outside": (CANDIDATE, "n = r * torch.tanh(x_n + h_n)", "scales the candidate after its tanh"),
    "reset inverted": (CANDIDATE, "n = torch.tanh(x_n + (1 - r) * h_n)", "reset gate is the wrong way round"),
    "update reads reset": (
        "z = torch.sigmoid(x_z + h_z)",
        "z = torch.sigmoid(x_z + (r * h) @ self.h2h.weight.chunk(3)[1].T + self.h2h.bias.chunk(3)[1])",
        "update gate reads the state after its reset",
    ),
    "update resets": (CANDIDATE, "n = torch.tanh(x_n + z * h_n)", "update gate stands where the reset gate"),
    "tanh missing": (CANDIDATE, "n = x_n + r * h_n", "the tanh of your candidate is missing"),
    "sigmoid for tanh": (CANDIDATE, "n = torch.sigmoid(x_n + r * h_n)", "candidate has a sigmoid, where tanh"),
    "tanh twice": (CANDIDATE, "n = torch.tanh(x_n + r * h_n).tanh()", "candidate goes through tanh twice"),
    "relu": (CANDIDATE, "n = torch.relu(x_n + r * h_n)", "candidate has a relu"),
    "state without weights": (CANDIDATE, "n = torch.tanh(x_n + r * h)", "reads the reset state without its weights"),
    "tanh for sigmoid": ("z = torch.sigmoid(x_z + h_z)", "z = torch.tanh(x_z + h_z)", "update gate has a tanh"),
    "bare reset gate": ("r = torch.sigmoid(x_r + h_r)", "r = x_r + h_r", "reset gate has no sigmoid"),
    "output is candidate": ("output = h_new", "output = n", "output is the candidate"),
    "transposed": (
        "h_r, h_z, h_n = self.h2h(h).split(self.hidden_size, dim=-1)",
        "h_r, h_z, h_n = (h @ w + b for w, b in zip(self.h2h.weight.chunk(3), self.h2h.bias.chunk(3)))",
        "square matrix `h2h.weight` is used transposed",
    ),
    "not updated": ("[h_new]", "[h]", "hidden state is returned as it came in"),
    "bias twice": (
        "return self.x2h(input)",
        "return self.x2h(input) + self.x2h.bias",
        "input's product is added twice",
    ),
}
NEXT = "h_new = torch.tanh(projected + from_state)"
RNN = {
    "linear": (NEXT, "h_new = projected + from_state", "the tanh is missing"),
    "sigmoid": (NEXT, "h_new = torch.sigmoid(projected + from_state)", "a sigmoid, where tanh belongs"),
    "tanh twice": (NEXT, "h_new = torch.tanh(torch.tanh(projected + from_state))", "goes through tanh twice"),
    "softmax": (NEXT, "h_new = torch.softmax(projected + from_state, -1)", "a softmax over the units"),
    "tanh of each": (NEXT, "h_new = projected.tanh() + from_state.tanh()", "of the two products one by one"),
    "tanh of input": (NEXT, "h_new = projected.tanh() + from_state", "tanh is taken of the input's product alone"),
    "tanh of state": (NEXT, "h_new = projected + from_state.tanh()", "tanh is taken of the state's product alone"),
    "product": (NEXT, "h_new = torch.tanh(projected * from_state)", "products are multiplied, not added"),
    "residual": (NEXT, "h_new = h + torch.tanh(projected + from_state)", "old state is added to the new one"),
    "bias twice": (NEXT, "h_new = torch.tanh(projected + from_state + self.b_hh)", "recurrent product is added twice"),
    "bias missing": (
        "from_state = h @ self.W_hh.T + self.b_hh",
        "from_state = h @ self.W_hh.T",
        "recurrent product is never",
    ),
    "output before tanh": ("output = h_new", "output = projected + from_state", "output is what goes into the tanh"),
    "transposed": ("h @ self.W_hh.T", "h @ self.W_hh", "square matrix `W_hh` is used transposed"),
}
ALL = [(kind, name) for kind, rows in (("lstm", LSTM), ("gru", GRU), ("rnn", RNN)) for name in rows]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_known_mistake_is_named(mutate, kind, name):
    old, new, says = {"lstm": LSTM, "gru": GRU, "rnn": RNN}[kind][name]
    result = check_cell(mutate(kind, (old, new)), like=kind).find("equations")
    assert result.status == "failed"
    assert says in result.message
    assert "; and" not in result.message, "one mistake was made"
    assert result.expected
    assert result.came
    assert result.example
    assert result.where
    if old == RETURN:
        assert new in result.where, "the line that returns of the step, not of `project`"


class Cho(torch.nn.Module):
    """The GRU of Cho et al. (2014), equations 5 to 8: the reset gate scales the state before its product."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        for gate in ("z", "r", "n"):
            setattr(self, f"W_{gate}", torch.nn.Linear(input_size, hidden_size, bias=False))
            setattr(self, f"U_{gate}", torch.nn.Linear(hidden_size, hidden_size, bias=False))

    def forward(self, x, h):
        r = torch.sigmoid(self.W_r(x) + self.U_r(h))
        z = torch.sigmoid(self.W_z(x) + self.U_z(h))
        n = torch.tanh(self.W_n(x) + self.U_n(r * h))
        return z * h + (1 - z) * n


def test_the_line_of_the_mistake_is_shown(mutate):
    result = check_cell(mutate("lstm", (HIDDEN, "h_new = o * torch.tanh(c)")), like="lstm").find("equations")
    assert result.where.endswith(".py:30: h_new = o * torch.tanh(c)")


class InAFunction(styles.NoBias):
    def step(self, projected, state):
        return one_step(projected, state[0], state[1], self.u)


def one_step(projected, h, c, u):
    i, f, g, o = (projected + h @ u.T).chunk(4, -1)
    c_new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h_new = torch.sigmoid(o) * torch.tanh(c)
    return h_new, [h_new, c_new]


class Inherited(InAFunction):
    """Nothing of its own."""


class InAPart(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.part = WithAMistake(input_size, hidden_size)

    def forward(self, x, hx):
        return self.part(x, hx)


class WithAMistake(styles.JointLinears):
    def forward(self, x, hx):
        both, c = torch.cat((x, hx[0]), dim=-1), hx[1]
        c_new = self.forget_gate(both).sigmoid() * c + self.input_gate(both).sigmoid() * self.candidate(both).tanh()
        h_new = self.output_gate(both).sigmoid() * torch.tanh(c)
        return h_new, c_new


@pytest.mark.parametrize("kind", [InAFunction, Inherited, InAPart])
def test_the_line_is_shown_wherever_a_step_runs_it(kind):
    result = check_cell(kind, like="lstm").find("equations")
    assert "before its update" in result.message
    assert "h_new = " in result.where
    assert result.where.endswith("torch.tanh(c)")


def test_a_profiler_of_the_users_goes_on(mutate):
    def afterwards():
        pass

    with cProfile.Profile() as profiler:
        report = check_cell(mutate("lstm", (HIDDEN, "h_new = o * torch.tanh(c)")), like="lstm")
        afterwards()
    assert any(called.code is afterwards.__code__ for called in profiler.getstats())
    assert report.find("equations").where.endswith("h_new = o * torch.tanh(c)")


def test_the_names_of_gates_are_those_of_a_function_that_a_step_runs(monkeypatch):
    monkeypatch.setitem(globals(), "one_step", swapped_step)
    assert "gates are swapped: what you call `i`" in check_cell(InAFunction, like="lstm").find("equations").message


def swapped_step(projected, h, c, u):
    i, f, g, o = (projected + h @ u.T).chunk(4, -1)
    c_new = torch.sigmoid(i) * c + torch.sigmoid(f) * torch.tanh(g)
    h_new = torch.sigmoid(o) * torch.tanh(c_new)
    return h_new, [h_new, c_new]


def test_a_candidate_is_not_shown_for_the_new_state():
    class Squashed(Cho):
        def forward(self, x, h):
            z, r = torch.sigmoid(self.W_z(x) + self.U_z(h)), torch.sigmoid(self.W_r(x) + self.U_r(h))
            h_tilde = torch.tanh(self.W_n(x) + self.U_n(r * h))
            return torch.tanh(z * h + (1 - z) * h_tilde)

    assert "return torch.tanh(z * h" in check_cell(Squashed, like="gru").find("equations").where


def test_the_smallest_input_that_shows_a_mistake_has_as_many_zeros_as_possible(mutate):
    report = check_cell(mutate("lstm", (CELL, "c_new = c + i * g")), like="lstm").find("equations")
    assert report.example == "one step on one row: an input of zeros, and only the cell state random"
    report = check_cell(mutate("gru", (NEW, "h_new = n + z * h")), like="gru").find("equations")
    assert report.example == "one step on one row: an input of zeros from a state of zeros"


def test_two_mistakes_at_once_are_both_named(mutate):
    cell = mutate("lstm", (CELL, "c_new = f * c + g"), ("o = torch.sigmoid(o)", "o = torch.tanh(o)"))
    message = check_cell(cell, like="lstm").find("equations").message
    assert "the input gate does not scale it; and your output gate has a tanh" in message


def test_the_gru_as_it_was_published_is_no_mistake():
    report = check_cell(Cho, like="gru")
    assert report.passed
    assert report.find("equations").status == "noted"
    assert "reset gate comes before the product" in report.find("equations").message


OF_CHO = {
    "kept state reset": "your old state is reset where it is kept",
    "update reads reset": "your update gate reads the state after its reset",
    "reset inverted": "your reset gate is the wrong way round",
    "tanh missing": "the tanh of your candidate is missing",
    "another tanh": "your new state goes through another tanh",
}


@pytest.mark.parametrize("name", OF_CHO)
def test_a_mistake_in_the_published_gru_is_named_first(name):
    class Wrong(Cho):
        def forward(self, x, h):
            r = torch.sigmoid(self.W_r(x) + self.U_r(h))
            z = torch.sigmoid(self.W_z(x) + self.U_z(r * h if name == "update reads reset" else h))
            reset = (1 - r) * h if name == "reset inverted" else r * h
            n = self.W_n(x) + self.U_n(reset)
            n = n if name == "tanh missing" else torch.tanh(n)
            h = reset if name == "kept state reset" else h
            new = z * h + (1 - z) * n
            return torch.tanh(new) if name == "another tanh" else new

    result = check_cell(Wrong, like="gru").find("equations")
    assert result.status == "failed"
    assert result.message.startswith(OF_CHO[name])
    assert "; else a GRU whose reset gate comes before the product" in result.message


def test_what_is_not_recognised_is_said_plainly_with_the_first_difference(mutate):
    cell = mutate("lstm", (HIDDEN, "h_new = o * torch.sin(c_new) + 0.1 * i"))
    result = check_cell(cell, like="lstm").find("equations")
    assert result.status == "failed"
    assert "no mistake that is known here (cell agrees, the rest does not)" in result.message
    assert result.expected.startswith("hidden[")
    assert result.came.startswith("hidden[")
    assert result.expected != result.came


def test_gates_are_swapped_if_their_names_are(mutate):
    result = check_cell(mutate("lstm", (CELL, "c_new = i * c + f * g")), like="lstm").find("equations")
    assert result.status == "failed"
    assert "`i` works as the forget gate, what you call `f` works as the input gate" in result.message


def test_gates_in_another_order_are_no_mistake(mutate):
    result = check_cell(mutate("lstm", ("i, f, g, o = z", "o, i, g, f = z")), like="lstm").find("equations")
    assert result.status == "passed"
    assert "your gates stand in the order o, i, g, f" in result.message


def test_swapped_names_of_separate_weights_are_named():
    class Swapped(torch.nn.Module):
        def __init__(self, input_size, hidden_size):
            super().__init__()
            for gate in "rzn":
                setattr(self, f"W_{gate}", torch.nn.Linear(input_size, hidden_size))
                setattr(self, f"U_{gate}", torch.nn.Linear(hidden_size, hidden_size))

        def forward(self, x, h):
            z = torch.sigmoid(self.W_r(x) + self.U_r(h))
            r = torch.sigmoid(self.W_z(x) + self.U_z(h))
            n = torch.tanh(self.W_n(x) + r * self.U_n(h))
            return (1 - z) * n + z * h

    result = check_cell(Swapped, like="gru").find("equations")
    assert result.status == "failed"
    assert "what you call `W_r.weight` works as the update gate" in result.message


def test_weights_of_input_and_state_in_different_orders_are_found(mutate):
    read = "z = projected + torch.cat([(h @ self.U.T).split(self.hidden_size, -1)[k] for k in (1, 0, 2, 3)], dim=-1)"
    result = check_cell(mutate("lstm", (READ, read)), like="lstm").find("equations")
    assert result.status == "failed"
    assert "used for other gates than the input's" in result.message
    assert result.came.startswith("f, i, g, o")


def test_there_are_at_least_twenty_five_mistakes_and_no_two_are_the_same():
    torch.manual_seed(0)
    assert sum(mistake.kind == "mistake" for known in CATALOGUE.values() for mistake in known) >= 25
    for name, equations in REFERENCES.items():
        weights = draw_weights(equations.gates, 7, 5)
        x = torch.randn(2, 7, dtype=torch.float64)
        states = {state: torch.randn(2, 5, dtype=torch.float64) for state in equations.states}
        right = torch.cat(evaluate(equations, weights, x, states).results)
        seen = {"the reference": right}
        for mistake in (mistake for mistake in CATALOGUE[name] if mistake.gates is None):
            came = torch.cat(evaluate(mistake.apply(equations), weights, x, states).results)
            for other, numbers in seen.items():
                assert (came - numbers).abs().max() > 1e-6, f"{name}: {mistake.name} is {other}"
            seen[mistake.name] = came


@pytest.mark.parametrize("name", REFERENCES)
def test_references_match_torch(name):
    equations = REFERENCES[name]
    weights = draw_weights(equations.gates, 7, 5)
    theirs = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}[name](7, 5).double()
    blocks = {"weight_ih": weights.w, "weight_hh": weights.u, "bias_ih": weights.b, "bias_hh": weights.c}
    theirs.load_state_dict({key: torch.cat([part[gate] for gate in equations.gates]) for key, part in blocks.items()})
    x = torch.randn(3, 7, dtype=torch.float64)
    states = {state: torch.randn(3, 5, dtype=torch.float64) for state in equations.states}
    given = tuple(states.values())
    expected = theirs(x, given if len(given) > 1 else given[0])
    came = tuple(evaluate(equations, weights, x, states).results[1:])
    torch.testing.assert_close(came, expected if isinstance(expected, tuple) else (expected,), atol=1e-12, rtol=0)


def test_a_line_that_only_names_the_state_is_not_shown_for_the_new_one():
    class Turned(Cho):
        def forward(self, x, hx):
            h = hx
            z, r = torch.sigmoid(self.W_z(x) + self.U_z(h)), torch.sigmoid(self.W_r(x) + self.U_r(h))
            n = torch.tanh(self.W_n(x) + self.U_n(r * h))
            h = (1 - z) * h + z * n
            return h  # noqa: RET504  # as many write it

    assert "h = (1 - z) * h + z * n" in check_cell(Turned, like="gru").find("equations").where


WRITTEN = {  # the lines of a step, and what stands in the one that is wrong
    "named by time": (
        "f_t, c_tilde = torch.sigmoid(f), torch.tanh(g)",
        "c_tilde = torch.tanh(g)",
        "c_t = (1 - f_t) * c + torch.sigmoid(i) * c_tilde",
        "h_t = torch.sigmoid(o) * torch.tanh(c_t)",
        "return h_t, c_t",
        "c_t = (1 - f_t)",
    ),
    "products of their own": (
        "h_gates = self.h2h(h) * 1",
        "h_x = self.x2h(x) * 1",
        "c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)",
        "h = torch.sigmoid(o) * c",
        "return h, c",
        "h = torch.sigmoid(o) * c",
    ),
    "torch's names": (
        "ingate, forgetgate = torch.sigmoid(i), 0",
        "forgetgate = torch.tanh(f)",
        "cy = (forgetgate * c) + (ingate * torch.tanh(g))",
        "hy = torch.sigmoid(o) * torch.tanh(cy)",
        "return hy, cy",
        "forgetgate = torch.tanh(f)",
    ),
    "annotated": (
        "h_0 = torch.zeros(2, 5)",
        "c_0 = c.clone() * 1",
        "c_next: torch.Tensor = torch.sigmoid(f) * c + torch.tanh(g)",
        "h_next: torch.Tensor = torch.sigmoid(o) * torch.tanh(c_next)",
        "return h_next, c_next",
        "c_next: torch.Tensor",
    ),
}


@pytest.mark.parametrize("style", WRITTEN)
def test_the_line_is_found_whatever_names_are_used(style, tmp_path, monkeypatch):
    *lines, wrong = WRITTEN[style]
    head = [
        "import torch",
        "from torch import nn",
        "class Own(nn.Module):",
        "    def __init__(self, input_size, hidden_size):",
        "        super().__init__()",
        "        self.x2h = nn.Linear(input_size, 4 * hidden_size)",
        "        self.h2h = nn.Linear(hidden_size, 4 * hidden_size)",
        "    def forward(self, x, hx):",
        "        h, c = hx",
        "        i, f, g, o = (self.x2h(x) + self.h2h(h)).chunk(4, -1)",
    ]
    (tmp_path / "own_lines.py").write_text("\n".join([*head, *(f"        {line}" for line in lines)]))
    result = check_target(str(tmp_path / "own_lines.py"), like="lstm").find("equations")
    assert result.status == "failed"
    assert wrong in result.where.partition(": ")[2], result
