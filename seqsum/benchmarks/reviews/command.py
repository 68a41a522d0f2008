"""The benchmark of film reviews: contestants, checks, timing, tables."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from seqsum.allocator import keep_memory
from seqsum.benchmarks.keras_process import reason_against
from seqsum.benchmarks.reviews.batches import Sample, draw_reviews, read_reviews, share_of_padding, take_sample
from seqsum.benchmarks.reviews.keras_process import KerasReviews, keras_layout
from seqsum.benchmarks.reviews.networks import (
    KINDS,
    Run,
    compute_numbers,
    make_network,
    make_step,
    run_masked,
    run_packed,
    run_padded,
)
from seqsum.benchmarks.same_numbers import check_same_numbers
from seqsum.benchmarks.timing import Timing, seconds_of, take_turns
from seqsum.data.base import Batch
from seqsum.options import at_least
from seqsum.tables import machine, write_markdown

OURS = "seqsum, mask, buckets"
KERAS = "Keras on TensorFlow, mask, buckets"
RUNS: dict[str, Run] = {
    "seqsum, mask": run_masked,
    "torch.nn, packed": run_packed,
    "torch.nn, padded, no mask (another function)": run_padded,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--data-root", help="folder with aclImdb; default: random words, with lengths like the real")
    parser.add_argument("--cells", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--sizes", nargs="+", action=at_least(1), default=[64, 128], help="units per direction")
    parser.add_argument("--batches", action=at_least(1), default=20, help="batches per round of each contestant")
    parser.add_argument("--batch-size", action=at_least(1), default=64)
    parser.add_argument("--markdown", type=Path, default=Path("logs/benchmarks/reviews.md"))


def run(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure a row for each cell, size and contestant.

    All train the same network with AdamW on the same reviews, and are checked to compute the same numbers from the same
    weights, except for torch's layers without a mask.
    """
    keep_memory()  # as `train.py` does, here for all contestants
    source = draw_reviews() if arguments.data_root is None else read_reviews(arguments.data_root)
    sample = take_sample(source, arguments.batches, arguments.batch_size)
    sample = Sample(*([batch.map(lambda tensor: tensor.to(device)) for batch in kind] for kind in sample))
    arguments.reviews = describe(source.what, sample)  # also for the JSON file
    print(arguments.reviews)
    print(", ".join(f"{name} {value}" for name, value in machine(device).items()))
    reason = reason_against(device, "32-true")
    if reason is not None:
        print(f"Without Keras: {reason}.")
    rows = []
    for cell in arguments.cells:
        for hidden_size in arguments.sizes:
            found = compare_contestants(cell, hidden_size, sample, reason is None, arguments, device)
            rows += _rows(cell, hidden_size, found, arguments.batches)
    write_markdown(arguments.markdown, rows)
    return rows


def describe(what: str, sample: Sample) -> str:
    """Say what the batches are made of, and how much of them is padding."""
    bucketed, shuffled = map(share_of_padding, sample)
    batches = f"{len(sample.bucketed)} batches of {len(sample.bucketed[0].inputs)} reviews"
    return f"{what}. {batches}; padding {bucketed:.1%} in buckets, {shuffled:.1%} without."


def compare_contestants(
    cell: str, hidden_size: int, sample: Sample, with_keras: bool, arguments: argparse.Namespace, device: torch.device
) -> dict[str, Timing]:
    """Check that all contestants compute the same, then time them in turn."""
    checked = few_reviews(sample)
    expected = compute_numbers(make_network(cell, hidden_size, run_packed).to(device), checked)
    masked = make_network(cell, hidden_size, run_masked).to(device)
    check_same_numbers("seqsum", compute_numbers(masked, checked), expected)
    with ExitStack() as stack:
        calls = _torch_contestants(cell, hidden_size, sample, device)
        if with_keras:
            rival = make_network(cell, hidden_size, run_packed)
            keras = stack.enter_context(KerasReviews(rival, sample.bucketed, checked, cell))
            in_its_layout = expected._replace(gradients=keras_layout(rival, expected.gradients))
            check_same_numbers(KERAS, keras.numbers(), in_its_layout)
            calls[KERAS] = keras.train
        for call in calls.values():
            for _ in range(arguments.warm_up):
                call(1)
        turns = {name: partial(call, arguments.batches) for name, call in calls.items()}
        return take_turns(turns, OURS, arguments.rounds)


def few_reviews(sample: Sample) -> Batch:
    """Take eight reviews of different lengths, whose numbers are compared."""
    few = sample.shuffled[0].map(lambda tensor: tensor[:8])
    assert few.mask is not None
    longest = int(few.mask.sum(1).max())
    return few._replace(inputs=few.inputs[:, :longest], mask=few.mask[:, :longest])


def _torch_contestants(
    cell: str, hidden_size: int, sample: Sample, device: torch.device
) -> dict[str, Callable[[int], float]]:
    """Make the contestants in torch: functions that take a number of steps and return their seconds."""
    made: dict[str, Callable[[int], float]] = {}
    for name, way in RUNS.items():
        for buckets, batches in (("buckets", sample.bucketed), ("no buckets", sample.shuffled)):
            step = make_step(make_network(cell, hidden_size, way).to(device))
            made[f"{name}, {buckets}"] = partial(_train, step, batches, device)
    return made


def _train(step: Callable[[Batch], None], batches: list[Batch], device: torch.device, steps: int) -> float:
    """Take a step on each of the first batches; return the seconds."""

    def call() -> None:
        for batch in batches[:steps]:
            step(batch)

    return seconds_of(call, device)


def _rows(cell: str, hidden_size: int, timings: dict[str, Timing], batches: int) -> list[dict[str, Any]]:
    """Make a row for each contestant: milliseconds a step, and its time as a multiple of seqsum's."""
    return [
        {
            "cell": cell,
            "H": hidden_size,
            "what": name,
            "ms a step": round(1000 * timing.median / batches, 1),
            "time": round(1 / timing.speed, 2),
            "quartiles": f"{1 / timing.upper_speed:.2f} to {1 / timing.lower_speed:.2f}",
            "rounds": timing.n,
        }
        for name, timing in timings.items()
    ]
