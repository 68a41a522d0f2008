"""Show what the order of shuffle, batch and repeat does to ten numbers, with torch's own data pipes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import permutations
from typing import Any, NamedTuple

import torch
from torch.utils.data import IterDataPipe

from seqsum.console import print_line
from seqsum.experiments.files import CPU
from seqsum.options import a_seed, at_least
from seqsum.tables import show, write, write_markdown

EPOCHS = 2
SENTENCES = {
    "shuffle, batch, repeat": "every epoch has each number once, in new batches; its last batch may be short",
    "shuffle, repeat, batch": "every epoch has each number once; a batch between two epochs may have numbers of both",
    "batch, shuffle, repeat": "numbers stay together for ever: every epoch has the same batches, in another order",
    "batch, repeat, shuffle": "the same batches, some perhaps twice before others come",
    "repeat, shuffle, batch": "no epochs: numbers may come twice, even in one batch, before others come",
    "repeat, batch, shuffle": "fixed batches, perhaps one of both epochs; numbers may come twice before others come",
}


class Item(NamedTuple):
    """A number, and the epoch, counted from 1, in which it was read."""

    number: int
    epoch: int


class Numbers(IterDataPipe[Item]):
    """The numbers from 0 to below `count`; each time it is read is another epoch."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.epoch = 0

    def __iter__(self) -> Iterator[Item]:
        self.epoch += 1
        return (Item(number, self.epoch) for number in range(self.count))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--numbers", action=at_least(1), default=10, help="numbers in an epoch")
    parser.add_argument("--batch-size", action=at_least(1), default=4)
    parser.add_argument("--seed", action=a_seed(), default=0)


def run(options: argparse.Namespace) -> None:
    """Read two epochs in each order; print and write the table."""
    rows = [row(steps, options) for steps in permutations(("shuffle", "batch", "repeat"))]
    show(f"{EPOCHS} epochs of {options.numbers} numbers in batches of {options.batch_size}", rows)
    for found in rows:
        found["in a sentence"] = SENTENCES[found["order"]]
        print_line(f"{found['order']}: {found['in a sentence']}.")
    write_markdown(options.output / "orders.md", rows)
    write(options.output / "orders.json", CPU, options, rows)


def row(steps: tuple[str, ...], options: argparse.Namespace) -> dict[str, Any]:
    """Make the table's row for one order."""
    batches = read(steps, options.numbers, options.batch_size, options.seed)
    first = [item.number for batch in batches for item in batch][: options.numbers]
    mixed = [place for place, batch in enumerate(batches, start=1) if len({item.epoch for item in batch}) > 1]
    return {
        "order": ", ".join(steps),
        "batches": " ".join(f"[{listed([item.number for item in batch])}]" for batch in batches),
        f"twice in the first {options.numbers}": listed(sorted({n for n in first if first.count(n) > 1})),
        f"missing in the first {options.numbers}": listed(sorted(set(range(options.numbers)) - set(first))),
        "batches of both epochs": listed(mixed),
    }


def read(steps: tuple[str, ...], count: int, batch_size: int, seed: int) -> list[list[Item]]:
    """Read two epochs of numbers through shuffle, batch and repeat in an order.

    The shuffle holds all that it gets before it gives the first, so it is a permutation.

    Args:
        steps: `shuffle`, `batch` and `repeat`, in the order in which they are applied.
        count: Numbers in an epoch.
        batch_size: Numbers in a batch; the last may be smaller.
        seed: Seed of the shuffles.
    """
    torch.manual_seed(seed)
    pipe: Any = Numbers(count)
    for step in steps:
        if step == "shuffle":
            pipe = pipe.shuffle(buffer_size=EPOCHS * count)
        elif step == "batch":
            pipe = pipe.batch(batch_size)
        else:
            pipe = pipe.concat(*[pipe] * (EPOCHS - 1))
    return [list(batch) for batch in pipe]


def listed(found: list[int]) -> str:
    """Write numbers for the table."""
    return " ".join(map(str, found)) or "–"
