"""Fixtures: a tiny training on real classes, and its TensorBoard files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from seqsum.data import DigitSums
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder


@pytest.fixture
def make_run(tmp_path, mnist_root):
    """Make Trainer, module and data for two epochs of three batches; the test starts the training."""

    def make(callbacks, logger=False, data=None, module=None, **options):
        torch.manual_seed(0)
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        short = {"max_epochs": 2, "limit_train_batches": 3, "limit_val_batches": 2, "log_every_n_steps": 1}
        trainer = Trainer(
            accelerator="cpu",
            devices=1,
            default_root_dir=tmp_path,
            callbacks=callbacks,
            logger=logger,
            **{**quiet, **short, "gradient_clip_val": 1.0, **options},
        )
        encoder = ConvEncoder((2, 4), dropout=0.2)  # dropout, so that a random number too many would show
        network = SequenceModule(**{"hidden_size": 8, "encoder": encoder, **(module or {})})
        digits = DigitSums(**{"dataset": "mnist", "root": str(mnist_root), "batch_size": 8, **(data or {})})
        return trainer, network, digits

    return make


def events(folder) -> EventAccumulator:
    """Read everything written for TensorBoard."""
    everything = {"images": 0, "scalars": 0, "histograms": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def hparams(folder) -> dict[str, HParamsPluginData]:
    """Read the messages for the HParams tab, by kind: the last one of each."""
    messages = {}
    for path in sorted(Path(folder).glob("*tfevents*"), key=numbers_in):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                    messages[data.WhichOneof("data")] = data
    return messages


def numbers_in(path: Path) -> list[int]:
    """Numbers in the name of a file of events: second, process, and a counter of the process, after 9 comes 10."""
    return [int(number) for number in re.findall(r"\d+", path.name)]
