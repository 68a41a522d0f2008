"""Pretraining: each training's settings, small runs done once, and what stays as it was without labels."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from seqsum.experiments import pretraining, runs
from seqsum.experiments.__main__ import main
from seqsum.experiments.pretraining import DIRECT, FROZEN, SetUp
from seqsum.experiments.runs import Run

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


OPTIONS = SimpleNamespace(
    networks=["images", "sum"], tasks=["denoising", "inpainting"], frozen=["all", "none"], labels=["100", "all"],
    seeds=[1], pretraining=["--a=1"], arguments=["--b=2"], output=Path("out"),
)  # fmt: skip


def test_each_network_starts_from_the_training_of_its_task_and_seed(monkeypatch):
    calls = {}

    def trained(root, name, arguments):
        calls[name] = arguments
        return SimpleNamespace(checkpoint=f"{name}.ckpt")

    monkeypatch.setattr(pretraining, "trained", trained)
    monkeypatch.setattr(pretraining, "row", lambda set_up, runs: {})
    monkeypatch.setattr(pretraining, "save_table", lambda *_: None)
    monkeypatch.setattr(pretraining, "panels", lambda *_: {})
    monkeypatch.setattr(pretraining, "plot_error_panels", lambda *_: None)
    monkeypatch.setattr(pretraining, "save", lambda *_: None)
    pretraining.run(OPTIONS)
    assert len(calls) == 2 + 2 * 2 * (1 + 2 * 2)
    assert "--a=1" in calls["denoising_seed1"]
    flags = calls["sum_all_100_inpainting_seed1"]
    start = {"--model.encoder.start_from=inpainting_seed1.ckpt", "--model.encoder.frozen=all"}
    assert start | {"--data.labels=100", "--seed_everything=1", "--b=2"} <= set(flags)
    assert "--model.network.encoder.frozen=none" in calls["images_none_all_denoising_seed1"]
    assert not any("start_from" in flag for flag in calls["images_none_all_from_scratch_seed1"])


def test_each_panel_has_the_network_from_scratch_beside_its_way_of_freezing():
    set_ups = pretraining.set_ups(OPTIONS)
    found = {
        set_up: [Run(Path(), {"test": {"test/exact_final": place / 100, "test/accuracy": 2.0}})]
        for place, set_up in enumerate(set_ups)
    }
    panels = pretraining.panels("sum", found, OPTIONS)
    assert len(panels) == 2 * 2 * 3
    for frozen in ("all", "none"):
        way = FROZEN[frozen]
        scratch = set_ups.index(SetUp("sum", "none", "100", DIRECT)) / 100
        denoising = set_ups.index(SetUp("sum", frozen, "100", "denoising")) / 100
        assert (panels[way, "100", DIRECT], panels[way, "100", "denoising"]) == ([scratch], [denoising])


def test_from_scratch_all_layers_are_trained():
    results = {"dataset": "mnist", "parameters": 3, "seconds": {"fit": 1.0}, "test": {"test/accuracy": 0.5}}
    runs_ = [Run(Path(), results)]
    assert pretraining.row(SetUp("images", "none", "100", DIRECT), runs_)["trained"] == "all"
    assert pretraining.row(SetUp("images", "2", "100", "denoising"), runs_)["trained"] == "last two layers trained"
