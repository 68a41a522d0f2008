"""Backends: the ways to run the loop over time, and which one `auto` chooses.

    eager    the loop in plain Python, the reference for all others
    script   the same loop, compiled by TorchScript
    compile  the same loop with its step compiled by torch.compile: takes seconds at first, needs a compiler,
             and supports neither second derivatives nor a second backward pass
    bptt     backpropagation through time, written to be read, for the built-in cells (`kernels/lstm.py`, …)
    native   the same in C++ for CPUs, all steps in one call (`kernels/native/`): compiled for this processor on a
             machine's first run, which takes some seconds and needs a C++ compiler
    triton   the same in Triton for GPUs (`kernels/triton/`): one launch for all steps, or two launches a step if there
             are too many units and rows
    auto     the fastest backend for this cell; never fails where eager works. On a GPU, measurements decide
             (`rule.py`). On a CPU, native if there is a compiler and enough steps for the size of the weights, and the
             processor doesn't multiply their type faster than float32; otherwise bptt, script or eager

Under torch.export, `auto` and `eager` record the loop as a loop; under torch.jit.trace, as torch's own operation where
that computes the same, and otherwise step by step (`export.py`). Only `scripting.py` calls `torch.compile` and
`torch.jit.script`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from seqsum.recurrent.alike import check_states
from seqsum.recurrent.buffers import are_spared
from seqsum.recurrent.called import kinds_of
from seqsum.recurrent.cells import PackedCell, RecurrentCell, check_read, is_copy
from seqsum.recurrent.checks import NUM_GATES, are_plain, check_tensors, overrides_functions
from seqsum.recurrent.explain import wrong_shapes
from seqsum.recurrent.export import JitTraced, Scan, is_exporting
from seqsum.recurrent.kernels import find_bptt_kernel, find_native_kernel, find_triton_kernel, native_pays
from seqsum.recurrent.kernels.autograd import Run
from seqsum.recurrent.kernels.stretches import run_in_stretches
from seqsum.recurrent.kernels.written_for import FINGERPRINTS, METHODS, edited
from seqsum.recurrent.modes import has_function_mode, is_recomputed, is_transformed, saves_through_hooks, would_hide
from seqsum.recurrent.rule import fastest_backends
from seqsum.recurrent.scripting import (
    LeftOutError,
    ReplacedOnInstanceError,
    SwitchedOffError,
    compiled_step,
    run_scripted,
    scripted,
)
from seqsum.recurrent.unroll import Runner, Unroll, run_without_masked
from seqsum.recurrent.warn import warn_caller

Backend = Literal["auto", "eager", "script", "compile", "bptt", "native", "triton"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
# they access memory by address, or change tensors in place
KERNELS: dict[str, Callable[[RecurrentCell], Run | str]] = {
    "bptt": find_bptt_kernel,
    "native": find_native_kernel,
    "triton": find_triton_kernel,
}


def unroll(
    cell: RecurrentCell,
    inputs: Tensor,
    state: list[Tensor],
    mask: Tensor | None = None,
    reverse: bool = False,
    backend: Backend = "auto",
) -> tuple[Tensor, list[Tensor]]:
    """Run a cell over all time steps with the given backend.

    Args:
        cell: Computes one step.
        inputs: `(T, B, F)`, `T` at least one.
        state: Initial state, one `(B, S)` tensor for each state of the cell, followed by the cell's constants.
        mask: `(T, B)` bool. Where it is False, the row's state is carried over and its output is zero.
        reverse: Start with the last step; each output stays at the time of its input.
        backend: See the top of this module.

    Returns:
        Outputs `(T, B, O)` and the state after the last step, followed by the constants.

    Raises:
        ValueError: The backend is unknown, the time axis is empty, or a size, type or device doesn't fit.
        RuntimeError: The backend, asked for by name, can't run this cell.
    """
    chosen = choose(cell, inputs, state, mask, backend)
    if type(cell) not in NUM_GATES:  # which `choose` has checked
        weight = check_read("`inputs`", inputs, cell)
        check_states("`state`", state[: len(cell.state_size)], weight, partial(cell.initial_state, 1, inputs))
    return run(cell, chosen, inputs, state, mask, reverse)


class Chosen(NamedTuple):
    """The backend that runs, never `auto`, and its loop over time, which is called like `Unroll.forward`."""

    backend: Backend
    loop: Runner


def choose(cell: RecurrentCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None, backend: Backend) -> Chosen:
    """Check the tensors and choose what runs: `eager` instead of a backend that can't access them, or that would hide
    its operations from a mode or a tensor subclass.

    Raises:
        ValueError, RuntimeError: See `unroll`.
    """
    check_backend(backend)
    tensors = check_tensors(cell, inputs, state, mask)
    steps, batch, _ = inputs.shape
    chosen = _choose_by_itself(cell, batch, steps) if backend == "auto" else Chosen(backend, runner(cell, backend))
    if chosen.backend == "script":
        has_to_show = has_function_mode() or any(map(overrides_functions, tensors))
    elif chosen.backend in KERNELS:
        # `auto` has already looked at what is active
        has_to_show = (backend != "auto" and would_hide(backend)) or not are_plain(tensors)
    else:
        return chosen
    return Chosen("eager", Unroll(cell)) if has_to_show else chosen


def run(
    cell: RecurrentCell, chosen: Chosen, inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """Run the cell over all time steps with what `choose` returned; see `unroll`."""
    try:
        if chosen.backend == "native":  # it doesn't read what is masked
            return chosen.loop(inputs, state, mask, reverse)
        return run_without_masked(chosen.loop, len(cell.state_size), inputs, state, mask, reverse)
    except RuntimeError as error:
        if (why := wrong_shapes(cell, inputs, state)) is not None:
            raise TypeError(why) from error
        if chosen.backend == "script" and is_recomputed():
            raise RuntimeError(
                "`backend` (='script') can't be stopped in the middle, as torch.utils.checkpoint does with "
                "`use_reentrant=False`: use 'auto', 'eager' or `use_reentrant=True`"
            ) from error
        raise


def check_backend(backend: str) -> None:
    """Raise a ValueError unless the backend is one of `Backend`."""
    if backend not in BACKENDS:
        raise ValueError(f"`backend` (={backend!r}) must be one of {BACKENDS}")


def resolve_backend(
    cell: RecurrentCell, backend: Backend, *, batch: int | None = None, steps: int | None = None
) -> Backend:
    """Return the backend that `auto` chooses for a cell; any other `backend` is returned as it is.

    Args:
        cell: The cell. `auto` depends on the device and type of its weights, on whether it was edited, and on what is
            active around the call: gradients, hooks and modes.
        backend: See the top of this module.
        batch, steps: Size of the input, `B` and `T`. `auto` depends on both on a GPU, and on the steps on a CPU.

    Raises:
        ValueError: The backend is unknown.
    """
    check_backend(backend)
    return _choose_by_itself(cell, batch, steps).backend if backend == "auto" else backend


def _choose_by_itself(cell: RecurrentCell, batch: int | None, steps: int | None) -> Chosen:
    """Choose as `auto`, see `resolve_backend`."""
    if is_transformed() or has_function_mode():
        return Chosen("eager", runner(cell, "eager"))
    native = _find_kernel(cell, "native")
    if not isinstance(native, str) and native_pays(cast("PackedCell", cell), steps):
        return Chosen("native", native)
    for candidate in (*fastest_backends(cell, batch, steps), "bptt", "script"):
        loop = _find_script(cell) if candidate == "script" else _find_kernel(cell, candidate)
        if not (loop is None or isinstance(loop, str)):
            return Chosen(cast("Backend", candidate), loop)
    return Chosen("eager", Unroll(cell))


def _say_that_it_is_edited(cell: RecurrentCell) -> None:
    """Warn, once for each built-in class, that it was edited and therefore runs without the kernels."""
    kind = type(cell)
    if not isinstance(cell, PackedCell) or kind not in FINGERPRINTS or kind in said_to_be_edited:
        return
    if why := edited(cell):
        said_to_be_edited.add(kind)
        warn_caller(f"{kind.__name__} runs as edited, without the kernels for the original: {why}")


said_to_be_edited: set[type] = set()


def _find_script(cell: RecurrentCell) -> Runner | None:
    """Return the loop by the cell's script for `auto`, or None; warns once for all like it if it can't be compiled."""
    _say_that_it_is_edited(cell)
    if any(name in cell.__dict__ for name in METHODS):  # on the instance: TorchScript compiles the class's method
        return None
    kind, kinds = type(cell), kinds_of(cell)
    if kinds in not_scriptable or is_changing(cell) or getattr(cell.__dict__.get("_compiled"), "is_given_up", False):
        return None
    # torch.utils.checkpoint stops the recomputation by an exception that can't pass through TorchScript
    if saves_through_hooks() or are_spared(cell):
        return None
    try:
        compiled = scripted(Unroll(cell))
    except (LeftOutError, ReplacedOnInstanceError, SwitchedOffError):  # says nothing about others of its class
        return None
    except RuntimeError as error:
        not_scriptable.add(kinds)
        warn_caller(f"{kind.__name__} runs eagerly, since {error}")
        return None
    compiled.is_given_up = compiled.renewals > MOST_RENEWALS
    if not compiled.is_given_up:
        return partial(_run_script_or_eagerly, cell, run_scripted(compiled))
    if kind not in said_to_change:
        said_to_change.add(kind)
        why = "its attributes change, and TorchScript would have to compile it anew for each"
        warn_caller(f"{kind.__name__} runs eagerly, since {why}")
    return None


def _run_script_or_eagerly(cell: RecurrentCell, script: Runner, *arguments: Any) -> tuple[Tensor, list[Tensor]]:
    """Run a cell's script, and in Python if the script fails, as it does for some types that TorchScript compiles.

    If only the script fails, the cell counts as one that can't be compiled. What the script has done before it
    failed, to buffers and random generators, stays done.
    """
    try:
        return script(*arguments)
    except RuntimeError as failed:
        error = failed
    results = Unroll(cell)(*arguments)  # an error here names the line of the step, in Python
    not_scriptable.add(kinds_of(cell))
    lines = str(error).strip().splitlines()
    why = next((line for line in reversed(lines) if re.match(r"\w*(Error|Exception)\b", line)), lines[0])
    warn_caller(f"{type(cell).__name__} runs eagerly, since TorchScript can't run it: {why}")
    return results


def is_changing(cell: nn.Module) -> bool:
    """Whether hooks or parametrizations recompute weights for each run, so that a script would soon be out of date."""
    if is_copy(cell) or not all(isinstance(parameter, nn.Parameter) for parameter in cell.parameters()):
        return True
    return any(part._forward_pre_hooks or part._forward_hooks or is_parametrized(part) for part in cell.modules())


not_scriptable: set[frozenset[type]] = set()
said_to_change: set[type] = set()
MOST_RENEWALS = 3  # times that `auto` compiles a cell anew because an attribute has changed


def _find_kernel(cell: RecurrentCell, backend: str) -> Runner | str:
    """Return the loop by one of `KERNELS`, or why it can't run the cell."""
    found = KERNELS[backend](cell)
    if isinstance(found, str):
        return found
    loop = partial(found, cell)
    return partial(run_in_stretches, loop) if backend == "bptt" else loop


def runner(cell: RecurrentCell, backend: Backend) -> Runner:
    """Return a function that runs the cell with a backend other than `auto`; it is called like `Unroll.forward`.

    Raises:
        RuntimeError: The backend can't run this cell.
    """
    if is_exporting() or torch.jit.is_tracing():
        if backend != "eager":
            raise RuntimeError(
                f"`backend` (={backend!r}) doesn't work with torch.export and torch.jit.trace: use 'auto' or 'eager'"
            )
        return Scan(cell) if is_exporting() else JitTraced(cell)
    if backend == "script" and not are_spared(cell):
        return run_scripted(scripted(Unroll(cell)))
    if backend == "compile":
        return _run_compiled(Unroll(cell))
    if backend in KERNELS:
        found = _find_kernel(cell, backend)
        if isinstance(found, str):
            raise RuntimeError(f"`backend` (={backend!r}) can't run {type(cell).__name__}: {found}")
        return found
    return Unroll(cell)


class _StepCompiled:
    """Cell whose step is compiled. Compiling a step takes seconds and serves any number of steps; compiling the whole
    loop would take minutes (pytorch#97155).
    """

    def __init__(self, cell: RecurrentCell) -> None:
        self.state_size = cell.state_size
        self.project = cell.project
        self.step = compiled_step(cell)


def _run_compiled(loop: Unroll) -> Runner:
    compiled = Unroll(_StepCompiled(loop.cell))  # type: ignore[arg-type]  # has what the loop needs of a cell

    def run(*arguments: Any) -> tuple[Tensor, list[Tensor]]:
        try:
            return compiled(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise RuntimeError(f"torch.compile can't compile {type(loop.cell).__name__}: {error}") from error

    return run
