"""Runs on several devices, by the Trainer's flags and by torchrun: the same, in one folder, digits drawn once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from seqsum.cli import main
from seqsum.data.digits import load_splits
from seqsum.distributed import first_device, is_first_process, weight_among_processes
from tests.cli.conftest import refused
from tests.cli.test_cli import SMALL

REPOSITORY = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
CHECKPOINT = REPOSITORY / "tests/fixtures/last_of_0.1.0.ckpt"
TWO = ["--trainer.devices=2", "--trainer.strategy=ddp"]
# train.py with fewer digits, each drawing of which leaves a file behind
SCRIPT = """
import os
from pathlib import Path
from seqsum.data import digits, rendered
from seqsum.cli import main

def draw(count, seed):
    Path(f"drawn-{seed}-{os.getpid()}").touch()
    return rendered.render_digits(count // 10, seed)

digits.render_digits = draw
main()
"""

# a process of several, whose exit handlers of before, which run last, look at what is left of the group
ENDING = """
import atexit
import sys
import time
from pathlib import Path
from torch import distributed

def of_gloo():
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    return [name for name in threads if "gloo" in name]

atexit.register(lambda: print(distributed.is_initialized(), of_gloo()))
import seqsum.module
distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
for _ in range(100):  # a thread gets its name a little after it is started
    if of_gloo() or not Path("/proc/self/task").is_dir():
        break
    time.sleep(0.1)
print(distributed.is_initialized(), of_gloo())
sys.exit(sys.argv[1])
"""


KILL = """
import os
import signal

from lightning.pytorch import Callback

class Kill(Callback):
    def on_validation_start(self, trainer, pl_module):
        if not trainer.sanity_checking and trainer.is_global_zero and not trainer.ckpt_path:
            os.kill(os.getpid(), signal.SIGTERM)
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_trainer_flags_and_torchrun_give_the_same_run_on_digits_drawn_once(tmp_path):
    weights, results = [], []
    for launch in ([sys.executable], TORCHRUN):
        here = tmp_path / str(len(launch))
        here.mkdir()
        (here / "script.py").write_text(SCRIPT)
        command = [*launch, "script.py", *SMALL, *TWO, "--data.dataset=rendered", "--trainer.max_epochs=1"]
        command += ["--data.sequence_length=[2,5]", "--trainer.limit_train_batches=20"]
        done = subprocess.run(command, cwd=here, env=environment(), capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert "terminate called" not in done.stderr
        assert len(list(here.glob("drawn-0-*"))) == len(list(here.glob("drawn-1-*"))) == 1
        assert [path.name for path in (here / "logs").iterdir()] == ["sum-rendered"]
        assert [path.name for path in (here / "logs/sum-rendered").iterdir()] == ["version_0"]
        run = here / "logs/sum-rendered/version_0"
        weights.append(torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"])
        results.append(json.loads((run / "results.json").read_text()))
    assert results[0]["test"] == results[1]["test"]
    assert results[0]["dataset"] == "rendered"
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["sum", "rows", "memory", "reviews", "translation", "words_skipgram", "images_mlp", "sine"]
)
def test_two_processes_run_each_kind_of_data(name, tmp_path, mnist_root):
    """A step, validation and test; the first process has read the data before, as the command line does."""
    made = ["--data.dataset=made", "--data.vocabulary_size=500"]
    data = dict.fromkeys(("reviews", "translation", "words_skipgram"), made)
    data |= {name: ["--data.dataset=mnist", f"--data.root={mnist_root}"] for name in ("sum", "rows", "images_mlp")}
    limits = [f"--trainer.limit_{split}_batches=1" for split in ("train", "val", "test")]
    command = [sys.executable, str(REPOSITORY / "train.py"), "-c", str(REPOSITORY / f"configs/{name}.yaml"), *TWO]
    command += [*data.get(name, []), *limits, "--trainer.max_epochs=1", "--trainer.accelerator=cpu"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    (results,) = tmp_path.glob("logs/*/version_0/results.json")
    assert json.loads(results.read_text())["test"]["test/loss"] > 0


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_processes_started_from_this_one_are_refused_before_the_training(here, mnist_root, capfd, strategy):
    flags = [f"--data.root={mnist_root}", "--trainer.devices=2", f"--trainer.strategy={strategy}"]
    assert "`--trainer.strategy` starts processes from this one" in refused([*SMALL, *flags], capfd)


@pytest.mark.slow
def test_a_training_interrupted_after_an_epochs_last_batch_goes_on_in_two_processes(tmp_path, mnist_root):
    """Its sums are in the first process alone, and no batch is left that would widen those of the other."""
    (tmp_path / "kill.py").write_text(KILL)
    flags = [*SMALL, f"--data.root={mnist_root}", *TWO, "--trainer.max_epochs=2", "--trainer.limit_train_batches=3"]
    command = [sys.executable, str(REPOSITORY / "train.py"), "fit", *flags]
    run = partial(subprocess.run, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240)
    stopped = run([*command, "--trainer.callbacks+=kill.Kill"])
    assert stopped.returncode == 143, stopped.stderr
    done = run([*command, "--ckpt_path=logs/sum/version_0/checkpoints/last.ckpt"])
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_gradients_of_two_processes_that_wait_for_their_step_are_kept(tmp_path, mnist_root):
    (tmp_path / "kill.py").write_text(KILL)
    flags = [*SMALL, f"--data.root={mnist_root}", *TWO, "--trainer.max_epochs=1", "--trainer.limit_train_batches=8"]
    flags += ["--trainer.accumulate_grad_batches=4", "--trainer.val_check_interval=6", "--model.schedule=constant"]
    command = [sys.executable, str(REPOSITORY / "train.py"), "fit", *flags]
    run = partial(subprocess.run, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240)

    def weights(version):
        return torch.load(tmp_path / f"logs/sum/version_{version}/checkpoints/last.ckpt", weights_only=True)

    assert run([*command, "--trainer.callbacks+=kill.Kill"]).returncode == 143
    waiting = weights(0)["waiting"]
    assert waiting["of"] == 4
    assert "network.head.weight" in waiting["gradients"]
    assert run([*command, "--ckpt_path=logs/sum/version_0/checkpoints/last.ckpt"]).returncode == 0
    assert run(command).returncode == 0
    assert "waiting" not in weights(1)
    resumed = weights(1)["state_dict"]
    for name, weight in weights(2)["state_dict"].items():  # but for roundings: the first process now adds up for all
        torch.testing.assert_close(resumed[name], weight, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_torchrun_without_the_flag_for_devices_is_refused_and_leaves_nothing(tmp_path, mnist_root):
    """Two trainings, each by itself and both in one folder, would be the alternative."""
    command = [*TORCHRUN, str(REPOSITORY / "train.py"), *SMALL, f"--data.root={mnist_root}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert re.search(r"error: `--trainer.devices` \(=1\) .* torchrun started 2: the product must be 2", done.stderr), (
        done.stderr
    )
    assert not list(tmp_path.glob("logs/*/*"))


@pytest.mark.slow
def test_no_thread_of_a_process_group_outlives_the_interpreter():
    """One that does aborts the process now and then, whether the training went well or not."""
    done = subprocess.run(
        [sys.executable, "-c", ENDING, "an error"], env=environment(), capture_output=True, text=True, timeout=120
    )
    before, after = done.stdout.splitlines()
    assert before.startswith("True")
    assert ("gloo" in before) == Path("/proc/self/task").is_dir()
    assert after == "False []"
    assert (done.returncode, done.stderr) == (1, "an error\n")


@pytest.mark.parametrize(
    ("rank", "node", "first"), [(0, None, True), (0, "0", True), (0, "1", False), (1, None, False), (2, "1", False)]
)
def test_the_first_process_is_known_before_there_is_a_trainer(monkeypatch, rank, node, first):
    monkeypatch.setattr(rank_zero_only, "rank", rank)  # which Lightning reads from RANK, LOCAL_RANK or SLURM_PROCID
    monkeypatch.delenv("NODE_RANK", raising=False)
    if node is not None:
        monkeypatch.setenv("NODE_RANK", node)
    assert is_first_process() == first


@pytest.mark.parametrize(
    ("here", "there", "weight", "mean"), [(257, 1, 2 * 257 / 258, 257 / 258), (0, 4, 0, 0), (0, 0, 0, 0)]
)
def test_means_in_bfloat16_are_weighed_by_exact_counts_and_those_of_nothing_are_0(
    monkeypatch, here, there, weight, mean
):
    """With one other process, whose mean is 0."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda sums: sums.add_(torch.tensor([0, there])))
    one = torch.tensor(1, dtype=torch.bfloat16)
    found = weight_among_processes(one, torch.tensor(here))
    assert torch.stack(found).tolist() == pytest.approx([weight, mean, here + there], rel=1e-6)


@pytest.mark.parametrize(
    ("devices", "first"), [("auto", 1), (4, 1), ("3", 1), (-1, 1), ([2, 0], [2]), ("1,3", [1]), ("2,", [2])]
)
def test_the_first_device_of_those_named(devices, first):
    assert first_device(devices) == first


def test_predict_reads_all_images_on_one_device_whatever_is_asked_for(tmp_path, monkeypatch, mnist_root, capfd):
    """On two, each would read every other sequence, and but one of them prints."""
    images = load_splits("mnist", mnist_root)["test"].images
    for name, first in (("a", 0), ("b", 3), ("c", 6)):
        Image.fromarray(torch.cat(list(images[first : first + 3]), dim=1).numpy()).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    try:
        main(["predict", f"--ckpt_path={CHECKPOINT}", f"--data.images={tmp_path}", *TWO, "--trainer.accelerator=cpu"])
    finally:
        torch.distributed.destroy_process_group()  # which the end of the process would do
    printed = capfd.readouterr().out
    assert all(f"Sequence {number}" in printed for number in (1, 2, 3)), printed
