"""Compile the loop over time by TorchScript, and notice when a cell has changed since."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable
from functools import cache
from itertools import starmap
from types import FunctionType, ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.cells.graphs import compiling_loop
from seqsum.recurrent.explain import explain_compile_error
from seqsum.recurrent.kernels.written_for import METHODS
from seqsum.recurrent.unroll import Runner, Unroll


class Compiled:
    """Cache of a cell's compiled loops; copying or pickling it gives an empty one.

    It is a plain attribute of the cell, so that compiling changes no state dict, deep copy or pickle. (A weak
    dictionary keyed by cells would leak: TorchScript keeps the cell alive.)
    """

    def __init__(self) -> None:
        self.script: nn.Module | None = None
        self.attributes: Any = None  # of the cell and its parts, when `script` was compiled
        self.modes: list[bool] = []  # whether each part was in training
        self.renewals = -1  # times it was compiled after the first
        self.has_chunks = False
        self.step: Callable[..., Any] | None = None  # compiled by torch.compile

    def __reduce__(self) -> tuple[type[Compiled], tuple[()]]:
        return Compiled, ()


class _Same:
    """Equal to the same object alone, which it doesn't keep alive."""

    def __init__(self, value: Any) -> None:
        try:
            self.get: Callable[[], Any] = weakref.ref(value)
        except TypeError:  # such as a torch.dtype
            self.get = lambda: value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and (mine := self.get()) is not None and other.get() is mine

    __hash__ = None  # type: ignore[assignment]  # as Python itself sets it beside `__eq__`


def _attributes(cell: nn.Module) -> Any:
    """Describe all that TorchScript copies of a cell when it compiles it: parts, tensors and all other attributes."""
    found: list[Any] = []
    for part in cell.modules():
        found.append(_Same(part))
        found += [(name, _frozen(value)) for name, value in part.__dict__.items() if name not in NOT_COMPILED]
    return found


def _frozen(value: Any) -> Any:
    """Describe a value so that a later one can be compared with it, even if the value itself is changed."""
    if isinstance(value, list | tuple):
        return type(value), [_frozen(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(_frozen(key), _frozen(item)) for key, item in value.items()]
    if value is None or isinstance(value, bool | int | float | complex | str):
        return type(value), repr(value)  # in which NaN is NaN, and 1 is not True
    return _Same(value)


# `__overloads__` is TorchScript's own
NOT_COMPILED = {*vars(nn.Module()), "_compiled", "_arguments", "__overloads__"} - {"_parameters", "_buffers"}


def scripted(loop: Unroll) -> Compiled:
    """Compile the loop by TorchScript, on first use and whenever an attribute of the cell has changed.

    Raises:
        RuntimeError: TorchScript can't compile the cell, or has compiled its class with other functions.
    """
    with _lock:
        return _scripted(loop)


def _scripted(loop: Unroll) -> Compiled:
    cell = loop.cell
    kinds: set[Any] = {type(part) for part in cell.modules()}
    functions = {kind: tuple(starmap(_look_up, called_by(kind))) for kind in kinds}
    for kind, current in functions.items():
        if _scripted_functions.get(kind, current) != current:  # TorchScript caches them
            raise RuntimeError(
                f"TorchScript has compiled {kind.__name__} before one of its methods, or of the functions that they "
                "call, was replaced"
            )
    attributes, modes = _attributes(cell), [part.training for part in cell.modules()]
    compiled = cell.__dict__.pop("_compiled", None) or Compiled()  # TorchScript must not see it
    if compiled.script is None or attributes != compiled.attributes:
        compiled.script = script = _script(loop)
        compiled.has_chunks = bool(cast("Any", script).inlined_graph.findAllNodes("aten::chunk"))
        compiled.attributes, compiled.modes = attributes, modes
        compiled.renewals += 1
        _scripted_functions.update(functions)
    if modes != compiled.modes:
        parts = dict(cast("nn.Module", compiled.script.cell).named_modules(remove_duplicate=False))
        for name, part in cell.named_modules():
            if name in parts:
                parts[name].training = part.training
        compiled.modes = modes
    cell.__dict__["_compiled"] = compiled
    return compiled


_lock = threading.RLock()  # TorchScript's compiler is not made for several threads
_scripted_functions: dict[type, tuple[Any, ...]] = {}
Place = tuple[Any, str]  # a class, a module or the globals of one, and a name in it


@cache
def called_by(kind: Any) -> list[Place]:
    """Find the places of all Python functions that TorchScript compiles for a class, those of torch left out.

    They are the methods of a step, and methods and global functions that these call.
    """
    found: list[Place] = []
    seen: set[tuple[int, str]] = set()
    first = METHODS if issubclass(kind, RecurrentCell) else (*METHODS, "forward")
    todo: list[Place] = [(kind, name) for name in first]
    while todo:
        holder, name = todo.pop()
        function = _look_up(holder, name)
        if not isinstance(function, FunctionType) or _is_of_torch(function.__module__) or (id(holder), name) in seen:
            continue
        found.append((holder, name))
        seen.add((id(holder), name))
        for called in function.__code__.co_names:
            known = function.__globals__.get(called)
            if isinstance(known, ModuleType) and not _is_of_torch(known.__name__):
                todo += [(known, of_module) for of_module in function.__code__.co_names]
            todo += [(kind, called), (function.__globals__, called)]
    return found


def _is_of_torch(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "torch"


def _look_up(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)


def _script(loop: Unroll) -> nn.Module:
    try:
        with warnings.catch_warnings():
            # Recent versions of torch warn that torch.jit is deprecated (FutureWarning or DeprecationWarning).
            # Users needn't see that: `auto` will work without it.
            warnings.filterwarnings("ignore", ".*torch.jit.script")
            with compiling_loop():
                return torch.jit.script(loop)
    except Exception as error:  # TorchScript documents no exception types
        _forget(loop)
        why = explain_compile_error(loop.cell, error)  # which compiles again
        _forget(loop)
        raise RuntimeError(f"TorchScript can't compile {type(loop.cell).__name__}: {why}") from error


def _forget(loop: Unroll) -> None:
    """Let TorchScript forget the types of a loop and its cell, or a cell that is mended could not be compiled."""
    for kind in (type(loop), *map(type, loop.cell.modules())):
        torch.jit._recursive.concrete_type_store.type_store.pop(kind, None)


def run_scripted(compiled: Compiled) -> Runner:
    """Return a function that runs a script, on a CPU operation by operation, as it is written.

    TorchScript's optimiser differentiates groups of operations itself. A CPU gains nothing from that in training, and
    `chunk` loses its gradient if a chunk of the last step has none. A GPU gains launches.
    """
    script = compiled.script
    assert script is not None

    def run(inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool) -> tuple[Tensor, list[Tensor]]:
        with torch.jit.optimized_execution(inputs.is_cuda and not compiled.has_chunks):
            if not torch.is_inference_mode_enabled():
                return script(inputs, state, mask, reverse)
            # a script specialised for training can't take inference tensors, so give it copies that are none
            with torch.inference_mode(False), torch.no_grad():
                return script(inputs.clone(), [s.clone() for s in state], mask, reverse)

    return run
