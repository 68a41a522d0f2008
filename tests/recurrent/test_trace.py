"""`trace` records what the equations say and changes no results."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import prune
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._python_dispatch import TorchDispatchMode

import seqsum
from seqsum import GRU, LSTM, RNN, LSTMCell, Recurrent, RecurrentCell
from seqsum.recurrent import unroll
from seqsum.recurrent.buffers import spared_buffers
from tests.recurrent.oracles import BACKENDS, KINDS, B, F, H, T, fits


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_gate_and_state_of_every_layer_and_direction(kind, backend):
    torch.manual_seed(0)
    layer_class, _, more = KINDS[kind]
    layer = layer_class(F, H, 2, **more, bidirectional=True, batch_first=True, backend=backend)
    if not fits(backend, layer):
        pytest.skip("not for this kind")
    inputs = torch.randn(B, T, F)
    expected = layer(inputs)
    with seqsum.trace(layer) as traced:
        outputs, final = layer(inputs)
    assert layer.last_backend == backend
    torch.testing.assert_close((outputs, final), expected, rtol=0, atol=0)  # tracing changes nothing
    cell = layer.cells[0]
    places = [f"_l{n}{direction}" for n in (0, 1) for direction in ("", "_reverse")]
    assert set(traced) == {name + place for name in (*cell.gate_names, *cell.state_names) for place in places}
    size = cell.state_size[0]
    torch.testing.assert_close(traced["hidden_l1"], outputs[..., :size])
    torch.testing.assert_close(traced["hidden_l1_reverse"], outputs[..., size:])
    for k, name in enumerate(cell.state_names):
        states = (final if isinstance(final, tuple) else (final,))[k]
        for index, place in enumerate(places):
            last = traced[name + place][:, 0 if "reverse" in place else -1]
            torch.testing.assert_close(last, states[index])
    assert not any(tensor.requires_grad for tensor in traced.values())


def test_gates_of_the_lstm_are_those_of_its_equations():
    torch.manual_seed(0)
    layer = LSTM(F, H)
    inputs = torch.randn(T, B, F)
    with seqsum.trace(layer) as traced:
        layer(inputs)
    i, f, g, o = (traced[f"{name}_l0"] for name in ("input_gate", "forget_gate", "cell_update", "output_gate"))
    cell_state, hidden = traced["cell_state_l0"], traced["hidden_l0"]
    before = torch.cat([torch.zeros(B, 1, H), cell_state[:, :-1]], dim=1)
    torch.testing.assert_close(cell_state, f * before + i * g)
    torch.testing.assert_close(hidden, o * cell_state.tanh())
    last = torch.cat([torch.zeros(B, 1, H), hidden[:, :-1]], dim=1)
    summed = inputs.transpose(0, 1) @ layer.weight_ih_l0.T + last @ layer.weight_hh_l0.T
    summed = summed + layer.bias_ih_l0 + layer.bias_hh_l0
    expected = [gate.sigmoid() for gate in summed.chunk(4, dim=-1)]
    torch.testing.assert_close((i, f, o), (expected[0], expected[1], expected[3]))


def test_gates_of_the_gru_are_those_of_its_equations():
    torch.manual_seed(0)
    layer = GRU(F, H, bias=False, batch_first=True)
    inputs = torch.randn(B, T, F)
    with seqsum.trace(layer) as traced:
        layer(inputs)
    hidden, z, n = (traced[f"{name}_l0"] for name in ("hidden", "update_gate", "candidate"))
    last = torch.cat([torch.zeros(B, 1, H), hidden[:, :-1]], dim=1)
    torch.testing.assert_close(hidden, (1 - z) * n + z * last)
    reset = (inputs @ layer.weight_ih_l0.T + last @ layer.weight_hh_l0.T)[..., :H].sigmoid()
    torch.testing.assert_close(traced["reset_gate_l0"], reset)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_masked_steps_carry_the_state_and_show_no_gates(bidirectional):
    layer = LSTM(F, H, bidirectional=bidirectional, batch_first=True)
    mask = torch.rand(B, T, generator=torch.Generator().manual_seed(0)) < 0.6
    with seqsum.trace(layer) as traced:
        _, (hidden, _) = layer(torch.randn(B, T, F), mask=mask)
    for place in ("l0", "l0_reverse")[: 1 + bidirectional]:
        assert torch.equal(traced[f"input_gate_{place}"].abs().sum(-1) > 0, mask)
    torch.testing.assert_close(traced["hidden_l0"][:, -1], hidden[0])
    skipped = ~mask[:, 1:]
    states = traced["cell_state_l0"]
    assert torch.equal(states[:, 1:][skipped], states[:, :-1][skipped])


def test_weights_that_are_computed_are_those_of_the_run():
    layer = LSTM(F, H, 2)
    prune.random_unstructured(layer, "weight_hh_l1", 0.5)
    with seqsum.trace(layer) as traced:
        outputs, _ = layer(torch.randn(T, B, F))
    torch.testing.assert_close(traced["hidden_l1"].transpose(0, 1), outputs)


def test_dropout_is_that_of_the_run():
    layer = LSTM(F, H, 2, dropout=0.4, recurrent_dropout=0.4)
    with seqsum.trace(layer) as traced:
        outputs, _ = layer(torch.randn(T, B, F))
    torch.testing.assert_close(traced["hidden_l1"].transpose(0, 1), outputs)


@pytest.mark.parametrize("enforce_sorted", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_rows_of_a_packed_sequence_stand_as_the_caller_has_them(enforce_sorted, batch_first):
    layer = LSTM(F, H, 2, bidirectional=True, batch_first=batch_first)
    inputs, lengths = torch.randn(3, T, F), [T, 4, 2] if enforce_sorted else [2, T, 4]
    given = inputs if batch_first else inputs.transpose(0, 1)
    packed = pack_padded_sequence(given, lengths, batch_first=batch_first, enforce_sorted=enforce_sorted)
    with seqsum.trace(layer) as traced:
        layer(packed)
    with seqsum.trace(layer) as expected:
        layer(given, lengths=lengths)
    assert set(traced) == set(expected)
    for name in expected:
        torch.testing.assert_close(traced[name], expected[name])


def test_each_of_two_packed_layers_is_put_in_the_order_of_the_caller_once():
    network = nn.ModuleList([RNN(F, H), RNN(H, H)])
    inputs, lengths = torch.randn(T, 3, F), [2, T, 4]

    def run(given, **options):
        with seqsum.trace(network) as traced:
            network[1](network[0](given, **options)[0], **options)
        return dict(traced)

    packed = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
    torch.testing.assert_close(run(packed), run(inputs, lengths=lengths))


class Noisy(RecurrentCell):
    """Draws random numbers in its projection and its step, and keeps statistics in buffers."""

    gate_names = ("read_in",)

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read, self.norm = nn.Linear(input_size, hidden_size), nn.BatchNorm1d(hidden_size)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("first", None)
        self.register_buffer("nowhere", torch.tensor(float("nan")))

    def project(self, input: Tensor) -> Tensor:
        return self.read(nn.functional.dropout(input, 0.3, self.training))

    def gates(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor]:
        return (projected,)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        self.seen += 1
        self.first = projected if self.first is None else self.first
        self.drawn = projected.detach()
        projected = projected + self.first.detach()
        h = nn.functional.dropout(torch.tanh(self.norm(projected + state[0])), 0.5, self.training)
        return h, [h]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_run_that_is_watched_is_the_run(bidirectional):
    layer = Recurrent(Noisy(F, H), num_layers=2, bidirectional=bidirectional, dropout=0.5, backend="eager")
    twin, inputs = copy.deepcopy(layer), torch.randn(T, B, F)
    torch.manual_seed(0)
    expected, _ = twin(inputs)
    torch.manual_seed(0)
    with seqsum.trace(layer) as traced:
        found, _ = layer(inputs)
    assert torch.equal(found, expected)
    assert torch.equal(traced["hidden_l1"].transpose(0, 1), found[..., :H])
    assert torch.equal(traced["read_in_l0"][:, -1], layer.cells[0].drawn), "the gates are of the same draws"
    for name, buffer in twin.named_buffers():
        torch.testing.assert_close(layer.get_buffer(name), buffer, rtol=0, atol=0, equal_nan=True)


def test_a_recording_that_fails_leaves_buffers_as_they_were():
    class Failing(Noisy):
        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            if self.seen == 2:
                raise RuntimeError("in the third step")
            return super().step(projected, state)

    layer = Recurrent(Failing(F, H), backend="eager")
    with seqsum.trace(layer), pytest.raises(RuntimeError, match="in the third step"):
        layer(torch.randn(T, B, F))
    assert layer.cells[0].seen == 0


@pytest.mark.parametrize("how", ["compile", "vmap", "make_fx", "fake"])
def test_a_trace_may_be_on_where_torch_takes_the_model_apart(how):
    layer, inputs = LSTM(F, H), torch.randn(T, B, F)
    layer.cells[0].register_buffer("unused", torch.ones(3))
    expected, _ = layer(inputs)
    with seqsum.trace(layer):
        if how == "compile":
            found = torch.compile(lambda given: layer(given)[0], backend="eager", fullgraph=True)(inputs)
        elif how == "vmap":
            found = torch.func.vmap(lambda given: layer(given)[0], in_dims=1, out_dims=1)(inputs.unsqueeze(2))[:, :, 0]
        elif how == "make_fx":
            found = make_fx(lambda given: layer(given)[0])(inputs)(inputs)
        else:
            with FakeTensorMode(allow_non_fake_inputs=True) as mode:
                assert layer(mode.from_tensor(inputs))[0].shape == expected.shape
            return
    torch.testing.assert_close(found, expected)


def test_a_buffer_that_a_backward_pass_needs_is_not_written_to():
    class Scaled(Noisy):
        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            h = torch.tanh(projected * self.seen + state[0])
            return h, [h]

    layer, inputs = Recurrent(Scaled(F, H), backend="eager"), torch.randn(T, B, F)
    earlier, _ = layer(inputs)
    with seqsum.trace(layer):
        layer(inputs)
    earlier.sum().backward()


def test_what_is_shared_stays_so_in_a_run_that_does_not_count_and_what_it_adds_is_gone():
    network = nn.Sequential(nn.Flatten(), nn.Flatten())
    seen = torch.zeros(())
    for part in network:
        part.register_buffer("seen", seen)
    with spared_buffers(network.modules()):
        network[0].seen += 1
        assert network[1].seen == 1
        network.register_buffer("late", torch.ones(()))
    assert network[0].seen is network[1].seen is seen
    assert seen == 0
    assert [name for name, _ in network.named_buffers(remove_duplicate=False)] == ["0.seen", "1.seen"]


class Scaled(RecurrentCell):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.register_buffer("scale", torch.ones(hidden_size))

    def project(self, input: torch.Tensor) -> torch.Tensor:
        return input * self.scale

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        hidden = torch.tanh(projected + state[0])
        return hidden, [hidden]


@pytest.mark.parametrize("backend", ["auto", "script"])
def test_a_script_outlasts_runs_that_do_not_count(backend):
    layer, inputs = Recurrent(Scaled(H, H), backend=backend), torch.randn(T, B, H)
    expected, _ = layer(inputs)
    script = layer.cells[0]._compiled.script
    for _ in range(9):
        with spared_buffers(layer.modules()):
            assert torch.equal(layer(inputs)[0], expected)
        assert torch.equal(layer(inputs)[0], expected)
    assert layer.last_backend == "script"
    assert layer.cells[0]._compiled.script is script


class Memory(RecurrentCell):
    state_names = ("memory",)
    gate_names = ("memory_leak",)

    def project(self, input):
        return input.expand(*input.shape[:-1], 1) * torch.ones(self.hidden_size)

    def gates(self, projected, state):
        return (torch.sigmoid(projected),)

    def step(self, projected, state):
        memory = self.gates(projected, state)[0] * state[0] + projected
        return memory, [memory]


def test_a_state_of_ones_own_may_have_the_former_name():
    layer = Recurrent(Memory(1, H), backend="eager")
    with seqsum.trace(layer) as traced:
        outputs, _ = layer(torch.randn(T, B, 1))
    assert set(dict(traced)) == {"memory_l0", "memory_leak_l0"}
    torch.testing.assert_close(traced["memory_l0"].transpose(0, 1), outputs)


def test_modules_inside_a_network_have_their_path():
    network = torch.nn.ModuleDict({"reader": LSTM(F, H), "writer": Recurrent(LSTMCell(F, H))})
    with seqsum.trace(network) as traced:
        network["reader"](torch.randn(T, F))
        network["writer"](torch.randn(T, B, F))
        assert traced["reader.cell_state_l0"].shape == (1, T, H)
    assert traced["writer.forget_gate_l0"].shape == (B, T, H)
    assert "writer.forget_gate_l0 (4, 6, 5)" in repr(traced)
    assert torch.equal(traced["reader.memory_l0"], traced["reader.cell_state_l0"])  # the former name
    assert "reader.memory_l0" in traced
    assert "reader.memory_l0" not in list(traced)
    with pytest.raises(KeyError, match=r"'gate' was not recorded; recorded: \['reader.input_gate_l0'"):
        traced["gate"]


def test_the_latest_call_is_what_shows_and_nothing_after_the_end():
    layer = RNN(F, H)
    with seqsum.trace(layer) as traced:
        layer(torch.randn(T, B, F))
        outputs, _ = layer(torch.randn(T, B, F))
    layer(torch.randn(T, B, F))
    torch.testing.assert_close(traced["hidden_l0"].transpose(0, 1), outputs)


def test_gates_that_are_fewer_than_their_names_are_said():
    class Fewer(seqsum.GRUCell):
        def gates(self, projected, state):
            return super().gates(projected, state)[:2]

        def step(self, projected, state):
            return state[0], state

    layer = Recurrent(Fewer(3, 4), backend="eager")
    message = (
        r"`gates` of Fewer must return a tensor for each of `gate_names`, reset_gate, update_gate, candidate, not 2"
    )
    with seqsum.trace(layer), pytest.raises(ValueError, match=message):
        layer(torch.zeros(2, 1, 3))


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_is_not_traced(make_copy):
    layer, inputs = LSTM(3, 5), torch.ones(4, 2, 3)
    with seqsum.trace(layer) as traced:
        copied = make_copy(layer)
        copied(inputs)
        assert not traced
        layer(inputs)
        with seqsum.trace(make_copy(layer)) as of_copy:
            pass
    assert traced
    assert not of_copy
    assert copied.recorder is None


def test_nothing_is_left_behind_after_an_error():
    layer = LSTM(F, H)
    with pytest.raises(RuntimeError, match="stop"), seqsum.trace(layer):
        raise RuntimeError("stop")
    assert layer.recorder is None


def test_a_module_without_recurrence_is_refused():
    with pytest.raises(ValueError, match=r"`module` \(=Linear\) has no Recurrent"), seqsum.trace(torch.nn.Linear(1, 1)):
        pass


@pytest.mark.parametrize("part", [0, 1])
def test_tracing_twice_at_a_time_is_refused(part):
    both = nn.ModuleList([LSTM(F, H), LSTM(F, H)])
    with seqsum.trace(both[part]), pytest.raises(ValueError, match="being traced already"), seqsum.trace(both):
        pass
    assert both[0].recorder is both[1].recorder is None


class CountOperations(TorchDispatchMode):
    """Count all tensor operations."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("backend", ["eager", *BACKENDS[2:]])
def test_without_a_trace_not_one_operation_is_added(backend):
    layer = LSTM(F, H, backend=backend)
    cell, inputs = layer.cells[0], torch.randn(T, B, F)

    def count(call):
        with CountOperations() as mode:
            call()
        return mode.count

    bare = count(lambda: unroll(cell, inputs, cell.initial_state(B, inputs), backend=backend))
    stacking_final_states = 2
    assert count(lambda: layer(inputs)) == bare + stacking_final_states
    with seqsum.trace(layer):
        assert count(lambda: layer(inputs)) > 2 * bare
    assert count(lambda: layer(inputs)) == bare + stacking_final_states
