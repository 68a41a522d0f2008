"""Tables of what was measured."""

import pytest

from seqsum.benchmarks.__main__ import main
from seqsum.benchmarks.gpu.contestants import TORCH
from seqsum.benchmarks.gpu.results import Results
from seqsum.benchmarks.gpu.tables import tables


def test_tables_are_what_the_files_say(tmp_path):
    def row(mode, what, precision, ms, **more):
        shape = {"cell": "lstm", "B": 128, "T": 4, "F": 128, "H": 128, "lengths": "full", "mode": mode}
        return {**shape, "what": what, "precision": precision, "ms": ms, "right": True, "error": 1e-3, **more}

    results = Results(
        tmp_path / "kernels.json", {"machine": {"device": "Any GPU", "torch": "2.11"}, "date": "today", "command": "c"}
    )
    for found in (
        row("forward", TORCH, "float32", 0.3),
        row("forward", TORCH, "float16", 0.2, right=False),  # it is cuDNN's best all the same
        row("forward", "triton", "float32", 0.12, replay=0.0512),
        row("forward", "triton", "bfloat16", 0.1),
        row("forward", "triton", "tf32", 0.05, right=False, error=0.7),
        row("both", "triton", "float16", 0.05, right=False, error=None),
        row("both", TORCH, "float32", 1.5),
        row("both", "triton", "float32", 0.5),
    ):
        results.add(found)
    for what, why in (("first", "no\nregisters"), ("second", "no registers"), ("third", "no memory")):
        results.fail(what, why)
    text = tables(tmp_path)
    assert "- Failed 2 times, the first first: no registers\n- Failed 1 times, the first third: no memory" in text
    assert "### kernels: Any GPU, today\n`c`; torch 2.11.\n**It did not finish**, and was at: nothing." in text
    assert (
        "| lstm | 128, 4, 128, 128 | 0.2 (float16) / 1.5 (float32) | 0.1 (bfloat16) / 0.5 (float32) "
        "| 2.00 / 3.00 | 2.50 / 3.00 | torch.nn float16 (0.001), triton float16 (not finite), triton tf32 (0.7) |"
    ) in text
    times = "0.3 / 1.5 | 0.2 / – | 0.12 [0.0512] / 0.5 | 0.05 / – | – / 0.05 | 0.1 / – |"
    assert f"| lstm | 128, 4, 128, 128 | {times}" in text


def test_tables_of_a_rule_and_a_step(tmp_path):
    head = {
        "device": "Any GPU",
        "capability": [9, 0],
        "measured": "today",
        "versions": {"torch": "2.11"},
        "command": "c",
    }
    sizes = {"batch": 1, "steps": 2, "hidden": 3}
    results = Results(tmp_path / "rule.json", head, "points")
    results.add({"cell": "gru", "type": "float32", "mode": "training", **sizes, "ms": {"triton": 0.5, "bptt": 2.0}})
    results.add({"cell": "rnn", "type": "float32", "mode": "training", **sizes, "ms": {"bptt": 1.0}})
    results = Results(tmp_path / "step.json", {"machine": {"device": "Any GPU"}, "date": "today", "command": "c"})
    results.add(
        {"what": "training", "name": "default", "epochs": 20, "images/s": 5, "seconds in all": 9.5, "test/mae": 0.5}
    )
    results.add({"what": "training", "name": "other", "epochs": 4, "images/s": 7, "seconds in all": 1.5})
    results.add({"what": "gather alone", "batch": 128, "ms": 0.25})
    results.add({"what": "step", "batch": 1024, "cell": "lstm", "backend": "auto", "ms": 2.0, "images/s": 2048000})
    text = tables(tmp_path)
    assert "| gru | float32 | training | 1, 2, 3 | **0.5** | 2 |" in text
    assert "| rnn | float32 | training | 1, 2, 3 | – | **1** |" in text
    assert "| default | 20 | 5 | – | 9.5 | 0.5 |\n| other | 4 | 7 | – | 1.5 | – |" in text
    assert "| gather alone | 0.25 | – |\n| step, lstm by auto | – | 2 (2,048,000 images/s) |" in text


def test_without_files_there_are_no_tables(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["gpu", "--output", str(tmp_path), "--tables"])
    assert exit_.value.code == 2
    assert f"error: `--output` (={tmp_path}) has no files of this benchmark" in capsys.readouterr().err
