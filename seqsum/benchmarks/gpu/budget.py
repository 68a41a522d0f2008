"""Time limits: a part checks the clock between two measurements and leaves out the rest when time is up."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence


class Deadline:
    """A deadline `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start = time.perf_counter()

    def spent(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self.start

    def left(self) -> float:
        """Return the seconds until the end, at least 0."""
        return max(0.0, self.seconds - self.spent())

    def passed(self) -> bool:
        """Whether the time is up."""
        return self.left() <= 0


def share(left: float, part: str, coming: Sequence[str], weights: Mapping[str, float]) -> float:
    """Return a part's share of the seconds left for it and all later parts, which also get what it does not use."""
    return left * weights[part] / sum(weights[name] for name in (part, *coming))
