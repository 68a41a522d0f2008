"""The progress bar and the lines that a run prints."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from lightning.pytorch.callbacks import RichProgressBar

from seqsum.callbacks import ProgressBar, RunLines


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
