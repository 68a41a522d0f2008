"""No argument may corrupt memory or give wrong numbers: every backend returns what the plain loop does, or raises.

Types, devices, strides, subclasses, lazy negation and modes are drawn at random, for every argument and backend.
"""

import copy
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from seqsum import GRU, LSTM, RNN, LSTMCell, Recurrent, RecurrentCell
from seqsum.recurrent import unroll
from tests.recurrent.oracles import BACKENDS

B, T, F, H = 3, 4, 2, 5
LAYERS = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
REFUSALS = (ValueError, RuntimeError, TypeError, NotImplementedError)


class Marked(Tensor):
    """Tensor subclass that torch's operations return again."""


class Wrapped(Tensor):
    """Tensor subclass that wraps another tensor and has no memory of its own."""

    @staticmethod
    def __new__(cls, inner):
        made = Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        given = tree_map_only(Wrapped, lambda wrapped: wrapped.inner, (args, kwargs or {}))
        return function(*given[0], **given[1])


class Watching(TorchDispatchMode):
    """Dispatch mode that sees every operation."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen += 1
        return function(*args, **(kwargs or {}))


def strided(tensor):
    """Return the same values as a strided view: every second number of a larger tensor with reordered axes."""
    room = torch.zeros(*(2 * size for size in reversed(tensor.shape)), dtype=tensor.dtype)
    view = room[tuple(slice(None, None, 2) for _ in tensor.shape)].permute(*reversed(range(tensor.dim())))
    return view.copy_(tensor)


def negated(tensor):
    """Return the same values lazily negated: memory holds their negatives."""
    found = torch.complex(torch.zeros_like(tensor), -tensor).conj().imag
    assert found.is_neg()
    return found


# variants of an argument: equivalent ones and ones to be refused
ALIKE = {
    "as it is": lambda tensor: tensor,
    "strided": strided,
    "negated": lambda tensor: negated(tensor) if tensor.is_floating_point() else tensor,
    "negated, dense": lambda tensor: torch._neg_view(-tensor) if tensor.is_floating_point() else tensor,
    "wrapped": Wrapped,
    "subclass": lambda tensor: tensor.as_subclass(Marked),
    "parameter": lambda tensor: nn.Parameter(tensor) if tensor.is_floating_point() else tensor,
    "gradient wanted": lambda tensor: tensor.clone().requires_grad_() if tensor.is_floating_point() else tensor,
}
OTHER_TYPES = {
    str(dtype).removeprefix("torch."): lambda tensor, dtype=dtype: tensor.to(dtype)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.complex64)
}
WRONG = {
    **OTHER_TYPES,
    "meta": lambda tensor: tensor.to("meta"),
    "shorter": lambda tensor: tensor[..., :-1],
    "longer": lambda tensor: torch.cat([tensor, tensor], -1),
    "one axis more": lambda tensor: tensor[None, None],
    "array": lambda tensor: tensor.numpy(),
    "sparse": lambda tensor: tensor.to_sparse(),
}
MODES = {
    "none": nullcontext,
    "watching": Watching,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference": torch.inference_mode,
    "default device": lambda: torch.device("meta"),
}


def arguments(name, dtype):
    torch.manual_seed(0)
    layer = LAYERS[name](F, H, bidirectional=True, recurrent_dropout=0.0).to(dtype)
    tensors = {"input": torch.randn(T, B, F, dtype=dtype), "mask": torch.rand(T, B) < 0.7}
    states = ["hidden", "cell state"] if name == "lstm" else ["hidden"]
    return layer, tensors | {state: torch.randn(2, B, H, dtype=dtype) for state in states}


def attempt(layer, backend, tensors, mode):
    """Return outputs, states and gradients, or the error."""
    layer = copy.deepcopy(layer)
    layer.backend = backend
    hidden = [tensors[name] for name in ("hidden", "cell state") if name in tensors]
    try:
        with mode():
            outputs, final = layer(
                tensors["input"], hidden[0] if len(hidden) == 1 else tuple(hidden), mask=tensors["mask"]
            )
        results = [outputs, *(final if isinstance(final, tuple) else (final,))]
        if outputs.requires_grad and not outputs.is_meta:
            weights = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype).view(outputs.shape)
            results += torch.autograd.grad(outputs, list(layer.parameters()), weights)
    except REFUSALS as error:
        return error
    return [result.detach().as_subclass(Tensor).resolve_neg() for result in results]


def assert_same_outcome(actual, expected):
    if isinstance(expected, Exception) or isinstance(actual, Exception):
        assert type(actual) is type(expected), (actual, expected)
        return
    for ours, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
def test_every_backend_does_as_the_plain_loop(data):
    name, dtype = data.draw(st.sampled_from(sorted(LAYERS))), data.draw(st.sampled_from([torch.float32, torch.float64]))
    layer, tensors = arguments(name, dtype)
    chosen = {argument: data.draw(st.sampled_from(sorted(ALIKE)), label=argument) for argument in tensors}
    if data.draw(st.booleans(), label="something is wrong"):
        chosen[data.draw(st.sampled_from(sorted(tensors)))] = data.draw(st.sampled_from(sorted(WRONG)))
    mode = MODES[data.draw(st.sampled_from(sorted(MODES)), label="mode")]
    given_tensors = {argument: (ALIKE | WRONG)[chosen[argument]](tensor) for argument, tensor in tensors.items()}
    expected = attempt(layer, "eager", given_tensors, mode)
    for backend in (*BACKENDS, "auto"):
        assert_same_outcome(attempt(layer, backend, given_tensors, mode), expected)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_an_argument_may_lie_in_memory_in_any_way(backend):
    for name in LAYERS:
        layer, tensors = arguments(name, torch.float32)
        expected = attempt(layer, "eager", tensors, nullcontext)
        for argument, tensor in tensors.items():
            for how in ALIKE:
                found = attempt(layer, backend, tensors | {argument: ALIKE[how](tensor)}, nullcontext)
                assert_same_outcome(found, expected)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_weights_may_lie_in_memory_the_other_way_around(backend):
    """As those that a parametrization computes, which copying doesn't lay out anew."""
    for name in LAYERS:
        layer, tensors = arguments(name, torch.float32)
        expected = attempt(layer, "eager", tensors, nullcontext)
        for cell in layer.cells:
            for own in ("weight_ih", "weight_hh"):
                setattr(cell, own, nn.Parameter(getattr(cell, own).detach().t().contiguous().t()))
        assert_same_outcome(attempt(layer, backend, tensors, nullcontext), expected)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_zeros_without_memory_are_zeros(backend):
    layer, tensors = arguments("gru", torch.float32)
    for argument in ("input", "hidden"):
        shape = tensors[argument].shape
        expected = attempt(layer, "eager", tensors | {argument: torch.zeros(shape)}, nullcontext)
        found = attempt(layer, backend, tensors | {argument: torch._efficientzerotensor(shape)}, nullcontext)
        assert_same_outcome(found, expected)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_what_does_not_fit_is_refused_by_name(name, how, backend):
    layer, tensors = arguments(name, torch.float32)
    for argument, tensor in tensors.items():
        if how == "float32" and argument != "mask":
            continue  # what it is
        spoilt = tensors | {argument: WRONG[how](tensor)}
        error = attempt(layer, backend, spoilt, nullcontext)
        assert isinstance(error, ValueError), (argument, error)
        assert {"hidden": "`hx`", "cell state": "`hx`"}.get(argument, f"`{argument}`") in str(error)


@settings(max_examples=60)
@given(data=st.data())
def test_weights_replaced_by_others_are_refused(data):
    """`layer.weight_hh_l0.data = …` silently accepts another shape, type or device."""
    layer, tensors = arguments(data.draw(st.sampled_from(sorted(LAYERS))), torch.float32)
    name = data.draw(st.sampled_from([name for name, _ in layer.cells[0].named_parameters()]))
    how = data.draw(st.sampled_from(["float16", "float64", "meta", "shorter", "longer"]))
    backend = data.draw(st.sampled_from([*BACKENDS, "auto"]))
    weight = getattr(layer.cells[0], name)
    setattr(layer.cells[0], name, nn.Parameter(WRONG[how](weight.detach())))
    error = attempt(layer, backend, tensors, nullcontext)
    assert isinstance(error, ValueError), error
    assert name in str(error) or "weights" in str(error)


@pytest.mark.parametrize("how", sorted(set(WRONG) - {"array", "sparse", "complex64", "int64"}))
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_unroll_checks_states_and_dropout_too(how, place, backend):
    cell = LSTMCell(F, H)
    state = [torch.randn(B, H), torch.randn(B, H), torch.ones(B, H)]  # hidden, cell state, dropout mask
    if how == "float32":
        cell = cell.double()
    state[place] = WRONG[how](state[place])
    with pytest.raises(ValueError, match="`state"):
        unroll(cell, torch.randn(T, B, F).to(cell.weight_ih), state, backend=backend)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_unroll_checks_inputs_too(backend):
    cell, inputs = LSTMCell(F, H), torch.randn(T, B, F)
    for how in set(WRONG) - {"float32"}:
        with pytest.raises(ValueError, match=r"^`inputs`"):
            unroll(cell, WRONG[how](inputs), cell.initial_state(B, inputs), backend=backend)


@pytest.mark.parametrize("backend", ["auto", "eager", "script"])
@pytest.mark.parametrize("name", ["inputs", "state"])
def test_unroll_checks_what_a_cell_of_ones_own_reads(name, backend):
    cell, inputs = Counting(F, H), torch.randn(T, B, F)
    for how in set(WRONG) - {"float32"} - ({"array", "sparse", "complex64", "int64"} if name == "state" else set()):
        given = {"inputs": inputs, "state": cell.initial_state(B, inputs)}
        if name == "inputs":
            given["inputs"] = WRONG[how](inputs)
        else:
            given["state"][0] = WRONG[how](given["state"][0])
        with pytest.raises(ValueError, match=rf"^`{name}`"):
            unroll(cell, **given, backend=backend)


@pytest.mark.parametrize("backend", sorted({*BACKENDS, "auto"} - {"script"}))  # TorchScript casts by its own rules
@pytest.mark.parametrize("place", ["inputs", "hidden", "cell state"])
def test_under_autocast_types_may_differ(backend, place):
    """torch's operations cast them; no kernel may read one type as another."""
    cell, tensors = LSTMCell(F, H), {"inputs": torch.randn(T, B, F), "hidden": torch.randn(B, H)}
    tensors |= {"cell state": torch.randn(B, H)}
    tensors[place] = tensors[place].bfloat16()
    found = []
    for name in (backend, "eager"):
        with torch.autocast("cpu", torch.bfloat16):
            outputs, final = unroll(cell, tensors["inputs"], [tensors["hidden"], tensors["cell state"]], backend=name)
        found.append([outputs, *final])
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_fake_tensors_stay_fake(name, backend):
    layer, tensors = arguments(name, torch.float32)
    layer.backend = "eager" if backend == "script" else backend  # TorchScript can't run fake tensors
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        outputs, _ = layer(mode.from_tensor(tensors["input"]))
    assert isinstance(outputs, FakeTensor)
    assert outputs.shape == (T, B, 2 * H)


def test_a_layer_is_made_of_fake_tensors_which_can_not_be_swapped(monkeypatch):
    swapped = []
    monkeypatch.setattr(nn.Module, "_apply", lambda module, function, recurse=True: swapped.append(module) or module)
    with FakeTensorMode():
        outputs, _ = LSTM(F, H, 2, bidirectional=True)(torch.empty(T, B, F))
    assert outputs.shape == (T, B, 2 * H)
    assert swapped == []


@pytest.mark.parametrize("lengths", [[T, 1, 2], torch.tensor([T, 1, 2])])
def test_lengths_are_not_read_where_they_may_have_no_numbers(lengths):
    layer, inputs, other = GRU(F, H), torch.randn(T, B, F), torch.randn(T, B, F)
    traced = make_fx(lambda given: layer(given, lengths=lengths)[0])(inputs)
    torch.testing.assert_close(traced(other), layer(other, lengths=lengths)[0])
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert GRU(F, H)(torch.empty(T, B, F), lengths=lengths)[0].shape == (T, B, H)
    with pytest.raises(ValueError, match=r"`lengths` .* must be between 0"):
        layer(inputs, lengths=[T + 1, 1, 2])


@pytest.mark.parametrize("name", LAYERS)
def test_make_fx_traces_what_depends_on_the_input(name):
    layer, tensors = arguments(name, torch.float32)
    traced = make_fx(lambda inputs: layer(inputs)[0])(tensors["input"])
    other = torch.randn(T, B, F)
    torch.testing.assert_close(traced(other), layer(other)[0])


class Counting(RecurrentCell):
    state_names = ("hidden", "count")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_size=[hidden_size, 1])
        self.read, self.when = nn.Linear(input_size, hidden_size), nn.Embedding(100, hidden_size)

    def initial_state(self, batch_size, like):
        zeros = torch.zeros(batch_size, 1, dtype=torch.long)
        return [like.new_zeros(batch_size, self.hidden_size), zeros]

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        h = torch.tanh(projected + state[0] + self.when(state[1].squeeze(1)))
        return h, [h, state[1] + 1]


def test_whole_numbers_in_a_state_stay_whole_under_autocast():
    layer, inputs = Recurrent(Counting(F, H)), torch.randn(T, B, F)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(inputs)
        _, (_, count) = layer(inputs, state)
    assert torch.equal(count, torch.full((1, B, 1), 2 * T))


def test_whole_numbers_in_a_state_can_not_be_learned():
    with pytest.raises(ValueError, match=r"`learn_initial_state` .* Counting: its state `count` is of type torch.int"):
        Recurrent(Counting(F, H), learn_initial_state=True)


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_states_are_cast_under_autocast_as_inputs_are(backend):
    layer, tensors = arguments("lstm", torch.float32)
    layer.backend = backend
    make = nn.Linear(H, H)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = make(tensors["hidden"])
        assert hidden.dtype == torch.bfloat16
        outputs, _ = layer(tensors["input"].bfloat16(), (hidden, hidden))
    expected, _ = layer(tensors["input"].bfloat16().float(), (hidden.float(), hidden.float()))
    torch.testing.assert_close(outputs, expected)


class Ratio(RecurrentCell):
    """User's cell with unbounded derivatives."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = (state[0] + projected) / (1 + projected * projected)
        return hidden, [hidden]


@pytest.mark.parametrize("make", [*LAYERS.values(), lambda *sizes, **options: Recurrent(Ratio(*sizes), **options)])
@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_masked_steps_take_no_part(make, backend, bidirectional, value):
    """Whatever masked steps contain, outputs, states and gradients are the same as with zeros."""
    torch.manual_seed(0)
    layer = make(F, H, num_layers=2, bidirectional=bidirectional, backend=backend)
    if backend in ("bptt", "native") and type(layer) is Recurrent:
        return  # the kernels are for the built-in cells
    inputs, mask = torch.randn(T, B, F), torch.rand(T, B) < 0.6
    found = []
    for held in (0.0, value):
        given_input = torch.where(mask[..., None], inputs, held).requires_grad_()
        outputs, final = layer(given_input, mask=mask)
        weights = torch.where(mask[..., None], torch.ones_like(outputs), held)  # of a loss that is NaN at masked steps
        states = sum(state.sum() for state in (final if isinstance(final, tuple) else (final,)))
        gradients = torch.autograd.grad(
            [outputs, states], [given_input, *layer.parameters()], [weights, torch.ones(())]
        )
        found.append([outputs, *(final if isinstance(final, tuple) else (final,)), *gradients])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)  # TorchScript recompiles and rounds anew
