"""Base class of all cells.

A cell knows nothing about time: `seqsum.recurrent.unroll` runs it over a sequence. To write your own cell,
subclass `RecurrentCell` and define `project` and `step`.

The state is a list of tensors, `(B, S)` each, so that one loop serves every cell and TorchScript can infer
the type.
"""
# Annotations must not be texts here (`from __future__ import annotations`): in Python 3.14 torch would take those of
# this class for those of the user's, whose `Final` it would not find.

import copy
import gc
import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Generator, Tensor, fx, nn

from seqsum.recurrent.alike import check_features, check_like, check_states, real_weight, to_type
from seqsum.recurrent.cells.constants import Constants, check_constants, list_constants
from seqsum.recurrent.cells.graphs import Opaque

SEVERAL = (tuple, list)  # for `isinstance`: torch 2.8 compiles no `tuple | list`


class RecurrentCell(Opaque):
    """Base class for cells: one step of one layer in one direction.

    A step has two parts. `project` doesn't depend on the state, so the loop runs it once for all time
    steps, as one large product. `step` does the rest.

    `state_names` are what `seqsum.trace` and figures call the states: by default "hidden", "state_1" and so on.

    Two more methods are optional. To show gates in `seqsum.trace`, name them in `gate_names`, compute
    them in `gates` and call `gates` from `step`. To pass `step` tensors that stay the same for a whole
    sequence, such as a dropout mask, return them from `constants`. For those that the caller gives, such as the
    sequence that `AttentionCell` reads, name them in `constant_names`: `constants` then gets them too.

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        state_size: Size `S` of each state tensor. Default: a single tensor of `hidden_size`.
        output_size: Size of a step's output, `O`. Default: `hidden_size`.

    Raises:
        TypeError: A size is not an integer, or `state_size` no list.
        ValueError: A size is below one.
    """

    gate_names: tuple[str, ...] = ()
    state_names: tuple[str, ...] = ("hidden",)
    constant_names: tuple[str, ...] = ()
    # TorchScript can't read these annotations, which it does for a cell that has names of its own
    __jit_ignored_attributes__ = ("gate_names", "state_names", "constant_names")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # __new__ would hide it

    def __new__(cls, *args: Any, **kwargs: Any) -> "RecurrentCell":
        """Store the arguments for `like`."""
        cell = super().__new__(cls)
        with suppress(TypeError):  # for wrong arguments `__init__` raises a clearer error; unpickling gives none
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
        self.input_size = input_size
        self.hidden_size = hidden_size
        if isinstance(state_size, int):
            raise TypeError(f"`state_size` (={state_size!r}) must be a list of sizes, one for each state")
        self.state_size = [hidden_size] if state_size is None else list(state_size)
        if self.state_names is RecurrentCell.state_names:  # none of the cell's own
            self.state_names = ("hidden", *(f"state_{k}" for k in range(1, len(self.state_size))))
        self.output_size = hidden_size if output_size is None else output_size
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "output_size": self.output_size}
        for name, size in (*sizes.items(), *(("state_size", size) for size in self.state_size)):
            check_size(name, size)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, nn.Module | nn.Parameter) and inspect.isfunction(getattr(type(self), name, None)):
            raise AttributeError(
                f"`{name}` is a method of {type(self).__name__}, so a {type(value).__name__} needs another name"
            )
        super().__setattr__(name, value)

    def project(self, input: Tensor) -> Tensor:
        """Compute the input's contribution to the gates, `(…, F) -> (…, G·H)`, for any leading axes."""
        raise NotImplementedError(f"{type(self).__name__} must define `project`")

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run one step: `(B, G·H)`, state -> output `(B, O)`, new state; both states end with the constants."""
        raise NotImplementedError(f"{type(self).__name__} must define `step`")

    def gates(self, projected: Tensor, state: list[Tensor]) -> Sequence[Tensor]:
        """Compute the gates listed in `gate_names` from `(…, G·H)` and the previous state, for any leading axes."""
        raise NotImplementedError(f"{type(self).__name__} names its gates and must define `gates`")

    def initial_state(self, batch_size: int, like: Tensor) -> list[Tensor]:
        """Return a zero state, `(B, S)` each, with the dtype and device of `like`."""
        return [like.new_zeros(batch_size, size) for size in self.state_size]

    def constants(
        self, batch_size: int, like: Tensor, generator: Generator | None = None, *given: Tensor | None
    ) -> list[Tensor]:
        """Return tensors to append to the state that `step` reads and returns; called once per batch. Default: `given`.

        Args:
            batch_size: Number of sequences, `B`.
            like: Input, for its type and device.
            generator: Random generator. Default: torch's.
            given: `(B, …)` each, what the caller has given for each of `constant_names`.

        Returns:
            Any number of tensors of any shape. Masks of the loop don't apply to them.
        """
        return [tensor for tensor in given if tensor is not None]

    def like(self, input_size: int, **changes: Any) -> "RecurrentCell":
        """Make a cell with the same arguments except `input_size` and `changes`, and with weights of its own.

        Modules and parameters among the arguments are copied with their values, which may be trained or frozen.

        Raises:
            TypeError: The input size changes and the constructor doesn't take one, or an argument can't be copied.
        """
        return self.remade(input_size=input_size, **changes)

    def remade(self, **changes: Any) -> "RecurrentCell":
        """Make a cell with the same arguments except `changes`, of the same type and on the same device; see `like`."""
        signature = inspect.signature(type(self))
        arguments: dict[str, Any] = dict(self.__dict__["_arguments"])
        collected = next((name for name, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD), "")
        for name in changes.keys() - signature.parameters.keys():
            if name in arguments.get(collected, {}):
                arguments[collected] = {**arguments[collected], name: changes[name]}
            elif getattr(self, name, None) != changes[name]:
                raise TypeError(
                    f"{type(self).__name__} can't be made with another `{name}`, for more layers or directions: its "
                    "`__init__` must have a parameter of this name, or the cell a `like(input_size)` of its own"
                )
            del changes[name]
        parts = (nn.Module, Tensor, list, tuple, dict)
        shared = {name: value for name, value in arguments.items() if name not in changes and isinstance(value, parts)}
        try:
            copied = copy.deepcopy(shared)  # all at once, so that what is in several of them still is
        except (RuntimeError, TypeError) as error:  # for one, of weights that hooks compute
            raise TypeError(f"the arguments of {type(self).__name__} can't be copied for another: {error}") from error
        bound = inspect.BoundArguments(signature, {**arguments, **copied, **changes})
        made = type(self)(*bound.args, **bound.kwargs)
        weight = real_weight(self, None)
        return made if weight is None else to_type(made, weight.dtype, weight.device)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._let_go_of_weights()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._let_go_of_weights()
        super()._load_from_state_dict(*arguments)

    def _let_go_of_weights(self) -> None:
        """Drop a compiled loop, since it holds the weights, and torch swaps them only if nothing else does."""
        if torch.__future__.get_swap_module_params_on_conversion() and self.__dict__.pop("_compiled", None):
            gc.collect()  # nothing else frees what TorchScript has made

    @torch.jit.unused
    def forward(self, input: Tensor, hx: Any = None, *, constants: Constants | None = None) -> Any:
        """Run one step and return the new state, with the signature of torch.nn's cells.

        In training, recurrent dropout draws another mask at each call. For one mask for all steps of a sequence, use a
        layer, or `step` with the sequence's `constants` behind the state.

        Args:
            input: `(B, F)`, or `(F,)` without a batch axis.
            hx: Previous state, `(B, S)` or `(S,)`; a tuple of them if the cell has several. Default:
                `initial_state`.
            constants: `(B, …)` each, or without `B`: a tensor for each of the cell's `constant_names`.

        Returns:
            The new state, in the form of `hx`.

        Raises:
            ValueError: A size, type or device doesn't fit.
        """
        if isinstance(input, fx.Proxy):
            return self.call_in_graph(input, hx, **({} if constants is None else {"constants": constants}))
        if not isinstance(input, Tensor):
            raise ValueError(f"`input` (={type(input).__name__}) must be a tensor")
        if input.dim() not in (1, 2):
            raise ValueError(
                f"`input` of shape {tuple(input.shape)} must have one or two axes, (F,) or (B, F), not {input.dim()}"
            )
        weight = check_read("`input`", input, self)
        batch = input if input.dim() == 2 else input.unsqueeze(0)  # (B, F)
        if hx is None:
            previous = self.initial_state(batch.shape[0], batch)
        else:
            expected = [(*input.shape[:-1], size) for size in self.state_size]
            states = list_states(hx, expected, "(B, S)" if input.dim() == 2 else "(S,)")
            check_states("`hx`", states, weight, partial(self.initial_state, 1, batch))
            previous = [s if input.dim() == 2 else s.unsqueeze(0) for s in states]
        given = list_constants(self, constants, input.shape[:-1])
        check_constants(self, given, input, weight)
        previous = previous + self.constants(batch.shape[0], batch, None, *given)
        new = self.step(self.project(batch), previous)[1]
        new = [s if input.dim() == 2 else s.squeeze(0) for s in new[: len(self.state_size)]]
        return new[0] if len(new) == 1 else tuple(new)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


def list_states(hx: Any, expected: Sequence[tuple[int, ...]], axes: str) -> list[Tensor]:
    """Return the state that a user gives, a tensor or a tuple of them, as a list.

    Raises:
        ValueError: It is of anything else, or not of the expected shapes, whose axes are named in the message.
    """
    states = list(hx) if isinstance(hx, SEVERAL) else [hx]
    if not all(isinstance(state, Tensor) for state in states):
        given = ", ".join(type(state).__name__ for state in states)
        raise ValueError(f"`hx` (={given}) must be {'a tensor' if len(expected) == 1 else 'a tuple of tensors'}")
    if [tuple(state.shape) for state in states] != expected:
        raise ValueError(
            f"`hx` of shapes {[tuple(state.shape) for state in states]} must be of {expected}, {axes} for each state"
        )
    return states


def check_read(name: str, input: Tensor, cell: RecurrentCell) -> Tensor:
    """Raise a ValueError unless a cell can read an input `(…, F)`; return a weight whose type and device all have."""
    check_features(name, input, cell.input_size)
    weight = real_weight(cell, input)
    check_like(name, input, weight)
    return weight


def check_whole(name: str, value: Any) -> None:
    """Raise a TypeError unless the argument called `name` is an integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"`{name}` (={value!r}) must be a whole number, not of type {_type_name(value)}")


def check_size(name: str, value: Any) -> None:
    """Raise a TypeError unless the argument called `name` is an integer, and a ValueError if it is below one."""
    check_whole(name, value)
    if value < 1:
        raise ValueError(f"`{name}` (={value}) must be at least 1")


def check_switch(name: str, value: Any) -> None:
    """Raise a TypeError unless the argument called `name` is a bool: the string "False" would count as True."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` (={value!r}) must be True or False, not of type {_type_name(value)}")


def _type_name(value: Any) -> str:
    """Name a value's type, of a library with its module: NumPy has a `bool` too."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def check_probability(name: str, value: Any) -> None:
    """Raise a ValueError unless the argument called `name` is a probability; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ValueError(f"`{name}` (={value!r}) must be between 0 and 1")


def list_options(module: nn.Module, defaults: Mapping[str, Any]) -> str:
    """List the attributes of a module that differ from their defaults, in torch.nn's format: `, bias=False`."""
    shown = {name: getattr(module, name, default) for name, default in defaults.items()}
    return "".join(f", {name}={value}" for name, value in shown.items() if value != defaults[name])


def require_cell(cell: Any) -> None:
    """Raise a TypeError unless `cell` has all attributes of a `RecurrentCell`; it needn't be a subclass."""
    sizes, names = ("input_size", "hidden_size", "output_size", "state_size"), ("state_names", "gate_names")
    contract = (*sizes, *names, "project", "step", "initial_state", "constants")
    missing = [name for name in contract if not hasattr(cell, name)]
    if isinstance(cell, type):
        raise TypeError(f"`cell` (=the class {cell.__name__}) must be a cell, such as LSTMCell(3, 5)")
    if not isinstance(cell, nn.Module) or missing:
        raise TypeError(
            f"`cell` (={type(cell).__name__}) must be a module with the contract of RecurrentCell, and lacks {missing}:"
            " derive its class from seqsum.RecurrentCell"
        )
