"""What is slow takes a small share of the time."""

from __future__ import annotations

from seqsum.callbacks.intervals import Intervals


def test_all_that_was_spent_counts(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("seqsum.callbacks.intervals.time.thread_time", lambda: now[0])
    intervals = Intervals({"figures": None})
    for _ in range(2):
        with intervals.timed():
            now[0] += 2
    assert intervals.spent == 4
    now[0] = 120  # of which 2.5 % are less than 4
    assert intervals.due_after(1, is_last=False) == set()
    assert intervals.due_after(2, is_last=True) == {"figures"}
    intervals.restart()
    assert intervals.due_after(1, is_last=False) == {"figures"}, "nothing is spent yet"


def test_what_has_an_interval_is_due_after_every_so_many_epochs():
    intervals = Intervals({"figures": 2, "texts": 3, "histograms": 0})
    due = [intervals.due_after(epoch, is_last=epoch == 6) for epoch in range(1, 7)]
    assert due == [set(), {"figures"}, {"texts"}, {"figures"}, set(), {"figures", "texts"}]
