"""Pretraining: each training's settings, small runs done once, and what stays as it was without labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from seqsum.experiments import pretraining, runs
from seqsum.experiments.__main__ import main
from seqsum.experiments.pretraining import DIRECT, FROZEN

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
    pytest.mark.filterwarnings("ignore:.*module\\(s\\) in eval mode"),
]
SHORT = [
    *("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"),
    *("--trainer.limit_test_batches=1", "--trainer.log_every_n_steps=1", "--trainer.accelerator=cpu"),
]


def encoder_of(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "version_0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return {name.split("module.")[1]: value for name, value in state.items() if name.startswith("network.encoder.")}


@pytest.mark.slow
def test_each_way_starts_from_each_task_and_only_its_layers_learn(with_configs, mnist_root, monkeypatch):
    command = [
        "pretraining", "--tasks", "denoising", "--labels", "20", "--seeds", "1", "--",
        f"--data.root={mnist_root}", "--data.batch_size=20", *SHORT,
    ]  # fmt: skip
    main(command)
    folder = with_configs / "logs/experiments/pretraining"
    table = json.loads((folder / "pretraining.json").read_text())["rows"]
    ways = [(DIRECT, "all"), *(("denoising", way) for way in FROZEN.values())]
    assert [(row["network"], row["encoder"], row["trained"]) for row in table] == [
        (network, *way) for network in ("images", "sum") for way in ways
    ]
    for network in ("images", "sum"):
        assert len({row["parameters"] for row in table if row["network"] == network}) == 1
        with Image.open(folder / f"pretraining_{network}.png") as image:
            assert image.width > 900  # three panels
    start = encoder_of(folder / "denoising_seed1")
    for network in ("images", "sum"):
        changed = {}
        for frozen in FROZEN:
            after = encoder_of(folder / f"{network}_{frozen}_20_denoising_seed1")
            assert after.keys() == start.keys()
            differing = [name for name in start if not torch.equal(start[name], after[name])]
            changed[frozen] = {int(name.split(".")[1]) for name in differing}
        assert changed == {
            "all": set(),
            "2": {2, 5, 6},
            "none": {0, 1, 2, 5, 6},
        }  # 5, 6: the linear layer and its codes
        results = json.loads((folder / f"{network}_none_20_from_scratch_seed1/version_0/results.json").read_text())
        row = next(row for row in table if (row["network"], row["encoder"]) == (network, DIRECT))
        assert row["accuracy"] == f"{results['test'][pretraining.NETWORKS[network].metric]:.4f}"
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail(f"run again: {arguments}"))
    main(command)
