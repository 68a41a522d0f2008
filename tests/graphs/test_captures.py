"""Graphs share a pool, as torch allows it: no GPU is needed, since the pools are only counted here."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import nullcontext
from itertools import count

import pytest
import torch

from seqsum.graphs.capture import Captures

numbers = count()
living: Counter[int | None] = Counter()  # graphs of each pool
used: set[int] = set()


class Graph:
    """As torch counts the graphs of a pool: once it is used, it takes no capture without one that is alive."""

    pool: int | None = None

    def capture_begin(self, pool, **_):
        if pool in used and living[pool] == 0:
            raise RuntimeError("use_count > 0 INTERNAL ASSERT FAILED")
        self.pool = pool
        used.add(pool)
        living[pool] += 1

    def capture_end(self):
        pass

    def replay(self):
        pass

    def __del__(self):
        living[self.pool] -= 1


@pytest.fixture
def captures(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(numbers))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr("seqsum.graphs.capture._stream", lambda _: None)
    return Captures()


def test_graphs_share_a_pool_while_one_of_them_is_there(captures):
    first, _ = captures.capture(lambda: None)
    second, _ = captures.capture(lambda: None)
    pool = captures.pool
    del first
    gc.collect()
    third, _ = captures.capture(lambda: None)
    assert captures.pool == pool
    assert living[pool] == 2
    del second, third


def test_graphs_are_captured_again_after_all_were_dropped(captures):
    for _ in range(3):
        graphs = [captures.capture(lambda: None) for _ in range(2)]
        graphs.clear()
        gc.collect()


def test_a_capture_that_fails_leaves_the_others_their_pool(captures, monkeypatch):
    monkeypatch.setattr("seqsum.graphs.capture._abandon", lambda *_: None)
    kept, _ = captures.capture(lambda: None)
    pool = captures.pool
    with pytest.raises(ZeroDivisionError):
        captures.capture(lambda: 1 / 0)
    gc.collect()
    other, _ = captures.capture(lambda: None)
    assert captures.pool == pool
    del kept, other
