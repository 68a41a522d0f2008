"""A training interrupted anywhere and in any way resumes exactly, bit for bit."""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from seqsum.callbacks import RunLines
from seqsum.cli import main
from seqsum.cli.settings import read_settings
from seqsum.errors import InputError
from seqsum.resume.last import LastCheckpoint

SMALL = [
    "--data.dataset=mnist",
    "--data.sequence_length=2",
    "--data.batch_size=20",
    "--model.hidden_size=4",
    "--model.encoder.channels=[2]",
    "--model.encoder.output_size=4",
    "--model.encoder.dropout=0.1",
    "--trainer.limit_val_batches=5",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.log_every_n_steps=1",
    "--tensorboard.figures_every_n_epochs=0",
    "--tensorboard.histograms_every_n_epochs=0",
]
KILLS = 20
RUN = "logs/sum/version_0"
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


def runs(folder: Path) -> list[Path]:
    """List the run folders in the order of their start."""
    return sorted((folder / "logs/sum").glob("version_*"), key=lambda path: int(path.name.removeprefix("version_")))


def content(path: Path) -> dict[str, Any]:
    """Load a checkpoint without what may differ: folders, and Lightning's counters of finished work."""
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["loops"]
    states = checkpoint["callbacks"]
    checkpoint["callbacks"] = {
        name: {
            key: value for key, value in state.items() if "path" not in key and key not in ("dirpath", "best_k_models")
        }
        for name, state in states.items()
    }
    return checkpoint


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield the paths where two nested structures of tensors, numbers and strings differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{path}/{index}")
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if not torch.equal(one, other):
            yield f"{path}: {one} and {other}"
    elif one != other:
        yield f"{path}: {one} and {other}"


def figures(folder: Path) -> dict[tuple[str, str], str]:
    """Collect everything logged by a chain of runs, by step and name; later runs override earlier ones."""
    found = {}
    for run in runs(folder):
        if (run / "metrics.csv").exists():
            for row in csv.DictReader((run / "metrics.csv").read_text().splitlines()):
                values = {name: value for name, value in row.items() if value and name != "train/images_per_second"}
                found |= {(row["step"], name): value for name, value in values.items()}
    return found


def assert_equal_ends(one: Path, other: Path) -> None:
    """Check that two chains of runs have the same checkpoints, test results and logs."""
    for name in ("last.ckpt", "best.ckpt"):
        pair = [content(runs(folder)[-1] / "checkpoints" / name) for folder in (one, other)]
        assert list(differences(*pair)) == []
    tests = [json.loads((runs(folder)[-1] / "results.json").read_text())["test"] for folder in (one, other)]
    assert tests[0] == tests[1]
    assert figures(one) == figures(other)


class Server:
    """Start `tests.resume.killed_runs` as a process."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.resume.killed_runs"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, folder: Path, *arguments: str, kill_at: int | None, after: str, seconds: float) -> dict[str, int]:
        job = {"folder": str(folder), "arguments": arguments, "kill_at": kill_at, "after": after, "seconds": seconds}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def server():
    with (server := Server()).process:
        yield server
        server.process.stdin.close()


@pytest.fixture
def train(tmp_path, mnist_root, monkeypatch, capfd):
    """Run the command line, interrupted by a signal at the `n`-th call of a hook; return the exit status."""

    def run(folder: str, *arguments: str, send: signal.Signals | None = None, at: tuple[str, int] = ("", 0)) -> int:
        (tmp_path / folder).mkdir(exist_ok=True)
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path / folder)
            if send:
                calls = itertools.count(1)
                patch.setattr(RunLines, at[0], lambda *_: next(calls) == at[1] and signal.raise_signal(send))
            try:
                main([*SMALL, f"--data.root={mnist_root}", *arguments])
            except SystemExit as exit_:
                return exit_.code
            return 0

    return run


@pytest.fixture(scope="module")
def trained():
    """The folders that `undisturbed` keeps, by the arguments."""
    return {}


@pytest.fixture
def undisturbed(train, tmp_path, trained):
    """Train without an interruption, once for each list of arguments; return the folder."""

    def run(*arguments: str) -> Path:
        if arguments not in trained:
            assert train("undisturbed", *arguments) == 0
            trained[arguments] = tmp_path / "undisturbed"
        return trained[arguments]

    return run


EPOCHS = "--trainer.max_epochs=2"  # of 15 batches each
HALVES = ["--trainer.val_check_interval=5", EPOCHS]
PLATEAU = [
    *("--trainer.max_epochs=4", "--model.optimizer=SGD", "--model.optimizer.lr=4", "--model.optimizer.momentum=0.5"),
    *("--model.schedule=torch.optim.lr_scheduler.ReduceLROnPlateau", "--model.schedule.patience=0"),
]
SWA = [
    *("--trainer.max_epochs=4", "--model.schedule=constant", "--trainer.callbacks+=StochasticWeightAveraging"),
    *("--trainer.callbacks.swa_lrs=0.01", "--trainer.callbacks.swa_epoch_start=1"),
    "--trainer.callbacks.annealing_epochs=3",
]
STOPPING = [
    *("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss", "--trainer.callbacks.patience=9"),
    *("--trainer.callbacks.check_on_train_epoch_end=true", "--trainer.val_check_interval=11"),
]
AVERAGE = ["--trainer.callbacks+=seqsum.callbacks.AveragedWeights", "--trainer.callbacks.decay=0.5"]
ACCUMULATED = [EPOCHS, "--trainer.accumulate_grad_batches=4"]
SCHEDULED = [
    *(EPOCHS, "--model.schedule=constant", "--trainer.callbacks+=GradientAccumulationScheduler"),
    "--trainer.callbacks.scheduling={0: 1, 1: 4}",
]
BATCH, VALIDATION = "on_train_batch_start", "on_validation_batch_start"


@pytest.mark.parametrize(
    ("arguments", "send", "at", "steps"),
    [
        ([EPOCHS], signal.SIGINT, (BATCH, 7), 6),
        pytest.param(
            [EPOCHS, "--model.schedule=constant", "--data.num_workers=1"],
            signal.SIGTERM,
            (BATCH, 22),
            21,
            marks=pytest.mark.slow,
        ),
        ([EPOCHS], signal.SIGTERM, (VALIDATION, 5), 15),  # the first two are Lightning's sanity check
        pytest.param([EPOCHS, *AVERAGE], signal.SIGINT, (VALIDATION, 10), 30, marks=pytest.mark.slow),
        ([EPOCHS, *AVERAGE], signal.SIGTERM, (BATCH, 8), 7),
        *(  # the last, the second and the third batch of a step, and the first one of the epoch's last step
            pytest.param(ACCUMULATED, signal.SIGTERM, (BATCH, batch), steps, marks=pytest.mark.slow)
            for batch, steps in ((5, 1), (7, 1), (8, 1), (14, 3), (18, 4))
        ),
        (ACCUMULATED, signal.SIGINT, (BATCH, 6), 1),
        pytest.param(SWA, signal.SIGTERM, (BATCH, 22), 21, marks=pytest.mark.slow),  # in the epoch in which it starts
        pytest.param(SWA, signal.SIGTERM, (BATCH, 38), 37, marks=pytest.mark.slow),
        pytest.param(SCHEDULED, signal.SIGTERM, (BATCH, 23), 16, marks=pytest.mark.slow),
        ([*ACCUMULATED, "--data.sequence_length=[2,5]"], signal.SIGTERM, (BATCH, 7), 1),  # batches count differently
        # a validation while gradients wait for their step
        ([*ACCUMULATED, "--trainer.val_check_interval=6"], signal.SIGTERM, (VALIDATION, 5), 1),
        (PLATEAU, signal.SIGTERM, (BATCH, 35), 34),
        # the end of the epoch looks at a validation before the interruption
        ([*PLATEAU, "--trainer.val_check_interval=10"], signal.SIGTERM, (BATCH, 13), 12),
        pytest.param([EPOCHS, *STOPPING], signal.SIGTERM, (BATCH, 28), 27, marks=pytest.mark.slow),
        pytest.param(PLATEAU, signal.SIGINT, (VALIDATION, 9), 30, marks=pytest.mark.slow),
        pytest.param(PLATEAU, signal.SIGTERM, (BATCH, 31), 30, marks=pytest.mark.slow),  # from the end of an epoch
        pytest.param(["--trainer.max_steps=30"], signal.SIGTERM, (BATCH, 20), 19, marks=pytest.mark.slow),
        pytest.param(HALVES, signal.SIGTERM, (BATCH, 6), 5, marks=pytest.mark.slow),  # right after a validation
        pytest.param(HALVES, signal.SIGINT, (VALIDATION, 8), 10, marks=pytest.mark.slow),
    ],
)
def test_interrupted_training_goes_on_exactly(train, undisturbed, tmp_path, arguments, send, at, steps):
    status = train("interrupted", *arguments, send=send, at=at)
    assert status == (143 if send == signal.SIGTERM else 1)
    last = runs(tmp_path / "interrupted")[0] / "checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == steps
    assert train("interrupted", *arguments, "--ckpt_path=last") == 0
    assert_equal_ends(undisturbed(*arguments), tmp_path / "interrupted")


def test_a_checkpoint_within_a_batch_has_no_gradients_that_would_count_twice(train, tmp_path):
    """It has lost those that wait: they are in one place with those of the batch."""
    saving = ["--trainer.callbacks+=tests.resume.test_resume.SaveWithin", *ACCUMULATED]
    assert train("saved", *saving) == 0
    within, between = (torch.load(tmp_path / f"saved/{name}.ckpt", weights_only=True) for name in ("within", "between"))
    assert within["place"]["batches"] == 6
    assert between["place"]["batches"] == 7
    assert "waiting" not in within
    assert "waiting" in between


class SaveWithin(Callback):
    """Writes a checkpoint after the seventh backward pass, and one after that batch."""

    def on_after_backward(self, trainer, pl_module):
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == 7:
            trainer.save_checkpoint("within.ckpt")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready == 7:
            trainer.save_checkpoint("between.ckpt")


@pytest.mark.parametrize(("number", "dropped"), [(4, False), (8, False), (3, True)])
def test_gradients_that_wait_count_alike_whatever_the_number_of_batches(train, tmp_path, number, dropped):
    """The second step is of batches 5 to 8, of 7 and 8 if it begins there."""
    flags = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=8", "--model.schedule=constant"]
    accumulated = "--trainer.accumulate_grad_batches={}".format
    assert train("interrupted", *flags, accumulated(4), send=signal.SIGTERM, at=(BATCH, 7)) == 143
    assert train("interrupted", *flags, accumulated(number), "--ckpt_path=last") == 0
    assert train("whole", *flags, accumulated(4)) == 0
    one, other = (content(runs(tmp_path / name)[-1] / "checkpoints/last.ckpt") for name in ("interrupted", "whole"))
    pairs = zip(one["state_dict"].values(), other["state_dict"].values(), strict=True)
    assert all(torch.allclose(*pair, atol=1e-6) for pair in pairs) == (not dropped)


@pytest.mark.parametrize("at", [(BATCH, 1), (VALIDATION, 1)])
def test_an_interruption_right_after_resuming_loses_nothing(train, undisturbed, tmp_path, at):
    """As the best epoch so far, which is taken along."""
    arguments = [EPOCHS, "--model.schedule=constant"]
    train("interrupted", *arguments, send=signal.SIGTERM, at=(BATCH, 22))
    assert train("interrupted", *arguments, "--ckpt_path=last", send=signal.SIGINT, at=at) == 1
    assert train("interrupted", *arguments, "--ckpt_path=last") == 0
    assert_equal_ends(undisturbed(*arguments), tmp_path / "interrupted")


@pytest.mark.parametrize(("seconds", "batch", "steps"), [(600, 7, 0), (-1, 7, 5), (600, 20, 15)])
def test_a_training_that_fails_has_lost_no_more_than_so_many_seconds_or_an_epoch(
    train, tmp_path, monkeypatch, seconds, batch, steps
):
    monkeypatch.setattr(LastCheckpoint, "seconds", seconds)
    calls = itertools.count(1)
    monkeypatch.setattr(RunLines, BATCH, lambda *_: 1 / (batch - next(calls)))  # before the checkpoint of the batch
    with pytest.raises(ZeroDivisionError):
        train("failed", EPOCHS)
    last = runs(tmp_path / "failed")[0] / "checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == steps


@pytest.mark.parametrize(("batch", "said"), [(1, False), (2, True)])
def test_there_is_nothing_to_resume_before_the_first_step(train, capfd, batch, said):
    train("interrupted", EPOCHS, send=signal.SIGINT, at=(BATCH, batch))
    assert ("To resume: python train.py" in capfd.readouterr().out) == said


def first_line(monkeypatch):
    """Capture the first line that the command line prints about checkpoints."""
    said = []
    monkeypatch.setattr("seqsum.cli.settings.rank_zero_info", said.append)
    return said


@pytest.mark.parametrize("folder", ["sum", "sum-rendered", "sum-made"])
def test_last_and_best_say_which_run_they_mean(tmp_path, monkeypatch, folder):
    said = first_line(monkeypatch)
    monkeypatch.chdir(tmp_path)
    times = {(0, "best"): 1, (0, "last"): 4, (1, "best"): 3, (1, "last"): 2}  # version 0 was written to last
    for (version, name), time in times.items():
        checkpoint = Path(f"logs/{folder}/version_{version}/checkpoints/{name}.ckpt")
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": {}}, checkpoint)
        os.utime(checkpoint, (time, time))
    for subcommand, name, words in (("fit", "last", "resuming from"), ("test", "best", "test")):
        options = read_settings(subcommand, [f"--ckpt_path={name}"]).options
        path = f"logs/{folder}/version_0/checkpoints/{name}.ckpt"
        assert said.pop() == f"`--ckpt_path={name}`: {words} {path}"
        assert options[-1] == f"--ckpt_path={path}"


def test_the_newest_run_is_the_one_started_last_also_while_an_older_one_goes_on(tmp_path, monkeypatch):
    said = first_line(monkeypatch)
    monkeypatch.chdir(tmp_path)
    runs = {"sum-rendered/version_0": (1, 9), "sum/version_1": (3, 4), "sum/version_0": (2, 8)}
    for run, (begun, written) in runs.items():
        (Path("logs") / run / "checkpoints").mkdir(parents=True)
        for name, time in (("config.yaml", begun), ("checkpoints/last.ckpt", written)):
            file = Path("logs") / run / name
            torch.save({"state_dict": {}}, file) if name.endswith("ckpt") else file.write_text("{}")
            os.utime(file, (time, time))
    read_settings("fit", ["--ckpt_path=last"])
    assert said == ["`--ckpt_path=last`: resuming from logs/sum/version_1/checkpoints/last.ckpt"]


def test_a_newest_run_without_the_checkpoint_is_not_passed_over_for_an_older_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for version, name in ((0, "best"), (0, "last"), (1, "last")):
        checkpoint = Path(f"logs/sum/version_{version}/checkpoints/{name}.ckpt")
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": {}}, checkpoint)
        os.utime(checkpoint, (version, version))
    with pytest.raises(
        InputError, match=r"^`--ckpt_path` \(=best\): the newest run has no best.ckpt, but logs/sum/version_1/"
    ):
        read_settings("test", ["--ckpt_path=best"])


def test_weights_in_double_precision_go_on_as_they_were(train, tmp_path, monkeypatch):
    quick = ["--trainer.precision=64-true", "--model.schedule=constant", "--trainer.limit_train_batches=2"]
    assert train("whole", "--trainer.max_epochs=2", *quick) == 0
    assert train("halves", "--trainer.max_epochs=1", *quick) == 0
    monkeypatch.chdir(tmp_path / "halves")
    main(["fit", "--ckpt_path=last", "--trainer.max_epochs=2"])
    whole, halves = (torch.load(runs(tmp_path / name)[-1] / "checkpoints/last.ckpt") for name in ("whole", "halves"))
    assert whole["global_step"] == halves["global_step"]
    torch.testing.assert_close(halves["state_dict"], whole["state_dict"], rtol=0, atol=0)
    assert halves["state_dict"]["network.head.weight"].dtype == torch.float64


@pytest.mark.parametrize(("monitor", "best"), [("exact_final", max), ("mae", min)])
def test_the_best_checkpoint_is_of_the_epoch_with_the_best_score(train, tmp_path, monitor, best):
    quick = ["--trainer.max_epochs=4", "--trainer.limit_train_batches=2", "--model.schedule=constant"]
    assert train("run", *quick, f"--model.objective.monitor={monitor}") == 0
    found = figures(tmp_path / "run").items()
    scores = {int(step): float(value) for (step, name), value in found if name == f"val/{monitor}"}
    checkpoint = torch.load(tmp_path / "run" / RUN / "checkpoints/best.ckpt")
    assert checkpoint["global_step"] - 1 == best(scores, key=scores.get)


def test_last_without_a_run_starts_one(train, tmp_path, monkeypatch):
    said = first_line(monkeypatch)
    assert train("new", "--ckpt_path=last", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2") == 0
    assert (runs(tmp_path / "new")[0] / "checkpoints/last.ckpt").is_file()
    assert said == ["No run of sum in logs to resume: starting a new one."]


@pytest.mark.parametrize(("limit", "longer"), [("max_epochs=1", "max_epochs=2"), ("max_steps=2", "max_steps=3")])
def test_a_finished_training_says_that_nothing_is_left(train, tmp_path, monkeypatch, capfd, limit, longer):
    quick = ["--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    assert train("finished", f"--trainer.{limit}", *quick) == 0
    monkeypatch.chdir(tmp_path / "finished")
    main(["fit", "--ckpt_path=last"])
    said = " ".join(capfd.readouterr().out.split())
    assert f"Raise `--trainer.{limit.replace('=', '` (=')}) to go on" in said
    for name in ("last.ckpt", "best.ckpt"):
        first, second = (torch.load(run / "checkpoints" / name) for run in runs(tmp_path / "finished"))
        assert first["global_step"] == second["global_step"]
        torch.testing.assert_close(first["state_dict"], second["state_dict"], rtol=0, atol=0)
    main(["fit", "--ckpt_path=last", f"--trainer.{longer}"])
    assert "Nothing was left" not in capfd.readouterr().out


def test_a_checkpoint_of_more_steps_than_the_epochs_now_have_goes_on_to_their_end(train, tmp_path, monkeypatch):
    assert train("longer", "--trainer.max_epochs=1", "--trainer.limit_train_batches=6") == 0
    monkeypatch.chdir(tmp_path / "longer")
    main(["--ckpt_path=last", "--trainer.max_epochs=2", "--trainer.limit_train_batches=2"])
    last = torch.load("logs/sum/version_1/checkpoints/last.ckpt")
    assert last["global_step"] == last["lr_schedulers"][0]["total_steps"] == 6 + 2


@pytest.mark.slow
@pytest.mark.parametrize("command", [["--ckpt_path=last"], ["fit", f"--ckpt_path={RUN}/checkpoints/last.ckpt"]])
def test_a_checkpoint_brings_back_all_settings_of_its_run(train, tmp_path, monkeypatch, capfd, command):
    """Restore also seed, schedule and number of epochs, which no checkpoint contains; `best` works the same way."""
    assert train("undisturbed", "--trainer.max_epochs=1", "--seed_everything=3") == 0
    train("interrupted", "--trainer.max_epochs=1", "--seed_everything=3", send=signal.SIGTERM, at=(BATCH, 7))
    monkeypatch.chdir(tmp_path / "interrupted")
    main(command)
    last, resumed = (
        content(runs(tmp_path / run)[-1] / "checkpoints/last.ckpt") for run in ("undisturbed", "interrupted")
    )
    assert list(differences(last, resumed)) == []
    main(["test", "--ckpt_path=best", "--trainer.enable_progress_bar=false"])
    results = json.loads(Path("logs/sum-test/version_0/results.json").read_text())
    assert results["checkpoint"] == "logs/sum/version_1/checkpoints/best.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "checkpoint", "first"),
    [
        ([EPOCHS, "--trainer.callbacks.every_n_train_steps=15"], "step=15", "val/loss"),
        ([EPOCHS, "--trainer.callbacks.every_n_train_steps=9"], "step=9", None),
        (
            [EPOCHS, "--trainer.callbacks.every_n_train_steps=15", "--trainer.check_val_every_n_epoch=2"],
            "step=15",
            "train/loss",
        ),
        ([*HALVES, "--trainer.callbacks.every_n_train_steps=5"], "step=10", "val/loss"),
        (
            [*HALVES, "--trainer.callbacks.every_n_train_steps=8", "--trainer.limit_train_batches=8"],
            "step=8",
            "train/loss",
        ),
        (["--trainer.max_steps=30", "--trainer.callbacks.every_n_epochs=1"], "step=15", None),
        (HALVES, "best", None),
    ],
)
def test_training_goes_on_exactly_from_every_checkpoint(train, tmp_path, arguments, checkpoint, first):
    """`first` is what was still to be logged for the step before: a due validation, or the end of the epoch."""
    if checkpoint != "best":
        added = [
            "--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint",
            "--trainer.callbacks.save_top_k=-1",
        ]
        arguments = [arguments[0], *added, *arguments[1:], "--trainer.callbacks.filename={step}"]
    train("undisturbed", *arguments)
    path = runs(tmp_path / "undisturbed")[0] / f"checkpoints/{checkpoint}.ckpt"
    at = torch.load(path, weights_only=True)["global_step"]
    train("resumed", *arguments, f"--ckpt_path={path}")
    last, resumed = (
        content(runs(tmp_path / folder)[-1] / "checkpoints/last.ckpt") for folder in ("undisturbed", "resumed")
    )
    assert [found for found in differences(last, resumed) if not found.startswith("/callbacks/ModelCheckpoint")] == []
    logged, again = (figures(tmp_path / folder) for folder in ("undisturbed", "resumed"))
    assert again.items() <= logged.items()
    assert {place for place in logged if int(place[0]) >= at} <= again.keys()
    assert first is None or (str(at - 1), first) in again


@pytest.mark.slow
def test_twenty_kills_change_nothing(server, tmp_path, mnist_root):
    """SIGKILL at random moments of the start, of training, of validation, and of writing checkpoints."""
    command = [*SMALL, f"--data.root={mnist_root}", "--data.sequence_length=[1,3]", "--trainer.max_epochs=6"]
    (undisturbed := tmp_path / "undisturbed").mkdir()
    (killed := tmp_path / "killed").mkdir()
    calls = server.run(undisturbed, *command, kill_at=None, after="training", seconds=600)["calls"]
    generator = random.Random(0)
    for _ in range(KILLS):
        after = generator.choice(["start", "training", "training", "training", "checkpoint"])
        kill_at = generator.randrange(1, 1_500 if after == "checkpoint" else calls // 4)
        ended = server.run(
            killed, *command, "--ckpt_path=last", kill_at=kill_at, after=after, seconds=generator.choice([0, 600])
        )
        assert ended["status"] == -9, (killed / "log.txt").read_text()
    assert server.run(killed, *command, "--ckpt_path=last", kill_at=None, after="start", seconds=600)["status"] == 0
    assert_equal_ends(undisturbed, killed)


@pytest.mark.parametrize(("rows", "come"), [(20, None), (10, "twice"), (30, "never")])
def test_another_batch_size_within_an_epoch_is_said(train, tmp_path, capfd, rows, come):
    train("run", EPOCHS, send=signal.SIGTERM, at=(BATCH, 7))
    capfd.readouterr()
    assert train("run", EPOCHS, "--ckpt_path=last", f"--data.batch_size={rows}") == 0
    said = capfd.readouterr().out
    assert ("6 batches of 20 sequences are done" in said) == (come is not None)
    assert come is None or f"As many of {rows} are left out now: some sequences come {come} in it" in said
