"""A DataLoader that goes on in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

from torch.utils.data import DataLoader

Served = TypeVar("Served", covariant=True)


class BatchLoader(DataLoader[Served]):
    """Torch's, with a state as Lightning saves and loads it: how many batches of this epoch were served.

    One that goes on draws those again and leaves them out, which costs next to nothing where a batch is a row of
    indices. Its sampler must deal the same epoch in the same way again, as `IndexBatches` does. Nothing is drawn, or
    handed to worker processes, before the first batch is asked for: by then the sampler knows its epoch.
    """

    served = 0
    left_out = 0  # at the start of the next epoch

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # nobody asks for torch's own iterator
        self.served, self.left_out = self.left_out, 0
        for batch in islice(super().__iter__(), self.served, None):
            self.served += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        return {"served": self.served}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.left_out = state["served"]
