"""Compile the kernels for this machine's processor, once for each version, and load them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import torch

from seqsum.recurrent.cache import cache_folder

# GCC doesn't fuse a * b + c in some loops on AMD's processors: a row's bits would depend on the rows computed beside it
FUSED = "--param=avoid-fma-max-bits=0"
FLAGS = (
    *("-std=c++17", "-O2", "-march=native", "-fno-math-errno", "-fno-trapping-math", FUSED),
    *("-fopenmp", "-fPIC", "-shared"),
)
REALS = {torch.float32: "float", torch.float64: "double"}
NAMES = "`CXX`, c++, g++ or clang++"  # of compilers that are looked for
SECONDS = 120  # treat a compiler that takes longer as missing


@cache
def load_library(real: str) -> ctypes.CDLL | str:
    """Load the kernels for the C++ type `real`; return an explanation instead if that fails.

    They are cached in `$XDG_CACHE_HOME` or `~/.cache`, so that only a machine's first run compiles. They share
    OpenMP's threads with torch, which has loaded the same library.
    """
    if os.name == "nt":
        return "the kernels are not compiled on Windows"
    names = filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++"))
    compilers = [path for path in map(shutil.which, names) if path is not None]
    if sys.platform == "darwin":  # Apple's has no OpenMP, and asks to be installed where it is missing
        compilers = [path for path in compilers if not path.startswith("/usr/bin/")]
    if not compilers:
        return f"no C++ compiler{'' if sys.platform != 'darwin' else ' but Apple’s'} was found ({NAMES})"
    compiler = compilers[0]
    try:
        library = _compiled(compiler, real)
        try:
            return ctypes.CDLL(str(library))
        except OSError:  # damaged, as by a full disk
            library.unlink()
            return ctypes.CDLL(str(_compiled(compiler, real)))
    except subprocess.CalledProcessError as error:
        return f"{compiler} failed: {error.stderr.strip()[-500:]}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{compiler} produced no library that can be loaded: {error}"


def _compiled(compiler: str, real: str) -> Path:
    folder = Path(__file__).parent
    sources = b"".join(path.read_bytes() for path in sorted(folder.glob("*.h")) + sorted(folder.glob("*.cpp")))
    version = _output([compiler, "--version"])
    key = hashlib.sha256(repr((sources, version, FLAGS, _processor())).encode()).hexdigest()[:16]
    library = cache_folder() / f"{real}-{key}.so"
    if not library.exists():
        arguments = [compiler, *FLAGS, f"-DREAL={real}", str(folder / "kernels.cpp"), "-o"]
        with tempfile.TemporaryDirectory(dir=library.parent) as private:  # one for each process
            made = Path(private) / library.name
            _output([*arguments, str(made)])
            with made.open("rb") as file:
                os.fsync(file.fileno())  # or a power cut might leave a part of it under its name
            os.replace(made, library)
    return library


def _output(command: list[str]) -> str:
    """Run a command and return what it prints; compilers may print other characters than UTF-8."""
    found = subprocess.run(command, capture_output=True, check=True, timeout=SECONDS, text=True, errors="replace")
    return found.stdout


def _processor() -> str:
    """Identify the processor, for which `-march=native` compiles: machines that differ may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
