"""What a run is, for TensorBoard: its settings, how it came out, and its network as a graph."""

from __future__ import annotations

import copy
import textwrap
import warnings
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from seqsum.data.base import Batch
from seqsum.module import SequenceModule
from seqsum.objectives import StepMean
from seqsum.recurrent import Recurrent
from seqsum.run import module_of, tensorboard_writers

GRAPH_STEPS = 3  # of the loop over time, which the graph shows unrolled


class RunRecord(Callback):
    """Writes into TensorBoard what tells one run from another.

    At the start the settings as text and the graph of the network; after the test a row for the HParams tab,
    settings and test metrics, by which runs compare.

    Args:
        configuration: All settings, resolved, as YAML.
        settings: The same by name, such as `data.batch_size`.
    """

    def __init__(self, configuration: str, settings: dict[str, Any]) -> None:
        self.configuration = configuration
        self.settings = settings
        self.drawn = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.drawn = False
        for writer in tensorboard_writers(trainer):
            writer.add_text("configuration", textwrap.indent(self.configuration, "    "))  # code, in Markdown
            writer.add_custom_scalars(charts(module_of(pl_module)))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if not self.drawn:  # after the step: within it, others may look at the network by hooks
            self.drawn = True
            for writer in tensorboard_writers(trainer):
                add_graph(writer, module_of(pl_module).network, batch)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("test/")}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(self.settings, metrics, trainer.global_step)


def charts(module: SequenceModule) -> dict[str, dict[str, list[Any]]]:
    """TensorBoard's charts of a metric at all steps together, a line each."""
    metrics = module.val_metrics.items(keep_base=True)
    names = [name for name, metric in metrics if isinstance(metric, StepMean) and metric.last is None]
    return {"metrics by step": {name: ["Multiline", [f"val_by_step/{name}_t.*"]] for name in names}}


class _OnInputs(nn.Module):
    """A network that takes the inputs of a batch in place of it, since a trace knows tensors alone."""

    def __init__(self, network: nn.Module, batch: Batch) -> None:
        super().__init__()
        self.network = network
        self.batch = batch

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(self.batch._replace(inputs=inputs))


def add_graph(writer: SummaryWriter, network: nn.Module, batch: Batch) -> None:
    """The graph of a network in evaluation, as traced on a copy of it: the network itself stays untouched."""
    batch = batch.map(lambda tensor: tensor[:1, :GRAPH_STEPS])._replace(mask=None, target_mask=None)
    inputs = torch.zeros_like(batch.inputs)  # what a mask hides may be NaN
    network = _OnInputs(copy.deepcopy(network).eval(), batch)
    for part in network.modules():
        part._forward_hooks.clear()  # of callbacks that look on
        if isinstance(part, Recurrent):
            part.backend = "eager"  # the plain loop, and no compiled one in its stead
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # what a trace is bound to, such as its length, does no harm in a graph that is only looked at
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            warnings.filterwarnings("ignore", ".*torch.jit.trace.* is deprecated")  # by torch of what it does itself
            writer.add_graph(network, inputs)
    except Exception as error:  # of a network of the user's own, which may need more than inputs
        rank_zero_warn(f"no graph of the network for TensorBoard, since it can't be traced: {error}")
