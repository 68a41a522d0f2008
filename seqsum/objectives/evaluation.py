"""Inputs and results of the methods in which an objective shows an evaluation or a prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Literal, NamedTuple

import torch
from matplotlib.figure import Figure
from rich.text import Text
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.data.base import Batch, SequenceData
from seqsum.errors import InputError
from seqsum.figures.page import Section, Table
from seqsum.objectives.masks import scored_steps

Logits = Callable[[Tensor], Tensor]  # from outputs (…, K) to a logit for each class, (…, C)
Probabilities = Callable[[Tensor], Tensor]  # and to the probability of each


class Joined(NamedTuple):
    """Outputs and targets of all batches, padded at the end to the same length.

    Attributes:
        outputs: `(N, S, K)`.
        targets: `(N, S)`.
        mask: `(N, S)`, True where a target is scored; None when all are.
    """

    outputs: Tensor
    targets: Tensor
    mask: Tensor | None


class Evaluation(NamedTuple):
    """A network's outputs for a split.

    Attributes:
        split: Name of the split.
        network: The network, in evaluation mode.
        data: The DataModule, already set up.
        first: The first batch.
        batches: All batches with targets and masks, but without the rows of their inputs, which are `(0, T, …)`.
        outputs: The network's outputs for each batch, `(B, S, K)`.
        recorded: Gates and states for the first batch, `(B, T, H)` each, named as by `seqsum.trace`, and the
            `outputs` of the recurrence. Empty if nothing was recorded.
        total: Sequences of the split; `batches` may be the first of them, if the outputs are large.
    """

    split: Literal["val", "test"]
    network: nn.Module
    data: SequenceData
    first: Batch
    batches: Sequence[Batch]
    outputs: Sequence[Tensor]
    recorded: Mapping[str, Tensor] = {}  # never changed
    total: int = 0

    def join(self) -> Joined:
        """Join all batches into one."""
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
    """A network's answers to a user's own input.

    Attributes:
        network: The network, in evaluation mode.
        data: The DataModule, already set up.
        batches: The batches, with inputs.
        answers: Results of `Objective.predict` for each batch.
    """

    network: nn.Module
    data: SequenceData
    batches: Sequence[Batch]
    answers: Sequence[Tensor]


class Look(NamedTuple):
    """How much of a test a user wants to see.

    Attributes:
        sequences: Number of sequences to draw.
        longest: Longest sequence of the curve of lengths, in experiments that have one.
        convolutions: Names of convolutions whose filters and feature maps are drawn; None for what the objective draws.
    """

    sequences: int = 6
    longest: int = 100
    convolutions: Sequence[str] | None = None

    def check_longest(self) -> None:
        """Check that the longest sequence has a step.

        Raises:
            InputError: It has none.
        """
        if self.longest < 1:
            raise InputError(f"`--max-length` (={self.longest}) must be at least 1")


class Shown(NamedTuple):
    """What a prediction or a test shows the user. In a notebook it shows itself.

    Attributes:
        lines: Lines to print.
        tables: Tables to print.
        figures: Figures to save, by name.
        files: Contents of further text files, by name.
        page: Sections of `predictions.html`; empty for no page.
        texts: Texts to print, in colour where the terminal has colours.
    """

    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Mapping[str, Figure] = {}  # never changed
    files: Mapping[str, str] = {}
    page: Sequence[Section] = ()
    texts: Sequence[Text] = ()

    def _repr_html_(self) -> str:
        """What a notebook shows: the lines, and the page or, where there is none, tables and figures."""
        lines = [f"<p>{escape(line)}</p>" for line in self.lines]
        figures = [Section(name, figure=figure) for name, figure in self.figures.items()]
        parts: list[Section | Table] = [*self.page] or [*self.tables, *figures]
        return "\n".join([*lines, *(part._repr_html_() for part in parts)])
