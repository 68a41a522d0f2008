"""Ctrl-C and SIGTERM, put off until a training can stop without losing its place."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from seqsum.console import print_line

EXIT_STATUS = 128 + signal.SIGTERM  # as of a program that SIGTERM ended, so that a scheduler starts it again


class Interrupts:
    """Remembers the first signal of its kind, instead of raising something in the middle of a step.

    A second Ctrl-C stops at once. Lightning puts the former handlers back when the training ends.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def listen(self) -> None:
        """Take over from the handlers there are; only a program's main thread can."""
        self.received = None
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._remember)
            signal.signal(signal.SIGINT, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            print_line(f"{signal.Signals(number).name}: will stop after this batch (Ctrl-C once more: at once)")
            self.received = signal.Signals(number)
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
