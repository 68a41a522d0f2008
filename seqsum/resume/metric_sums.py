"""The sums behind the metrics of an unfinished training epoch, which checkpoints keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torchmetrics import Metric

from seqsum.run import module_of


def training_metrics(module: LightningModule) -> Iterator[tuple[str, Metric]]:
    """The metrics that are summed up over a training epoch, by name."""
    module = module_of(module)
    yield "loss", module.train_loss
    yield from ((name, metric) for name, metric in module.train_metrics.items(keep_base=True))


def metric_sums(module: LightningModule) -> dict[str, Any]:
    """What the training metrics have summed up in this epoch, over all processes: each of them must call it."""
    sums = {}
    for name, metric in training_metrics(module):
        with metric.sync_context(dist_sync_fn=metric.dist_sync_fn):
            states = {key: torch.as_tensor(state).clone() for key, state in metric.metric_state.items()}
        sums[name] = {"updates": metric.update_count, "states": states}
    return sums


def load_sums(metric: Metric, saved: dict[str, Any], first_process: bool) -> None:
    """Put sums back; those of all processes together, so into the first alone."""
    metric._update_count = saved["updates"]  # torchmetrics would warn that it was never updated
    for key, state in saved["states"].items():
        setattr(metric, key, state.to(metric.device) if first_process else torch.zeros_like(state).to(metric.device))
