"""Tests on the real MNIST in the folder SEQSUM_DATA, if it is set."""

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything

from seqsum.data import DigitSums, load_splits
from seqsum.module import SequenceModule


def test_splits_are_those_of_the_literature(real_root):
    splits = load_splits("mnist", real_root)
    assert {name: len(digits.labels) for name, digits in splits.items()} == {
        "train": 55_000,
        "val": 5_000,
        "test": 10_000,
    }
    assert splits["train"].labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert splits["test"].labels[:5].tolist() == [7, 2, 1, 0, 4]
    pixels = splits["train"].images.float() / 255
    assert abs(pixels.mean() - 0.1307) < 1e-3  # the constants that inputs are scaled by
    assert abs(pixels.std() - 0.3081) < 1e-3


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_first_hundred_steps_learn(real_root, tmp_path):
    """The squared error of sums of two digits falls well below that of the best constant."""
    seed_everything(0, verbose=False)
    data = DigitSums("mnist", str(real_root), sequence_length=2, batch_size=64, augment=False)
    module = SequenceModule(schedule="constant", learning_rate=3e-3)
    trainer = Trainer(
        accelerator="cpu", devices=1, max_steps=100, gradient_clip_val=1.0, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, data)
    batch = data.gather(next(iter(data.test_dataloader())))
    with torch.no_grad():
        error = (module.eval()(batch).squeeze(-1) - batch.targets).abs().mean()
    constant = (batch.targets - batch.targets.median(dim=0).values).abs().mean()
    assert error < 0.8 * constant
