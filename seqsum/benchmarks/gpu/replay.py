"""Times a call as a CUDA graph: the time on the device, without the host's kernel launches."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

WARM_UP = 2  # calls before the capture, on its stream, for compilation and allocations
ROUNDS = 3
SECONDS = 0.01  # of a round: a short call is replayed several times in a row, so that the device never waits
MOST = 20  # replays per round


def replay_seconds(call: Callable[[], Any], device: torch.device, estimate: float) -> float:
    """Measure the seconds of one replay of the captured call on the device, as the median over the rounds.

    Args:
        call: Call to capture.
        device: Device that it runs on.
        estimate: Estimated seconds of one call.

    Raises:
        RuntimeError: The call does something that can't be captured, such as a copy from the host.
    """
    graph = capture(call, device)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    replays = max(1, min(MOST, int(SECONDS / estimate)))
    samples = []
    for _ in range(ROUNDS):
        graph.replay()
        begin.record()
        for _ in range(replays):
            graph.replay()
        end.record()
        torch.cuda.synchronize(device)
        samples.append(begin.elapsed_time(end) / 1000 / replays)
    return statistics.median(samples)


def capture(call: Callable[[], Any], device: torch.device) -> torch.cuda.CUDAGraph:
    """Capture the kernels of one call."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            call()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        call()
    return graph
