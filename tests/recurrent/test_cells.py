"""One step of each cell against torch and against its equations."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn

from seqsum import LSTM, GRUCell, LSTMCell, Recurrent, RecurrentCell, RNNCell

CELLS = {
    "rnn_tanh": (RNNCell, torch.nn.RNNCell, {}),
    "rnn_relu": (RNNCell, torch.nn.RNNCell, {"nonlinearity": "relu"}),
    "lstm": (LSTMCell, torch.nn.LSTMCell, {}),
    "gru": (GRUCell, torch.nn.GRUCell, {}),
}


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("given_state", [True, False])
@pytest.mark.parametrize("batch", [(), (4,), (0,)])
def test_cell_matches_torch(kind, bias, given_state, batch):
    torch.manual_seed(0)
    ours, theirs, more = CELLS[kind]
    cell, oracle = ours(3, 5, bias, **more).double(), theirs(3, 5, bias, **more).double()
    cell.load_state_dict(oracle.state_dict())
    inputs = torch.randn(*batch, 3, dtype=torch.float64, requires_grad=True)
    states = tuple(torch.randn(*batch, size, dtype=torch.float64) for size in cell.state_size)
    state = None if not given_state else states if len(states) > 1 else states[0]
    actual, expected = cell(inputs, state), oracle(inputs, state)
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=0)
    for result in (actual, expected):
        sum(r.square().sum() for r in (result if isinstance(result, tuple) else (result,))).backward()
    for (name, ours), theirs in zip(cell.named_parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-12, rtol=0, msg=name)
    oracle.load_state_dict(cell.state_dict())  # and back


@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 2e-2), (torch.float64, 1e-14)])
def test_recurrent_weights_start_orthogonal_in_every_type(dtype, error):
    for gate in LSTMCell(2, 8, dtype=dtype).weight_hh.split(8):
        assert gate.dtype == dtype
        torch.testing.assert_close((gate @ gate.T).double(), torch.eye(8).double(), atol=error, rtol=0)


@pytest.mark.parametrize("cell", [RNNCell(2, 3), LSTMCell(2, 3), LSTMCell(2, 3, proj_size=1), GRUCell(2, 3)])
def test_first_and_second_derivatives_of_a_step_match_finite_differences(cell):
    torch.manual_seed(0)
    cell = copy.deepcopy(cell).double()
    inputs = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(2, size, dtype=torch.float64, requires_grad=True) for size in cell.state_size]

    def step(inputs, *state_and_parameters):
        return cell(inputs, state_and_parameters[: len(state)])

    tensors = (inputs, *state, *cell.parameters())
    assert torch.autograd.gradcheck(step, tensors)
    assert torch.autograd.gradgradcheck(step, tensors, fast_mode=True)


def test_identity_output_changes_the_output_alone():
    torch.manual_seed(0)
    cell, identity = LSTMCell(3, 5), LSTMCell(3, 5, output_activation="identity")
    identity.load_state_dict(cell.state_dict())
    projected = cell.project(torch.randn(4, 3))
    state = [torch.randn(4, 5), torch.randn(4, 5)]
    output, (hidden, memory) = cell.step(projected, state)
    identity_output, (identity_hidden, identity_memory) = identity.step(projected, state)
    torch.testing.assert_close((identity_hidden, identity_memory), (hidden, memory))
    torch.testing.assert_close(output, hidden)
    output_gate = hidden / memory.tanh()
    torch.testing.assert_close(identity_output, output_gate * memory)


@pytest.mark.parametrize("cell_class", [RNNCell, LSTMCell, GRUCell])
def test_recurrent_weights_start_orthogonal_gate_by_gate(cell_class):
    torch.manual_seed(0)
    for gate in cell_class(3, 6).weight_hh.split(6):
        torch.testing.assert_close(gate @ gate.T, torch.eye(6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell_class", [RNNCell, LSTMCell, GRUCell])
def test_input_weights_start_uniform_gate_by_gate_as_glorot_says(cell_class):
    torch.manual_seed(0)
    bound = (6 / (30 + 60)) ** 0.5  # inputs and units of one gate
    for gate in cell_class(30, 60).weight_ih.detach().abs().split(60):
        assert 0.99 * bound < gate.max() <= bound
        assert gate.mean() == pytest.approx(bound / 2, rel=0.1)


def test_parameters_that_a_subclass_adds_start_uniform_as_torchs():
    class Peepholes(LSTMCell):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            self.peepholes = torch.nn.Parameter(torch.empty(30, hidden_size))
            self.reset_parameters()

    torch.manual_seed(0)
    weight = Peepholes(3, 64).peepholes.detach().abs()
    assert 0.99 / 8 < weight.max() <= 1 / 8
    assert weight.mean() == pytest.approx(1 / 16, rel=0.1)


@pytest.mark.parametrize("cell_class", [RNNCell, LSTMCell, GRUCell])
def test_modules_that_a_subclass_adds_start_anew_by_themselves(cell_class):
    class Normed(cell_class):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size, layer_norm=True)
            self.norm_inputs = torch.nn.LayerNorm(input_size)
            self.read = torch.nn.Linear(100, 3)

    cell = Normed(3, 5)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(9)
    cell.reset_parameters()
    assert torch.equal(cell.norm_inputs.bias, torch.zeros(3))
    assert torch.equal(cell.norm_hh.weight, torch.ones_like(cell.norm_hh.weight))
    assert cell.read.weight.abs().max() <= 0.1, "as nn.Linear starts"
    assert not any((parameter == 9).any() for parameter in cell.parameters())


def test_forget_bias_starts_at_one():
    cell = LSTMCell(3, 2)
    assert (cell.bias_ih + cell.bias_hh).tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def normalised(tensor, gain):
    """Compute layer normalisation by its equation (Ba et al., 2016)."""
    centred = tensor - tensor.mean(-1, keepdim=True)
    return gain * centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5)


def test_layer_norm_is_that_of_the_paper():
    torch.manual_seed(0)
    cell = LSTMCell(3, 5, layer_norm=True).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter)
    inputs, (hidden, memory) = torch.randn(4, 3).double(), torch.randn(2, 4, 5).double()
    summed = (
        normalised(inputs @ cell.weight_ih.T, cell.norm_ih.weight)
        + normalised(hidden @ cell.weight_hh.T, cell.norm_hh.weight)
        + cell.bias_ih
        + cell.bias_hh
    )
    i, f, g, o = summed.chunk(4, dim=-1)
    new_memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
    new_hidden = o.sigmoid() * normalised(new_memory, cell.norm_cell_state.weight).tanh()
    torch.testing.assert_close(cell(inputs, (hidden, memory)), (new_hidden, new_memory))


@pytest.mark.parametrize("cell_class", [RNNCell, LSTMCell, GRUCell])
def test_recurrent_dropout_drops_the_hidden_state_on_its_way_to_the_gates_alone(cell_class):
    torch.manual_seed(0)
    cell = cell_class(3, 5, recurrent_dropout=0.5)
    inputs, state = torch.randn(4, 3), [torch.randn(4, 5) for _ in cell.state_size]
    dropped = cell.constants(4, inputs, torch.Generator().manual_seed(0))
    assert set(dropped[0].unique().tolist()) == {0.0, 2.0}
    _, actual = cell.step(cell.project(inputs), state + dropped)
    assert actual[-1] is dropped[0]  # the same for the next step
    thinned = copy.deepcopy(cell)
    with torch.no_grad():  # by hand, row by row: remove or double columns of the recurrent weight
        for row in range(4):
            thinned.weight_hh.copy_(cell.weight_hh * dropped[0][row])
            expected = thinned.step(thinned.project(inputs[row : row + 1]), [s[row : row + 1] for s in state])[1]
            torch.testing.assert_close([s[row : row + 1] for s in actual[:-1]], expected)
    assert cell.eval().constants(4, inputs) == []


def test_recurrent_dropout_of_one_drops_everything():
    assert LSTMCell(3, 5, recurrent_dropout=1.0).constants(2, torch.randn(2, 3))[0].tolist() == [[0.0] * 5] * 2


@pytest.mark.parametrize(
    "cell",
    [
        RNNCell(3, 5, False, "relu", recurrent_dropout=0.1),
        LSTMCell(3, 5, proj_size=2, layer_norm=True),
        LSTMCell(input_size=3, hidden_size=5, output_activation="identity"),
        GRUCell(3, hidden_size=5, bias=False, dtype=torch.float64),
    ],
)
def test_like_makes_another_for_a_different_input(cell):
    for source in (cell, copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        other = source.like(7)
        assert type(other) is type(cell)
        assert other.weight_ih.shape == (cell.weight_ih.shape[0], 7)
        shapes = {name: p.shape for name, p in cell.named_parameters() if name != "weight_ih"}
        assert shapes == {name: p.shape for name, p in other.named_parameters() if name != "weight_ih"}
        for option in ("recurrent_dropout", "layer_norm", "nonlinearity", "output_activation", "proj_size"):
            assert getattr(other, option, None) == getattr(cell, option, None)
        assert other.weight_hh.dtype == cell.weight_hh.dtype


def test_like_changes_other_arguments_too():
    other = LSTMCell(3, 5, bias=False).like(7, hidden_size=2)
    assert (other.input_size, other.hidden_size, other.bias_ih) == (7, 2, None)


class Given(RecurrentCell):
    """Takes modules and a parameter, as a constructor may."""

    def __init__(
        self, input_size: int, hidden_size: int, read: nn.Module, parts: list[nn.Module], gain: nn.Parameter
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.read, self.parts, self.gain = read, nn.ModuleList(parts), gain


def test_like_copies_modules_and_parameters_that_were_given():
    read = nn.Sequential(nn.PReLU(init=7.0), nn.BatchNorm1d(3), nn.Linear(3, 5))
    read[1].running_mean.fill_(3)
    read[2].weight.requires_grad_(False)
    first = Given(3, 5, read, [nn.Linear(5, 5), read[2]], nn.Parameter(torch.ones(5)))
    cells = Recurrent(first, num_layers=2, bidirectional=True).cells
    assert cells[0].read is read
    for cell in cells[1:]:
        own = {id(tensor) for tensor in (*cell.parameters(), *cell.buffers())}
        assert not own & {id(tensor) for tensor in (*first.parameters(), *first.buffers())}
        assert cell.parts[1] is cell.read[2], "what was shared still is"
        assert not cell.read[2].weight.requires_grad
        torch.testing.assert_close(cell.state_dict(), first.state_dict(), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_like_says_what_can_not_be_copied():
    normed = nn.utils.weight_norm(nn.Linear(3, 5))
    normed(torch.randn(2, 3))
    cell = Given(3, 5, normed, [], nn.Parameter(torch.ones(5)))
    with pytest.raises(TypeError, match=r"^the arguments of Given can't be copied for another: "):
        cell.like(3)


def test_like_refuses_a_constructor_that_can_not_be_given_another_size():
    class Star(LSTMCell):
        def __init__(self, *args, gain=1.0, **kwargs):
            super().__init__(*args, **kwargs)
            self.gain = gain

    def outputs(cell, **options):
        return Recurrent(cell, **options)(torch.randn(4, 2, 3))[0].shape

    assert outputs(Star(3, 5, gain=2.0), bidirectional=True) == (4, 2, 10), "of the same size"
    assert outputs(Star(input_size=3, hidden_size=5), num_layers=3) == (4, 2, 5), "sizes given by name"
    assert Recurrent(Star(3, 5, gain=2.0), bidirectional=True).cells[1].gain == 2.0
    with pytest.raises(TypeError, match=r"Star can't be made with another `input_size`.* must have a parameter"):
        Recurrent(Star(3, 5), num_layers=2)


def test_signature_is_that_of_the_constructor():
    names = list(inspect.signature(LSTMCell).parameters)
    assert names[:6] == ["input_size", "hidden_size", "bias", "device", "dtype", "proj_size"]
    with pytest.raises(TypeError, match="hidden_size"):
        LSTMCell(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTMCell(0, 5), r"`input_size` \(=0\) must be at least 1"),
        (lambda: GRUCell(3, -1), r"`hidden_size` \(=-1\) must be at least 1"),
        (lambda: LSTMCell(3, 5, output_activation="relu"), r"`output_activation` \(='relu'\) must be .*tanh.*identity"),
        (lambda: LSTMCell(3, 5, proj_size=5), r"`proj_size` \(=5\) must be smaller than `hidden_size` \(=5\)"),
        (lambda: LSTMCell(3, 5, proj_size=-1), r"`proj_size` \(=-1\) must be smaller than `hidden_size` \(=5\), and 0"),
        (lambda: LSTMCell(3, 5, proj_size=2, output_activation="identity"), r"'identity'.* `proj_size` \(=2\)"),
        (lambda: RNNCell(3, 5, nonlinearity="gelu"), r"`nonlinearity` \(='gelu'\) must be one of .*tanh.*relu"),
        (lambda: GRUCell(3, 5, recurrent_dropout=1.5), r"`recurrent_dropout` \(=1.5\) must be between 0 and 1"),
        (lambda: LSTMCell(3, 5)(torch.randn(2, 4)), r"`input` of shape \(2, 4\) must have `input_size` \(=3\).* not 4"),
        (lambda: LSTMCell(3, 5)(torch.randn(1, 2, 3)), r"`input` of shape \(1, 2, 3\) must have one or two axes"),
        (lambda: GRUCell(3, 5)(torch.randn(2, 3), torch.randn(2, 4)), r"`hx` of shapes \[\(2, 4\)\] .*\[\(2, 5\)\]"),
        (lambda: RNNCell(3, 5)(torch.randn(2, 3), torch.randn(5)), r"`hx` of shapes \[\(5,\)\] .*\[\(2, 5\)\]"),
        (
            lambda: LSTMCell(3, 5)(torch.randn(2, 3), (torch.randn(3, 5), torch.randn(2, 5))),
            r"`hx` of shapes \[\(3, 5\), \(2, 5\)\] must be of \[\(2, 5\), \(2, 5\)\]",
        ),
        (lambda: LSTMCell(3, 5)(torch.randn(2, 3), torch.randn(2, 5)), r"`hx` of shapes \[\(2, 5\)\]"),
    ],
)
def test_wrong_sizes_and_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("method", ["project", "step", "gates"])
def test_contract_names_what_a_cell_lacks(method):
    arguments = [torch.randn(4, 5)] if method == "project" else [torch.randn(4, 5), []]
    with pytest.raises(NotImplementedError, match=f"RecurrentCell .*must define `{method}`"):
        getattr(RecurrentCell(3, 5), method)(*arguments)


def test_a_state_dict_with_the_former_name_of_the_cell_state_is_loaded():
    torch.manual_seed(0)
    saved, layer = (LSTM(3, 5, num_layers=2, layer_norm=True) for _ in range(2))
    torch.nn.init.normal_(saved.cells[1].norm_cell_state.weight)
    former = {name.replace("norm_cell_state", "norm_memory"): tensor for name, tensor in saved.state_dict().items()}
    assert "cells.1.norm_memory.weight" in former
    layer.load_state_dict(former)
    torch.testing.assert_close(layer.state_dict(), saved.state_dict())
    assert "cells.1.norm_memory.weight" in former  # the caller's dict isn't changed


@pytest.mark.parametrize("cell_class", [RNNCell, LSTMCell, GRUCell])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"input": torch.zeros(2, 3).double()}, "`input` of type torch.float64 must be of the type of the weights"),
        ({"input": torch.zeros(2, 3).long()}, "`input` of type torch.int64 must be of the type of the weights"),
        ({"input": torch.zeros(2, 3, device="meta")}, "`input` on meta must be on the device of the weights, cpu"),
        ({"input": [0.0] * 3}, r"`input` \(=list\) must be a tensor"),
        ({"hx": "float64"}, "`hx` of type torch.float64 must be of the type of the weights"),
        ({"hx": "meta"}, "`hx` on meta must be on the device of the weights"),
        ({"hx": 3}, r"`hx` \(=int\) must be a (tensor|tuple of tensors)$"),
    ],
)
def test_a_step_from_wrong_types_is_refused_in_words(cell_class, changed, message):
    cell = cell_class(3, 4)
    given = {"input": torch.zeros(2, 3), **changed}
    if isinstance(given.get("hx"), str):
        kind = given["hx"]
        states = [
            state.double() if kind == "float64" else state.to(kind) for state in cell.initial_state(2, torch.zeros(1))
        ]
        given["hx"] = states[0] if len(states) == 1 else tuple(states)
    with pytest.raises(ValueError, match=message):
        cell(**given)


@pytest.mark.parametrize(
    ("sizes", "name"), [({"state_size": [4, 0]}, "state_size"), ({"output_size": -1}, "output_size")]
)
def test_sizes_below_one_are_refused(sizes, name):
    with pytest.raises(ValueError, match=rf"`{name}` .* must be at least 1"):
        RecurrentCell(3, 4, **sizes)


@pytest.mark.parametrize("cell_class", [RNNCell, LSTMCell, GRUCell])
@pytest.mark.parametrize("value", [True, "a", -0.1, 1.5, float("nan"), None])
def test_recurrent_dropout_is_a_probability(cell_class, value):
    with pytest.raises(ValueError, match=r"`recurrent_dropout` \(=.*\) must be between 0 and 1"):
        cell_class(3, 4, recurrent_dropout=value)


@pytest.mark.parametrize("cell", [GRUCell(3, 5), LSTMCell(3, 5), RNNCell(3, 5)], ids=lambda cell: type(cell).__name__)
@pytest.mark.parametrize("dtype", [torch.long, torch.bool, torch.cfloat, torch.half, torch.double])
def test_a_state_of_another_type_is_refused_in_words(cell, dtype):
    states = [torch.zeros(2, 5, dtype=dtype) for _ in cell.state_size]
    with pytest.raises(ValueError, match=rf"^`hx` of type {dtype} must be of the type of"):
        cell(torch.randn(2, 3), tuple(states) if len(states) > 1 else states[0])


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell, RNNCell])
def test_layers_of_a_converted_cell_are_of_its_type(kind):
    layer = Recurrent(kind(3, 5).double(), num_layers=2, bidirectional=True)
    assert {weight.dtype for weight in layer.parameters()} == {torch.float64}
    assert layer(torch.randn(4, 2, 3).double())[0].dtype == torch.float64


@pytest.mark.parametrize("sizes", [(3, True), (True, 4)])
def test_a_bool_is_no_size(sizes):
    with pytest.raises(TypeError, match=r"\(=True\) must be a whole number, not of type bool"):
        LSTMCell(*sizes)
