"""Whole trainings and their speed, at tiny sizes on the CPU."""

import argparse
import json
import subprocess

import pytest
import torch

from seqsum.benchmarks.gpu import fits
from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.results import Results
from tests.benchmarks.gpu.tiny import CPU
from tests.graphs.conftest import use_stand_in
from tests.graphs.stand_in import StandIn


@pytest.fixture
def short(monkeypatch):
    """Limit trainings to two steps per epoch."""
    limits = [f"--trainer.limit_{split}_batches=2" for split in ("train", "val", "test")]
    small = ["--data.batch_size=4", "--trainer.log_every_n_steps=1", "--tensorboard.figures_every_n_epochs=0"]
    monkeypatch.setattr(fits, "OPTIONS", [*limits, *small])
    monkeypatch.setattr(fits, "EPOCHS", 2)


def train(how, tmp_path, root):
    results = Results(tmp_path / "step.json", {})
    how(argparse.Namespace(data_root=str(root)), CPU, results, Deadline(100))
    assert results.errors == {}
    return results.rows


def test_variants_of_the_training_say_how_fast_they_were(short, tmp_path, monkeypatch, mnist_root):
    monkeypatch.setattr(fits, "PRECISIONS", ("32",))
    clock, found = [], fits.found
    monkeypatch.setattr(
        fits, "found", lambda folder: clock.extend(json.loads((folder / fits.CLOCK).read_text())) or found(folder)
    )
    (row,) = train(fits.train_variants, tmp_path, mnist_root)
    assert [epoch["images"] for epoch in clock] == 4 * [2 * 4 * 4]  # of two batches of four sequences of four digits
    assert (row["name"], row["epochs"], row["dataset"]) == ("launch by launch, 32", 4, "mnist")
    assert row["images/s"] > 0


def test_variants_are_compared_on_sequences_of_one_length(tmp_path, monkeypatch, mnist_root):
    given = []
    monkeypatch.setattr(fits, "_train", lambda name, run, arguments, *_: given.append(arguments))
    train(fits.train_variants, tmp_path, mnist_root)
    assert len(given) == len(fits.PRECISIONS)
    assert all("--data.sequence_length=4" in arguments for arguments in given)


@pytest.mark.slow
def test_a_gpu_has_variants_with_graphs(short, tmp_path, monkeypatch, mnist_root):
    use_stand_in(monkeypatch)
    monkeypatch.setattr(fits, "OPTIONS", [*fits.OPTIONS, "--model.backend=bptt", "--trainer.limit_train_batches=6"])
    monkeypatch.setattr(fits, "variants", lambda device, of=fits.variants: of(torch.device("cuda")))
    named = [(row["name"], row["epochs"]) for row in train(fits.train_variants, tmp_path, mnist_root)]
    assert named == [
        *((f"as CUDA graphs, {what}", epochs) for what, epochs in (("bf16-mixed", 4), ("batch 1024", 10), ("DDP", 4))),
        *((f"launch by launch, {precision}", 4) for precision in ("32", "bf16-mixed")),
    ]
    assert StandIn.replayed > 3 * (4 + 10 + 4) * 4  # the first three steps, and those that are watched, have none
    assert not torch.distributed.is_initialized()


@pytest.mark.filterwarnings("default:Training steps run without CUDA graphs")
def test_a_training_that_has_no_graphs_is_not_taken_for_one_that_has(short, tmp_path, monkeypatch, mnist_root):
    monkeypatch.setattr(fits, "variants", lambda device: {"graphs": fits.Variant(["--model.cuda_graph=true"], 1)})
    results = Results(tmp_path / "step.json", {})
    fits.train_variants(argparse.Namespace(data_root=str(mnist_root)), CPU, results, Deadline(100))
    assert results.errors["training: graphs"].endswith("run without CUDA graphs, since the device is cpu.")
    assert results.rows == []


@pytest.mark.parametrize("warned", ["", "UserWarning: Training steps run without CUDA graphs, since it is so.\n"])
def test_a_default_training_that_lost_its_graphs_is_noted(tmp_path, monkeypatch, warned):
    limits = []

    def run(command, timeout, **_):
        limits.append(timeout)
        return subprocess.CompletedProcess(command, 0, "", f"GPU available\n{warned}done\n")

    monkeypatch.setattr(fits.subprocess, "run", run)
    monkeypatch.setattr(fits, "_train", lambda name, run, arguments, *_: run(arguments))
    results = Results(tmp_path / "step.json", {})
    fits.train_default(argparse.Namespace(data_root="data"), CPU, results, Deadline(100))
    assert results.errors == ({"training: default, as CUDA graphs": warned.strip()} if warned else {})
    assert 45 < limits[0] <= 50, "half of the time is left for the rest, should it hang"


@pytest.mark.slow
def test_the_default_training_says_what_came_out(short, tmp_path, mnist_root):
    (row,) = train(fits.train_default, tmp_path, mnist_root)
    assert (row["name"], row["epochs"]) == ("default", 2)
    assert 0 < row["seconds of fit"] < row["seconds in all"]
    assert 0 <= row["test/exact_final"] <= 1


def test_a_training_that_fails_says_why(short, tmp_path, monkeypatch, mnist_root):
    monkeypatch.setattr(fits, "OPTIONS", ["--model.hidden_size=0"])
    monkeypatch.setattr(fits, "PRECISIONS", ("32",))
    results = Results(tmp_path / "step.json", {})
    fits.train_variants(argparse.Namespace(data_root=str(mnist_root)), CPU, results, Deadline(100))
    assert "`hidden_size` (=0) must be at least 1" in results.errors["training: launch by launch, 32"]


def test_speed_is_that_of_the_epochs_after_the_first(tmp_path):
    epochs = [{"images": 10, "seconds": s, "dataset": "mnist"} for s in (9, 1, 2, 5)]
    (tmp_path / fits.CLOCK).write_text(json.dumps(epochs))
    assert fits.found(tmp_path) == {"images/s": 5, "dataset": "mnist"}
