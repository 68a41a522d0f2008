"""Right cells pass, whatever their style, and relatives of the references are called what they are."""

import random
import types
import warnings
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqsum import GRUCell, LSTMCell, RecurrentCell, RNNCell, check_cell
from tests.check import styles

RIGHT = [
    (styles.Torchs, "lstm", "torch.nn.LSTMCell's"),
    (styles.IFOG, "lstm", "your gates stand in the order i, f, o, g"),
    (styles.Keras, "lstm", "torch.nn.LSTMCell's"),
    (styles.TensorFlow, "lstm", "i, g, f, o (TensorFlow's); your state is (cell, hidden)"),
    (styles.OneMatrix, "lstm", "f, i, g, o; one matrix for [h, x]"),
    (styles.Separate, "lstm", "i, f, o, g"),
    (styles.Linears, "lstm", "torch.nn.LSTMCell's"),
    (styles.JointLinears, "lstm", "f, i, g, o; one matrix for [x, h]"),
    (styles.Einsum, "lstm", "f, i, o, g"),
    (styles.Interleaved, "lstm", "your gates are interleaved, row by row"),
    (styles.NoBias, "lstm", "without biases"),
    (styles.KerasGRU, "gru", "z, r, n (Keras's)"),
    (styles.MixedGRU, "gru", "torch.nn.GRUCell's"),
    (styles.OneMatrixRNN, "rnn", "one matrix for [x, h]"),
    (styles.OfGates, "lstm", "torch.nn.LSTMCell's"),
    (styles.CellFirst, "lstm", "your state is (cell, hidden)"),
    (styles.CellFirstOfThree, "lstm", "your state is (cell, hidden)"),
    (styles.InADict, "rnn", "torch.nn.RNNCell's"),
    (styles.FourBiases, "gru", "torch.nn.GRUCell's"),
    (styles.CandidateFirst, "gru", "torch.nn.GRUCell's"),
    (styles.ResetLast, "gru", "torch.nn.GRUCell's"),
    (styles.Parametrized, "gru", "torch.nn.GRUCell's"),
    (styles.WrappedLSTM, "lstm", "torch.nn.LSTMCell's"),
    (styles.WrappedGRU, "gru", "torch.nn.GRUCell's"),
    (styles.WrappedRNN, "rnn", "torch.nn.RNNCell's"),
    (torch.nn.LSTMCell, "lstm", "torch.nn.LSTMCell's"),
    (torch.nn.GRUCell, "gru", "torch.nn.GRUCell's"),
    (torch.nn.RNNCell, "rnn", "torch.nn.RNNCell's"),
    (LSTMCell, "lstm", "torch.nn.LSTMCell's"),
    (GRUCell, "gru", "torch.nn.GRUCell's"),
    (RNNCell, "rnn", "torch.nn.RNNCell's"),
]
RELATIVES = [
    (styles.ForgetBias, "lstm", "1 added to the forget gate's bias"),
    (styles.Peepholes, "lstm", "an LSTM with peepholes"),
    (styles.MixedJoints, "gru", "whose reset gate comes before the product, U (r * hidden)"),
    (styles.Coupled, "lstm", "coupled gates"),
    (styles.Normalised, "lstm", "an LSTM with layer normalisation: without `norm_x`, `norm_h`, the reference"),
    (LSTMCell(3, 4, output_activation="identity"), "lstm", "whose output is o * cell'"),
    (LSTMCell(3, 4, layer_norm=True), "lstm", "with layer normalisation"),
    (RNNCell(3, 4, nonlinearity="relu"), "rnn", "with relu"),
]


def name(value):
    return value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__)


@pytest.mark.parametrize(("cell", "like", "says"), RIGHT, ids=name)
def test_a_right_cell_passes_in_every_style(cell, like, says):
    report = check_cell(cell, like=like)
    assert report.passed, report
    result = report.find("equations")
    assert result.status == "passed"
    assert says in result.message


@pytest.mark.parametrize(("cell", "like", "says"), RELATIVES, ids=name)
def test_a_relative_is_called_what_it_is_and_does_not_fail(cell, like, says):
    report = check_cell(cell, like=like)
    assert report.passed, report
    result = report.find("equations")
    assert result.status == "noted"
    assert says in result.message


@pytest.mark.parametrize(("cell", "like", "says"), RIGHT, ids=name)
def test_what_a_cell_computes_is_recognised_unasked(cell, like, says):
    assert says in check_cell(cell).find("equations").message


def test_a_cell_of_its_own_is_said_to_be_one():
    class Own(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            hidden = torch.sin(self.i2h(torch.cat((input, hidden), 1)))
            return hidden, hidden

    result = check_cell(Own).find("equations")
    assert result.status == "passed"
    assert "none of torch.nn's cells" in result.message


def test_what_a_cell_comes_near_to_is_recognised_unasked():
    report = check_cell(styles.Coupled)
    assert report.passed
    assert report.find("equations").status == "noted"
    assert report.find("equations").message.startswith("its own, and nearly an LSTM's: an LSTM with coupled gates")


def test_a_square_matrix_beside_a_linear_layer_may_be_multiplied_from_either_side():
    class Mixed(torch.nn.Module):
        def __init__(self, input_size, hidden_size):
            super().__init__()
            self.x2h, self.U = torch.nn.Linear(input_size, hidden_size), styles.new(hidden_size, hidden_size)

        def forward(self, x, h):
            return torch.tanh(self.x2h(x) + h @ self.U)

    assert check_cell(Mixed, like="rnn").find("equations").status == "passed"


def test_the_cell_that_is_given_stays_as_it_is():
    cell = styles.Torchs(7, 5)
    before = {name: tensor.clone() for name, tensor in cell.state_dict().items()}
    random = torch.get_rng_state()
    check_cell(cell.train(), like="lstm")  # says no sizes: a report, too
    cell.input_size, cell.hidden_size = 7, 5
    assert check_cell(cell, like="lstm").passed
    assert cell.training
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in cell.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, before[name])


def test_a_large_cell_is_made_again_with_small_sizes():
    report = check_cell(LSTMCell(300, 600), like="lstm")
    assert report.passed
    assert report.seconds < 10


@pytest.mark.parametrize(
    ("cell", "like"),
    [
        (torch.nn.LSTMCell(10, 20), "lstm"),
        (torch.nn.LSTMCell(8, 8), "lstm"),
        (torch.nn.GRUCell(8, 8), "gru"),
        (torch.nn.RNNCell(5, 5), "rnn"),
        (LSTMCell(8, 8), "lstm"),
        (GRUCell(3, 5, recurrent_bias=False), "gru"),
        (LSTMCell(3, 5, recurrent_dropout=0.5), "lstm"),
    ],
)
def test_an_instance_is_understood_whatever_its_sizes(cell, like):
    report = check_cell(cell, like=like)
    assert report.passed, report
    assert report.find("equations").status == "passed"


def make_class(signature, arguments):
    """A right RNN whose constructor has another signature."""
    body = f"def __init__(self, {signature}):\n    Base.__init__(self, {arguments})"
    scope = {"Base": styles.OneMatrixRNN}
    exec(body, scope)
    return type("Own", (styles.OneMatrixRNN,), {"__init__": scope["__init__"]})


@pytest.mark.parametrize(
    ("signature", "arguments"),
    [
        ("input_size, hidden_size, bias=True", "input_size, hidden_size"),
        ("hidden_size, input_size", "input_size, hidden_size"),
        ("units, in_features", "in_features, units"),
        ("latent, obs_dim", "obs_dim, latent"),
        ("*, n_hidden, n_input", "n_input, n_hidden"),
        ("d, k", "d, k"),
        ("*sizes", "*sizes"),
        ("**options", "**options"),
        ("input_dim=3, hidden_dim=4", "input_dim, hidden_dim"),
    ],
)
def test_sizes_are_given_by_the_names_that_a_constructor_has(signature, arguments):
    report = check_cell(make_class(signature, arguments), like="rnn")
    assert report.passed, report


def test_an_unknown_reference_is_refused():
    with pytest.raises(ValueError, match=r"`like` \(='transformer'\) must be one of"):
        check_cell(LSTMCell, like="transformer")


def test_a_counter_may_be_a_state():
    report = check_cell(styles.Clockwork)
    assert report.passed, report


@pytest.mark.parametrize("sizes", [(1, 8), (8, 1), (1, 1), (2, 1), (1, 2), (4, 1)])
@pytest.mark.parametrize(("kind", "like"), [(nn.LSTMCell, "lstm"), (nn.GRUCell, "gru"), (nn.RNNCell, "rnn")])
def test_one_feature_and_one_unit_are_sizes_too(sizes, kind, like):
    report = check_cell(kind(*sizes), like=like)
    assert report.find("equations").status == "passed", report


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_plain_cell_of_another_type_is_understood(dtype):
    assert check_cell(nn.LSTMCell(3, 4, dtype=dtype), like="lstm").passed


class CoupledByInput(nn.Module):
    """Greff et al. (2017): the forget gate is 1 − i."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        sizes = input_size + hidden_size, hidden_size
        self.input_gate, self.candidate, self.output_gate = nn.Linear(*sizes), nn.Linear(*sizes), nn.Linear(*sizes)

    def forward(self, x, hx):
        h, c = hx
        xh = torch.cat([x, h], dim=1)
        i = torch.sigmoid(self.input_gate(xh))
        c = (1 - i) * c + i * torch.tanh(self.candidate(xh))
        return torch.sigmoid(self.output_gate(xh)) * torch.tanh(c), c


def test_coupled_gates_are_a_variant_whichever_has_the_weights():
    result = check_cell(CoupledByInput, like="lstm").find("equations")
    assert result.status == "noted"
    assert "its forget gate is 1 − i" in result.message


class OneBiasMore(nn.Module):
    """A GRU whose candidate alone has two biases: `linear` has the others in one, or each is a vector."""

    linear = True

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.w = nn.Linear(input_size, 3 * hidden_size, bias=self.linear)
        self.u = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        if not self.linear:
            self.b_r, self.b_z, self.b_in = styles.new(hidden_size), styles.new(hidden_size), styles.new(hidden_size)
        self.b_hn = styles.new(hidden_size)

    def forward(self, x, h):
        read, recalled = self.w(x).chunk(3, 1), self.u(h).chunk(3, 1)
        b_r, b_z, b_in = (0, 0, 0) if self.linear else (self.b_r, self.b_z, self.b_in)
        r, z = torch.sigmoid(read[0] + recalled[0] + b_r), torch.sigmoid(read[1] + recalled[1] + b_z)
        n = torch.tanh(read[2] + b_in + r * (recalled[2] + self.b_hn))
        return (1 - z) * n + z * h


class OneBiasMoreByVectors(OneBiasMore):
    linear = False


@pytest.mark.parametrize("kind", [OneBiasMore, OneBiasMoreByVectors])
def test_one_gate_may_have_two_biases(kind):
    result = check_cell(kind, like="gru").find("equations")
    assert result.status == "passed", result


class Loads(styles.IFOG):
    """Another program's order of gates, in a method that no step runs."""

    def load(self, weights):
        i, f, g, o = weights.chunk(4)
        self.read.weight.data = torch.cat([i, f, o, g])

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        a, b, c, d = (projected + self.recall(state[0])).split(self.hidden_size, dim=-1)
        cell = torch.sigmoid(b) * state[1] + torch.sigmoid(a) * torch.tanh(d)
        hidden = torch.sigmoid(c) * torch.tanh(cell)
        return hidden, [hidden, cell]


@pytest.mark.parametrize("hidden_first", list(product([False, True], repeat=4)), ids=str)
def test_one_matrix_may_read_the_hidden_state_before_the_input_and_another_after_it(hidden_first):
    class Mixed(styles.JointLinears):
        def forward(self, x, hx):
            h, c = hx
            joined = [torch.cat([h, x] if first else [x, h], -1) for first in hidden_first]
            layers = (self.forget_gate, self.input_gate, self.candidate, self.output_gate)
            f, i, n, o = (layer(both) for layer, both in zip(layers, joined, strict=True))
            c = f.sigmoid() * c + i.sigmoid() * n.tanh()
            return o.sigmoid() * c.tanh(), c

    report = check_cell(Mixed, like="lstm")
    assert report.passed, report
    said, names = report.find("equations").message, ("forget_gate", "input_gate", "candidate", "output_gate")
    for read, chosen in (("[h, x]", hidden_first), ("[x, h]", [not first for first in hidden_first])):
        of_them = ", ".join(f"`{name}.weight`" for name, first in zip(names, chosen, strict=True) if first)
        assert (f"{of_them} for {read}" in said) == (0 < sum(chosen) < 4)
        assert (f"one matrix for {read}" in said) == all(chosen)


class Unitary(RecurrentCell):
    """A diagonal of complex numbers on the state's spectrum (after Arjovsky et al., 2016)."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)
        self.turn = nn.Parameter(0.1 * torch.randn(hidden_size, dtype=torch.complex64))

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        spread = torch.complex(state[0], projected) * self.turn
        hidden = torch.tanh(spread.real + 2 * spread.imag)
        return hidden, [hidden]


class LinearRecurrentUnit(nn.Module):
    """A diagonal of complex numbers and a complex product (after Orvieto et al., 2023); real and imaginary states."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.read = nn.Parameter(torch.randn(hidden_size, input_size, dtype=torch.complex64) * 0.3)
        self.decay = nn.Parameter(torch.randn(hidden_size, dtype=torch.complex64) * 0.3)
        self.show = nn.Linear(2 * hidden_size, hidden_size)

    def forward(self, x, hx):
        state = self.decay * torch.complex(*hx) + x.to(self.read.dtype) @ self.read.T
        return self.show(torch.cat([state.real, state.imag], -1)), (state.real, state.imag)


@pytest.mark.parametrize("kind", [Unitary, LinearRecurrentUnit])
def test_weights_may_be_complex(kind):
    report = check_cell(kind)
    assert report.passed, report
    assert report.find("gradients_right").status == "passed"
    assert report.find("second_derivatives").status == "passed"


@pytest.mark.parametrize("part", ["real", "imag"])
def test_a_wrong_gradient_of_a_complex_weight_is_found(part):
    class Wrong(Unitary):
        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            number = getattr(self.turn, part)
            spread = torch.complex(state[0], projected) * self.turn
            hidden = torch.tanh(spread.real + 2 * spread.imag) + 0.1 * (number - number.detach())
            return hidden, [hidden]

    result = check_cell(Wrong).find("gradients_right")
    assert result.status == "failed"
    assert f"at `turn`[0, {0 if part == 'real' else 1}]" in result.expected


def test_names_are_those_of_the_step():
    assert check_cell(Loads, like="lstm").passed


def test_frozen_weights_are_noted():
    cell = nn.LSTMCell(3, 5)
    cell.weight_hh.requires_grad_(False)
    report = check_cell(cell, like="lstm")
    assert report.passed
    assert "`weight_hh` is frozen" in report.find("parameters_registered").message


class FromZero(styles.IFOG):
    """Recurrent weights and all else begin at zero, and sequences from what a gate's bias says."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        for weight in self.parameters():
            nn.init.zeros_(weight)

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        state[0], state[1] = super().step(projected, state)[1]
        return state[0], state


def test_weights_may_begin_at_zero_and_a_step_write_into_its_list():
    report = check_cell(FromZero, like="lstm")
    assert report.passed, report


class StartsFromABias(styles.IFOG):
    def initial_state(self, batch_size, like):
        start = torch.tanh(self.read.bias[: self.hidden_size]).expand(batch_size, -1)
        return [start, start]


def test_an_initial_state_may_come_from_a_weight_of_a_gate():
    result = check_cell(StartsFromABias, like="lstm").find("equations")
    assert result.status == "noted"
    assert "begin from learned states" in result.message


class Stacked(nn.Module):
    """An LSTM whose matrices and biases are stacked along one of their axes."""

    axis = 0

    def __init__(self, input_size, hidden_size):
        super().__init__()
        shapes = [(input_size, hidden_size), (hidden_size, hidden_size)]
        self.w, self.u = (styles.new(*shape[: self.axis], 4, *shape[self.axis :]) for shape in shapes)
        self.b = styles.new(hidden_size, 4) if self.axis == 2 else styles.new(4, hidden_size)

    def forward(self, x, hx):
        h, c = hx
        stacks = zip(self.w.unbind(self.axis), self.u.unbind(self.axis), strict=True)
        biases = self.b.unbind(1 if self.axis == 2 else 0)
        i, f, g, o = (x @ w + h @ u + b for (w, u), b in zip(stacks, biases, strict=True))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class StackedInside(Stacked):
    axis = 1


class StackedBehind(Stacked):
    axis = 2


@pytest.mark.parametrize("kind", [Stacked, StackedInside, StackedBehind])
def test_gates_may_be_stacked_along_any_axis(kind):
    result = check_cell(kind, like="lstm").find("equations")
    assert result.status == "passed", result


class Peeping(nn.Module):
    """Peepholes in another order than the gates."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x2h, self.h2h = nn.Linear(input_size, 4 * hidden_size), nn.Linear(hidden_size, 4 * hidden_size)
        self.w_cf, self.w_ci, self.w_co = (styles.new(hidden_size) for _ in range(3))

    def forward(self, x, hx):
        h, c = hx
        i, f, g, o = (self.x2h(x) + self.h2h(h)).chunk(4, 1)
        i, f = torch.sigmoid(i + self.w_ci * c), torch.sigmoid(f + self.w_cf * c)
        c = f * c + i * torch.tanh(g)
        return torch.sigmoid(o + self.w_co * c) * torch.tanh(c), c


def test_peepholes_may_stand_in_any_order():
    result = check_cell(Peeping, like="lstm").find("equations")
    assert result.status == "noted"
    assert "peepholes" in result.message


class Holding(styles.Torchs):
    """Holds what can't be compared or copied as numbers are, and takes a mask that may be left out."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.periods, self.options = np.array([1, 2, 4]), types.SimpleNamespace(rate=0.5)
        self.register_buffer("table", torch.eye(3).to_sparse())

    def forward(self, input, state, mask=None):
        return super().forward(input, (state[0], state[1]))


def test_a_cell_may_hold_anything_and_take_more():
    report = check_cell(Holding, like="lstm")
    assert report.passed, report


class Tossing(styles.Torchs):
    """Leaves states as they were at random in training, by a generator of Python or of numpy."""

    toss = staticmethod(random.random)

    def forward(self, input, hx):
        new = super().forward(input, hx)
        return tuple(hx) if self.training and self.toss() < 0.5 else new


class TossingWithNumpy(Tossing):
    toss = staticmethod(np.random.rand)


@pytest.mark.parametrize("kind", [Tossing, TossingWithNumpy])
def test_chance_in_training_is_not_taken_for_mixed_rows(kind):
    report = check_cell(kind, like="lstm")
    assert report.passed, report


@pytest.mark.parametrize("names", [("current", "history"), ("output", "memory_of_all"), ("h_t", "c_t"), ("hx", "cx")])
def test_names_of_states_that_tell_nothing_are_no_mistake(names):
    class Own(styles.IFOG):
        state_names = names

    assert check_cell(Own, like="lstm").passed


def test_the_users_random_numbers_are_left_as_they_were():
    def draw():
        return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002  # those that have no owner

    def seed():
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002  # as above
        torch.manual_seed(3)

    seed()
    expected = draw()
    seed()
    check_cell(styles.Torchs, like="lstm")
    assert draw() == expected


def test_what_torchscript_has_compiled_is_refused_in_words():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        compiled = torch.jit.script(nn.RNNCell(3, 4))
    result = check_cell(compiled, like="rnn").find("made")
    assert result.status == "failed"
