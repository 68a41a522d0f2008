"""Checkpoints are atomic, contain data and no code, and a long training leaks nothing."""

from __future__ import annotations

import gc
import os
import re
import resource
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import seqsum
from seqsum.callbacks import RunLines
from seqsum.checkpoint_file import NotFiniteWeightsError, load_checkpoint
from seqsum.cli import main
from seqsum.errors import InputError
from seqsum.inspect.__main__ import main as inspect
from seqsum.resume.checkpoint_files import CheckpointFiles
from seqsum.resume.last import LastCheckpoint
from tests.resume.test_resume import EPOCHS, SMALL, content, differences, runs

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]


@pytest.fixture
def full_disk():
    """Limit the size of files by the operating system, to simulate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_keeps_the_last_good_checkpoint(here, full_disk):
    CheckpointFiles().save_checkpoint({"state_dict": {"weight": torch.ones(3)}}, here / "last.ckpt")
    full_disk(20_000)
    with pytest.raises(
        InputError, match=r"last.ckpt can't be written \(.*File too large\); the last good one is still"
    ):
        CheckpointFiles().save_checkpoint({"state_dict": {"weight": torch.zeros(99_999)}}, here / "last.ckpt")
    assert torch.load("last.ckpt")["state_dict"]["weight"].tolist() == [1, 1, 1]
    assert [path.name for path in here.iterdir()] == ["last.ckpt"]


def test_writing_that_stops_anywhere_leaves_the_old_checkpoint(here, monkeypatch):
    """After a power cut before the file is replaced, the old file at the path is intact."""
    CheckpointFiles().save_checkpoint({"state_dict": {}, "epoch": 1}, here / "last.ckpt")
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                CheckpointFiles().save_checkpoint({"state_dict": {}, "epoch": 2}, here / "last.ckpt")
        assert torch.load("last.ckpt")["epoch"] == 1


def test_a_copy_is_as_old_as_the_checkpoint(here):
    """By that, `--ckpt_path=last` finds the newest."""
    CheckpointFiles().save_checkpoint({"state_dict": {}}, here / "best.ckpt")
    os.utime("best.ckpt", (1, 2))
    CheckpointFiles().copy("best.ckpt", here / "version_1/best.ckpt")
    assert os.stat("version_1/best.ckpt").st_mtime == 2


def test_a_checkpoint_between_accumulated_batches_has_the_steps_that_were_made(here):
    sine = ["fit", "-c", str(Path(__file__).parents[2] / "configs/sine.yaml"), "--data.epoch_size=640"]
    accumulated = ["--trainer.accumulate_grad_batches=4", "--trainer.val_check_interval=6", "--trainer.max_epochs=1"]
    main([*sine, *accumulated, "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"])
    best = torch.load("logs/sine/version_0/checkpoints/best.ckpt")
    assert best["place"]["steps"] == best["global_step"] == 1


def test_a_resumed_training_has_a_last_checkpoint_before_it_has_written_one(here):
    """Or a run that is killed in a first validation would leave the copy of best.ckpt alone."""
    CheckpointFiles().save_checkpoint({"state_dict": {}, "number": 1}, here / "version_0/last.ckpt")
    last = LastCheckpoint()
    last.dirpath = str(here / "version_1")
    trainer = SimpleNamespace(
        state=SimpleNamespace(fn="fit"), sanity_checking=True, fast_dev_run=False, is_global_zero=True,
        ckpt_path=here / "version_0/last.ckpt",
    )  # fmt: skip
    last.on_validation_start(trainer, None)
    assert not (here / "version_1").exists(), "the training may yet be refused"
    trainer.sanity_checking = False
    last.on_validation_start(trainer, None)
    assert torch.load(here / "version_1/last.ckpt")["number"] == 1
    CheckpointFiles().save_checkpoint({"state_dict": {}, "number": 2}, here / "version_1/last.ckpt")
    last.written = 0.0
    last.on_validation_start(trainer, None)
    last.on_fit_end(trainer, None)
    assert torch.load(here / "version_1/last.ckpt")["number"] == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(here, value):
    torch.save({"state_dict": {"whole": torch.ones(2).long(), "weight": torch.tensor([1, value])}}, "last.ckpt")
    with pytest.raises(NotFiniteWeightsError, match="can't be used: weight in it is NaN or infinite"):
        load_checkpoint("last.ckpt")


class Malicious:
    """Create a file when unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("ran").absolute(),)


@pytest.mark.parametrize(
    "command", [main, lambda arguments: inspect([arguments[1].removeprefix("--ckpt_path=")])], ids=["train", "inspect"]
)
def test_code_in_a_checkpoint_is_never_run(here, monkeypatch, capfd, command):
    """Not even if the environment tells torch to."""
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"state_dict": {}, "callbacks": {"hook": Malicious()}}, "evil.ckpt")
    for subcommand in ("fit", "validate", "test", "predict"):
        with pytest.raises(SystemExit) as exit_:
            command([subcommand, "--ckpt_path=evil.ckpt"])
        assert exit_.value.code == 2
        assert "evil.ckpt) is not a checkpoint, or a damaged one" in capfd.readouterr().err
    with pytest.raises(InputError, match="is not a checkpoint"):
        CheckpointFiles().load_checkpoint("evil.ckpt", weights_only=False)  # as Lightning would call it
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", ["sum", "[ab]*", "a-b"])
def test_a_checkpoint_below_a_folder_that_also_names_the_data_is_named(here, name):
    """As where data that were to be MNIST are rendered; folders may have any names."""
    asked = f"logs/{name}/version_0/checkpoints/best.ckpt"
    for other in (f"{name}x", f"x{name}-rendered", "a-rendered"):
        file = here / f"logs/{other}/version_0/checkpoints/best.ckpt"
        file.parent.mkdir(parents=True)
        torch.save({"state_dict": {}}, file)
    (here / f"logs/{name}-empty/version_0/checkpoints/best.ckpt").mkdir(parents=True)  # no file
    for path in (asked, str(here / asked), f"../{here.name}/{asked}"):
        with pytest.raises(InputError, match=rf"^`--ckpt_path` \(={re.escape(path)}\) is not a file$"):
            load_checkpoint(path)
    right = here / f"logs/{name}-rendered[1]/version_0/checkpoints/best.ckpt"
    right.parent.mkdir(parents=True)
    torch.save({"state_dict": {}}, right)
    for path in (asked, str(here / asked), f"../{here.name}/{asked}"):
        expected = path.replace(f"/{name}/", f"/{name}-rendered[1]/")
        with pytest.raises(InputError, match=rf"is not a file, but {re.escape(expected)} is$"):
            load_checkpoint(path)


def test_the_checkpoint_in_a_folder_is_named(here):
    """The best one, or else the last, of the newest run."""
    for age, (version, name) in enumerate([(1, "last"), (0, "last"), (0, "best")]):
        file = here / f"logs/sum/version_{version}/checkpoints/{name}.ckpt"
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": {}}, file)
        os.utime(file, (age, age))
    (here / "logs/sum/version_1/checkpoints/best.ckpt").mkdir()  # no file
    for folder, found in (
        *((f"logs/sum{below}", "version_0/checkpoints/best.ckpt") for below in ("", "/version_0")),
        *((f"logs/sum/version_1{below}", "version_1/checkpoints/last.ckpt") for below in ("", "/checkpoints")),
    ):
        with pytest.raises(InputError, match=rf"\(={folder}\) is not a file, but logs/sum/{found} is$"):
            load_checkpoint(folder)
    torch.save({"state_dict": {}}, here / "best.ckpt")
    with pytest.raises(InputError, match=r"\(=\.\) is not a file, but best\.ckpt is$"):
        load_checkpoint(".")
    with pytest.raises(InputError, match=r"\(=logs\) is not a file$"):
        load_checkpoint("logs")


def test_weights_only_can_not_be_turned_off(here, mnist_root, capfd):
    with pytest.raises(SystemExit):
        main(["fit", f"--data.root={mnist_root}", "--weights_only=false"])
    assert "`--weights_only` (=false) must be true" in capfd.readouterr().err


def test_workers_change_no_bit_and_checkpoints_name_their_version(here, mnist_root, capfd):
    for workers in (0, 1):
        main(["fit", *SMALL, EPOCHS, f"--data.root={mnist_root}", f"--data.num_workers={workers}"])
    one, other = (content(run / "checkpoints/last.ckpt") for run in runs(here))
    assert list(differences(one, other)) == []
    assert one["seqsum_version"] == seqsum.__version__


def test_a_later_run_belongs_to_the_experiment_of_its_checkpoint(here, mnist_root, capfd):
    """In checkpoints of today, and in those of before, whose hyperparameters name it."""
    main(["fit", *SMALL, "--trainer.max_epochs=1", "--experiment=copies", f"--data.root={mnist_root}"])
    path = "logs/copies/version_0/checkpoints/last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["experiment"] == "copies"
    assert not any(name.startswith("_experiment") for name in checkpoint["hyper_parameters"])
    main(["test", f"--ckpt_path={path}", *SMALL])
    assert Path("logs/copies-test/version_0/results.json").is_file()
    checkpoint["hyper_parameters"]["_experiment"] = checkpoint.pop("experiment")
    torch.save(checkpoint, path)
    main(["test", f"--ckpt_path={path}", *SMALL])
    assert Path("logs/copies-test/version_1/results.json").is_file()


@pytest.mark.slow
def test_a_long_training_leaks_nothing(here, mnist_root, monkeypatch, capfd):
    """Memory, open files and threads don't grow from epoch to epoch, while curves are written."""
    memory, files, threads = [], [], []

    def look(*_) -> None:
        memory.append(int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]))
        files.append(len(os.listdir("/proc/self/fd")))
        threads.append(threading.active_count())

    monkeypatch.setattr(RunLines, "on_train_epoch_start", look)
    gc.collect()
    main(["fit", *SMALL, f"--data.root={mnist_root}", "--trainer.max_epochs=80", "--trainer.log_every_n_steps=5"])
    settled = slice(20, None)
    slope = np.polyfit(range(60), memory[settled], 1)[0]
    assert slope < 50, "kB an epoch"
    assert len(set(files[settled])) == 1
    assert len(set(threads[settled])) == 1
