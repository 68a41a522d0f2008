"""Which steps of a training run as CUDA graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torchmetrics import Metric

from seqsum.data.base import Batch
from seqsum.graphs.capture import CapturedStep, Captures, Parts, Places
from seqsum.graphs.obstacles import explain, obstacles
from seqsum.graphs.watchpoints import Watchpoints
from seqsum.objectives.metrics import Sums

EAGER_STEPS = 3  # of each shape before it is captured: libraries set up then what they set up when first used
MAX_SHAPES = 16  # that are captured: each keeps its inputs and gradients
MAX_CHANGES = 16  # of the networks within a training, each of which makes all graphs void


class StepGraphs:
    """Decides for each step of a training whether it runs as a graph, and captures the graphs.

    A step runs as it is written where something looks on, see `Watchpoints`, and in the first steps of each shape.
    Once a capture fails all steps do, and the reason is said. A copy of the module that has them has none.

    Args:
        trainer, module: Of the training.
        parts: What its steps do.
        networks: The modules that they run, without those inside them.
        metrics: The metrics that they update.
        insisted: Whether it is worth a warning if no step can.

    Attributes:
        running: The present step as graphs, from its forward pass on; None while it runs as it is written.
    """

    def __init__(
        self,
        trainer: Trainer,
        module: LightningModule,
        parts: Parts,
        networks: Sequence[nn.Module],
        metrics: Sequence[Metric],
        insisted: bool,
    ) -> None:
        self.running: CapturedStep | None = None
        self._ready: CapturedStep | None = None  # for the present step, until its forward pass
        self._trainer, self._module, self._parts = trainer, module, parts
        self._networks, self._metrics = networks, metrics
        self._insisted = insisted
        self._given_up = False
        self._captures: Captures | None = None
        self._steps: dict[Any, CapturedStep] = {}  # by shape
        self._seen: Counter[Any] = Counter()  # steps by shape
        self._places: Places = ()
        self._epoch = -1
        self._fingerprint: Any = None
        self._changes = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()

    def prepare(self, batch: Batch) -> None:
        """Before a step: choose how it runs."""
        self.running = self._ready = None
        if self._given_up or len(batch.inputs) == 0:
            return
        shape = self._shape(batch)
        self._seen[shape] += 1
        if self._seen[shape] <= EAGER_STEPS or not self._is_free():
            return
        self._drop_if_changed()
        if shape not in self._steps and len(self._steps) < MAX_SHAPES and not self._given_up:
            self._capture(batch, shape)
        self._ready = self._steps.get(shape)

    def begin(self) -> CapturedStep | None:
        """At a step's forward pass: the step as graphs, once; None if it is to run as it is written."""
        self.running, self._ready = self._ready, None
        return self.running

    def _shape(self, batch: Batch) -> Any:
        """What a graph is for; the clipping too, which a callback may change."""
        shapes = (None if tensor is None else (tensor.shape, tensor.stride(), tensor.dtype) for tensor in batch[:4])
        return *shapes, self._trainer.gradient_clip_val, self._trainer.gradient_clip_algorithm

    def _is_free(self) -> bool:
        """Whether the present step may be a graph: nothing is in the way, and nobody looks on."""
        if self._captures is None:
            if obstacle := next(obstacles(self._trainer, self._module, self._metrics), None):
                self._give_up(obstacle)
                return False
            self._captures = Captures()
        if self._epoch != self._trainer.current_epoch:  # between two, callbacks may have changed the network
            self._epoch = self._trainer.current_epoch
            self._watchpoints = Watchpoints(self._trainer, self._module, self._networks)
        return self._trainer.accumulate_grad_batches == 1 and not self._watchpoints.watched()

    def _drop_if_changed(self) -> None:
        """Drop graphs that no longer do what the network does, or that lack room for the sums of metrics."""
        present = self._watchpoints.fingerprint()
        fit = all(metric.fits(place) for metric, place in zip(self._sums, self._places, strict=False))
        if present == self._fingerprint and fit:
            return
        self._changes += len(self._steps) > 0
        if self._changes > MAX_CHANGES:
            self._give_up("the network changes too often")
        self._fingerprint = present
        self._steps.clear()

    @property
    def _sums(self) -> Sequence[Sums]:
        """The metrics, of which kind they are: others are an obstacle."""
        return cast("Sequence[Sums]", self._metrics)

    def _capture(self, batch: Batch, shape: Any) -> None:
        self._make_places(steps=batch.targets.shape[1])
        clips = (self._trainer.gradient_clip_val or 0) > 0
        parts = self._parts if clips else self._parts._replace(clip=None)
        weights = [*self._module.parameters()]
        try:
            step = CapturedStep(cast("Captures", self._captures), parts, batch, weights, self._sums, self._places)
            if self._watchpoints.fingerprint() != self._fingerprint:
                raise RuntimeError("attributes of its modules change in every step")
            self._steps[shape] = step
        except Exception as error:  # whatever it is: a fault of the step itself will show when it runs as written
            self._watchpoints.put_back(self._fingerprint)
            self._insisted = True  # to warn: somebody may have got used to graphs
            reason = (str(error) or type(error).__name__).splitlines()[0]
            self._give_up(f"one can't be captured ({reason})")

    def _make_places(self, steps: int) -> None:
        """Let the metrics keep their sums where graphs find them, with room for so many steps."""
        for metric in self._sums:
            metric.make_room(steps)
        if not all(metric.fits(place) for metric, place in zip(self._sums, self._places, strict=False)):
            self._steps.clear()
        if not self._steps:
            self._places = [(metric.total, metric.count) for metric in self._sums]
        for metric, place in zip(self._sums, self._places, strict=True):
            metric.keep_in(place)

    def _give_up(self, reason: str) -> None:
        self._given_up = True
        self._steps.clear()
        explain(reason, loud=self._insisted)


def _nothing() -> None:
    """What a copy gets."""
