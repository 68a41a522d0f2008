"""Compile the loop over time by TorchScript, and notice when a cell has changed since."""

from __future__ import annotations

import inspect
import re
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn

from seqsum.recurrent.called import Place, called_by, function_of, kinds_of, look_up
from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.cells.graphs import compiling_loop
from seqsum.recurrent.checks import overrides_functions
from seqsum.recurrent.explain import explain_compile_error
from seqsum.recurrent.source import was_edited
from seqsum.recurrent.unroll import Runner, Unroll
from seqsum.recurrent.written import written_attribute


class ReplacedOnInstanceError(RuntimeError):
    """A method was replaced on a cell or one of its parts alone, and not on the class."""

    def __init__(self) -> None:
        super().__init__("TorchScript compiles the methods of a class, and one of them was replaced on the instance")


class LeftOutError(RuntimeError):
    """A cell or one of its parts has something that its script would leave out, such as a hook; see `_left_out`."""

    def __init__(self, cell: nn.Module, what: str) -> None:
        super().__init__(f"`backend` (='script') would leave out {what} of {type(cell).__name__}: use 'auto'")


class SwitchedOffError(RuntimeError):
    """TorchScript is switched off."""

    def __init__(self) -> None:
        super().__init__("TorchScript is switched off (PYTORCH_JIT=0): use 'auto'")


class Compiled:
    """Cache of a cell's compiled loops; copying or pickling it gives an empty one.

    It is a plain attribute of the cell, so that compiling changes no state dict, deep copy or pickle. (A weak
    dictionary keyed by cells would leak: TorchScript keeps the cell alive.)
    """

    def __init__(self, cell: nn.Module | None = None) -> None:
        self.owner = None if cell is None else weakref.ref(cell)
        self.script: nn.Module | None = None
        self.attributes: Any = None  # of the cell and its parts, when `script` was compiled
        self.modes: list[bool] = []  # whether each part was in training
        self.renewals = -1  # times it was compiled after the first
        self.is_given_up = False  # compiled so often that `auto` no longer does
        self.has_chunks = False
        self.step: Callable[..., Any] | None = None  # compiled by torch.compile
        self.step_of: Callable[..., Any] | None = None  # the cell's own, of which it was compiled

    def __reduce__(self) -> tuple[type[Compiled], tuple[()]]:
        return Compiled, ()


def compiled_of(cell: nn.Module) -> Compiled:
    """Return the cell's cache; a shallow copy, which comes with that of the original, gets one of its own."""
    found = cell.__dict__.get("_compiled")
    if found is None or found.owner is None or found.owner() is not cell:
        found = cell.__dict__["_compiled"] = Compiled(cell)
    return cast("Compiled", found)


class _Same:
    """A reference that equals another if both are to the same object; it doesn't keep the object alive."""

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
        found += [(name, frozen(value)) for name, value in part.__dict__.items() if name not in NOT_COMPILED]
        of_class = (name for name in _constants(cast("Any", type(part))) if name not in part.__dict__)
        found += [(name, frozen(getattr(part, name, None))) for name in of_class]
    return found


@cache
def _constants(kind: Any) -> list[str]:
    """Names of a class's attributes that TorchScript takes as constants."""
    annotated = [(name, str(of)) for base in kind.__mro__ for name, of in inspect.get_annotations(base).items()]
    return [*getattr(kind, "__constants__", ()), *(name for name, of in annotated if re.search(r"\bFinal\b", of))]


def frozen(value: Any, of_object: Callable[[Any], Any] | None = None) -> Any:
    """Describe a value so that a later one can be compared with it, even if the value itself is changed.

    Args:
        value: Numbers, texts, and lists, tuples and dicts of values are described by what they hold.
        of_object: Describes all others; by default which tensor or object it is.
    """
    if isinstance(value, list | tuple):
        return type(value), [frozen(item, of_object) for item in value]
    if isinstance(value, dict):
        return type(value), [(frozen(key, of_object), frozen(item, of_object)) for key, item in value.items()]
    if value is None or isinstance(value, bool | int | float | complex | str):
        return type(value), repr(value)  # in which NaN is NaN, and 1 is not True
    if of_object is not None:
        return of_object(value)
    if isinstance(value, Tensor):
        return type(value), value._cdata  # the script keeps it alive; a weak reference would forbid to swap tensors
    return _Same(value)


# `__overloads__` is TorchScript's own
NOT_COMPILED = {*vars(nn.Module()), "_compiled", "_arguments", "__overloads__"} - {"_parameters", "_buffers"}


def scripted(loop: Unroll) -> Compiled:
    """Compile the loop by TorchScript, on first use and whenever an attribute of the cell has changed.

    Raises:
        RuntimeError: TorchScript can't compile the cell, or compiles other functions than it has now.
    """
    with _lock:
        return _scripted(loop)


def _scripted(loop: Unroll) -> Compiled:
    cell = loop.cell
    if what := _left_out(cell):
        raise LeftOutError(cell, what)
    places = called_by(kinds_of(cell))
    functions = [(place, _describe(look_up(place.holder, place.name))) for place in places]
    for place, function in functions:
        if _scripted_functions.get(place.key, function) != function:  # TorchScript caches them
            raise RuntimeError(
                f"TorchScript has compiled {place.owner.__name__} before one of its methods, or of the functions that "
                "they call, was replaced"
            )
    for part in cell.modules():
        own = {place.name for place in places if place.holder is type(part)}
        own |= {"forward"} if part is not cell else set()  # also of torch's own modules, of which there are no places
        if own & part.__dict__.keys():
            raise ReplacedOnInstanceError
    attributes, modes = _attributes(cell), [part.training for part in cell.modules()]
    compiled = compiled_of(cell)
    del cell.__dict__["_compiled"]  # TorchScript must not see it
    try:
        if compiled.script is None or attributes != compiled.attributes:
            if not _is_known(cell):
                _check_source(places)
            compiled.script = script = _script(loop)
            compiled.has_chunks = bool(cast("Any", script).inlined_graph.findAllNodes("aten::chunk"))
            compiled.attributes, compiled.modes = attributes, modes
            compiled.renewals += 1
            _scripted_functions.update((place.key, function) for place, function in functions)
        if modes != compiled.modes:
            parts = dict(cast("nn.Module", compiled.script.cell).named_modules(remove_duplicate=False))
            for name, part in cell.named_modules():
                if name in parts:
                    parts[name].training = part.training
            compiled.modes = modes
    finally:
        cell.__dict__["_compiled"] = compiled
    return compiled


@contextmanager
def _compiling() -> Iterator[None]:
    with warnings.catch_warnings(), compiling_loop():
        # Recent versions of torch warn that torch.jit is deprecated (FutureWarning or DeprecationWarning).
        # Users needn't see that: `auto` will work without it.
        warnings.filterwarnings("ignore", ".*torch.jit.script")
        yield


def _is_known(cell: nn.Module) -> bool:
    """Whether TorchScript has compiled a cell of the same class and attributes, and so reads no source for this one."""
    types = torch.jit._recursive.concrete_type_store
    try:
        with _compiling():
            return types.get_or_create_concrete_type(cell) in types.methods_compiled
    except Exception:  # which `torch.jit.script` raises as well
        return False


def _check_source(places: Sequence[Place]) -> None:
    """Raise a RuntimeError if TorchScript would read other functions than run."""
    for place in places:
        function = function_of(look_up(place.holder, place.name))
        if isinstance(function, FunctionType) and was_edited(function):
            raise RuntimeError(
                f"{function.__code__.co_filename} was edited since it was imported: reload it (importlib.reload), or "
                "start again"
            )


NOT_CALLED = (nn.ParameterList, nn.ParameterDict)  # they have a `__call__` that refuses


def _left_out(cell: nn.Module) -> str | None:
    """Say what of a cell a script would leave out; None if nothing.

    TorchScript compiles a part's `forward` and its forward hooks. The hooks of the cell itself run around the loop.
    """
    of_all = nn.modules.module
    if of_all._global_forward_hooks or of_all._global_forward_pre_hooks:
        return "the hooks of all modules"
    if of_all._global_backward_hooks or of_all._global_backward_pre_hooks:
        return "the backward hooks of all modules"
    for name, part in cell.named_modules():
        if part is not cell and (part._backward_hooks or part._backward_pre_hooks):
            return f"the backward hooks of `{name}`"
        calls = type(part).__call__
        if part is not cell and calls is not nn.Module.__call__ and not isinstance(part, NOT_CALLED):
            return f"`__call__` of `{name}`"
        for own in (*part._parameters.values(), *part._buffers.values(), *vars(part).values()):
            if isinstance(own, Tensor) and overrides_functions(own):
                return f"what {type(own).__name__} does"
    return None


def compiled_step(cell: RecurrentCell) -> Callable[..., Any]:
    """Compile the cell's step by torch.compile, on first use and whenever the cell has another one."""
    with _lock:
        compiled = compiled_of(cell)
        if compiled.step is None or compiled.step_of != cell.step:  # another method, of the class or of the instance
            compiled.step, compiled.step_of = torch.compile(cell.step), cell.step
        return compiled.step


_lock = threading.RLock()  # TorchScript's compiler is not made for several threads
_scripted_functions: dict[Any, Any] = {}  # what each was when TorchScript compiled it, by the key of its place


def _describe(function: Any) -> Any:
    """Describe a function so that it can be compared with a later one: code and defaults may be changed in place."""
    function = function_of(function)
    if not isinstance(function, FunctionType):
        return frozen(function)
    return function, function.__code__, frozen(function.__defaults__), frozen(function.__kwdefaults__)


def _script(loop: Unroll) -> nn.Module:
    try:
        with _compiling():
            script = torch.jit.script(loop)
    except Exception as error:  # TorchScript documents no exception types
        _forget(loop)
        why = explain_compile_error(loop.cell, error)  # which compiles again
        _forget(loop)
        raise RuntimeError(f"TorchScript can't compile {type(loop.cell).__name__}: {why}") from error
    except BaseException:  # such as Ctrl-C, after which a notebook goes on
        _forget(loop)
        raise
    if not isinstance(script, torch.jit.ScriptModule):  # but the loop itself
        raise SwitchedOffError
    if (name := written_attribute(script.inlined_graph)) is not None:
        kind = type(loop.cell).__name__
        raise RuntimeError(f"TorchScript would change `{name}` of a copy of {kind}, and not of {kind} itself")
    return cast("nn.Module", script)


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
