"""The progress bar and the lines that a run prints."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import RichProgressBar

from seqsum.callbacks import ProgressBar, RunLines, console


@pytest.mark.parametrize(
    ("every", "drawn"), [(0.001, [0, 101, 202, 299]), (0.06, [*range(0, 300, 2), 299]), (1, [*range(300)])]
)
def test_the_bar_moves_ten_times_a_second_and_at_the_end_of_an_epoch(monkeypatch, every, drawn):
    now, moved = [100.0], []
    monkeypatch.setattr("seqsum.callbacks.console.time.monotonic", lambda: now[0])
    monkeypatch.setattr(RichProgressBar, "on_train_batch_end", lambda *arguments: moved.append(arguments[-1]))
    bar = ProgressBar()
    for batch in range(300):
        now[0] = 100 + every * batch
        bar.on_train_batch_end(SimpleNamespace(is_last_batch=batch == 299), None, None, None, batch)
    assert moved == drawn
    assert bar.refresh_rate == 10


@pytest.mark.parametrize(("epochs", "shown"), [(3, "2/3"), (10, "2/10"), (-1, "2"), (None, "2")])
def test_the_bar_and_the_line_count_epochs_alike(capfd, epochs, shown):
    trainer = SimpleNamespace(
        current_epoch=1, max_epochs=epochs, is_global_zero=True, sanity_checking=False, callback_metrics={},
        state=SimpleNamespace(fn="fit"), num_training_batches=15, max_steps=99, global_step=0,
    )  # fmt: skip
    bar, drawn = ProgressBar(), []
    bar._trainer, bar._add_task = trainer, lambda batches, words: drawn.append(words.strip())
    bar._initialize_train_progress_bar_id()  # Lightning's own
    RunLines().on_validation_end(trainer, None)
    assert drawn == [f"Epoch {shown}"]
    assert capfd.readouterr().out.split(" · ")[0] == f"epoch {shown}"


def test_a_second_fit_that_trains_nothing_says_so(capfd, monkeypatch):
    for name in ("data_of", "module_of", "run_folder", "describe_network"):
        monkeypatch.setattr(console, name, lambda *_: SimpleNamespace(describe=str, network=None))
    trainer = SimpleNamespace(
        is_global_zero=True, world_size=1, strategy=SimpleNamespace(root_device="cpu"), ckpt_path=None
    )
    lines = RunLines()
    lines.on_train_batch_start(trainer, None, None, 0)
    lines.on_fit_start(trainer, None)
    lines.on_fit_end(trainer, None)
    assert "Nothing was trained" in capfd.readouterr().out


@pytest.mark.parametrize(("limit", "said"), [(3, True), (4, False), (-1, False)])
def test_a_finished_training_is_said_to_be_one(capfd, limit, said):
    trainer = SimpleNamespace(
        is_global_zero=True,
        callbacks=[],
        ckpt_path="last.ckpt",
        fast_dev_run=0,
        current_epoch=3,
        global_step=9,
        max_epochs=limit,
        max_steps=-1,
    )
    RunLines().on_fit_end(trainer, None)
    assert (f"Raise `--trainer.max_epochs` (={limit})" in capfd.readouterr().out) == said


def lines_of(epochs, monkeypatch, capfd, **state):
    now = [0.0]
    monkeypatch.setattr(console.time, "perf_counter", lambda: now[0])
    trainer = SimpleNamespace(
        current_epoch=0,
        max_epochs=2,
        is_global_zero=True,
        callback_metrics={},
        state=SimpleNamespace(fn="fit"),
        **state,
    )
    lines = RunLines()
    lines.on_train_start(trainer, None)
    for _ in range(epochs):
        lines.on_train_epoch_start(trainer, None)
        now[0] += 7
        lines.on_validation_end(trainer, None)
    return capfd.readouterr().out.splitlines()


def test_the_seconds_are_those_of_the_epoch(monkeypatch, capfd):
    assert lines_of(2, monkeypatch, capfd, sanity_checking=False) == ["epoch 1/2 · 7 s"] * 2


def test_the_sanity_check_is_no_epoch(monkeypatch, capfd):
    assert lines_of(1, monkeypatch, capfd, sanity_checking=True) == []
