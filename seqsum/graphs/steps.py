"""Decides which steps of a training run as CUDA graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torchmetrics import Metric

from seqsum.data.base import Batch
from seqsum.graphs.averaging import Averaging, of_any_process
from seqsum.graphs.capture import CapturedStep, Captures, Parts, Places, without_draws
from seqsum.graphs.obstacles import explain, explain_failure, obstacles
from seqsum.graphs.watchpoints import Watchpoints
from seqsum.objectives.metrics import Sums

EAGER_STEPS = 3  # steps of a shape before it is captured, in which libraries initialise themselves
MAX_SHAPES = 16  # most shapes captured; each keeps its inputs and gradients
MAX_CHANGES = 16  # most changes of the networks in a training; each invalidates all graphs


class StepGraphs:
    """Decides for each step of a training whether it runs as graphs, and captures them.

    A step runs eagerly if something watches it, see `Watchpoints`, and in the first steps of each shape. Once a
    capture fails, all further steps run eagerly, and the user is told why. Copies of the module have no graphs.

    Args:
        trainer, module: Trainer and module of the training.
        parts: Parts of its steps.
        networks: Returns the modules that the steps run, without their submodules.
        metrics: Metrics that the steps update.
        insisted: Whether to warn if no step can be a graph.

    Attributes:
        running: The current step's graphs, from its forward pass on; None if it runs eagerly.
    """

    def __init__(
        self,
        trainer: Trainer,
        module: LightningModule,
        parts: Parts,
        networks: Callable[[], Sequence[nn.Module]],
        metrics: Sequence[Metric],
        insisted: bool,
    ) -> None:
        self.running: CapturedStep | None = None
        self._ready: CapturedStep | None = None  # for the current step, until its forward pass
        self._trainer, self._module, self._parts = trainer, module, parts
        self._networks, self._metrics = networks, metrics
        self._insisted = insisted
        self._given_up = False
        self._captures: Captures | None = None
        self._averaging: Averaging | None = None  # of several processes
        self._steps: dict[Any, CapturedStep] = {}  # by shape
        self._prepared = 0  # steps so far
        self._seen: Counter[Any] = Counter()  # steps so far by shape, without those that have no rows
        self._places: Places = ()
        self._watchpoints: Watchpoints  # of this epoch; made with its first step
        self._epoch = -1
        self._fingerprint: Any = None
        self._changes = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()

    def prepare(self, batch: Batch) -> None:
        """Choose how the next step runs; call this before it."""
        self.running = self._ready = None
        self._prepared += 1
        if self._prepared > EAGER_STEPS and self._captures is None and not self._given_up:
            self._start()  # whatever this step's batch is, so that all processes start at the same step
        if self._averaging:
            self._averaging.begin_step(self._trainer.accumulate_grad_batches)
        if self._given_up or len(batch.inputs) == 0:
            return
        shape = self._shape(batch)
        self._seen[shape] += 1
        if self._captures is None or self._seen[shape] <= EAGER_STEPS or not self._is_free():
            return
        self._drop_if_changed()
        if shape not in self._steps and len(self._steps) < MAX_SHAPES and not self._given_up:
            self._capture(batch, shape)
        self._ready = self._steps.get(shape)

    def _start(self) -> None:
        """Give up if there is an obstacle; else prepare to capture, and to average gradients between graphs."""
        obstacle = next(obstacles(self._trainer, self._module, self._metrics), None)
        model = self._trainer.strategy.model
        wrapped = model if isinstance(model, DistributedDataParallel) else None
        if wrapped is not None:
            obstacle = of_any_process(obstacle, wrapped)
        if obstacle is not None:
            self._give_up(obstacle)
            return
        self._captures = Captures()
        self._averaging = Averaging(wrapped, self._module) if wrapped is not None else None

    def begin(self) -> CapturedStep | None:
        """Return the step's graphs, once, at its forward pass; None if it runs eagerly."""
        self.running, self._ready = self._ready, None
        return self.running

    def average_gradients(self) -> None:
        """Average the gradients of the current step over all processes, after its backward pass."""
        if self._averaging:
            self._averaging.average(self.running.packed if self.running else None)

    def _shape(self, batch: Batch) -> Any:
        """Return what a graph depends on: the batch's shapes, and the clipping, which a callback may change."""
        shapes = (None if tensor is None else (tensor.shape, tensor.stride(), tensor.dtype) for tensor in batch.tensors)
        return *shapes, self._trainer.gradient_clip_val, self._trainer.gradient_clip_algorithm

    def _is_free(self) -> bool:
        """Whether the current step may be a graph: nothing watches it, and it doesn't accumulate gradients."""
        if self._epoch != self._trainer.current_epoch:  # callbacks may change the network between epochs
            self._epoch = self._trainer.current_epoch
            self._watchpoints = Watchpoints(self._trainer, self._module, self._networks())
        return self._trainer.accumulate_grad_batches == 1 and not self._watchpoints.watched()

    def _drop_if_changed(self) -> None:
        """Drop all graphs if the network has changed, or if they lack room for the metrics' sums."""
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
        """The metrics, cast to `Sums`; others would be an obstacle."""
        return cast("Sequence[Sums]", self._metrics)

    def _capture(self, batch: Batch, shape: Any) -> None:
        self._make_places(steps=batch.targets.shape[1])
        clips = (self._trainer.gradient_clip_val or 0) > 0
        parts = self._parts if clips else self._parts._replace(clip=None)
        weights = [*self._module.parameters()]
        captures = cast("Captures", self._captures)
        packed = self._averaging.places() if self._averaging else None
        try:
            with without_draws(self._watchpoints.values()):
                step = CapturedStep(captures, parts, batch, weights, self._sums, self._places, packed)
                if self._watchpoints.fingerprint() != self._fingerprint:
                    raise RuntimeError("attributes of its modules change in every step")
            self._steps[shape] = step
        except Exception as error:  # of any kind: an error of the step itself will show when it runs eagerly
            self._watchpoints.put_back(self._fingerprint)
            self._stop()
            explain_failure("Training steps run", error)

    def _make_places(self, steps: int) -> None:
        """Let the metrics keep their sums in the tensors that graphs write to, with room for `steps`."""
        for metric in self._sums:
            metric.make_room(steps)
        if not all(metric.fits(place) for metric, place in zip(self._sums, self._places, strict=False)):
            self._steps.clear()
        if not self._steps:
            self._places = [(metric.total, metric.count) for metric in self._sums]
        for metric, place in zip(self._sums, self._places, strict=True):
            metric.keep_in(place)

    def _give_up(self, reason: str) -> None:
        self._stop()
        explain(reason, loud=self._insisted)

    def _stop(self) -> None:
        self._given_up = True
        self._steps.clear()


def _nothing() -> None:
    """Return None: a copied or unpickled module has no graphs."""
