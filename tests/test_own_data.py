"""A user's own data, on the command line."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader
from torchmetrics import MeanSquaredError, MetricCollection

from seqsum.cli import main
from seqsum.data import Batch, SequenceData
from seqsum.data.drawn import DrawnSequences
from seqsum.inspect import load
from seqsum.objectives import Objective
from tests.test_own_networks import SHORT

FLAGS = [*SHORT, "--model.encoder=Flatten", "--model.encoder.output_size=3", "--trainer.accelerator=cpu"]
TRAIN = ["fit", "--experiment=own", *FLAGS, "--model.hidden_size=4", "--trainer.max_epochs=1"]


class Forgetful(DrawnSequences):
    """Random numbers; the constructor doesn't call `save_hyperparameters`."""

    dataset = "numbers"

    def __init__(self, longest: int = 5, sizes: tuple[int, int] = (1, 3), batch_size: int = 8, seed: int = 0) -> None:
        super().__init__(batch_size, 64, seed)
        self.longest, self.sizes = longest, sizes

    def draw(self, count: int, generator: torch.Generator) -> Batch:
        numbers = torch.randn(count, self.longest, self.sizes[1], generator=generator)
        return Batch(numbers, numbers.sum(-1).cumsum(1))

    def describe(self) -> str:
        return "random numbers"


class Plain(SequenceData):
    """No more than loaders, and two numbers as targets; there is nothing to test."""

    def train_dataloader(self):
        return DataLoader(torch.arange(24.0), batch_size=8, shuffle=True, collate_fn=_collate)

    def val_dataloader(self):
        return DataLoader(torch.arange(8.0), batch_size=8, collate_fn=_collate)


def _collate(rows):
    numbers = torch.stack(rows).view(-1, 1, 1).expand(-1, 4, 3) / 24
    return Batch(numbers, numbers[:, :1, :2])


class TwoNumbers(Objective):
    output_size, monitor, monitor_mode = 2, "val/loss", "min"

    def loss(self, outputs, batch):
        return (outputs[:, -1:] - batch.targets).square().mean()

    def metrics(self):
        return MetricCollection({})

    def answers(self, outputs, batch):
        return outputs[..., 0]


class NoSuper(Plain):
    def __init__(self, size: int = 3) -> None:
        self.size = size


def test_data_that_do_not_call_their_bases_constructor_are_told_so(here, capfd):
    with pytest.raises(SystemExit):
        main([*TRAIN[1:], f"--data={__name__}.NoSuper", f"--model.objective={__name__}.TwoNumbers"])
    assert "error: `__init__` of NoSuper must first call `super().__init__()`" in capfd.readouterr().err


class Names(Plain):
    def __init__(self, name: str = "dataset") -> None:
        super().__init__()
        setattr(self, name, torch.utils.data.TensorDataset(torch.zeros(3)))


@pytest.mark.parametrize(
    ("name", "must"), [("dataset", "the name of its data, a text"), ("own", "a `seqsum.data.own.OwnInput`")]
)
def test_names_that_the_base_needs_are_told(here, capfd, name, must):
    flags = [f"--data={__name__}.Names", f"--data.name={name}", f"--model.objective={__name__}.TwoNumbers"]
    with pytest.raises(SystemExit):
        main([*TRAIN[1:], *flags])
    assert f"error: `{name}` of Names (=TensorDataset) must be {must}" in capfd.readouterr().err


class OfTorchmetrics(TwoNumbers):
    def metrics(self):
        return MetricCollection({"error": MeanSquaredError()})


def test_metrics_of_torchmetrics_are_refused_before_the_first_step(here, capfd):
    with pytest.raises(SystemExit):
        main([*TRAIN[1:], f"--data={__name__}.Plain", f"--model.objective={__name__}.OfTorchmetrics"])
    said = "error: `update` of MeanSquaredError, the metric 'error' of OfTorchmetrics, must take outputs, targets and"
    assert said in capfd.readouterr().err


class Misspelt(TwoNumbers):
    monitor = "val/los"


def test_an_objective_that_monitors_what_nothing_logs_is_refused_before_the_training(here, capfd):
    with pytest.raises(SystemExit):
        main([*TRAIN[1:], f"--data={__name__}.Plain", f"--model.objective={__name__}.Misspelt"])
    assert "error: Misspelt's `monitor` (='val/los') must be one of val/loss, train/loss," in capfd.readouterr().err
    assert not (here / "logs").exists()


def test_data_of_loaders_alone_train(here, capfd):
    name = f"--data={__name__}.Plain"
    main([*TRAIN[1:], name, f"--model.objective={__name__}.TwoNumbers"])
    printed = capfd.readouterr().out
    assert "Data: Plain" in printed
    assert "No test: Plain has no `test_dataloader`" in printed
    assert "Best checkpoint: logs/own/version_0/checkpoints/best.ckpt" in printed
    with pytest.raises(SystemExit):
        main(["test", "--ckpt_path=logs/own/version_0/checkpoints/best.ckpt"])
    assert "error: Plain has no `test_dataloader`, and so no test split" in capfd.readouterr().err


class Many(Plain):
    """Two loaders for validation or test, as `of` says."""

    def __init__(self, of: str = "") -> None:
        super().__init__()
        self.of = of

    def val_dataloader(self):
        return [super().val_dataloader()] * (1 + (self.of == "val"))

    def test_dataloader(self):
        return dict.fromkeys("ab"[: 1 + (self.of == "test")], super().val_dataloader())


@pytest.mark.parametrize("of", ["", "val", "test"])
def test_only_one_loader_is_evaluated(here, capfd, of):
    flags = [*TRAIN[1:], f"--data={__name__}.Many", f"--data.of={of}", f"--model.objective={__name__}.TwoNumbers"]
    if not of:
        main(flags)
        loss = json.loads((here / "logs/own/version_0/results.json").read_text())["test"]["test/loss"]
        assert f"Test of own on Many: loss {loss:.4f}" in capfd.readouterr().out
        return
    with pytest.raises(SystemExit):
        main(flags)
    assert f"error: `{of}_dataloader` of the data gives 2 loaders, and only one is evaluated" in capfd.readouterr().err


class Demanding(Forgetful):
    """Arguments without types and defaults."""

    def __init__(self, longest, nothing: int | None, batch_size: Any = 8, seed: int = 0) -> None:
        super().__init__(longest, batch_size=batch_size, seed=seed)


@pytest.mark.parametrize("flags", [["--data.longest=9"], ["--data.longest=7", "--data.batch_size=4"]])
def test_a_checkpoint_knows_data_whose_class_forgot_to_save_its_arguments(here, flags):
    main([*TRAIN, f"--data={__name__}.Forgetful", *flags])
    main(["test", "--experiment=own", "--ckpt_path=best", "--trainer.accelerator=cpu"])
    tested = json.loads((here / "logs/own-test/version_0/results.json").read_text())
    assert tested["dataset"] == "numbers"
    assert len(next(iter(tested["test_by_step"].values()))) == int(flags[0][-1])
    _, data, settings = load(here / "logs/own/version_0/checkpoints/best.ckpt")
    assert (type(data).__name__, data.longest, list(data.sizes)) == ("Forgetful", int(flags[0][-1]), [1, 3])
    assert settings["data.batch_size"] == (4 if len(flags) > 1 else 8)


def test_an_argument_without_a_default_must_be_given(here, capfd):
    with pytest.raises(SystemExit):
        main([*TRAIN, f"--data={__name__}.Demanding"])
    assert re.search(r"error: `--data\.longest` must be given: .*\.Demanding has no default", capfd.readouterr().err)
    assert not (here / "logs").exists()
    main([*TRAIN, f"--data={__name__}.Demanding", "--data.longest=4"])


@pytest.mark.parametrize("name", ["", "..", "../own", "sub/../../own", "/own"])
@pytest.mark.parametrize("where", ["flag", "file"])
def test_an_experiment_is_a_folder_below_the_logs(here, capfd, name, where):
    (here / "mine.yaml").write_text(f"experiment: {json.dumps(name)}\n")
    with pytest.raises(SystemExit):
        main(["fit", f"--experiment={name}"] if where == "flag" else ["fit", "-c", "mine.yaml"])
    assert f"error: `--experiment` (={name}) must be a name, of a folder below the logs" in capfd.readouterr().err


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_is_one_that_numpy_takes(here, capfd, seed):
    with pytest.raises(SystemExit):
        main(["fit", f"--seed_everything={seed}"])
    assert f"error: `--seed_everything` (={seed}) must be from 0 to 4294967295" in capfd.readouterr().err


def test_a_training_of_no_epochs_ends_at_once(here, capfd):
    main([*TRAIN, f"--data={__name__}.Forgetful", "--trainer.max_epochs=0"])
    assert "Best checkpoint: none" in capfd.readouterr().out


def test_what_python_objects_there_are_in_a_file_is_not_read(here, capfd):
    torch.save(torch.nn.Linear(1, 1), here / "module.ckpt")
    with pytest.raises(SystemExit):
        main(["test", "--ckpt_path=module.ckpt"])
    said = "is not a checkpoint, or a damaged one (it contains objects of Python, and none of their code is run)"
    assert said in capfd.readouterr().err
