"""Defer Ctrl-C and SIGTERM until the training can stop without losing its position."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from seqsum.console import print_line

EXIT_STATUS = 128 + signal.SIGTERM  # the status of a program ended by SIGTERM, so that a scheduler restarts it


class Interrupts:
    """Remember a signal instead of raising an exception in the middle of a step.

    A Ctrl-C after the first signal stops at once. Lightning restores the former handlers when the training ends.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def listen(self) -> None:
        """Install the handlers; does nothing outside the main thread."""
        self.received = None
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._remember)
            signal.signal(signal.SIGINT, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
            again = " (press Ctrl-C again to stop at once)" if number == signal.SIGINT else ""
            print_line(f"{self.received.name}: stopping after this batch{again}")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
