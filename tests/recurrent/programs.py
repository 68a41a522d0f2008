"""Run a kernel's programs at the same time in Triton's interpreter, each in a process of its own.

The interpreter runs one program after another, so a program that waits for another would wait forever.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
import traceback
from typing import Any

from torch import Tensor

SECONDS = 60  # for all programs of a launch


def start_in_processes(kernel: Any, grid: tuple[int, int, int], *arguments: Any, **options: Any) -> None:
    """Launch a kernel; the programs share the memory of all tensors."""
    for tensor in arguments:
        if isinstance(tensor, Tensor):
            tensor.share_memory_()
    running = {_start(kernel, grid, place, arguments, options) for place in itertools.product(*map(range, grid))}
    failed, end = [], time.monotonic() + SECONDS
    while running and time.monotonic() < end:
        process, status = os.waitpid(-1, os.WNOHANG)
        running.discard(process)
        failed += [process] if status else []
        time.sleep(0.001)
    for process in running:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    assert not failed, "programs failed, see above"
    assert not running, f"{len(running)} of {grid} programs still wait after {SECONDS} s"


def _start(kernel: Any, grid: tuple[int, int, int], place: tuple[int, ...], arguments: Any, options: Any) -> int:
    """Start a process that runs one program of a grid, and return its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        from triton.runtime import interpreter

        builder = interpreter.interpreter_builder
        set_dimensions, set_place = builder.set_grid_dim, builder.set_grid_idx
        builder.set_grid_dim = lambda *_: set_dimensions(*grid)
        builder.set_grid_idx = lambda *_: set_place(*place)
        # it copies the tensors back, and so would undo what other programs write meanwhile
        interpreter.GridExecutor._restore_args_dev = lambda *_: None
        kernel[1, 1](*arguments, **options)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
