"""A checkpoint of an older version still works like a new one.

`fixtures/last_of_0.1.0.ckpt` was written before checkpoints said which version wrote them, by
`python train.py fit --data.dataset=mnist --data.sequence_length=2 --data.batch_size=20
--model.hidden_size=4 --model.encoder.channels=[2] --model.encoder.output_size=4 --model.encoder.dropout=0.1
--trainer.max_epochs=2 --trainer.limit_val_batches=10`, on the 600 training digits of `tests.conftest.write_mnist`.
Its metrics are those measured at the time.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from seqsum.cli import main
from seqsum.data.digits import load_splits
from seqsum.inspect.__main__ import main as inspect

OLD = Path(__file__).parents[1] / "fixtures/last_of_0.1.0.ckpt"
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
pytestmark = [
    pytest.mark.usefixtures("here"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


def test_old_checkpoint_scores_what_it_scored(here, mnist_root, capfd):
    main(["validate", f"--ckpt_path={OLD}", f"--data.root={mnist_root}", "--trainer.limit_val_batches=10", *QUIET])
    printed = capfd.readouterr().out
    scored = {name: float(value) for name, value in re.findall(r"(val/\w+)\W+([\d.]+)", printed)}
    assert scored == pytest.approx(
        {"val/loss": 8.2344, "val/exact_final": 0.1150, "val/exact_step": 0.0875, "val/mae": 3.9244}, abs=1e-4
    )
    main(["test", f"--ckpt_path={OLD}", f"--data.root={mnist_root}", *QUIET])
    results = json.loads((here / "logs/sum-test/version_0/results.json").read_text())
    assert results["parameters"] == 1_799


def test_old_checkpoint_reads_a_users_images(here, mnist_root, capfd):
    images = load_splits("mnist", mnist_root)["test"].images[:3]
    Image.fromarray(torch.cat(list(images), dim=1).numpy()).save(here / "strip.png")
    main(["predict", f"--ckpt_path={OLD}", "--data.images=strip.png", *QUIET])
    assert (here / "logs/sum-predict/version_0/predictions.html").is_file()


def test_old_checkpoint_can_be_looked_into(here, mnist_root, capfd):
    inspect([str(OLD), f"--root={mnist_root}", "--max-length=4", "--output=look"])
    assert "epochs trained" in (here / "look/index.html").read_text()


def test_training_of_an_old_checkpoint_goes_on(here, mnist_root, capfd):
    resumed = ["--trainer.max_epochs=3", "--trainer.limit_val_batches=10", "--tensorboard.figures_every_n_epochs=0"]
    main(["fit", f"--ckpt_path={OLD}", f"--data.root={mnist_root}", "--trainer.log_every_n_steps=5", *resumed, *QUIET])
    printed = capfd.readouterr().out
    assert "epoch 3/3" in printed
    assert "epoch 2/3" not in printed
    new = torch.load(here / "logs/sum/version_0/checkpoints/last.ckpt", weights_only=True)
    assert new["global_step"] == 45
