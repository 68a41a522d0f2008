"""A user's own cells in `Recurrent`."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

import seqsum
from seqsum import LSTM, GRUCell, LSTMCell, Recurrent, RecurrentCell
from seqsum.recurrent.alike import to_type

B, T, F, H = 4, 6, 3, 5


class MinimalGatedUnit(RecurrentCell):
    """Minimal gated unit (Zhou et al., 2016)."""

    gate_names = ("forget_gate",)

    def __init__(self, input_size: int, hidden_size: int, scale: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.scale = scale
        self.read = nn.Linear(input_size, 2 * hidden_size)
        self.forget = nn.Linear(hidden_size, hidden_size, bias=False)
        self.recall = nn.Linear(hidden_size, hidden_size, bias=False)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def gates(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor]:
        return (torch.sigmoid(projected[..., : self.hidden_size] + self.forget(state[0])),)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        gate = self.gates(projected, state)[0]
        candidate = torch.tanh(projected[..., self.hidden_size :] + self.recall(gate * state[0]))
        hidden = (1 - gate) * state[0] + gate * candidate
        return self.scale * hidden, [hidden]


class Duck(nn.Module):
    """Cell without the base class. Its state sums up the inputs; its output multiplies the sum by a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.output_size, self.state_size = 2, 1, 3, [1]
        self.weight = nn.Parameter(torch.ones(3, 1))
        self.gate_names = ()
        self.state_names = ("count",)

    def project(self, input: Tensor) -> Tensor:
        return input.sum(-1, keepdim=True)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        count = state[0] + projected
        return count @ self.weight.t(), [count]

    def initial_state(self, batch_size: int, like: Tensor) -> list[Tensor]:
        return [like.new_full((batch_size, 1), 10.0)]

    def constants(self, batch_size, like, generator=None):
        return []


@pytest.mark.parametrize("backend", ["eager", "script", "auto"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_own_cell_has_layers_directions_and_masks(backend, bidirectional):
    torch.manual_seed(0)
    cell = MinimalGatedUnit(F, H, scale=2.0)
    layers = Recurrent(cell, num_layers=3, bidirectional=bidirectional, batch_first=True, backend=backend)
    directions = 1 + bidirectional
    assert layers.cells[0] is cell
    assert [c.input_size for c in layers.cells] == [F] * directions + [directions * H] * 2 * directions
    assert {c.scale for c in layers.cells} == {2.0}
    inputs, mask = torch.randn(B, T, F), torch.rand(B, T) < 0.7
    outputs, final = layers(inputs, mask=mask)
    assert layers.last_backend == ("eager" if backend == "eager" else "script")
    expected, finals = inputs.transpose(0, 1), []
    for layer in range(3):  # with a loop over the cells' forward
        sides = []
        for direction in range(directions):
            own, state, side = layers.cells[layer * directions + direction], torch.zeros(B, H), [None] * T
            for t in reversed(range(T)) if direction else range(T):
                valid = mask[:, t, None]
                state = torch.where(valid, own(expected[t], state), state)
                side[t] = 2.0 * state * valid
            sides.append(torch.stack(side))
            finals.append(state)
        expected = torch.cat(sides, dim=-1)
    torch.testing.assert_close(outputs, expected.transpose(0, 1))
    torch.testing.assert_close(final, torch.stack(finals))


@pytest.mark.parametrize("backend", ["eager", "script"])
def test_own_cell_is_traced(backend):
    layers = Recurrent(MinimalGatedUnit(F, H), num_layers=2, backend=backend)
    with seqsum.trace(layers) as traced:
        outputs, _ = layers(torch.randn(T, B, F))
    assert set(traced) == {"forget_gate_l0", "hidden_l0", "forget_gate_l1", "hidden_l1"}
    torch.testing.assert_close(traced["hidden_l1"].transpose(0, 1), outputs)


@pytest.mark.parametrize("backend", ["eager", "script", "auto"])
def test_a_module_with_the_contract_will_do(backend):
    layer = Recurrent(Duck(), backend=backend, batch_first=True)
    outputs, final = layer(torch.ones(1, 3, 2))
    assert outputs.tolist() == [[[12.0] * 3, [14.0] * 3, [16.0] * 3]]
    assert final.tolist() == [[[16.0]]]
    layer(torch.ones(1, 3, 2))[0].sum().backward()
    with seqsum.trace(layer) as traced:
        layer(torch.ones(1, 3, 2))
    assert traced["count_l0"].flatten().tolist() == [12.0, 14.0, 16.0]
    with pytest.raises(TypeError, match=r"`cell` \(=Duck\) must have `like\(input_size\)` for more layers"):
        Recurrent(Duck(), num_layers=2)


class Before(RecurrentCell):
    """Adds the input before, and so has inputs, outputs and states of one size."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, output_size=input_size, state_size=[self.remembers(input_size)])

    def remembers(self, input_size: int) -> int:
        return input_size

    def project(self, input: Tensor) -> Tensor:
        return input

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return projected + state[0], [projected]


def test_each_layer_reads_what_the_one_below_gives():
    inputs = torch.ones(3, 1, F)
    assert Recurrent(Before(F, H), num_layers=3)(inputs)[0][:, 0, 0].tolist() == [1, 4, 7]

    class Sums(Before):
        def remembers(self, input_size: int) -> int:
            return 1

        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            return projected + state[0], [projected[..., :1]]

    outputs, _ = Recurrent(Sums(F, H), num_layers=3, bidirectional=True)(inputs)
    assert outputs.shape == (3, 1, 8 * F)


def test_states_of_other_sizes_in_another_layer_are_refused():
    with pytest.raises(
        ValueError, match=rf"sizes \[{F}\] with inputs of {F}, but \[{2 * F}\] with those of {2 * F} that"
    ):
        Recurrent(Before(F, H), num_layers=2, bidirectional=True)


class Viewing(RecurrentCell):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input.view(-1, self.input_size)).view(input.size(0), -1, self.hidden_size)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = torch.tanh(projected + state[0].view(-1).view(-1, self.hidden_size))
        return hidden, [hidden]


@pytest.mark.parametrize("backend", ["eager", "script", "auto"])
def test_a_cell_may_view_what_it_gets(backend):
    layer = Recurrent(Viewing(F, H), batch_first=True, bidirectional=True, backend=backend, learn_initial_state=True)
    inputs, state = torch.randn(T, B, F), torch.randn(H, B, 2)
    outputs, _ = layer(inputs.transpose(0, 1))
    layer.batch_first = False
    assert torch.equal(layer(inputs)[0], outputs.transpose(0, 1))
    turned = inputs.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    expected, _ = layer(inputs, state.permute(2, 1, 0).contiguous())
    assert torch.equal(layer(turned, state.permute(2, 1, 0))[0], expected)


class LeakySum(RecurrentCell):
    """Cell without weights."""

    def project(self, input: Tensor) -> Tensor:
        return input

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        total = 0.5 * state[0] + projected
        return total, [total]


class Count(LeakySum):
    """Cell of whole numbers."""

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        total = state[0] + projected
        return total, [total]


def test_a_cell_without_weights():
    layers = Recurrent(LeakySum(1, 1), learn_initial_state=True)
    outputs, final = layers(torch.ones(3, 1, 1))
    assert outputs.flatten().tolist() == [1.0, 1.5, 1.75]
    assert final.item() == 1.75
    assert Recurrent(LeakySum(1, 1))(torch.ones(3, 1, 1).double())[0].dtype == torch.float64
    assert Recurrent(Count(1, 1))(torch.ones(3, 1, 1).long())[0].flatten().tolist() == [1, 2, 3]


@pytest.mark.parametrize("cell_class", [LSTMCell, GRUCell])
def test_built_in_cells_too(cell_class):
    torch.manual_seed(0)
    layers = Recurrent(cell_class(F, H), num_layers=2, bidirectional=True)
    named = {"LSTMCell": seqsum.LSTM, "GRUCell": seqsum.GRU}[cell_class.__name__](F, H, 2, bidirectional=True)
    named.load_state_dict(layers.state_dict())
    inputs = torch.randn(T, B, F)
    torch.testing.assert_close(layers(inputs), named(inputs))


def test_copies_and_pickles_with_a_compiled_loop():
    layers = Recurrent(MinimalGatedUnit(F, H), num_layers=2, backend="script")
    inputs = torch.randn(T, B, F)
    expected = layers(inputs)
    for twin in (copy.deepcopy(layers), pickle.loads(pickle.dumps(layers))):
        torch.testing.assert_close(twin(inputs), expected)


def test_learned_initial_state_of_an_own_cell():
    layers = Recurrent(MinimalGatedUnit(F, H), bidirectional=True, learn_initial_state=True)
    assert [tuple(p.shape) for p in layers.initial_state] == [(2, H)]
    layers(torch.randn(T, B, F))[0].sum().backward()
    assert layers.initial_state[0].grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (LSTMCell, r"`cell` \(=the class LSTMCell\) must be a cell, such as LSTMCell\(3, 5\)"),
        (nn.Linear(2, 2), r"`cell` \(=Linear\) .* and lacks \['input_size', 'hidden_size'"),
        (LSTM(F, H), r"`cell` \(=LSTM\) .* and lacks \['output_size'"),
        (3, r"`cell` \(=int\)"),
    ],
)
def test_what_is_no_cell_is_refused(cell, message):
    with pytest.raises(TypeError, match=message):
        Recurrent(cell)


class Counting(RecurrentCell):
    """Its states are complex numbers and whole ones, and so is one of its weights."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_size=[hidden_size, 1])
        self.turn = nn.Parameter(torch.randn(hidden_size, dtype=torch.complex64))
        self.read = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch_size: int, like: Tensor) -> list[Tensor]:
        turned = torch.zeros(batch_size, self.hidden_size, dtype=torch.complex64, device=like.device)
        return [turned, torch.zeros(batch_size, 1, dtype=torch.int64, device=like.device)]

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        turned = state[0] * torch.sgn(self.turn) + projected
        return turned.abs() / (1 + state[1]), [turned, state[1] + 1]


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_a_layer_goes_on_from_states_of_any_type(backend):
    layer, inputs = Recurrent(Counting(F, H), backend=backend), torch.randn(T, B, F)
    whole, final = layer(inputs)
    _, between = layer(inputs[:2])
    rest, last = layer(inputs[2:], between)
    torch.testing.assert_close(rest, whole[2:])
    torch.testing.assert_close(last, final)
    with pytest.raises(ValueError, match=r"`hx` of type torch.int32 must be of the type of the cell's `initial_state`"):
        layer(inputs, (between[0], between[1].int()))


class Turning(Counting):
    """The same without the whole number."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.state_size = [hidden_size]

    def initial_state(self, batch_size: int, like: Tensor) -> list[Tensor]:
        return [torch.complex(*[like.new_zeros(batch_size, self.hidden_size)] * 2)]

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        turned = state[0] * torch.sgn(self.turn) + projected
        return turned.abs(), [turned]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_all_layers_and_directions_may_be_complex(dtype):
    cell = to_type(Turning(H, H), dtype)
    layer = Recurrent(cell, num_layers=2, bidirectional=True, learn_initial_state=True)
    wanted = {torch.float32: torch.complex64, torch.float64: torch.complex128}[dtype]
    assert [each.turn.dtype for each in layer.cells] == 4 * [wanted]
    assert [each.read.weight.dtype for each in layer.cells] == 4 * [dtype]
    assert all(each.turn.imag.abs().max() > 0 for each in layer.cells)
    outputs, _ = layer(torch.randn(T, B, H, dtype=dtype))
    outputs.sum().backward()
    assert layer.initial_state[0].dtype == wanted
    assert layer.initial_state[0].grad.abs().max() > 0


@pytest.mark.parametrize("layer", [LSTM(F, H), Recurrent(MinimalGatedUnit(F, H))])
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_numbers_of_words_are_to_be_embedded(layer, dtype):
    with pytest.raises(ValueError, match=r"`input` of type .* must be of the type of the weights: .*Embedding"):
        layer(torch.ones(T, B, F, dtype=dtype))
