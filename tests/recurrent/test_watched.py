"""What a user has attached to a cell's parts, or to torch, works with `auto` as it does in Python."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as of_all
from torch.overrides import TorchFunctionMode

from seqsum import LSTM, RNN, Recurrent, RecurrentCell


class Loud(nn.Linear):
    """Is called in a way of its own."""

    def __call__(self, values):
        return 2 * super().__call__(values)


class Doubled(Tensor):
    """A weight that is twice what it holds, in `linear`."""

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        plain = [each.as_subclass(Tensor) if isinstance(each, Doubled) else each for each in arguments]
        if function is nn.functional.linear:
            plain = [2 * now if isinstance(each, Doubled) else now for each, now in zip(arguments, plain, strict=True)]
        return function(*plain, **(options or {}))


class DoubledParameter(Doubled, nn.Parameter):
    def __new__(cls, held):
        return Tensor._make_subclass(cls, held.as_subclass(Tensor).clone(), True)


class Replacing(TorchFunctionMode):
    """Replaces tanh by a function that stays linear longer."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        if function in (torch.tanh, Tensor.tanh):
            return nn.functional.hardtanh(*arguments)
        return function(*arguments, **(options or {}))


class Own(RecurrentCell):
    def __init__(self, input_size: int, hidden_size: int, part: type[nn.Linear] = nn.Linear) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)
        self.recall = part(hidden_size, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = torch.tanh(projected + self.recall(state[0]))
        return hidden, [hidden]


def halved(module, given, results=None):
    if not isinstance(module, nn.Linear):
        return None
    found = results if isinstance(results, Tensor) else given  # a backward hook gets two tuples
    return tuple(None if each is None else each / 2 for each in found) if isinstance(found, tuple) else found / 2


def on_part(register):
    def attach(layer, stack):
        getattr(layer.cells[0].recall, register)(halved)

    return attach


def on_all(register):
    def attach(layer, stack):
        stack.callback(getattr(of_all, register)(halved).remove)

    return attach


def replace_weight(put):
    def attach(layer, stack):
        recall = layer.cells[0].recall
        weight = recall.weight.detach().as_subclass(Doubled)
        del recall.weight
        put(recall, weight)

    return attach


WATCHERS = {
    "full backward hook": on_part("register_full_backward_hook"),
    "full backward pre-hook": on_part("register_full_backward_pre_hook"),
    "forward hook": on_part("register_forward_hook"),
    "forward pre-hook": on_part("register_forward_pre_hook"),
    "forward hook of all": on_all("register_module_forward_hook"),
    "forward pre-hook of all": on_all("register_module_forward_pre_hook"),
    "full backward hook of all": on_all("register_module_full_backward_hook"),
    "full backward pre-hook of all": on_all("register_module_full_backward_pre_hook"),
    "forward": lambda layer, stack: setattr(layer.cells[0].recall, "forward", torch.zeros_like),
    "call": lambda layer, stack: setattr(layer.cells[0].recall, "__class__", Loud),
    "tensor subclass": replace_weight(lambda recall, weight: setattr(recall, "weight", weight)),
    "parameter of a subclass": replace_weight(
        lambda recall, weight: recall._parameters.__setitem__("weight", DoubledParameter(weight))
    ),
    "buffer of a subclass": replace_weight(lambda recall, weight: recall.register_buffer("weight", weight)),
    "function mode": lambda layer, stack: stack.enter_context(Replacing()),
}


def run(layer):
    inputs = torch.linspace(-2, 2, 24, dtype=torch.float64).view(4, 2, 3).requires_grad_()
    outputs, final = layer(inputs)
    final = final if isinstance(final, tuple) else (final,)
    (gradient,) = torch.autograd.grad(outputs.square().sum(), [inputs])
    return [outputs.detach(), *(each.detach() for each in final), gradient]


def make(kind, backend="auto"):
    torch.manual_seed(0)
    return (Recurrent(Own(3, 4), backend=backend) if kind is Own else kind(3, 4, backend=backend)).double()


@pytest.mark.parametrize("name", WATCHERS)
@pytest.mark.parametrize("warm", [False, True])
def test_what_watches_a_part_works_as_in_python(name, warm):
    found = {}
    for backend in ("eager", "auto"):
        layer = make(Own, backend)
        plain = run(layer) if warm else None  # compiles it
        with ExitStack() as stack:
            WATCHERS[name](layer, stack)
            found[backend] = run(layer)
    torch.testing.assert_close(found["auto"], found["eager"])
    if plain is not None:
        assert not all(torch.equal(a, b) for a, b in zip(found["auto"], plain, strict=True))


@pytest.mark.parametrize(
    "name", ["full backward hook", "forward hook of all", "full backward hook of all", "call", "tensor subclass"]
)
def test_a_script_by_name_refuses_what_it_would_leave_out(name):
    layer = make(Own, "script")
    with ExitStack() as stack:
        WATCHERS[name](layer, stack)
        with pytest.raises(RuntimeError, match=r"'script'\) would leave out .* of Own: use 'auto'"):
            run(layer)


@pytest.mark.parametrize("backend", ["auto", "script"])
def test_inputs_of_a_tensor_subclass_keep_their_functions(backend):
    layer, inputs = make(Own, backend), torch.randn(4, 2, 3, dtype=torch.float64)
    expected, _ = Recurrent(layer.cells[0], backend="eager")(2 * inputs)
    outputs, _ = layer(inputs.as_subclass(Doubled))
    torch.testing.assert_close(outputs.as_subclass(Tensor), expected)


@pytest.mark.parametrize("kind", [Own, RNN, LSTM])
@pytest.mark.parametrize("backend", ["auto", "script", "bptt", "native", "eager"])
def test_a_function_mode_sees_every_step(kind, backend):
    if kind is Own and backend in ("bptt", "native"):
        pytest.skip("only built-in cells have kernels")
    layer = make(kind, backend)
    with Replacing():
        found = run(layer)
    assert layer.last_backend == "eager"
    layer.backend = "eager"
    with Replacing():
        torch.testing.assert_close(found, run(layer), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [Own, LSTM])
def test_a_default_device_is_no_watcher(kind):
    expected = make(kind)
    run(expected)
    with torch.device("cpu"):
        layer = make(kind)
        run(layer)
        assert layer.last_backend == expected.last_backend != "eager"
        with Replacing():  # one beside it is
            run(layer)
    assert layer.last_backend == "eager"


def test_a_part_replaced_on_one_cell_leaves_others_of_its_class_as_they_were():
    first, replaced, other = (make(Own) for _ in range(3))
    replaced.cells[0].recall.forward = torch.zeros_like
    for layer, backend in ((first, "script"), (replaced, "eager"), (other, "script"), (first, "script")):
        run(layer)
        assert layer.last_backend == backend
