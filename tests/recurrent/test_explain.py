"""What a user's own cell does wrong is said in words, where torch would show its insides."""

import typing

import pytest
import torch
from torch import Tensor, nn

from seqsum import Recurrent, RecurrentCell
from seqsum.recurrent.explain import unannotated_state


class Own(RecurrentCell):
    """A cell of one's own, right but for the `step` of its subclasses."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)
        self.recall = nn.Linear(hidden_size, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def new(self, projected: Tensor, hidden: Tensor) -> Tensor:
        return torch.tanh(projected + self.recall(hidden))


class OneTensor(Own):
    def step(self, projected: Tensor, state: list[Tensor]):
        return self.new(projected, state[0])


class BareState(Own):
    def step(self, projected: Tensor, state: list[Tensor]):
        hidden = self.new(projected, state[0])
        return hidden, hidden


class TwoStates(Own):
    def step(self, projected: Tensor, state: list[Tensor]):
        hidden = self.new(projected, state[0])
        return hidden, [hidden, hidden]


class ThreeValues(Own):
    def step(self, projected: Tensor, state: list[Tensor]):
        hidden = self.new(projected, state[0])
        return hidden, hidden, hidden


class Nothing(Own):
    def step(self, projected: Tensor, state: list[Tensor]):
        self.new(projected, state[0])


class NoAnnotation(Own):
    def step(self, projected, state):
        hidden = self.new(projected, state[0])
        return hidden, [hidden]


class WrongAnnotation(Own):
    def step(self, projected: Tensor, state: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden = self.new(projected, state[0])
        return hidden, [hidden]


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (OneTensor, r"not a tensor of shape \(2, 4\)"),
        (BareState, r"not a tensor of shape \(2, 4\) as the state"),
        (TwoStates, "not a state of 2 tensors"),
        (ThreeValues, "not 3 values: a tensor .*"),
        (Nothing, "not None"),
    ],
)
def test_what_step_returns_is_named(cell, what):
    layer = Recurrent(cell(3, 4), backend="eager")
    with pytest.raises(TypeError, match=rf"`step` of {cell.__name__} must return \(output, state\), .*{what}$"):
        layer(torch.randn(5, 2, 3))


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (NoAnnotation, r"has no type: annotate `state: list\[Tensor\]`$"),
        (WrongAnnotation, r"annotate `state: list\[Tensor\]`, not `.*Tensor.*`$"),
    ],
)
def test_the_annotation_that_torchscript_lacks_is_named(cell, what):
    layer = Recurrent(cell(3, 4), backend="script")
    with pytest.raises(RuntimeError, match=what):
        layer(torch.randn(5, 2, 3))


def test_a_list_of_the_typing_module_is_annotation_enough():
    class OldList(NoAnnotation):
        def step(self, projected: Tensor, state: typing.List[Tensor]):  # noqa: UP006  # as older code has it
            return super().step(projected, state)

    assert unannotated_state(OldList(3, 4)) is None


def test_a_step_that_torchscript_finds_to_return_one_tensor_is_named():
    layer = Recurrent(OneTensor(3, 4), backend="script")
    with pytest.raises(RuntimeError, match=r"OneTensor: `step` must return \(output, state\): write `def step"):
        layer(torch.randn(5, 2, 3))


class Narrower(Own):
    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        hidden = self.new(projected, state[0])
        return hidden, [hidden[:, :-1]]


class NarrowerInTheList(Own):
    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        state[0] = self.new(projected, state[0])[:, :-1]
        return state[0], state


@pytest.mark.parametrize("cell", [Narrower, NarrowerInTheList])
@pytest.mark.parametrize("backend", ["auto", "eager", "script"])
def test_a_state_of_another_shape_is_named(cell, backend):
    layer = Recurrent(cell(3, 5), backend=backend)
    with pytest.raises(
        TypeError, match=r"`step` of Narrower\w* .* shapes that it is given, \[\(2, 5\)\], not \[\(2, 4\)\]$"
    ):
        layer(torch.randn(4, 2, 3))


def test_another_error_of_a_step_is_raised_as_it_is():
    class Fails(Own):
        def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match=r"^of its own$"):
        Recurrent(Fails(3, 5), backend="eager")(torch.randn(4, 2, 3))
