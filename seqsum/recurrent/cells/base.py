"""What every cell is.

A cell knows nothing about time: `seqsum.recurrent.unroll` runs it over a sequence. To write a cell of
your own, subclass `RecurrentCell` and write `project` and `step`.

State travels as a list of tensors, `(B, S)` each, so that one loop serves every cell and TorchScript
knows the type.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Generator, Tensor, fx, nn

from seqsum.recurrent.cells.graphs import Opaque


class RecurrentCell(Opaque):
    """Contract of every cell: one step of one layer in one direction.

    A step is cut in two. `project` is the part that does not depend on the state, so the loop runs it
    once for all time steps, as one large product. `step` is the rest.

    Two more are there for those who want them. A cell that names its gates in `gate_names` and computes
    them in `gates`, which `step` then calls, shows them in `seqsum.trace`. And `constants` are tensors
    that stay the same for all steps of a sequence, such as a dropout mask.

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        state_size: Size of each tensor of the state; by default one, of `hidden_size`.
        output_size: Size of a step's output, `O`; by default `hidden_size`.

    Raises:
        TypeError: A size that is not whole.
        ValueError: A size below one.
    """

    gate_names: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ("hidden",)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # __new__ would hide it

    def __new__(cls, *args: Any, **kwargs: Any) -> RecurrentCell:
        """Remember the arguments, for `like`."""
        cell = super().__new__(cls)
        with suppress(TypeError):  # wrong ones: `__init__` says so, in better words; none at all: unpickling
            object.__setattr__(cell, "_arguments", inspect.signature(cls).bind(*args, **kwargs).arguments)
        return cell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        state_size: Sequence[int] | None = None,
        output_size: int | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            check_whole(name, size)
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.state_size = [hidden_size] if state_size is None else list(state_size)
        self.output_size = hidden_size if output_size is None else output_size

    def project(self, input: Tensor) -> Tensor:
        """Input's contribution to the gates, `(…, F) -> (…, G·H)`; any leading axes."""
        raise NotImplementedError(f"{type(self).__name__} must define `project`")

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`(B, G·H)` and the previous state -> output `(B, O)` and the new state, constants included."""
        raise NotImplementedError(f"{type(self).__name__} must define `step`")

    def gates(self, projected: Tensor, state: list[Tensor]) -> Sequence[Tensor]:
        """`(…, G·H)` and the previous state -> the gates called `gate_names`; any leading axes."""
        raise NotImplementedError(f"{type(self).__name__} names its gates and must define `gates`")

    def initial_state(self, batch_size: int, like: Tensor) -> list[Tensor]:
        """Zero state, `(B, S)` each, of the dtype and on the device of `like`."""
        return [like.new_zeros(batch_size, size) for size in self.state_size]

    def constants(self, batch_size: int, like: Tensor, generator: Generator | None = None) -> list[Tensor]:
        """What `step` gets and gives behind the state, drawn anew for each batch of sequences: nothing."""
        return []

    def like(self, input_size: int, **changes: Any) -> RecurrentCell:
        """Another cell made with the same arguments, but for `input_size` and others: its own, fresh weights."""
        arguments = {**self.__dict__["_arguments"], "input_size": input_size, **changes}
        bound = inspect.BoundArguments(inspect.signature(type(self)), arguments)
        return type(self)(*bound.args, **bound.kwargs)

    @torch.jit.unused
    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """One step from input to state, with the signature of torch.nn's cells.

        Args:
            input: `(B, F)`, or `(F,)` for a single one.
            hx: The previous state, `(B, S)` or `(S,)`, a tuple of them if there are several; by default
                `initial_state`.

        Returns:
            The new state, of the same form.

        Raises:
            ValueError: Sizes that don't fit.
        """
        if isinstance(input, fx.Proxy):
            return self.call_in_graph(input, hx)
        if input.dim() not in (1, 2):
            raise ValueError(
                f"`input` of shape {tuple(input.shape)} must have one or two axes, (F,) or (B, F), not {input.dim()}"
            )
        if input.shape[-1] != self.input_size:
            raise ValueError(
                f"`input` of shape {tuple(input.shape)} must have `input_size` (={self.input_size}) features, "
                f"not {input.shape[-1]}"
            )
        batch = input if input.dim() == 2 else input.unsqueeze(0)  # (B, F)
        if hx is None:
            previous = self.initial_state(batch.shape[0], batch)
        else:
            states = [hx] if isinstance(hx, Tensor) else list(hx)
            expected = [(*input.shape[:-1], size) for size in self.state_size]
            if [tuple(s.shape) for s in states] != expected:
                raise ValueError(f"`hx` of shapes {[tuple(s.shape) for s in states]} must be of {expected}")
            previous = [s if input.dim() == 2 else s.unsqueeze(0) for s in states]
        new = self.step(self.project(batch), previous + self.constants(batch.shape[0], batch))[1]
        new = [s if input.dim() == 2 else s.squeeze(0) for s in new[: len(self.state_size)]]
        return new[0] if len(new) == 1 else tuple(new)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


def check_whole(name: str, value: Any) -> None:
    """Raise a TypeError unless the argument of this name is a whole number."""
    if not isinstance(value, int):
        raise TypeError(f"`{name}` (={value!r}) must be a whole number, not of type {type(value).__name__}")


def check_switch(name: str, value: Any) -> None:
    """Raise a TypeError unless the argument of this name is True or False: "False" would count as True."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` (={value!r}) must be True or False, not of type {type(value).__name__}")


def list_options(module: nn.Module, defaults: Mapping[str, Any]) -> str:
    """Those attributes of a module that are not the given defaults, as torch.nn shows them: `, bias=False`."""
    shown = {name: getattr(module, name, default) for name, default in defaults.items()}
    return "".join(f", {name}={value}" for name, value in shown.items() if value != defaults[name])


def require_cell(cell: Any) -> None:
    """Raise a TypeError unless `cell` has the whole contract; it need not be a `RecurrentCell`."""
    sizes, names = ("input_size", "hidden_size", "output_size", "state_size"), ("state_names", "gate_names")
    contract = (*sizes, *names, "project", "step", "initial_state", "constants")
    missing = [name for name in contract if not hasattr(cell, name)]
    if isinstance(cell, type):
        raise TypeError(f"`cell` (=the class {cell.__name__}) must be a cell, such as LSTMCell(3, 5)")
    if not isinstance(cell, nn.Module) or missing:
        raise TypeError(
            f"`cell` (={type(cell).__name__}) must be a module with the contract of RecurrentCell, and lacks {missing}"
        )
