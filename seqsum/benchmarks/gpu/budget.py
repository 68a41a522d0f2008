"""How long a part may take: it looks at the clock between two measurements, and leaves out what is left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.start = time.perf_counter()

    def spent(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start

    def left(self) -> float:
        """Seconds until the end, at least none."""
        return max(0.0, self.seconds - self.spent())

    def passed(self) -> bool:
        """Whether nothing is left."""
        return self.left() <= 0


def share(left: float, part: str, coming: Sequence[str], weights: Mapping[str, float]) -> float:
    """Seconds for a part, of those that are left for it and all that come after it: what it spares is theirs."""
    return left * weights[part] / sum(weights[name] for name in (part, *coming))
