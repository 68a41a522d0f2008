"""How the loop over time runs: backends by name, their compiled forms, and what `auto` stands for.

    eager    the loop as plain Python, the reference for all others
    script   the same loop, compiled by TorchScript
    compile  the same loop, its step compiled by torch.compile: takes seconds at first, needs a compiler,
             and differentiates once: no second derivatives, no second backward pass
    bptt     backward through time as in the papers, to be read, for the built-in cells (`kernels/lstm.py`, …)
    native   the same in C++ for CPUs, all steps in one call (`kernels/native/`): compiled for the processor at
             hand, which takes a machine's first run some seconds and needs a C++ compiler
    triton   the same in kernels for GPUs (`kernels/triton/`): one launch for all steps where the weights stay on the
             device's processors, and two launches a step beyond
    auto     the fastest of them that runs this cell: on a GPU what was measured there (`rule.py`); on a CPU native
             where a compiler is found, and else without a word one that needs none; never fails where eager works

Where torch.export or torch.jit.trace write the model down, `auto` and `eager` keep the loop a loop (`export.py`).
The only place that calls `torch.jit.script` and `torch.compile`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.cells.graphs import compiling_loop
from seqsum.recurrent.checks import are_plain, check_tensors
from seqsum.recurrent.explain import explain_compile_error
from seqsum.recurrent.export import Scan, Traced, is_exporting
from seqsum.recurrent.kernels import (
    find_kernel,
    find_native_kernel,
    find_triton_kernel,
    native_obstacle,
    triton_obstacle,
)
from seqsum.recurrent.kernels.stretches import run_in_stretches
from seqsum.recurrent.kernels.written_for import FINGERPRINTS, METHODS, edited
from seqsum.recurrent.rule import fastest_backends
from seqsum.recurrent.unroll import Unroll, leave_out

Backend = Literal["auto", "eager", "script", "compile", "bptt", "native", "triton"]
KERNELS = ("bptt", "native", "triton")  # what reads and writes memory itself, or changes it in place
Runner: TypeAlias = Callable[[Tensor, list[Tensor], Tensor | None, bool], tuple[Tensor, list[Tensor]]]


def unroll(
    cell: RecurrentCell,
    inputs: Tensor,
    state: list[Tensor],
    mask: Tensor | None = None,
    reverse: bool = False,
    backend: Backend = "auto",
) -> tuple[Tensor, list[Tensor]]:
    """Run `cell` over `inputs`, see `Unroll.forward`, by the given backend.

    Args:
        cell: The step.
        inputs: `(T, B, F)`, `T` at least one.
        state: Initial state, one `(B, S)` tensor for each state of the cell, and its constants.
        mask: `(T, B)` bool. Where it is False, the row's state is carried over and its output is zero.
        reverse: Start with the last step; outputs stay at the place of their inputs.
        backend: See the head of this file.

    Returns:
        Outputs `(T, B, O)` and the state after the last step, with the constants.

    Raises:
        ValueError: An unknown backend, an empty time axis; a size, type or device that doesn't fit.
        RuntimeError: A backend was asked for by name and can't run this cell.
    """
    return run(cell, choose_backend(cell, inputs, state, mask, backend), inputs, state, mask, reverse)


def choose_backend(
    cell: RecurrentCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None, backend: Backend
) -> Backend:
    """Check what the cell is to run on; the backend that runs it: `eager` for tensors that are no kernel's to read.

    Raises:
        ValueError, RuntimeError: As in `unroll`.
    """
    check_backend(backend)
    tensors = check_tensors(cell, inputs, state, mask)
    resolved = resolve_backend(cell, backend, batch=inputs.shape[1], steps=inputs.shape[0])
    if resolved not in KERNELS:
        return resolved
    watched = resolved != "bptt" and not _nothing_watches()  # its operations are torch's, and can be watched
    if watched or not are_plain(tensors):
        runner(cell, resolved)  # raises where it can't run the cell, whatever the tensors
        return "eager"
    return resolved


def run(
    cell: RecurrentCell, backend: Backend, inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """`unroll` by a backend that `choose_backend` has given."""
    if mask is not None and backend != "native":  # which does not read them
        inputs = leave_out(inputs, mask)
    return runner(cell, backend)(inputs, state, mask, reverse)


def check_backend(backend: str) -> None:
    """Raise a ValueError unless the backend is one of `Backend`."""
    if backend not in get_args(Backend):
        raise ValueError(f"`backend` (={backend!r}) must be one of {get_args(Backend)}")


def resolve_backend(
    cell: RecurrentCell, backend: Backend, *, batch: int | None = None, steps: int | None = None
) -> Backend:
    """The backend that `unroll` really uses for this cell: what `auto` stands for, or `backend` itself.

    Args:
        cell: The cell, where it will run: `auto` depends on the device and the type of its weights.
        backend: See the head of this file.
        batch, steps: Sequences and steps of the input, `B` and `T`, which on a GPU `auto` depends on as well.

    Raises:
        ValueError: An unknown backend.
    """
    check_backend(backend)
    if backend != "auto":
        return backend
    if _transformed(cell):
        return "eager"
    _say_that_it_is_edited(cell)
    if any(name in cell.__dict__ for name in METHODS):  # replaced on this very cell: TorchScript knows its class alone
        return "eager"
    if native_obstacle(cell) is None:  # on a CPU, where there is no rule to ask
        return "native"
    for candidate in (*fastest_backends(cell, batch, steps), *WITHOUT_A_RULE):
        if _CAN_RUN[candidate](cell):
            return cast("Backend", candidate)
    return "eager"


def _say_that_it_is_edited(cell: RecurrentCell) -> None:
    """Once for each built-in class: it runs as its user has changed it, so without the kernels."""
    kind = type(cell)
    if kind in FINGERPRINTS and kind not in _said_to_be_edited and (why := edited(cell)):
        _said_to_be_edited.add(kind)
        warnings.warn(f"{kind.__name__} runs as edited, without the kernels of the original: {why}", stacklevel=3)


_said_to_be_edited: set[type] = set()


def _is_scriptable(cell: RecurrentCell) -> bool:
    """Whether TorchScript compiles the cell; the first of its class that it doesn't is the occasion of a warning."""
    if type(cell) in _not_scriptable or _is_changing(cell):
        return False
    try:
        _scripted(Unroll(cell))
    except RuntimeError as error:
        _not_scriptable.add(type(cell))
        warnings.warn(f"{type(cell).__name__} runs eagerly, since {error}", stacklevel=3)
        return False
    return True


def _is_changing(cell: nn.Module) -> bool:
    """Whether hooks or parametrizations compute weights anew for each run, and a script of them would be good once."""
    if not all(isinstance(parameter, nn.Parameter) for parameter in cell.parameters()):
        return True
    return any(part._forward_pre_hooks or part._forward_hooks or is_parametrized(part) for part in cell.modules())


_not_scriptable: set[type] = set()
WITHOUT_A_RULE: tuple[Backend, ...] = ("bptt", "script")
_CAN_RUN: dict[str, Callable[[RecurrentCell], bool]] = {
    "triton": lambda cell: triton_obstacle(cell) is None,
    "bptt": lambda cell: find_kernel(cell) is not None,
    "script": _is_scriptable,
}


def _nothing_watches() -> bool:
    """Whether no dispatch mode (FakeTensorMode, make_fx, a user's own) is at work: it sees torch's operations alone."""
    return torch._C._len_torch_dispatch_stack() == 0  # there is no public way to ask


def _transformed(cell: RecurrentCell) -> bool:
    """Whether something is at work that only plain torch operations survive: torch.compile, torch.export or tracing
    of the model around the cell, a transform of torch.func, forward-mode differentiation, a dispatch mode.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or not _nothing_watches():
        return True
    functorch = getattr(torch._C, "_functorch", None)  # there is no public way to ask
    level = functorch.maybe_current_level() if functorch is not None else None
    forward_level: int = getattr(torch.autograd.forward_ad, "_current_level", -1)
    return level is not None or forward_level >= 0


def runner(cell: RecurrentCell, backend: Backend) -> Runner:
    """What runs the cell over time by a backend that is not `auto`, with the arguments of `Unroll.forward`.

    Raises:
        RuntimeError: The backend can't run this cell.
    """
    if is_exporting() or torch.jit.is_tracing():
        if backend != "eager":
            raise RuntimeError(
                f"`backend` (={backend!r}) can't be written down by torch.export or torch.jit.trace: "
                "take 'auto' or 'eager'"
            )
        return Scan(cell) if is_exporting() else Traced(cell)
    if backend == "script":
        return _run_scripted(_scripted(Unroll(cell)))
    if backend == "compile":
        return _run_compiled(Unroll(cell))
    if backend == "bptt":
        kernel = find_kernel(cell)
        if kernel is None:
            raise RuntimeError(
                f"`backend` (='bptt') can't run {type(cell).__name__}: the backward pass is written for "
                "RNNCell, LSTMCell and GRUCell themselves, without `layer_norm`"
            )
        return partial(run_in_stretches, partial(kernel, cell))
    if backend == "native":
        return partial(find_native_kernel(cell), cell)
    if backend == "triton":
        return partial(find_triton_kernel(cell), cell)
    return Unroll(cell)


class _Compiled:
    """The compiled forms of a cell's loop; a copy or a pickle of it is empty.

    It hangs on the cell as a plain attribute, so compiling shows in no state dict and travels with no
    deep copy or pickle. (A weak dictionary beside the cells would not do: TorchScript keeps the cell.)
    """

    def __init__(self) -> None:
        self.scripted: nn.Module | None = None
        self.tensors: Sequence[Tensor] = ()  # those that `scripted` was compiled around
        self.step: Callable[..., Any] | None = None  # by torch.compile

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        """Whether the script still uses these very tensors; `module.weight = …` or a swap replaces them."""
        return len(tensors) == len(self.tensors) and all(a is b for a, b in zip(tensors, self.tensors, strict=True))

    def __reduce__(self) -> tuple[type[_Compiled], tuple[()]]:
        return _Compiled, ()


def _scripted(loop: Unroll) -> nn.Module:
    """The TorchScript form of the loop, compiled when first needed and when the cell's tensors were replaced."""
    cell = loop.cell
    methods = tuple(getattr(type(cell), name, None) for name in METHODS)
    if _scripted_methods.get(type(cell), methods) != methods:  # TorchScript keeps the first ones of a class
        raise RuntimeError(f"TorchScript has compiled {type(cell).__name__} before one of its methods was replaced")
    tensors = [*cell.parameters(), *cell.buffers()]
    tensors += [value for part in cell.modules() for value in part.__dict__.values() if isinstance(value, Tensor)]
    compiled = cell.__dict__.pop("_compiled", None) or _Compiled()  # TorchScript must not see it
    if compiled.scripted is None or not compiled.fits(tensors):
        compiled.scripted, compiled.tensors = _script(loop), tensors
        _scripted_methods[type(cell)] = methods
    if compiled.scripted.training != cell.training:
        compiled.scripted.train(cell.training)
    cell.__dict__["_compiled"] = compiled
    return compiled.scripted


_scripted_methods: dict[type, tuple[Any, ...]] = {}


def _script(loop: Unroll) -> nn.Module:
    try:
        with warnings.catch_warnings():
            # Recent torch calls torch.jit deprecated (FutureWarning or DeprecationWarning, by version).
            # `auto` is prepared for its removal, so the user need not hear of it.
            warnings.filterwarnings("ignore", ".*torch.jit.script")
            with compiling_loop():
                return torch.jit.script(loop)
    except Exception as error:  # TorchScript documents no exception types of its own
        why = explain_compile_error(loop.cell, error)
        raise RuntimeError(f"TorchScript can't compile {type(loop.cell).__name__}: {why}") from error


def _run_scripted(scripted: nn.Module) -> Runner:
    if not torch.is_inference_mode_enabled():
        return scripted

    # A loop that TorchScript has specialised for training refuses inference tensors, so it gets others.
    def run(inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool) -> tuple[Tensor, list[Tensor]]:
        with torch.inference_mode(False), torch.no_grad():
            return scripted(inputs.clone(), [s.clone() for s in state], mask, reverse)

    return run


class _StepCompiled:
    """Stands in for a cell in the loop, with its step compiled: a whole loop would compile for minutes
    (pytorch#97155), a step takes seconds and serves any number of them.
    """

    def __init__(self, cell: RecurrentCell) -> None:
        compiled = cell.__dict__.setdefault("_compiled", _Compiled())
        compiled.step = compiled.step or torch.compile(cell.step)
        self.project = cell.project
        self.step = compiled.step


def _run_compiled(loop: Unroll) -> Runner:
    compiled = Unroll(_StepCompiled(loop.cell))  # type: ignore[arg-type]  # has all of a cell that the loop uses

    def run(*arguments: Any) -> tuple[Tensor, list[Tensor]]:
        try:
            return compiled(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise RuntimeError(f"torch.compile can't compile {type(loop.cell).__name__}: {error}") from error

    return run
