"""What an objective is given to show, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.data.base import Batch, SequenceData
from seqsum.errors import InputError
from seqsum.figures.page import Section, Table
from seqsum.objectives.masks import scored_steps


class Joined(NamedTuple):
    """Outputs and targets of all batches, those that are shorter filled up at the end.

    Attributes:
        outputs: `(N, S, K)`.
        targets: `(N, S)`.
        mask: `(N, S)`, True where a target is scored; None when all are.
    """

    outputs: Tensor
    targets: Tensor
    mask: Tensor | None


class Evaluation(NamedTuple):
    """What a network has made of a split.

    Attributes:
        split: Which one.
        network: In evaluation.
        data: Set up.
        first: The first batch.
        batches: All of them, without their inputs: targets and masks.
        outputs: Of each batch, `(B, S, K)`.
        recorded: Gates and states of the first batch, `(B, T, H)` each, by the names that `seqsum.trace` gives them,
            and the `outputs` of the recurrence. Empty where nothing was recorded.
    """

    split: Literal["val", "test"]
    network: nn.Module
    data: SequenceData
    first: Batch
    batches: Sequence[Batch]
    outputs: Sequence[Tensor]
    recorded: Mapping[str, Tensor] = {}  # never changed

    def join(self) -> Joined:
        """All batches as one."""
        lengths = {batch.targets.shape[1] for batch in self.batches}
        longest = max(lengths)

        def fill(tensors: Sequence[Tensor]) -> Tensor:
            missing = [[0, 0] * (tensor.dim() - 2) + [0, longest - tensor.shape[1]] for tensor in tensors]
            return torch.cat([F.pad(tensor, pad) for tensor, pad in zip(tensors, missing, strict=True)])

        targets = [batch.targets for batch in self.batches]
        mask = None
        if len(lengths) > 1 or any(batch.scored is not None for batch in self.batches):
            mask = fill([scored_steps(batch.targets, batch.scored) for batch in self.batches])
        return Joined(fill(self.outputs), fill(targets), mask)


class Prediction(NamedTuple):
    """What a network has made of a user's own input.

    Attributes:
        network: In evaluation.
        data: Set up.
        batches: What was read, with inputs.
        answers: What `Objective.predict` gave for each of them.
    """

    network: nn.Module
    data: SequenceData
    batches: Sequence[Batch]
    answers: Sequence[Tensor]


class Look(NamedTuple):
    """How much a user wants to see of a test.

    Attributes:
        sequences: That are drawn one by one.
        longest: Where the curve of lengths ends, of experiments that have one.
    """

    sequences: int = 6
    longest: int = 100

    def check_longest(self, most: int) -> None:
        """Refuse a length for which there are no digits.

        Raises:
            InputError: As said.
        """
        if not 1 <= self.longest <= most:
            raise InputError(f"`--max-length` (={self.longest}) must be from 1 to {most}, the number of test digits")


class Shown(NamedTuple):
    """What a user gets to see of a prediction or a test. In a notebook it shows itself.

    Attributes:
        lines: Printed.
        tables: Printed.
        figures: Pictures by name.
        files: Texts of further files by name.
        page: Parts of `predictions.html`, if there is one.
    """

    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Mapping[str, Figure] = {}  # never changed
    files: Mapping[str, str] = {}
    page: Sequence[Section] = ()

    def _repr_html_(self) -> str:
        """What a notebook shows: the lines, and the page or, where there is none, tables and figures."""
        lines = [f"<p>{escape(line)}</p>" for line in self.lines]
        figures = [Section(name, figure=figure) for name, figure in self.figures.items()]
        parts: list[Section | Table] = [*self.page] or [*self.tables, *figures]
        return "\n".join([*lines, *(part._repr_html_() for part in parts)])
