"""Kernels that are compiled ahead of the measurements."""

import pytest

from seqsum.benchmarks.gpu import ahead, contestants, kernels, rule
from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.contestants import Arena, Case, Contestant
from seqsum.module import SequenceModule
from tests.benchmarks.gpu.tiny import CPU, SMALL, SMALLER


def test_kernels_are_compiled_ahead_by_cell_size_and_precision(monkeypatch):
    monkeypatch.setattr(contestants, "triton_obstacle", lambda cell: None)
    found = ahead.tasks(["kernels", "rule", "step"], CPU)
    assert found[0] is ahead.train_once
    groups = {(task.args[0][0].cell, task.args[0][0].shape.hidden, task.args[1]) for task in found[1:]}
    assert len(groups) == len(found) - 1
    cases = {(case, task.args[1]) for task in found[1:] for case in task.args[0]}
    assert cases == {
        (entry.case, c.precision)
        for entry in kernels.plan()
        for c in entry.contestants
        if c.what == "triton" and c.precision != "tf32"
    } | set(rule.cases())
    assert ahead.tasks(["tests"], CPU) == []


def test_a_group_of_kernels_runs_in_both_modes(monkeypatch):
    ran = []
    monkeypatch.setattr(ahead, "run", lambda contestant, call: ran.append((contestant, len(call()))))
    monkeypatch.setattr(Arena, "call", lambda arena, contestant, mode: lambda: [arena.case, mode])
    ahead.run_cases([Case("gru", SMALL), Case("gru", SMALLER)], "float32", CPU)
    assert ran == [(Contestant("triton", "float32"), 2)] * 4


def succeed(device):
    assert device == CPU


def fail(device):
    raise RuntimeError("no such kernel")


@pytest.mark.slow
def test_processes_that_compile_say_what_they_have_done():
    assert ahead.Pool([succeed, fail, succeed], CPU, Deadline(100)).finish() == (
        "2 of 3 groups of kernels are compiled; the first that is not: RuntimeError: no such kernel"
    )


def test_the_default_network_is_compiled_ahead(monkeypatch):
    monkeypatch.setattr(ahead, "SequenceModule", lambda backend: SequenceModule())
    ahead.train_once(CPU)
