"""Times rivals in turn, in one process, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch


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


def row(timing: Timing) -> dict[str, Any]:
    """Convert a timing to the columns of a table."""
    return {
        "ms": 1000 * timing.median,
        "quartiles, ms": f"{1000 * timing.lower_quartile:.3g} to {1000 * timing.upper_quartile:.3g}",
        "speed": round(timing.speed, 2),
    }
