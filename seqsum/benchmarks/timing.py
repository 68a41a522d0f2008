"""Times rivals in turn, in one process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

import rich
import torch
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Timing:
    """Times of one contestant in seconds, and its speed relative to the rival's in the same rounds, with quartiles."""

    n: int
    median: float
    lower_quartile: float
    upper_quartile: float
    speed: float
    lower_speed: float
    upper_speed: float


def time_in_turn(
    contestants: Mapping[str, Callable[[], Any]], rival: str, rounds: int, warm_up: int, device: torch.device
) -> dict[str, Timing]:
    """Time the contestants, one call each per round, see `take_turns`.

    Args:
        contestants: Functions to call, by name.
        rival: Name of the contestant whose speed is 1.
        rounds: Timed calls of each contestant.
        warm_up: Calls of each beforehand, not timed, for compilers, caches and allocators.
        device: Device of the calls; CUDA devices are timed by CUDA events.
    """
    for call in contestants.values():
        for _ in range(warm_up):
            call()
    return take_turns({name: partial(seconds_of, call, device) for name, call in contestants.items()}, rival, rounds)


def take_turns(contestants: Mapping[str, Callable[[], float]], rival: str, rounds: int) -> dict[str, Timing]:
    """Let contestants, which return their own time in seconds, take turns; each round starts with a different one.

    Returns:
        The timing of each contestant. Its speed is the median over the rounds of the rival's time divided by its own.
    """
    names = list(contestants)
    samples: dict[str, list[float]] = {name: [] for name in names}
    for start in range(rounds):
        shift = start % len(names)
        for name in names[shift:] + names[:shift]:
            samples[name].append(contestants[name]())
    return {name: _summary(samples[name], samples[rival]) for name in names}


def seconds_of(call: Callable[[], Any], device: torch.device) -> float:
    """Time one call in seconds, by the clock; on a CUDA device by events, until its last kernel is done."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begin.record()
    call()
    end.record()
    torch.cuda.synchronize(device)
    return begin.elapsed_time(end) / 1000


def _summary(samples: list[float], rival: list[float]) -> Timing:
    lower, median, upper = _quartiles(samples)
    lower_speed, speed, upper_speed = _quartiles([theirs / ours for ours, theirs in zip(samples, rival, strict=True)])
    return Timing(len(samples), median, lower, upper, speed, lower_speed, upper_speed)


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3


def peak_memory(call: Callable[[], Any], device: torch.device) -> int:
    """Measure the peak of bytes allocated while `call` runs, beyond those allocated before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profile:
        call()
    assert profile.profiler is not None
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    allocated = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak


def machine(device: torch.device) -> dict[str, Any]:
    """Describe device, threads and versions, for tables and files."""
    packages = ("torch", "torchvision", "lightning", "triton", "keras", "tensorflow")
    gpu = _gpu(device) if device.type == "cuda" else {}
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        **gpu,
        "threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        **{name: found for name in packages if (found := _version(name))},
    }


def _gpu(device: torch.device) -> dict[str, Any]:
    return {
        "capability": list(torch.cuda.get_device_capability(device)),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print neighbouring rows with the same keys as a table."""
    for names, group in groupby(rows, key=tuple):
        alike = list(group)
        table = Table(title=title, title_justify="left")
        for name in names:
            table.add_column(name, justify="left" if isinstance(alike[0][name], str) else "right")
        for row in alike:
            table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
        Console(width=max(Console().width, 140)).print(table)  # wide enough not to wrap cells


def write(path: Path, device: torch.device, settings: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write machine, settings and rows to a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(device), "settings": settings, "rows": rows}, indent=2) + "\n")
    rich.print(f"Written to {path}")


def write_markdown(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with the same keys as a Markdown table, and print its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    path.write_text("".join(f"| {' | '.join(cells)} |\n" for cells in lines), encoding="utf-8")
    rich.print(f"Table: {path}")


def row(timing: Timing) -> dict[str, Any]:
    """Convert a timing to the columns of a table."""
    return {
        "ms": 1000 * timing.median,
        "quartiles, ms": f"{1000 * timing.lower_quartile:.3g} to {1000 * timing.upper_quartile:.3g}",
        "speed": round(timing.speed, 2),
    }
