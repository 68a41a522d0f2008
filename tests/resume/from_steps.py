"""Trainings that keep a checkpoint of every few steps, to go on from each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from seqsum.cli import main

Train = Callable[..., dict[str, Any]]


def trainer_of(here: Path, flags: Sequence[str], every: int) -> Train:
    """Return a function that trains two epochs in a folder of its own, and returns its last checkpoint."""
    trainer = [
        *("--experiment=small", "--trainer.max_epochs=2", "--trainer.enable_progress_bar=false"),
        *("--trainer.log_every_n_steps=1", "--trainer.accelerator=cpu", f"--data.root={here / 'data'}"),
        *("--tensorboard.figures_every_n_epochs=0", "--tensorboard.histograms_every_n_epochs=0"),
        *("--trainer.callbacks=lightning.pytorch.callbacks.ModelCheckpoint", "--trainer.callbacks.save_top_k=-1"),
        *(f"--trainer.callbacks.every_n_train_steps={every}", "--trainer.callbacks.filename={step}"),
    ]

    def train(folder: str, *arguments: str) -> dict[str, Any]:
        main([*flags, *trainer, f"--trainer.default_root_dir={folder}", *arguments])
        return torch.load(f"{folder}/small/version_0/checkpoints/last.ckpt", weights_only=True)

    return train


def assert_goes_on_exactly(train: Train, steps: Sequence[int], *arguments: str) -> dict[str, torch.Tensor]:
    """Train undisturbed, and go on from each of its steps to the same weights, which are returned."""
    undisturbed = train("undisturbed", *arguments)["state_dict"]
    for step in steps:
        checkpoint = f"undisturbed/small/version_0/checkpoints/step={step}.ckpt"
        assert torch.load(checkpoint, weights_only=True)["global_step"] == step
        resumed = train(f"resumed_{step}", f"--ckpt_path={checkpoint}", *arguments)["state_dict"]
        for name, weight in undisturbed.items():
            assert torch.equal(weight, resumed[name]), (step, name)
    return undisturbed
