"""The command: its parts, their time, and how they end."""

import argparse
import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seqsum.benchmarks.__main__ import main
from seqsum.benchmarks.gpu import command
from seqsum.benchmarks.gpu.budget import Deadline, share
from seqsum.benchmarks.gpu.results import read
from tests.benchmarks.gpu.tiny import CPU, measure


def test_a_device_that_torch_does_not_know_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["gpu", "--device=foo"])
    assert "`--device` (=foo) can't be used" in capsys.readouterr().err


def test_parts_run_in_their_own_order_and_unknown_ones_are_refused(capsys):
    assert command.parts_from("step,tests") == ["tests", "step"]
    with pytest.raises(SystemExit):
        main(["gpu", "--parts", "tests,speed"])
    assert "'speed' is none of tests,kernels,rule,step" in capsys.readouterr().err


def test_what_a_part_spares_is_for_those_that_come(monkeypatch):
    weights = {"first": 1, "second": 2, "third": 1}
    assert share(40, "first", ["second", "third"], weights) == 10
    assert share(36, "second", ["third"], weights) == 24  # 4 of the first one's 10 were enough
    assert share(7, "third", [], weights) == 7


def test_every_part_has_a_process_and_its_share(tmp_path, monkeypatch):
    happened = []

    class Child:
        def __init__(self, part, options):
            self.part = part
            happened.append(f"start {part}")

        def run(self, seconds):
            happened.append(f"run {self.part}")
            assert seconds == pytest.approx({"kernels": 70, "step": 100}[self.part], abs=1)
            return int(self.part == "kernels")

        def end(self):
            happened.append(f"end {self.part}")

    monkeypatch.setattr(command, "Child", Child)
    monkeypatch.setattr(command, "WEIGHTS", {"kernels": 7, "step": 3})
    options = argparse.Namespace(parts=["kernels", "step"])
    assert command.run_apart(options, CPU, Deadline(100)) == 1
    assert happened == ["start kernels", "start step", "run kernels", "run step", "end kernels", "end step"]


def test_a_job_whose_time_is_up_leaves_no_part_behind(monkeypatch):
    ended = []

    class Child:
        def __init__(self, part, options):
            self.part = part

        def run(self, seconds):
            signal.raise_signal(signal.SIGTERM)

        def end(self):
            ended.append(self.part)

    monkeypatch.setattr(command, "Child", Child)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        command.run_apart(argparse.Namespace(parts=["kernels", "step"]), CPU, Deadline(100))
    assert caught.value.code == 143
    assert ended == ["kernels", "step"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_part_that_nobody_tells_to_begin_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(SystemExit, match="1"):
        main(["gpu", "--here", "--told", "--parts=rule", "--device=cpu", f"--output={tmp_path}"])
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_was_still_importing_when_it_was_told_has_less_time(tmp_path, monkeypatch):
    left = []
    monkeypatch.setitem(command.PARTS, "rule", lambda options, device, results, deadline: left.append(deadline.left()))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{time.monotonic() + 50}\n"))
    time.sleep(0.2)
    measure(tmp_path, "--told", "--parts", "rule")
    assert 40 < left[0] < 49.9


@pytest.mark.parametrize(
    ("code", "status"), [("p.wait()", -signal.SIGKILL), ("input()", 0), ("input(); raise SystemExit(3)", 3)]
)
def test_nothing_is_left_of_a_part_when_the_next_one_starts(monkeypatch, code, status):
    """Neither of one that hangs, nor of one that leaves a process of its own behind; what fails is noted."""
    monkeypatch.setattr(command, "GRACE", 0.0 if status < 0 else 60.0)
    real, started = subprocess.Popen, []

    def hang(given, **options):
        assert given[:5] == [sys.executable, "-m", "seqsum.benchmarks", "gpu", "--here"]
        start = "import subprocess; p = subprocess.Popen(['sleep', '100'], stdout=-3); print(p.pid, flush=True); "
        started.append(real([sys.executable, "-c", start + code], **options, stdout=subprocess.PIPE))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", hang)
    options = {"output": Path("out"), "data_root": "data", "device": "cpu", "rounds": 1, "warm_up": 0}
    child = command.Child("kernels", argparse.Namespace(**options))
    grandchild = int(started[0].stdout.readline())
    assert child.run(0.1) == int(status != 0)
    patience = Deadline(20)
    assert started[0].returncode == status
    left = Path(f"/proc/{grandchild}/stat")
    while left.exists() and left.read_text().split()[2] != "Z" and not patience.passed():  # Z: dead, not asked for
        time.sleep(0.05)
    assert not patience.passed()
    child.end()  # once more, as at the end of all parts


@pytest.mark.slow
def test_the_whole_command(tmp_path, monkeypatch, capfd):
    """Run one part in its process without any time, so that it leaves out all measurements."""
    monkeypatch.setattr(command, "GRACE", 300.0)  # on a busy machine, imports take longer than usual
    options = ["--output", str(tmp_path), "--parts", "rule", "--seconds", "0", "--device", "cpu"]
    main(["gpu", *options])
    assert read(tmp_path, "rule")["finished"]
    said = capfd.readouterr().out
    assert "There is no GPU: this measures the processor" in said
    assert "rule: 0 s" in said
    assert "### rule: " in said
