"""Where the time of a training step goes: whole trainings, the parts of a step, the whole step, and it as a graph."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, product, repeat
from typing import Any

import torch
from torch import nn

from seqsum.benchmarks.gpu import fits
from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.replay import replay_seconds
from seqsum.benchmarks.gpu.results import Results
from seqsum.benchmarks.timing import take_turns
from seqsum.data import DigitSums
from seqsum.data.base import Batch
from seqsum.data.index_tables import IndexBatch
from seqsum.module import SequenceModule, parts_of
from seqsum.objectives.base import update_metrics
from seqsum.recurrent import LSTM

BATCHES = (128, 1024)  # sequences
RECURRENCES = [("lstm", "auto"), ("lstm", "triton"), ("lstm", "bptt"), ("torch_lstm", "auto")]
CALLED = {"lstm": LSTM, "torch_lstm": nn.LSTM}
CALL = 4, 128, 128, 128  # T, B, F, H: the recurrence of the default network
Part = Callable[[], Any]


def measure(options: argparse.Namespace, device: torch.device, results: Results, deadline: Deadline) -> None:
    """Measure the default training, variants of it, and the parts of a step, on real MNIST if it is there.

    Single steps as graphs come last, because a failed capture can make the device unusable for this process.
    """
    fits.train_default(options, device, results, deadline)
    fits.train_variants(options, device, results, deadline)
    for cell in CALLED:
        if deadline.passed():
            results.leave_out(f"a call of {cell}")
            continue
        with results.noting(f"a call of {cell}"):
            _time_call(cell, options, device, results)
    batches = []
    for batch_size in BATCHES:
        if deadline.passed():
            results.leave_out(f"a step at batch {batch_size}")
            continue
        data = DigitSums(root=options.data_root, batch_size=batch_size)
        data.setup("fit")
        batches.append(_time_data(data, options, device, results))
        for cell, backend in RECURRENCES:
            with results.noting(f"a step at batch {batch_size} with {cell} by {backend}"):
                _time_step(batches[-1], cell, backend, options, results)
        print(f"a step at batch {batch_size}: done after {deadline.spent():.0f} s", flush=True)
    for batch, (cell, backend) in product(batches if device.type == "cuda" else [], RECURRENCES):
        if backend != "auto":
            continue
        what = f"a step as a CUDA graph at batch {len(batch.inputs)} with {cell}"
        if deadline.passed():
            results.leave_out(what)
            continue
        with results.noting(what):
            _time_graph(batch, cell, results)


def _time_data(data: DigitSums, options: argparse.Namespace, device: torch.device, results: Results) -> Batch:
    """Time what comes before the network; return a batch on the device."""
    tables: Iterator[IndexBatch] = chain.from_iterable(repeat(data.train_dataloader()))
    table = next(tables)

    def gather(augment: bool) -> Batch:
        data.augment = augment
        return data.gather(there)

    there = data.transfer_batch_to_device(table, device, 0)
    parts: dict[str, Part] = {
        "next(loader)": lambda: next(tables),
        "transfer": lambda: data.transfer_batch_to_device(table, device, 0),
        "gather and warp": lambda: gather(augment=True),
        "gather alone": lambda: gather(augment=False),
    }
    _add(parts, {"batch": data.batch_size, "dataset": data.dataset}, options, device, results)
    return gather(augment=True)


def _time_step(batch: Batch, cell: str, backend: str, options: argparse.Namespace, results: Results) -> None:
    """Time network and optimizer, for one recurrence."""
    device, head = batch.inputs.device, {"batch": len(batch.inputs), "cell": cell, "backend": backend}
    step = Step(batch, cell, backend)
    parts: dict[str, Part] = {"forward and backward": step.differentiate, "step": step.whole}
    if (cell, backend) == RECURRENCES[0]:
        parts |= {"encoder, forward": lambda: parts_of(step.module).encoder(batch.inputs), "metrics": step.score}
        parts |= {"clipping": step.clip, "AdamW": step.optimizer.step}
    _add(parts, head, options, device, results)


def _time_graph(batch: Batch, cell: str, results: Results) -> None:
    """Time forward, backward, clipping and AdamW as one CUDA graph."""
    seconds = replay_seconds(Step(batch, cell, "auto", capturable=True).whole, batch.inputs.device, 0.001)
    head = {"batch": len(batch.inputs), "cell": cell, "backend": "auto", "what": "step as a CUDA graph"}
    results.add({**head, "ms": _ms(seconds), "images/s": round(batch.targets.numel() / seconds)})


def _time_call(cell: str, options: argparse.Namespace, device: torch.device, results: Results) -> None:
    """Time a layer's call, and what of it is neither a kernel nor Triton's launcher: the host's work before them."""
    steps, batch, features, hidden = CALL
    layer = CALLED[cell](features, hidden).to(device)
    inputs = torch.randn(steps, batch, features, device=device, requires_grad=True)

    def forward() -> None:
        with torch.no_grad():
            layer(inputs)

    def differentiate() -> None:
        layer(inputs)[0].sum().backward()

    parts: dict[str, Part] = {"call, forward": forward, "call, forward and backward": differentiate}
    forward()
    if getattr(layer, "last_backend", None) == "triton":
        parts |= {f"{name}, not launched": partial(_without_launch, part) for name, part in parts.items()}
    _add(parts, {"batch": batch, "cell": cell, "backend": "auto"}, options, device, results)


def _without_launch(part: Part) -> None:
    from seqsum.recurrent.kernels.triton.compiled import Launch

    launch = Launch.__call__
    Launch.__call__ = lambda *_: None  # type: ignore[method-assign]  # mock.patch would take as long as the call
    try:
        part()
    finally:
        Launch.__call__ = launch  # type: ignore[method-assign]  # as it was


class Step:
    """A training step of the default network on one batch: forward, backward, clipping and AdamW."""

    def __init__(self, batch: Batch, cell: str, backend: str, capturable: bool = False) -> None:
        torch.manual_seed(0)
        device = batch.inputs.device
        options: dict[str, Any] = {"cell": cell, "backend": backend}
        self.batch, self.module = batch, SequenceModule(**options).to(device)
        self.parameters = list(self.module.parameters())
        rate = torch.tensor(1e-3, device=device) if capturable else 1e-3
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, fused=capturable, capturable=capturable)
        self.outputs = self.differentiate()

    def differentiate(self) -> torch.Tensor:
        """Compute loss and gradients; return the outputs."""
        self.module.zero_grad(set_to_none=True)
        outputs = self.module(self.batch)
        self.module.objective.loss(outputs, self.batch).backward()
        return outputs.detach()

    def clip(self) -> None:
        """Clip the gradients as the command line does by default."""
        nn.utils.clip_grad_norm_(self.parameters, 1.0)

    def whole(self) -> None:
        """Run the whole step."""
        self.differentiate()
        self.clip()
        self.optimizer.step()

    def score(self) -> None:
        """Update the metrics of the training."""
        update_metrics(self.module.train_metrics, self.outputs, self.batch)


def _add(
    parts: dict[str, Part], head: dict[str, Any], options: argparse.Namespace, device: torch.device, results: Results
) -> None:
    """Time the parts in turn, by the clock, each until the device is done."""

    def timer(part: Part) -> Callable[[], float]:
        def seconds() -> float:
            synchronise(device)
            start = time.perf_counter()
            part()
            synchronise(device)
            return time.perf_counter() - start

        return seconds

    timers = {name: timer(part) for name, part in parts.items()}
    for seconds in timers.values():
        for _ in range(options.warm_up):
            seconds()
    for name, timing in take_turns(timers, next(iter(timers)), options.rounds).items():
        times = {"ms": timing.median, "lower": timing.lower_quartile, "upper": timing.upper_quartile}
        times = {key: _ms(value) for key, value in times.items()}
        results.add({**head, "what": name, **times, "rounds": timing.n})


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _ms(seconds: float) -> float:
    return float(f"{1000 * seconds:.4g}")
