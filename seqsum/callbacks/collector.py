"""Gathers what a network makes of a split, batch by batch, while Lightning runs it through."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqsum.data.base import Batch, SequenceData
from seqsum.networks import SequenceNetwork
from seqsum.objectives import Evaluation
from seqsum.recurrent import Recurrent, trace

MOST = 50_000_000  # numbers in outputs that are kept


class Collector:
    """What is needed for an `Evaluation`: outputs and targets of all batches, and of the first its gates and states.

    Of outputs that would not fit into memory, as of large vocabularies, it keeps those of the first batches.
    """

    def __init__(self) -> None:
        self.recording = ExitStack()  # open while the first batch runs
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.recording.close()
        self.first: Batch | None = None
        self.recorded: dict[str, Tensor] = {}
        self.batches: list[Batch] = []
        self.outputs: list[Tensor] = []

    def start(self, network: nn.Module, batch: Batch) -> None:
        """Before the first batch: record what the recurrence does, window after window where it runs in such."""
        self.clear()
        self.first = batch
        if not isinstance(network, SequenceNetwork):
            return
        recurrence = network.recurrence
        traced = self.recording.enter_context(trace(recurrence)) if isinstance(recurrence, Recurrent) else {}

        def keep(_: nn.Module, __: Any, results: Any) -> None:
            if not isinstance(results[0], Tensor):  # packed, as torch's own layers are where there is a mask
                return
            for name, part in {"outputs": results[0], **traced}.items():
                before = self.recorded.get(name)
                self.recorded[name] = part if before is None else torch.cat([before, part], dim=1)

        self.recording.callback(recurrence.register_forward_hook(keep).remove)

    def stop(self) -> None:
        """After the first batch: leave the network as it was."""
        self.recording.close()

    def add(self, batch: Batch, outputs: Tensor) -> None:
        """Keep what came of a batch."""
        if sum(map(torch.numel, self.outputs)) + outputs.numel() <= MOST or not self.outputs:
            self.first = batch if self.first is None else self.first
            self.batches.append(batch._replace(inputs=batch.inputs[:0]))
            self.outputs.append(outputs)

    def evaluation(self, split: Literal["val", "test"], network: nn.Module, data: SequenceData) -> Evaluation | None:
        """All of it; None where no sequence has come."""
        if self.first is None or sum(map(len, self.outputs)) == 0:
            return None
        return Evaluation(split, network, data, self.first, self.batches, self.outputs, self.recorded)
