"""Decide after which epochs to do something slow: at fixed intervals, or as often as is cheap."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

SHARE = 0.025  # largest share of the training's time, for everything without a fixed interval


class Intervals:
    """Decide what is due after an epoch.

    Args:
        every_n_epochs: Interval by name; 0 for never. None for after each epoch, or less often if that would take more
            than `SHARE` of the time, and always after the last.

    Raises:
        ValueError: An interval is negative.
    """

    def __init__(self, every_n_epochs: Mapping[str, int | None]) -> None:
        for name, value in every_n_epochs.items():
            if value is not None and value < 0:
                raise ValueError(f"`--tensorboard.{name}_every_n_epochs` (={value}) must be at least 0")
        self.every_n_epochs = dict(every_n_epochs)
        self.restart()

    def restart(self) -> None:
        """Reset the clock, at the start of a training."""
        # CPU seconds, so that other programs don't count: at the start, and spent inside `timed` since then
        self.started, self.spent = time.thread_time(), 0.0

    def due_after(self, epoch: int, is_last: bool) -> set[str]:
        """Names of what is due after an epoch; epochs are counted from 1."""
        affordable = self.spent <= SHARE * (time.thread_time() - self.started) or is_last
        return {
            name for name, n in self.every_n_epochs.items() if (affordable if n is None else n > 0 and epoch % n == 0)
        }

    def wanted(self) -> set[str]:
        """Names of what is ever due."""
        return {name for name, n in self.every_n_epochs.items() if n != 0}

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time of the block as spent."""
        start = time.thread_time()
        yield
        self.spent += time.thread_time() - start
