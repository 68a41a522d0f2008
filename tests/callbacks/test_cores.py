"""Advice is printed once if torch's threads wait for cores that other programs use."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest
import torch

from seqsum.callbacks import cores
from seqsum.callbacks.cores import SharedCores, advice, waiting_time

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")
SENTENCE = "Other programs use the cores"


@pytest.fixture
def said(make_run, monkeypatch, capfd):
    """Train six steps of one second, with threads that wait for this share of it; return what was printed."""

    def run(waiting, threads=2):
        now = [0.0]
        monkeypatch.setattr(cores.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(cores, "waiting_time", lambda: now[0] * waiting)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

        class Second(SharedCores):
            def on_train_batch_start(self, *_):
                now[0] += 1

        callback = Second()
        trainer, module, data = make_run([callback])
        trainer.fit(module, data)
        return [line for line in capfd.readouterr().out.splitlines() if SENTENCE in line]

    return run


@pytest.mark.parametrize(("waiting", "times"), [(0.0, 0), (0.14, 0), (0.74, 1), (1.06, 1)])
def test_it_is_said_once_where_threads_wait(said, waiting, times):
    """Values for two threads on two cores: alone, almost alone, and beside one and two busy programs."""
    assert said(waiting) == [advice(waiting, 2)] * times


def test_one_thread_has_nothing_to_gain(said):
    assert said(0.9, threads=1) == []


def test_only_the_first_process_says_it(said, monkeypatch):
    monkeypatch.setattr("lightning.pytorch.strategies.SingleDeviceStrategy.is_global_zero", False)
    assert said(0.74) == []


@pytest.mark.parametrize(("waiting", "threads", "free"), [(0.5, 16, 15), (0.74, 2, 1), (1.06, 2, 1), (8, 16, 1)])
def test_as_many_threads_are_advised_as_cores_are_free(waiting, threads, free):
    assert f"`OMP_NUM_THREADS={free}`" in advice(waiting, threads)


def test_a_system_that_does_not_count_says_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "Path", lambda _: tmp_path / "nothing")
    assert waiting_time() == 0


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="only Linux counts the waiting")
def test_threads_that_share_one_core_wait():
    """Two busy threads on one core wait for each other."""
    block, done = bytes(10_000_000), threading.Event()

    def keep_busy():
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of this thread alone
        while not done.is_set():
            hashlib.sha256(block)  # without Python's lock

    threads = [threading.Thread(target=keep_busy) for _ in range(2)]
    before = waiting_time()
    for thread in threads:
        thread.start()
    time.sleep(0.8)
    waited = waiting_time() - before  # of the threads that are there
    done.set()
    for thread in threads:
        thread.join()
    assert waited > 0.4


def test_the_waiting_is_the_second_number_of_each_thread(monkeypatch, tmp_path):
    for thread, line in (("1", "9000000000 250000000 7"), ("2", "8000000000 500000000 7")):
        (tmp_path / thread).mkdir()
        (tmp_path / thread / "schedstat").write_text(line)
    monkeypatch.setattr(cores, "Path", lambda _: tmp_path)
    assert cores.waiting_time() == 0.75
