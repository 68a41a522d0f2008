"""A DataLoader that can resume in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

from torch import Generator
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader

from seqsum.data.index_tables import IndexBatches

Served = TypeVar("Served", covariant=True)


class BatchLoader(DataLoader[Served]):
    """A DataLoader whose state, the number of batches served in this epoch, Lightning saves and restores.

    After a restore it loads the served batches again and skips them, which is cheap where a batch is an index table.
    The sampler must deal the epoch in the same way again, as `IndexBatches` does. Nothing is drawn before the first
    batch is requested: by then the sampler knows its epoch.
    """

    served = 0
    left_out = 0  # batches to skip at the start of the next epoch

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # a generator, not torch's own iterator class
        self.served, self.left_out = self.left_out, 0
        for batch in islice(super().__iter__(), self.served, None):
            self.served += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        return {"served": self.served}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.left_out = state["served"]


def batch_size_of(loader: Any) -> int | None:
    """Return how many sequences a batch has, if the loader knows: of all processes where its sampler deals to them."""
    sampler = getattr(loader, "sampler", None)
    return sampler.together if isinstance(sampler, IndexBatches) else getattr(loader, "batch_size", None)


def keeps_its_place(loader: Any) -> bool:
    """Whether a loader saves and restores which batches of an epoch are done, as `BatchLoader` does."""
    return hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")


def samplers_of(loaders: Any) -> list[Any]:
    """List the samplers of a loader, or of several in lists and mappings, as Lightning finds them."""
    found = []
    for loader in tree_leaves(loaders):
        found += [getattr(owner, "sampler", None) for owner in (loader, getattr(loader, "batch_sampler", None))]
    return [sampler for sampler in found if sampler is not None]


def generators_of(loaders: Any) -> list[Generator]:
    """List the random generators that were given to loaders and to their samplers, each once."""
    owners = [*tree_leaves(loaders), *samplers_of(loaders)]
    found = [getattr(owner, "generator", None) for owner in owners]
    return list({id(each): each for each in found if isinstance(each, Generator)}.values())
