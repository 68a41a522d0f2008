"""Collect a network's outputs on a split, batch by batch, while Lightning evaluates it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqsum.data.base import Batch, SequenceData
from seqsum.networks import SequenceNetwork
from seqsum.objectives import Evaluation
from seqsum.recurrent import Recurrent, trace

MOST = 50_000_000  # output values to keep


class Collector:
    """Collect what an `Evaluation` needs: outputs and targets of all batches, gates and states of the first.

    If the outputs would not fit into memory, as with large vocabularies, leave out batches that are too many.

    Attributes:
        seen: Sequences of all batches, kept or not.
    """

    def __init__(self) -> None:
        self.recording = ExitStack()  # open while the first batch runs
        self.clear()

    def clear(self) -> None:
        """Discard everything collected."""
        self.recording.close()
        self.first: Batch | None = None
        self.recorded: dict[str, Tensor] = {}
        self.batches: list[Batch] = []
        self.outputs: list[Tensor] = []
        self.seen = 0

    def start(self, network: nn.Module, batch: Batch) -> None:
        """Start recording the recurrence, before the first batch; windows of a truncated sequence are concatenated."""
        self.clear()
        self.first = batch
        if not isinstance(network, SequenceNetwork):
            return
        recurrence = network.recurrence
        traced = self.recording.enter_context(trace(recurrence)) if isinstance(recurrence, Recurrent) else {}

        def keep(_: nn.Module, __: Any, results: Any) -> None:
            if not isinstance(results[0], Tensor):  # a packed sequence, which torch.nn layers return for a mask
                return
            for name, part in {"outputs": results[0], **traced}.items():
                before = self.recorded.get(name)
                self.recorded[name] = part if before is None else torch.cat([before, part], dim=1)

        self.recording.callback(recurrence.register_forward_hook(keep).remove)

    def stop(self) -> None:
        """Stop recording, after the first batch, and remove the hooks."""
        self.recording.close()

    def add(self, batch: Batch, outputs: Tensor) -> None:
        """Keep the outputs and targets of a batch, while there is room."""
        self.seen += len(outputs)
        if sum(map(torch.numel, self.outputs)) + outputs.numel() <= MOST or not self.outputs:
            self.first = batch if self.first is None else self.first
            self.batches.append(batch._replace(inputs=batch.inputs[:0]))
            self.outputs.append(outputs)

    def evaluation(self, split: Literal["val", "test"], network: nn.Module, data: SequenceData) -> Evaluation | None:
        """Return everything collected as an `Evaluation`; None if there was no sequence."""
        if self.first is None or sum(map(len, self.outputs)) == 0:
            return None
        return Evaluation(split, network, data, self.first, self.batches, self.outputs, self.recorded, self.seen)
