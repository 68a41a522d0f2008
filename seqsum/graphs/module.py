"""Base LightningModule whose training steps run as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric

from seqsum.accumulation import Accumulation, gradients_wait
from seqsum.data.base import Batch
from seqsum.distributed import weight_among_processes
from seqsum.errors import InputError
from seqsum.graphs.batches import BatchGraphs
from seqsum.graphs.capture import Captures, MeanLoss, Parts
from seqsum.graphs.obstacles import explain
from seqsum.graphs.steps import StepGraphs

CudaGraph = Literal["auto"] | bool


class GraphedModule(LightningModule):
    """Runs forward pass, backward pass and clipping of its training steps as CUDA graphs, if possible.

    Lightning's loop, its hooks, the optimizer's step and all results stay the same.

    Args:
        cuda_graph: Whether to use graphs: `auto` if possible, True to also be warned if not, or False.
    """

    graphs: StepGraphs | None = None  # of the current training

    def __init__(self, cuda_graph: CudaGraph = "auto") -> None:
        super().__init__()
        if cuda_graph != "auto" and not isinstance(cuda_graph, bool):
            raise InputError(f"`cuda_graph` (={cuda_graph!r}) must be 'auto', True or False")
        self.cuda_graph = cuda_graph
        self.accumulation = Accumulation()

    def training_loss(self, batch: Batch) -> MeanLoss:
        """Compute this process's mean loss and the number of terms in it; update `training_metrics`.

        It must run entirely on the device, and exchange nothing with other processes.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `training_loss`")

    def training_metrics(self) -> Sequence[Metric]:
        """Return the metrics that `training_loss` updates."""
        raise NotImplementedError(f"{type(self).__name__} must define `training_metrics`")

    def training_networks(self) -> Sequence[nn.Module]:
        """Return the modules that `training_loss` runs."""
        raise NotImplementedError(f"{type(self).__name__} must define `training_networks`")

    def run_training_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Compute this step's loss, by its graph if it has one.

        Returns:
            The loss to differentiate in this process, and the mean loss of all processes, detached.
        """
        running = self.graphs.begin() if self.graphs else None
        mean, count = running.forward(batch) if running else self.training_loss(batch)
        weight, mean_of_all, count_of_all = weight_among_processes(mean, count)
        if self._accumulates():
            self.accumulation.count(count_of_all)
        if weight is None:
            return mean, mean_of_all
        if running:
            running.weigh(weight)
        return mean * weight, mean_of_all

    def _accumulates(self) -> bool:
        """Whether an optimizer step takes several batches; their steps are no graphs."""
        return self._trainer is not None and self._trainer.accumulate_grad_batches > 1

    def graph_obstacle(self) -> str | None:
        """Say, as a clause, why no step of this module can be a graph; None if steps can."""
        return None

    def on_fit_start(self) -> None:
        self.on_fit_end()  # an error may have ended the training before this one without it
        self.accumulation = Accumulation()
        insisted = self.cuda_graph is True
        unfit_device = Captures.obstacle(self.trainer.strategy.root_device)
        if not self.cuda_graph or (unfit_device and not insisted):
            return
        if obstacle := unfit_device or self.graph_obstacle():
            explain(obstacle, insisted)
            return
        parts = Parts(self._forward_part, self._backward_part, self._clip_part)
        self.graphs = StepGraphs(self.trainer, self, parts, self.training_networks, self.training_metrics(), insisted)
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it from outside
        if vars(type(data)).get("is_capturable", False):
            data.make_batch = BatchGraphs(data)

    def on_fit_end(self) -> None:
        if hasattr(self.trainer.datamodule, "make_batch"):  # type: ignore[attr-defined]
            self.trainer.datamodule.make_batch = None  # type: ignore[attr-defined]
        self.graphs = None

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        self.accumulation.begin(batch_idx)
        if self.graphs:
            self.graphs.prepare(batch)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if self.graphs and self.graphs.running:
            self.graphs.running.backward()
        else:
            super().backward(self.accumulation.weigh(loss), *args, **kwargs)
        if self._accumulates() and not gradients_wait(self.trainer):
            self.accumulation.finish(self.parameters(), self.trainer.accumulate_grad_batches)
        if self.graphs:
            self.graphs.average_gradients()

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        def closure() -> Any:
            loss = None if optimizer_closure is None else optimizer_closure()
            # without a backward pass, where `training_step` has left out the last batch of a step
            self.accumulation.finish(self.parameters(), self.trainer.accumulate_grad_batches)
            return loss

        super().optimizer_step(epoch, batch_idx, optimizer, closure if self._accumulates() else optimizer_closure)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if not (self.graphs and self.graphs.running and self.graphs.running.clip()):
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def _forward_part(self, batch: Batch) -> MeanLoss:
        # the contexts that Lightning enters for a step, but not yet in `on_train_batch_start`
        with torch.enable_grad(), self.trainer.precision_plugin.train_step_context():
            return self.training_loss(batch)

    def _backward_part(self, loss: Tensor, weight: Tensor) -> None:
        super().backward(loss, gradient=weight)

    def _clip_part(self) -> None:
        trainer = self.trainer
        super().configure_gradient_clipping(
            trainer.optimizers[0], trainer.gradient_clip_val, trainer.gradient_clip_algorithm
        )
