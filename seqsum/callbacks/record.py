"""Describe a run in TensorBoard: its settings, its test metrics, and the graph of its network."""

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
from seqsum.networks import Encoder
from seqsum.objectives import StepMean
from seqsum.recurrent import Recurrent
from seqsum.run import module_of, tensorboard_writers

GRAPH_STEPS = 3  # time steps in the graph, which shows the loop unrolled


class RunRecord(Callback):
    """Write to TensorBoard what distinguishes runs.

    At the start, write the settings as text and the graph of the network; after the test, write settings and test
    metrics to the HParams tab, to compare runs.

    Args:
        configuration: All resolved settings as YAML.
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
        if not self.drawn:  # after the step: during it, other callbacks may have hooks on the network
            self.drawn = True
            for writer in tensorboard_writers(trainer):
                add_graph(writer, module_of(pl_module).network, batch)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("test/")}
        main = module_of(pl_module).objective.monitor.replace("val/", "test/")
        metrics = {name: metrics[name] for name in sorted(metrics, key=lambda name: name != main)}  # the first is shown
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(self.settings, metrics, trainer.global_step)


def charts(module: SequenceModule) -> dict[str, dict[str, list[Any]]]:
    """Layout for TensorBoard: a chart for each metric, with a line for each time step."""
    metrics = module.val_metrics.items(keep_base=True)
    names = [name for name, metric in metrics if isinstance(metric, StepMean) and metric.last is None]
    return {"metrics by step": {name: ["Multiline", [f"val_by_step/{name}_t.*"]] for name in names}}


class Network(nn.Module):
    """Wrap a network so that it takes only the inputs tensor of a batch: a trace accepts nothing but tensors.

    The outermost box of the graph has this class's name.
    """

    def __init__(self, network: nn.Module, batch: Batch) -> None:
        super().__init__()
        self.network = network
        self.batch = batch

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(self.batch._replace(inputs=inputs))


def add_graph(writer: SummaryWriter, network: nn.Module, batch: Batch) -> None:
    """Trace a copy of the network in evaluation mode, and add its graph."""
    batch = batch.map(lambda tensor: tensor[:1, :GRAPH_STEPS])._replace(mask=None, target_mask=None)
    inputs = torch.zeros_like(batch.inputs)  # masked inputs may be NaN
    try:
        with warnings.catch_warnings(), torch.no_grad():
            shown = Network(copy.deepcopy(network).eval(), batch)
            for part in shown.modules():
                if isinstance(part, Recurrent):
                    part.backend = "eager"  # show the plain loop, not a compiled one
                elif isinstance(part, Encoder):
                    part.hurries = True  # show one look at an image, as in training
            # a graph that is only displayed may be specialised to this length
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            warnings.filterwarnings("ignore", ".*torch.jit.trace")
            # the writer would trace three times to compare, and torch never gives the memory of a trace back
            traced = torch.jit.trace(shown, inputs, check_trace=False)
            warnings.filterwarnings("ignore", "The input to trace is already a ScriptModule")
            writer.add_graph(traced, inputs)
    except Exception as error:  # a user's own network may need more than the inputs, or can't be copied
        why = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)  # without both graphs
        rank_zero_warn(f"TensorBoard shows no graph of the network, since it can't be traced: {why}")
