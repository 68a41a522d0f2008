"""Let the C allocator reuse the memory of one training step for the next."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)


def keep_memory() -> bool:
    """Let the C library keep the CPU memory that torch frees, for its next allocations; return whether it does.

    The GNU C library returns large blocks to the system as soon as they are freed, and the next step gets them again
    page by page: a sixth of a step's time in the main job (docs/speed.md). On GPUs torch caches memory itself.
    `MALLOC_TRIM_THRESHOLD_` or `MALLOC_MMAP_THRESHOLD_` in the environment take precedence.
    """
    chosen = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys()
    # elsewhere `libc_ver` would open the interpreter, which Windows may refuse
    if chosen or sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    largest = 2**31 - 1
    library = ctypes.CDLL(None)
    return all(library.mallopt(threshold, largest) == 1 for threshold in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD))
