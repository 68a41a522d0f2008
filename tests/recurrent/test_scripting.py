"""Cells of one's own, compiled by TorchScript, give what the loop in Python gives, also after they were changed."""

from __future__ import annotations

import contextlib
import copy
import gc
import os
import random
import subprocess
import sys
import time
import types
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqsum import LSTM, Recurrent, RecurrentCell
from seqsum.recurrent import backends
from tests.recurrent import helpers as of_module

F, H = 3, 4


def test_without_torchscript_cells_run_as_python():
    """In a process of its own: torch reads the variable when it is imported."""
    program = """
import torch
from seqsum import LSTM
layer, inputs = LSTM(3, 4, layer_norm=True), torch.randn(5, 2, 3)
print(layer(inputs)[0].shape, layer.last_backend)
layer.backend = "script"
try:
    layer(inputs)
except RuntimeError as error:
    print(error)
"""
    environment = {**os.environ, "PYTORCH_JIT": "0"}
    command = [sys.executable, "-W", "error", "-c", program]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert found == ("torch.Size([5, 2, 4]) eager\nTorchScript is switched off (PYTORCH_JIT=0): use 'auto'\n")


class Leaky(RecurrentCell):
    """Has attributes of all kinds that TorchScript copies."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)
        self.recall = nn.Linear(hidden_size, hidden_size)
        self.hide = nn.Dropout(0.5)
        self.activation = nn.Tanh()
        self.leak = 0.1
        self.times = 1
        self.squared = False
        self.scales = [1.0, 2.0]
        self.by_name = {"shift": 0.5}
        self.kind = "sum"

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        new = self.activation(self.hide(projected) + self.recall(state[0])) * self.scales[0] + self.by_name["shift"]
        if self.squared:
            new = new * new
        if self.kind == "product":
            new = new * state[0]
        hidden = (1 - self.leak) * state[0] + self.leak * self.times * new
        return hidden, [hidden]


CHANGES = {
    "a number": lambda cell, draw: setattr(cell, "leak", draw.random()),
    "a whole number": lambda cell, draw: setattr(cell, "times", draw.randrange(1, 5)),
    "a switch": lambda cell, draw: setattr(cell, "squared", draw.random() < 0.5),
    "a text": lambda cell, draw: setattr(cell, "kind", draw.choice(["sum", "product"])),
    "an item of a list": lambda cell, draw: cell.scales.__setitem__(0, draw.random()),
    "an item of a dictionary": lambda cell, draw: cell.by_name.__setitem__("shift", draw.random()),
    "a part": lambda cell, draw: setattr(cell, "activation", draw.choice([nn.ReLU, nn.Tanh, nn.Sigmoid])()),
    "a part's attribute": lambda cell, draw: setattr(cell.hide, "p", draw.choice([0.3, 0.4, 0.6])),
    "a part's mode": lambda cell, draw: cell.hide.train(draw.random() < 0.5),
    "the mode": lambda cell, draw: cell.train(draw.random() < 0.5),
    "a weight": lambda cell, draw: setattr(cell.read, "weight", nn.Parameter(torch.randn(H, F))),
    "a weight's values": lambda cell, draw: cell.read.weight.data.normal_(),
}


def of_eager(layer, *inputs):
    """Run a layer with its backend and as plain Python, from the same random numbers; return both outputs."""
    backend, found = layer.backend, []
    for layer.backend in (backend, "eager"):
        torch.manual_seed(0)
        found.append(layer(*inputs)[0])
    layer.backend = backend
    return found


@pytest.mark.parametrize("seed", range(4))
def test_every_change_of_a_cell_takes_effect(seed):
    draw, layer = random.Random(seed), Recurrent(Leaky(F, H), backend="script")
    given = torch.randn(5, 2, F), torch.randn(1, 2, H)
    for name in [*CHANGES, *draw.choices(list(CHANGES), k=20)]:
        CHANGES[name](layer.cells[0], draw)
        torch.testing.assert_close(*of_eager(layer, *given), msg=lambda text, name=name: f"{name}: {text}")
    assert layer.cells[0].__dict__["_compiled"].renewals > 5


def test_a_built_in_cell_too():
    layer, inputs = LSTM(F, H, layer_norm=True, backend="script"), torch.randn(5, 2, F)
    layer(inputs)
    layer.cells[0].output_activation = "identity"
    torch.testing.assert_close(*of_eager(layer, inputs))


def test_it_is_compiled_once_unless_it_changes():
    layer, inputs = Recurrent(Leaky(F, H), backend="script"), torch.randn(5, 2, F)
    for mode in (True, False, True):
        layer.train(mode)(inputs)
        with torch.no_grad():
            layer.cells[0].read.bias.add_(1)
    assert layer.cells[0].__dict__["_compiled"].renewals == 0


def test_a_compilation_that_was_interrupted_is_made_again(monkeypatch):
    """As by Ctrl-C in a notebook: TorchScript would keep the type that it had half made."""

    class Mine(Leaky):
        pass

    compile_methods = torch.jit._recursive.create_methods_and_properties_from_stubs

    def interrupt(*stubs):
        compile_methods(*stubs)
        raise KeyboardInterrupt

    layer, inputs = Recurrent(Mine(3, 5)), torch.ones(4, 2, 3)
    with monkeypatch.context() as patch:
        patch.setattr(torch.jit._recursive, "create_methods_and_properties_from_stubs", interrupt)
        with pytest.raises(KeyboardInterrupt):
            layer(inputs)
    layer(inputs)
    assert layer.last_backend == "script"


def test_auto_runs_a_cell_eagerly_that_keeps_changing_and_says_so_once(monkeypatch):
    monkeypatch.setattr(backends, "said_to_change", set())
    layer, inputs, used = Recurrent(Leaky(F, H)), torch.randn(5, 2, F), []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(8):
            layer.cells[0].leak = 0.1 * step
            torch.testing.assert_close(*of_eager(layer, inputs))
            layer(inputs)
            used.append(layer.last_backend)
    assert used == ["script"] * (1 + backends.MOST_RENEWALS) + ["eager"] * (7 - backends.MOST_RENEWALS)
    said = [str(warning.message) for warning in caught if "runs eagerly" in str(warning.message)]
    assert said == [
        "Leaky runs eagerly, since its attributes change, and TorchScript would have to compile it anew for each"
    ]
    another = Recurrent(Leaky(F, H))
    another(inputs)
    assert another.last_backend == "script", "only the cell that changes runs eagerly"


class Chunks(RecurrentCell):
    """Only one chunk of what it reads in the last step reaches the output."""

    state_names = ("hidden", "slow")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_size=[hidden_size, hidden_size])
        self.read = nn.Linear(input_size, 2 * hidden_size)
        self.recall = nn.Linear(hidden_size, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        fast, slow = projected.chunk(2, -1)
        hidden = torch.tanh(fast + self.recall(state[0]) + state[1])
        return hidden, [hidden, torch.tanh(slow + state[1])]


@pytest.mark.parametrize("of", ["outputs", "first output", "hidden", "slow", "all"])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_stay_right_in_every_call_whatever_the_loss_reads(of, masked):
    layer, inputs = Recurrent(Chunks(F, H), backend="script"), torch.randn(5, 2, F)
    mask = torch.rand(5, 2) < 0.6 if masked else None

    def gradients():
        outputs, (hidden, slow) = layer(inputs, mask=mask)
        read = {"outputs": outputs, "first output": outputs[0], "hidden": hidden, "slow": slow}
        loss = sum(tensor.square().sum() for name, tensor in read.items() if of in (name, "all"))
        return torch.autograd.grad(loss, list(layer.parameters()), allow_unused=True, materialize_grads=True)

    found = [gradients() for _ in range(4)]  # TorchScript looks at the first calls, and optimises the later ones
    layer.backend = "eager"
    for each in found:
        torch.testing.assert_close(each, gradients())


@pytest.mark.parametrize("reentrant", [False, True])
def test_activations_may_be_recomputed(reentrant):
    layer, inputs = Recurrent(Leaky(F, H)).eval(), torch.randn(5, 2, F, requires_grad=True)
    for _ in range(3):
        inputs.grad = None
        checkpoint(lambda given: layer(given)[0], inputs, use_reentrant=reentrant).sum().backward()
        (expected,) = torch.autograd.grad(layer(inputs)[0].sum(), inputs)
        torch.testing.assert_close(inputs.grad, expected)


class WritesIntoItsList(RecurrentCell):
    state_names = ("hidden", "memory")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_size=[hidden_size, hidden_size])
        self.read = nn.Linear(input_size, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        state[1] = 0.5 * state[1] + projected
        state[0] = torch.tanh(state[1])
        return state[0], state


@pytest.mark.parametrize("backend", ["eager", "script"])
def test_a_step_may_write_into_the_list_of_its_states(backend):
    layer, inputs = Recurrent(WritesIntoItsList(F, H), backend=backend), torch.randn(5, 1, F)
    mask = torch.tensor([True, False, True, True, False]).unsqueeze(1)
    masked, valid = layer(inputs, mask=mask), layer(inputs[mask.squeeze(1)])
    torch.testing.assert_close(masked[1], valid[1])
    torch.testing.assert_close(masked[0][mask.squeeze(1)], valid[0])


def test_a_compiled_layer_is_freed_like_any_other():
    layer = Recurrent(Leaky(F, H), backend="script")
    layer(torch.randn(5, 2, F))
    cell, weight = weakref.ref(layer.cells[0]), weakref.ref(layer.cells[0].read.weight)
    del layer
    gc.collect()
    assert cell() is None
    assert weight() is None


def factor(values: Tensor) -> Tensor:
    return inner_factor(values)


def inner_factor(values: Tensor) -> Tensor:
    return torch.sigmoid(values)


def compiled_by_torch(function):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        return torch.jit.script(function)


@compiled_by_torch
def compiled_inside(values: Tensor) -> Tensor:
    return values * 1.3


def make_helped() -> type[RecurrentCell]:
    """Make a new class, whose step calls and reads what is its class's, a part's, and functions of modules."""

    def weighted(values: Tensor) -> Tensor:
        return values * 0.7

    def change_enclosing():
        nonlocal weighted
        weighted = inner_factor

    class Part(nn.Module):
        def shift(self, values: Tensor) -> Tensor:
            return values + 0.1

        def forward(self, values: Tensor) -> Tensor:
            return values * 0.8

    class Helped(RecurrentCell):
        gain = 0.9
        offset = 0.2
        __constants__ = ["offset"]  # noqa: RUF012  # as TorchScript reads it

        def __init__(self, input_size: int, hidden_size: int) -> None:
            super().__init__(input_size, hidden_size)
            self.read = nn.Linear(input_size, hidden_size)
            self.part = Part()

        @property
        def slope(self) -> float:
            return 1.1

        def project(self, input: Tensor) -> Tensor:
            return self.read(input)

        def helper(self, values: Tensor, times: float = 1.2) -> Tensor:
            return factor(values) * of_module.scale(values) * times

        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            read = self.part(self.part.shift(self.helper(projected))) * self.slope * self.gain + self.offset
            hidden = torch.tanh(weighted(compiled_inside(read)) * of_module.FACTOR + state[0])
            return hidden, [hidden]

    Helped.change_enclosing = staticmethod(change_enclosing)
    Helped.__annotations__["gain"] = Final[float]  # in this file annotations are texts, which TorchScript can't read
    return Helped


REPLACED = {
    "method": lambda patch, cell: patch.setattr(type(cell), "helper", lambda self, values: values),
    "method of an instance": lambda patch, cell: patch.setattr(cell, "helper", lambda values: values),
    "method of a part": lambda patch, cell: patch.setattr(type(cell.part), "shift", lambda self, values: -values),
    "method of an instance of a part": lambda patch, cell: patch.setattr(cell.part, "shift", lambda values: -values),
    "forward of a part": lambda patch, cell: patch.setattr(type(cell.part), "forward", lambda self, values: -values),
    "property": lambda patch, cell: patch.setattr(type(cell), "slope", property(lambda self: -2.0)),
    "default": lambda patch, cell: patch.setattr(type(cell).helper, "__defaults__", (3.0,)),
    "code": lambda patch, cell: patch.setattr(type(cell).helper, "__code__", (lambda self, values, _: values).__code__),
    "annotated constant": lambda patch, cell: patch.setattr(type(cell), "gain", 3.0),
    "listed constant": lambda patch, cell: patch.setattr(type(cell), "offset", -1.0),
    "function": lambda patch, cell: patch.setattr(f"{__name__}.factor", lambda values: values + 1),
    "inner function": lambda patch, cell: patch.setattr(f"{__name__}.inner_factor", lambda values: values + 1),
    "compiled function": lambda patch, cell: patch.setattr(
        f"{__name__}.compiled_inside", compiled_by_torch(inner_factor)
    ),
    "function of an enclosing one": lambda patch, cell: type(cell).change_enclosing(),
    "number of a module": lambda patch, cell: patch.setattr(of_module, "FACTOR", 3.0),
    "function of a module": lambda patch, cell: patch.setattr(of_module, "scale", lambda values: values - values + 3),
}


@pytest.mark.filterwarnings("ignore:.*runs eagerly")
@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("change", REPLACED)
def test_what_a_step_calls_may_be_replaced(monkeypatch, change, anew):
    kind, inputs = make_helped(), torch.randn(5, 2, F)
    layer = Recurrent(kind(F, H))
    before = layer(inputs)[0]
    assert layer.last_backend == "script"
    REPLACED[change](monkeypatch, layer.cells[0])
    if anew and "instance" not in change:
        torch.manual_seed(1)
        layer = Recurrent(kind(F, H))
    found = layer(inputs)[0]
    layer.backend = "eager"
    torch.testing.assert_close(found, layer(inputs)[0])
    assert not torch.allclose(found, before)


def test_a_variable_of_an_enclosing_function_may_have_no_value_yet():
    class Own(Leaky):
        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            if not torch.jit.is_scripting():
                later()
            return projected, [projected]

    layer = Recurrent(Own(F, H), backend="script")
    with contextlib.suppress(RuntimeError):  # whether TorchScript compiles it is its own matter
        layer(torch.randn(5, 2, F))

    def later():
        pass


@pytest.mark.parametrize("change", [name for name in REPLACED if "constant" not in name])
def test_script_by_name_refuses_what_torchscript_would_not_notice(monkeypatch, change):
    layer, inputs = Recurrent(make_helped()(F, H), backend="script"), torch.randn(5, 2, F)
    layer(inputs)
    REPLACED[change](monkeypatch, layer.cells[0])
    with pytest.raises(RuntimeError, match="was replaced"):
        layer(inputs)


@pytest.mark.filterwarnings("default")  # torch.compile warns about its own code
@pytest.mark.parametrize("change", ["copy", "step", "step of an instance"])
def test_a_compiled_step_is_that_of_the_cell_as_it_is(monkeypatch, change):
    layer, inputs = Recurrent(make_helped()(F, H), backend="compile"), torch.randn(5, 2, F)
    before = layer(inputs)[0]

    def other(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return 3 * projected, [state[0] - 1]

    if change == "copy":
        twin = copy.copy(layer.cells[0])
        twin._parameters, twin._modules = dict(twin._parameters), {**twin._modules, "read": nn.Linear(F, H)}
        layer = Recurrent(twin, backend="compile")
    elif change == "step":
        monkeypatch.setattr(type(layer.cells[0]), "step", other)
    else:
        layer.cells[0].step = types.MethodType(other, layer.cells[0])
    found = layer(inputs)[0]
    layer.backend = "eager"
    torch.testing.assert_close(found, layer(inputs)[0])
    assert not torch.allclose(found, before)


@pytest.mark.filterwarnings("default")  # torch.compile warns about its own code
@pytest.mark.parametrize("backend", ["compile", "script", "auto"])
def test_shallow_copies_run_with_weights_of_their_own(backend):
    """As DataParallel and libraries for meta-learning copy modules."""
    original, inputs = LSTM(F, H, layer_norm=True, backend=backend), torch.randn(5, 2, F)
    expected = original(inputs)[0]
    twin = copy.copy(original.cells[0])
    twin._parameters = {name: nn.Parameter(3 * weight) for name, weight in twin._parameters.items()}
    layer = Recurrent(twin, backend=backend)
    torch.testing.assert_close(*of_eager(layer, inputs))
    torch.testing.assert_close(original(inputs)[0], expected)
    layer(inputs)[0].sum().backward()
    assert all(weight.grad is not None for weight in twin.parameters())


@pytest.mark.parametrize("method", ["double", "load_state_dict"])
@pytest.mark.parametrize("swap", [False, True])
def test_weights_may_be_swapped(monkeypatch, method, swap):
    layer, inputs = Recurrent(Leaky(F, H).eval(), backend="script"), torch.randn(5, 2, F)
    layer(inputs)
    torch.__future__.set_swap_module_params_on_conversion(swap)
    try:
        if method == "double":
            layer.double()
            inputs = inputs.double()
        else:
            layer.load_state_dict({name: torch.randn_like(weight) for name, weight in layer.state_dict().items()})
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    torch.testing.assert_close(*of_eager(layer, inputs))


def test_script_by_name_says_that_it_can_not_be_recomputed_in_part():
    layer, inputs = Recurrent(Leaky(F, H), backend="script").eval(), torch.randn(5, 2, F, requires_grad=True)
    outputs = checkpoint(lambda given: layer(given)[0], inputs, use_reentrant=False)
    with pytest.raises(RuntimeError, match=r"`backend` \(='script'\) can't be stopped in the middle, as torch"):
        outputs.sum().backward()
    further = nn.Linear(H, H)
    checkpoint(lambda given: further(layer(given)[0]).tanh(), inputs, use_reentrant=False).sum().backward()
    inputs.grad = None
    checkpoint(lambda given: layer(given)[0], inputs, use_reentrant=True).sum().backward()
    recomputed, inputs.grad = inputs.grad, None
    layer(inputs)[0].sum().backward()
    torch.testing.assert_close(recomputed, inputs.grad)


@pytest.mark.parametrize("backend", ["script", "auto"])
@pytest.mark.parametrize("hooked", [False, True])
def test_threads_share_a_layer(backend, hooked):
    """Compilation, attributes and hooks of a cell are the same objects for all of them."""
    layer = Recurrent(make_helped()(F, H), backend=backend)
    if hooked:
        layer.cells[0].register_forward_pre_hook(lambda *_: time.sleep(0.001))  # in which another thread runs
    given = [torch.randn(4, 2, F) for _ in range(60)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda inputs: layer(inputs)[0].detach(), given))
    assert "forward" not in layer.cells[0].__dict__
    layer.backend = "eager"
    for inputs, outputs in zip(given, found, strict=True):
        torch.testing.assert_close(outputs, layer(inputs)[0].detach())


class Many(RecurrentCell):
    """Has parameters in a list."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)
        self.scales = nn.ParameterList([torch.rand(hidden_size) for _ in range(2)])

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = torch.tanh(projected * self.scales[0] + state[0] * self.scales[1])
        return hidden, [hidden]


def test_a_list_of_parameters_keeps_no_cell_from_its_script():
    layer, inputs = Recurrent(Many(F, H)), torch.randn(5, 2, F)
    outputs, _ = layer(inputs)
    assert layer.last_backend == "script"
    layer.backend = "eager"
    torch.testing.assert_close(outputs, layer(inputs)[0])
