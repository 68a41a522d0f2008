"""The parts of `configs/broken` are importable by their current and former names."""

from __future__ import annotations

import pydoc
import re
from pathlib import Path

import pytest

import seqsum.broken
from seqsum.cli import main
from seqsum.diagnosis import broken

CONFIGS = Path(__file__).parents[2] / "configs/broken"
USED = sorted({name for path in CONFIGS.iterdir() for name in re.findall(r"seqsum\.[\w.]+[A-Z]\w+", path.read_text())})


def test_all_of_them_are_used_by_the_configurations():
    assert {pydoc.locate(name) for name in USED} >= {getattr(broken, name) for name in seqsum.broken.__all__}


@pytest.mark.parametrize("name", seqsum.broken.__all__)
def test_a_name_of_before_is_the_same_class(name):
    assert pydoc.locate(f"seqsum.broken.{name}") is pydoc.locate(f"seqsum.diagnosis.broken.{name}")


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_file_with_the_names_of_before_runs(here, mnist_root):
    text = (CONFIGS / "unscaled_input.yaml").read_text()
    assert "seqsum.diagnosis.broken." in text
    (here / "old.yaml").write_text(text.replace("seqsum.diagnosis.broken.", "seqsum.broken."))
    main(["-c", "old.yaml", f"--data.root={mnist_root}", "--trainer.fast_dev_run=1", "--trainer.accelerator=cpu"])
