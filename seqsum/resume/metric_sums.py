"""Save and load the metric sums of an unfinished training epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torchmetrics import Metric

from seqsum.run import module_of


def training_metrics(module: LightningModule) -> Iterator[tuple[str, Metric]]:
    """Yield the metrics that accumulate over a training epoch, with their names."""
    module = module_of(module)
    yield "loss", module.train_loss
    yield from ((name, metric) for name, metric in module.train_metrics.items(keep_base=True))


def metric_sums(module: LightningModule) -> dict[str, Any]:
    """Collect the sums of the training metrics over all processes; call it in each of them."""
    sums = {}
    for name, metric in training_metrics(module):
        with metric.sync_context(dist_sync_fn=metric.dist_sync_fn):
            states = {key: torch.as_tensor(state).clone() for key, state in metric.metric_state.items()}
        sums[name] = {"updates": metric.update_count, "states": states}
    return sums


def load_sums(metric: Metric, saved: dict[str, Any], first_process: bool) -> None:
    """Load the sums of all processes into the metric of the first one, and zeros into the others."""
    metric._update_count = saved["updates"]  # else torchmetrics warns that the metric was never updated
    for key, state in saved["states"].items():
        setattr(metric, key, state.to(metric.device) if first_process else torch.zeros_like(state).to(metric.device))
