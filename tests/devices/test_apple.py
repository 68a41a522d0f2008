"""Trainings, tests and predictions on a stand-in for Apple's GPUs, which lack float64 and some operations."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from torch.utils import backend_registration

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no devices in Python",
)
slow = partial(pytest.param, marks=pytest.mark.slow)
SHORT = [
    *(f"--trainer.limit_{stage}_batches=2" for stage in ("train", "val", "test")),
    *("--trainer.max_epochs=1", "--trainer.accelerator=apple"),
    "--trainer.inference_mode=false",  # in which torch refuses a step of torchmetrics for tensors in Python
]


CONFIGS = Path(__file__).parents[2] / "configs"


def run(folder, *flags):
    command = [sys.executable, "-m", "tests.devices.program", *flags, f"--trainer.default_root_dir={folder}"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout


@pytest.mark.parametrize(
    ("configuration", "picture"),
    [
        ("sum", "test_sequences.png"),
        slow("rows", "settling.png"),
        slow("images_densenet", "misread.png"),
        slow("pretrain_inpainting", "restored.png"),
        slow("translation", "attention_1.png"),
        slow("words_skipgram", "Curves:"),
    ],
)
def test_a_training_and_its_test(tmp_path, mnist_root, configuration, picture):
    printed = run(tmp_path, "-c", str(CONFIGS / f"{configuration}.yaml"), *SHORT, f"--data.root={mnist_root}")
    assert "Device: 1 × apple:0" in printed
    assert picture in printed


def test_reviews_are_read_and_answered(tmp_path):
    flags = [*SHORT, "-c", str(CONFIGS / "reviews_scratch.yaml"), f"--data.root={tmp_path}"]
    run(tmp_path, *flags)
    (checkpoint,) = tmp_path.glob("**/best.ckpt")
    printed = run(tmp_path, "predict", *flags, f"--ckpt_path={checkpoint}", "--data.texts=Not bad at all!")
    assert "towards positive:" in printed
