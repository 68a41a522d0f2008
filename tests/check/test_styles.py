"""Right cells pass, whatever their style, and relatives of the references are called what they are."""

import pytest
import torch

from seqsum import GRUCell, LSTMCell, RNNCell, check_cell
from tests.check import styles

RIGHT = [
    (styles.Torchs, "lstm", "torch.nn.LSTMCell's"),
    (styles.IFOG, "lstm", "your gates stand in the order i, f, o, g"),
    (styles.Keras, "lstm", "torch.nn.LSTMCell's"),
    (styles.TensorFlow, "lstm", "i, g, f, o, TensorFlow's, your state is (cell, hidden)"),
    (styles.OneMatrix, "lstm", "f, i, g, o, one matrix for [h, x]"),
    (styles.Separate, "lstm", "i, f, o, g"),
    (styles.Linears, "lstm", "torch.nn.LSTMCell's"),
    (styles.JointLinears, "lstm", "f, i, g, o, one matrix for [x, h]"),
    (styles.Einsum, "lstm", "f, i, o, g"),
    (styles.Interleaved, "lstm", "the rows of your weights go around the gates"),
    (styles.NoBias, "lstm", "without biases"),
    (styles.KerasGRU, "gru", "z, r, n, Keras's"),
    (styles.MixedGRU, "gru", "torch.nn.GRUCell's"),
    (styles.OneMatrixRNN, "rnn", "one matrix for [x, h]"),
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
