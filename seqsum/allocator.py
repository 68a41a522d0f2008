"""Keep the memory of one training step for the next."""

from __future__ import annotations

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_memory() -> bool:
    """Let the C library keep what torch frees on the CPU, for what torch allocates next; whether it does.

    The GNU C library gives large blocks back to the system as soon as they are free, and the next step gets
    them page by page again: in the main job a sixth of a step's time (docs/speed.md). Torch's memory on GPUs is
    kept anyway. `MALLOC_TRIM_THRESHOLD_` or `MALLOC_MMAP_THRESHOLD_` in the environment win.
    """
    chosen = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys()
    if platform.libc_ver()[0] != "glibc" or chosen:
        return False
    largest = 2**31 - 1
    library = ctypes.CDLL(None)
    return all(library.mallopt(threshold, largest) == 1 for threshold in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD))
