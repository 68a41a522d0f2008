"""Train a translator's step, and the same network written with torch.nn.GRUCell in Python loops."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor, nn

from seqsum.benchmarks.plain_translation import PlainTranslator
from seqsum.benchmarks.timing import row, time_in_turn
from seqsum.data import Translation
from seqsum.data.base import Batch
from seqsum.networks import EncoderDecoder
from seqsum.networks.decoders import Attends
from seqsum.objectives import NextToken
from seqsum.options import at_least

SIZES = (7900, 5900)  # of both vocabularies, as in configs/translation.yaml
TOLERANCE = 1e-4
RIVALS = {"GRUCell loop": False, "GRUCell loop, logits at once": True}
BOUND = "seqsum without recurrences"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--data-root", default="data", help="folder of multi30k")
    parser.add_argument("--dataset", choices=("auto", "multi30k", "made"), default="auto")
    parser.add_argument("--hidden-size", action=at_least(1), default=256)
    parser.add_argument("--batches", action=at_least(1), default=4, help="batches of a timed call")
    parser.add_argument("--batch-size", action=at_least(1), default=64)


def run(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Time training steps on the same batches, after checking that rivals compute the same; return a table."""
    batches = make_batches(options, device)
    words = sum(int(batch.scored.sum()) for batch in batches if batch.scored is not None)
    rows = []
    for attends in get_args(Attends):
        torch.manual_seed(0)
        ours = EncoderDecoder(*SIZES, hidden_size=options.hidden_size, attends=attends, dropout=0.0)
        networks = {"seqsum": ours} | {name: PlainTranslator(ours, at_once) for name, at_once in RIVALS.items()}
        for network in networks.values():
            check_same(network.to(device), ours, batches[0])
        if attends == "after":
            networks[BOUND] = without_recurrences(ours)
        calls = {name: training(network, batches) for name, network in networks.items()}
        timings = time_in_turn(calls, next(iter(RIVALS)), options.rounds, options.warm_up, device)
        for name, timing in timings.items():
            speed = {"target words/s": round(words / timing.median)}
            rows.append({"attends": attends, "network": name, **row(timing), **speed})
    return rows


def make_batches(options: argparse.Namespace, device: torch.device) -> list[Batch]:
    """Make the first training batches of an epoch."""
    data = Translation(options.dataset, options.data_root, vocabulary_size=SIZES, batch_size=options.batch_size)
    data.setup("fit")
    tables = [table for table, _ in zip(data.train_dataloader(), range(options.batches), strict=False)]
    return [data.gather(table._replace(rows=table.rows.to(device))) for table in tables]


def check_same(network: nn.Module, ours: nn.Module, batch: Batch) -> None:
    """Raise an AssertionError unless both compute the same logits for the words that are scored."""
    with torch.no_grad():
        found, expected = (each.eval()(batch)[batch.scored] for each in (network, ours))
    difference = float((found - expected).norm() / expected.norm())
    if not difference < TOLERANCE:
        raise AssertionError(f"{type(network).__name__} differs from seqsum's network by {difference:.2g} of it")


def without_recurrences(network: EncoderDecoder) -> EncoderDecoder:
    """Copy a network that attends after its decoder, without loops over time: no recurrence can make it faster."""
    bound = deepcopy(network)
    bound.reader = InputsAlone(bound.reader)
    decoder: Any = bound.decoder
    decoder.recurrence = InputsAlone(decoder.recurrence)
    return bound


class InputsAlone(nn.Module):
    """A layer without what depends on its state: all steps at once, inputs `(B, T, F)` to outputs `(B, T, D·H)`."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(self, inputs: Tensor, state: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        outputs = [cell.project(inputs)[..., : cell.hidden_size] for cell in self.layer.cells]
        if state is not None:  # so that the bridge gets gradients
            outputs = [output + first.unsqueeze(1) for output, first in zip(outputs, state, strict=True)]
        return torch.cat(outputs, dim=-1), torch.stack([output[:, -1] for output in outputs])


def training(network: nn.Module, batches: list[Batch]) -> Callable[[], None]:
    """Return a function that takes a training step on each batch."""
    objective = NextToken(SIZES[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        objective.loss(*batch.pair(network(batch), objective.by_step)).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return partial(_all, step, batches)


def _all(step: Callable[[Batch], None], batches: list[Batch]) -> None:
    for batch in batches:
        step(batch)
