"""Relatives of the references: what is a variant, what is a mistake, and a variant hides no mistake."""

import pytest
import torch
from torch import Tensor, nn

from seqsum import RecurrentCell, check_cell
from tests.check.changes import LSTM_INIT, READ, begins


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


class Swapped(nn.Module):
    """An LSTM whose input and forget gate are exchanged, with something that torch's has not."""

    def __init__(self, input_size, hidden_size, variant):
        super().__init__()
        self.input_size, self.hidden_size, self.variant = input_size, hidden_size, variant
        self.x = nn.Linear(input_size, 4 * hidden_size)
        self.h = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        if variant == "peepholes":
            self.w_ci, self.w_cf, self.w_co = (nn.Parameter(torch.rand(hidden_size)) for _ in range(3))
        self.norm = nn.LayerNorm(hidden_size) if variant == "norm" else nn.Identity()

    def forward(self, x, state):
        h, c = state
        i, f, g, o = (self.x(x) + self.h(h)).chunk(4, 1)
        if self.variant == "peepholes":
            i, f = i + self.w_ci * c, f + self.w_cf * c
        if self.variant == "forget bias":
            i = i + 1
        c = torch.sigmoid(i) * c + torch.sigmoid(f) * torch.tanh(g)
        o = o + self.w_co * c if self.variant == "peepholes" else o
        return torch.sigmoid(o) * torch.tanh(self.norm(c)), c


@pytest.mark.parametrize("variant", ["", "peepholes", "norm", "forget bias"])
def test_nor_gates_that_are_exchanged(variant):
    result = check_cell(Swapped(7, 5, variant), like="lstm").find("equations")
    assert result.status == "failed"
    assert "gates are swapped: what you call `i` works as the forget gate" in result.message


class Choes(RecurrentCell):
    """A GRU that resets before the product, as Cho et al. (2014)."""

    gate_names = ("reset", "update")
    turned = False

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.W = nn.Parameter(torch.randn(3, input_size, hidden_size))
        self.U = nn.Parameter(torch.randn(3, hidden_size, hidden_size))

    def project(self, input: Tensor) -> Tensor:
        return torch.cat([input @ self.W[0], input @ self.W[1], input @ self.W[2]], -1)

    def gates(self, projected: Tensor, state: list[Tensor]) -> list[Tensor]:
        r, z, _ = projected.chunk(3, -1)
        return [torch.sigmoid(r + state[0] @ self.U[0]), torch.sigmoid(z + state[0] @ self.U[1])]

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        r, z, n = projected.chunk(3, -1)
        r, z = torch.sigmoid(r + state[0] @ self.U[0]), torch.sigmoid(z + state[0] @ self.U[1])
        n = torch.tanh(n + (r * state[0]) @ (self.U[2].T if self.turned else self.U[2]))
        h = z * state[0] + (1 - z) * n
        return h, [h]


class Turned(Choes):
    turned = True


class Exchanged(Choes):
    gate_names = ("update", "reset")


@pytest.mark.parametrize(
    ("kind", "says"),
    [(Choes, ""), (Turned, "is used transposed"), (Exchanged, "what `gates` gives as `update` is the reset gate")],
)
def test_nor_what_stands_wrongly_in_it(kind, says):
    result = check_cell(kind, like="gru").find("equations")
    assert result.status == ("failed" if says else "noted"), result
    assert (says or "reset gate comes before the product") in result.message


def test_beside_a_norm_the_mistake_is_shown_with_its_line(mutate):
    norm = ("h_new = o * torch.tanh(c_new)", "h_new = o * torch.tanh(self.norm(c_new))")
    made = (LSTM_INIT, LSTM_INIT + "        self.norm = nn.LayerNorm(hidden_size)\n")
    result = check_cell(mutate("lstm", norm, made, ("torch.tanh(g)", "g")), like="lstm").find("equations")
    assert result.status == "failed"
    assert "without `norm`, the tanh of your cell update is missing" in result.message
    assert "self.norm" not in result.where
    assert "tanh" in result.expected


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
    result = check_cell(mutate("lstm", (rare[0], rare[1].replace(*change))), like="lstm").find("begins_alike")
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


@pytest.mark.parametrize("period", [3, 7])
def test_a_part_that_works_once_in_several_steps_is_trained(period):
    class Clockwork(RecurrentCell):
        state_names = ("hidden", "steps")

        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size, state_size=[hidden_size, 1])
            self.fast, self.slow = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size, bias=False)

        def project(self, input: Tensor) -> Tensor:
            return self.fast(input)

        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            due = (state[1] % period == 0).to(projected)
            hidden = torch.tanh(projected + due * self.slow(state[0]))
            return hidden, [hidden, (state[1] + 1).detach()]

    assert check_cell(Clockwork).find("parameters_used").status == "passed"
