"""Constants that a caller gives: tensors that stay the same at all steps of a cell."""

import copy
import pickle
import random
import warnings
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqsum
from seqsum import GRU, LSTM, RNN, GRUCell, LSTMCell, Recurrent, RecurrentCell, check_cell
from seqsum.recurrent import unroll


class Reader(RecurrentCell):
    """Cell that adds to its sum a row of a table, `(B, K, H)`, and a shift, `(B, H)`, which may be left out."""

    constant_names = ("table", "shift")
    gate_names = ("rows",)

    def __init__(self, input_size: int, hidden_size: int, scale: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, output_size=hidden_size + 1)
        self.scale = scale
        self.read = nn.Linear(input_size, hidden_size)
        self.recall = nn.Linear(hidden_size, hidden_size, bias=False)
        self.write = nn.Linear(hidden_size, hidden_size + 1)
        self.take = nn.Linear(hidden_size, hidden_size, bias=False)

    def constants(self, batch_size, like, generator=None, *given):
        table, shift = given
        if shift is None:
            shift = like.new_zeros(batch_size, self.hidden_size)
        return [self.take(table), shift]

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def gates(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor]:
        return (torch.softmax((state[1] * state[0].unsqueeze(-2)).sum(-1), -1),)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        rows = self.gates(projected, state)[0]
        taken = (rows.unsqueeze(-1) * state[1]).sum(-2)
        hidden = torch.tanh(self.scale * (projected + self.recall(state[0]) + taken + state[2]))
        return self.write(hidden), [hidden, state[1], state[2]]


def draw(seed):
    """Draw sizes, a layer of Readers, inputs, mask, table and shift, in float64."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    T, B, F, H, K = (chance.randint(1, 6) for _ in range(5))
    options = {"num_layers": chance.randint(1, 3), "bidirectional": chance.random() < 0.5}
    layer = Recurrent(Reader(F, H, scale=chance.uniform(0.5, 1)), **options).double()
    inputs = torch.randn(T, B, F, dtype=torch.float64, requires_grad=True)
    mask = None if chance.random() < 0.3 else torch.rand(T, B) < 0.6
    table = torch.randn(B, K, H, dtype=torch.float64, requires_grad=True)
    shift = torch.randn(B, H, dtype=torch.float64, requires_grad=True)
    return layer, inputs, mask, table, shift


def by_hand(layer, inputs, mask, constants):
    """Run a layer as single steps of its cells."""
    T, B, _ = inputs.shape
    finals = []
    for index in range(layer.num_layers):
        sides = []
        for direction in range(layer.num_directions):
            cell = layer.cells[index * layer.num_directions + direction]
            state, side = inputs.new_zeros(B, cell.hidden_size), [None] * T
            for t in reversed(range(T)) if direction else range(T):
                valid = torch.ones(B, 1, dtype=torch.bool) if mask is None else mask[t].unsqueeze(-1)
                state = torch.where(valid, cell(inputs[t], state, constants=constants), state)
                side[t] = cell.write(state) * valid
            sides.append(torch.stack(side))
            finals.append(state)
        inputs = torch.cat(sides, dim=-1)
    return inputs, torch.stack(finals)


def gradients(results, layer, *tensors):
    loss = sum((result * torch.arange(result.numel()).view_as(result)).sum() for result in results)
    return torch.autograd.grad(loss, [*tensors, *layer.parameters()], allow_unused=True)


@pytest.mark.parametrize("backend", ["eager", "script", "auto"])
@pytest.mark.parametrize("seed", range(8))
def test_all_cells_get_the_constants_and_masks_leave_them_alone(seed, backend):
    layer, inputs, mask, table, shift = draw(seed)
    layer.backend = backend
    expected = by_hand(layer, inputs, mask, (table, shift))
    actual = layer(inputs, mask=mask, constants=(table, shift))
    assert layer.last_backend == ("eager" if backend == "eager" else "script")
    torch.testing.assert_close(actual, expected)
    given = (layer, inputs, table, shift)
    torch.testing.assert_close(gradients(actual, *given), gradients(expected, *given))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # by torch.compile's own code
def test_the_compiled_step_does_too():
    layer, inputs, mask, table, shift = draw(9)  # one layer, since compiling takes long
    assert mask is not None
    assert table.shape[1] not in (1, table.shape[0])  # or masking the table would be no error
    expected = layer(inputs, mask=mask, constants=(table, shift))
    expected_gradients = gradients(expected, layer, inputs, table, shift)
    layer.backend = "compile"
    try:
        torch.compile(torch.sin)(inputs)
    except torch._dynamo.exc.TorchDynamoException as error:
        pytest.skip(f"no compiler: {error}")
    actual = layer(inputs, mask=mask, constants=(table, shift))
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(gradients(actual, layer, inputs, table, shift), expected_gradients)


@pytest.mark.parametrize("seed", range(4))
def test_batch_first_concerns_the_input_alone(seed):
    layer, inputs, _, table, shift = draw(seed)
    outputs, final = layer(inputs, constants=(table, shift))
    layer.batch_first = True
    turned, same = layer(inputs.transpose(0, 1), constants=[table, shift])
    torch.testing.assert_close((turned.transpose(0, 1), same), (outputs, final))


@pytest.mark.parametrize("seed", range(8))
def test_constants_are_in_the_order_of_the_packed_input(seed):
    layer, inputs, _, table, shift = draw(seed)
    lengths = torch.randint(1, len(inputs) + 1, inputs.shape[1:2])
    packed = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
    outputs, final = layer(packed, constants=(table, None if seed % 2 else shift))
    expected = layer(inputs, lengths=lengths, constants=(table, None if seed % 2 else shift))
    padded, _ = pad_packed_sequence(outputs, total_length=len(inputs))
    torch.testing.assert_close((padded, final), expected)


@pytest.mark.parametrize("seed", range(4))
def test_a_single_sequence_has_constants_without_a_batch_axis(seed):
    layer, inputs, _, table, shift = draw(seed)
    outputs, final = layer(inputs, constants=(table, shift))
    alone = layer(inputs[:, 0], constants=(table[0], shift[0]))
    torch.testing.assert_close(alone, (outputs[:, 0], final[:, 0]))
    cell, state = layer.cells[0], torch.randn_like(shift)
    step = cell(inputs[0], state, constants=(table, shift))
    torch.testing.assert_close(cell(inputs[0, 0], state[0], constants=(table[0], shift[0])), step[0])


def test_one_that_a_cell_can_do_without_may_be_none():
    layer, inputs, mask, table, shift = draw(3)
    left_out = layer(inputs, mask=mask, constants=(table, None))
    torch.testing.assert_close(left_out, layer(inputs, mask=mask, constants=(table, torch.zeros_like(shift))))


def test_a_single_constant_needs_no_tuple():
    class Shifted(RecurrentCell):
        constant_names = ("shift",)

        def project(self, input):
            return input

        def step(self, projected, state):
            return projected + state[1], [state[0] + projected, state[1]]

    layer, inputs, shift = Recurrent(Shifted(2, 2), backend="eager"), torch.randn(3, 4, 2), torch.randn(4, 2)
    torch.testing.assert_close(layer(inputs, constants=shift)[0], inputs + shift)  # the base class hands it on


def test_gates_are_traced_with_the_constants_of_the_run():
    layer, inputs, mask, table, shift = draw(5)
    with seqsum.trace(layer) as traced:
        layer(inputs, mask=mask, constants=(table, shift))
    rows, hidden = traced["rows_l0"].transpose(0, 1), traced["hidden_l0"].transpose(0, 1)
    assert rows.shape == (*inputs.shape[:2], table.shape[1])
    before = torch.cat([torch.zeros_like(hidden[:1]), hidden[:-1]])
    scores = (layer.cells[0].take(table) * before.unsqueeze(-2)).sum(-1)
    valid = torch.ones_like(scores[..., :1]) if mask is None else mask.unsqueeze(-1)
    torch.testing.assert_close(rows, scores.softmax(-1) * valid)


def test_gradients_match_finite_differences():
    layer, inputs, mask, table, shift = draw(7)

    def function(inputs, table, shift):
        return layer(inputs, mask=mask, constants=(table, shift))

    assert torch.autograd.gradcheck(function, (inputs, table, shift))


def test_the_floating_point_ones_are_cast_under_autocast():
    layer, inputs, mask, table, shift = draw(1)
    layer, given = layer.float(), [tensor.detach().bfloat16() for tensor in (inputs, table, shift)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, _ = layer(given[0], mask=mask, constants=given[1:])
    inputs, table, shift = (tensor.float() for tensor in given)
    torch.testing.assert_close(outputs, layer(inputs, mask=mask, constants=(table, shift))[0])


class Whole(nn.Module):
    """A layer of Readers and one of its cells in a model, for graphs of it."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.cell = layer, layer.cells[0]

    def forward(self, inputs, mask, table, shift):
        outputs, _ = self.layer(inputs, mask=mask, constants=(table, shift))
        return outputs, self.cell(inputs[0], constants=(table, shift))


def test_a_symbolic_trace_hands_them_on():
    layer, inputs, _, table, shift = draw(6)
    model, mask = Whole(layer), torch.rand(inputs.shape[:2]) < 0.6
    graph = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(graph(inputs, mask, table, shift), model(inputs, mask, table, shift))


@pytest.mark.slow
def test_an_exported_loop_holds_for_any_number_of_steps():
    layer, *_ = draw(6)
    cell = layer.cells[0]
    model = Whole(Recurrent(Reader(cell.input_size, cell.hidden_size)))

    def given(steps, batch, rows):
        sizes = ((steps, batch, cell.input_size), (batch, rows, cell.hidden_size), (batch, cell.hidden_size))
        inputs, table, shift = (torch.randn(size) for size in sizes)
        return inputs, torch.rand(steps, batch) < 0.6, table, shift

    any_size = torch.export.Dim.DYNAMIC
    shapes = ({0: any_size, 1: any_size}, {0: any_size, 1: any_size}, {0: any_size, 1: any_size}, {0: any_size})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export warns of its own code
        exported = torch.export.export(model, given(5, 3, 4), dynamic_shapes=shapes).module()
    with torch.no_grad():  # saves seconds in `scan`
        for sizes in ((5, 3, 4), (9, 2, 3)):
            drawn = given(*sizes)
            torch.testing.assert_close(exported(*drawn), model(*drawn))


def test_copies_and_pickles_take_them_too():
    layer, inputs, mask, table, shift = draw(4)
    expected = layer(inputs, mask=mask, constants=(table, shift))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(inputs, mask=mask, constants=(table, shift)), expected)


class Shifted(GRUCell):
    """GRU with a shift of its hidden state before each step."""

    constant_names = ("shift",)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return super().step(projected, [state[0] + state[-1], *state[1:]])


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_subclass_of_a_built_in_cell_finds_them_behind_its_dropout(dropout):
    torch.manual_seed(0)
    cell = Shifted(3, 5, recurrent_dropout=dropout)
    plain = GRUCell(3, 5)
    plain.load_state_dict(cell.state_dict())
    inputs, shift = torch.randn(1, 4, 3), torch.randn(4, 5)
    layer = Recurrent(cell, backend="eager")
    outputs, _ = layer(inputs, constants=shift, generator=torch.Generator().manual_seed(1))
    mask = (
        torch.ones(4, 5)
        if not dropout
        else torch.empty(4, 5).bernoulli_(0.5, generator=torch.Generator().manual_seed(1)) * 2
    )
    expected, _ = plain.step(plain.project(inputs[0]), [shift, mask])
    torch.testing.assert_close(outputs[0], expected)
    for kernel in ("bptt", "native", "triton"):
        with pytest.raises(RuntimeError, match="can't run Shifted"):
            unroll(cell, inputs, [torch.zeros(4, 5), mask, shift], backend=kernel)


class Named(RecurrentCell):
    """Cell with names of its own for gates and states, which depend on its arguments."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.state_names, self.gate_names, self.constant_names = ("sum",), (f"gate_{hidden_size}",), ("shift",)

    def project(self, input: Tensor) -> Tensor:
        return input

    def gates(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor]:
        return (torch.sigmoid(projected + state[1]),)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        total = self.gates(projected, state)[0] + state[0]
        return total, [total, state[1]]


def test_names_may_be_an_instances_own():
    layer, inputs, shift = Recurrent(Named(3, 3)), torch.randn(2, 4, 3), torch.randn(4, 3)
    with seqsum.trace(layer) as traced:
        outputs, _ = layer(inputs, constants=shift)
    assert layer.last_backend == "script"
    assert set(traced) == {"gate_3_l0", "sum_l0"}
    torch.testing.assert_close(outputs, (inputs + shift).sigmoid().cumsum(0))


@pytest.mark.parametrize("layer_class", [RNN, LSTM, GRU])
def test_built_in_layers_and_cells_take_none(layer_class):
    layer, inputs = layer_class(3, 5), torch.randn(2, 4, 3)
    packed = pack_padded_sequence(inputs, torch.tensor([2, 1, 1, 2]), enforce_sorted=False)
    for call, given in ((layer, inputs), (layer, packed), (layer.cells[0], inputs[0])):
        with pytest.raises(
            ValueError, match=rf"`constants` \(1 given\) must be None: {layer_class.__name__}Cell takes"
        ):
            call(given, constants=torch.randn(4, 3))
    torch.testing.assert_close(layer(inputs, constants=()), layer(inputs))


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        (lambda table, shift: None, r"`constants` \(0 given\) must be `table`, `shift` for Reader"),
        (lambda table, shift: table, r"`constants` \(1 given\) must be `table`, `shift` for Reader"),
        (lambda table, shift: [table, shift, shift], r"`constants` \(3 given\) must be `table`, `shift` for Reader"),
        (lambda table, shift: 3, r"`constants` \(1 given\) must be `table`, `shift` for Reader"),
        (lambda table, shift: (table, 3), r"`shift` of `constants` \(=int\) must be a tensor or None"),
        (
            lambda table, shift: (table[1:], shift),
            r"`table` of `constants`, of shape \(\d, .*\), must be .* 5 sequences",
        ),
        (
            lambda table, shift: (table, shift.sum()),
            r"`shift` of `constants`, of shape \(\), must be \(B, …\) with a row",
        ),
    ],
)
def test_wrong_constants_are_named(constants, message):
    cell, table, shift = Reader(3, 4), torch.randn(5, 2, 4), torch.randn(5, 4)
    for call, inputs in ((Recurrent(cell), torch.randn(6, 5, 3)), (cell, torch.randn(5, 3))):
        with pytest.raises(ValueError, match=message):
            call(inputs, constants=constants(table, shift))


def test_their_type_and_device_are_those_of_the_weights():
    cell, inputs, table, shift = Reader(3, 4), torch.randn(6, 5, 3), torch.randn(5, 2, 4), torch.randn(5, 4)
    for call in (partial(Recurrent(cell), inputs), partial(cell, inputs[0])):
        with pytest.raises(ValueError, match=r"`table` of `constants` of type torch.float64 must be .* torch.float32"):
            call(constants=(table.double(), shift))
        with pytest.raises(ValueError, match=r"`shift` of `constants` on meta must be on the device of .* cpu"):
            call(constants=(table, shift.to("meta")))
        with pytest.raises(ValueError, match=r"`shift` of `constants` on meta must be on the device of the input, cpu"):
            call(constants=(table, shift.bool().to("meta")))


def test_check_cell_runs_with_examples_of_them():
    report = check_cell(Reader(3, 4), constants=(torch.randn(2, 6, 4), torch.randn(2, 4)))
    assert report.passed, report
    assert {result.status for result in report.results} == {"passed"}
    assert check_cell(Reader, constants=(torch.randn(1, 6, 5), None)).passed


def test_check_cell_sees_a_parameter_of_the_constants_that_is_never_trained():
    class Cut(Reader):
        def constants(self, batch_size, like, generator=None, *given):
            return [tensor.detach() for tensor in super().constants(batch_size, like, generator, *given)]

    report = check_cell(Cut(3, 4), constants=(torch.randn(2, 6, 4), None))
    assert "`take.weight` gets no gradient" in report.find("parameters_used").message


def test_check_cell_says_that_they_are_missing_or_too_many():
    missing = check_cell(Reader(3, 4)).find("made")
    assert missing.message == "`constants` (0 given) must be `table`, `shift` for Reader"
    assert "check_cell(cell, constants=…)" in missing.expected
    assert "LSTMCell takes none" in check_cell(LSTMCell, constants=torch.randn(2, 3)).find("made").message
