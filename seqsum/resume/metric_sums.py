"""Save and load the metric sums of an unfinished training epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat, dim_zero_sum

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
            states = {key: _copy(state) for key, state in metric.metric_state.items()}
        sums[name] = {"updates": metric.update_count, "states": states}
    return sums


def load_sums(metric: Metric, saved: dict[str, Any], first_process: bool) -> None:
    """Load the states of all processes into the metric of the first one, and those of a new metric into the others.

    What all processes have in common, such as a maximum, goes into each of them.
    """
    metric._update_count = saved["updates"]  # else torchmetrics warns that the metric was never updated
    new = metric.clone()
    new.reset()
    for key, state in saved["states"].items():
        adds_up = metric._reductions[key] in (dim_zero_sum, dim_zero_cat)
        start = new.metric_state[key]
        loaded = _copy(state if first_process or not adds_up else start)
        if isinstance(start, list) and isinstance(loaded, Tensor):  # joined where processes were
            loaded = [loaded]
        moved = [part.to(metric.device) for part in loaded] if isinstance(loaded, list) else loaded.to(metric.device)
        setattr(metric, key, moved)


def _copy(state: Any) -> Any:
    """A metric's state is a tensor, or a list of them."""
    return [part.clone() for part in state] if isinstance(state, list) else torch.as_tensor(state).clone()
