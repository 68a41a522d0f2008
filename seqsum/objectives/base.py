"""Base class of all objectives."""

from __future__ import annotations

from itertools import compress
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from seqsum.data.base import Batch, SequenceData, outside
from seqsum.errors import InputError
from seqsum.figures import plot_gates
from seqsum.figures.page import Section, Table
from seqsum.objectives import captions
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown
from seqsum.objectives.masks import scored_steps
from seqsum.objectives.reading import trace_batch
from seqsum.recurrent import Recurrent

GATE_STEPS = 24  # most steps of a sequence whose gates are drawn


class Objective(nn.Module):
    """Computes loss, metrics and answers from a network's outputs `(B, S, K)` and the batch that it read.

    It also draws the experiment's figures, by default few. `S` is the number of targets per sequence, usually its
    number of input steps.

    Attributes:
        output_size: `K`.
        monitor, monitor_mode: The metric that selects the best checkpoint, such as `val/loss` or, of `metrics`,
            `val/accuracy`, and whether to minimise or maximise it.
        lowest_loss: What no right loss falls below: 0 for errors and cross-entropies, `-math.inf` for the negative
            log-likelihood of a density. The diagnosis reports a loss below it.
        by_step: Whether loss and metrics take each scored step by itself, wherever it is in its sequence. Then steps
            that a network leaves out take no memory, see `Batch.pair`.
    """

    output_size: int
    monitor: str
    monitor_mode: Literal["min", "max"]
    lowest_loss: float = 0.0
    by_step: bool = False

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the scalar to minimise, the mean over `scored` steps; 0 if there are none."""
        raise NotImplementedError(f"{type(self).__name__} must define `loss`")

    def check_outputs(self, outputs: Tensor, batch: Batch) -> None:
        """Check that outputs are `(B, S, K)`, for a loss that reads such: torch would broadcast others without a word.

        Raises:
            InputError: They are not, or the targets are not `(B, S)`.
        """
        if batch.targets.dim() != 2:
            raise InputError(
                f"`targets` of the batch, of shape {tuple(batch.targets.shape)}, must be of (B, S), as "
                f"{type(self).__name__} reads them"
            )
        expected = (*batch.targets.shape, self.output_size)
        if outputs.shape != expected:
            has_one = batch.targets.shape[1] == 1 and outputs.dim() == 3 and outputs.shape[1] > 1
            hint = ". For one answer for each sequence give `--model.readout=last`, or another" if has_one else ""
            raise InputError(
                f"the network's outputs of shape {tuple(outputs.shape)} must be of {expected}, (B, S, K): "
                f"{self.output_size} for each target, as {type(self).__name__} reads them{hint}"
            )

    def classes(self, targets: Tensor, count: int) -> Tensor:
        """Return targets as int64, after a check that they are classes from 0 to `count` - 1.

        On a GPU only their type is checked, see `outside`.

        Raises:
            InputError: They are not.
        """
        name = type(self).__name__
        if targets.is_floating_point() or targets.is_complex():
            raise InputError(f"{name} reads classes as targets, whole numbers; these are of {targets.dtype}")
        targets = targets.long()
        if (wrong := outside(targets, count)) is not None:
            raise InputError(
                f"{name} has classes 0 to {count - 1}, but the targets contain {wrong}; targets that are not to be "
                "scored need a mask"
            )
        return targets

    def scored(self, batch: Batch) -> Tensor:
        """Return the mask of the steps that the loss averages, bool `(B, S)`: by default all valid steps."""
        return scored_steps(batch.targets, batch.scored)

    def metrics(self) -> MetricCollection:
        """Make new metrics, whose `update` takes outputs, targets and `batch.scored`, and perhaps `negatives`."""
        raise NotImplementedError(f"{type(self).__name__} must define `metrics`")

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Turn outputs `(B, S, K)` into the numbers that a user reads, `(B, S)`, or `(B, S, M)` for several a step.

        The batch may be `unlabelled`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `answers`")

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """Compute the network's answers `(B, S)` to a user's input, an `unlabelled` batch."""
        return self.answers(network(batch), batch)

    def describe(self, data: SequenceData) -> str:
        """Say in a sentence what a network was trained for."""
        return f"Trained on {data.dataset}"

    def answer_metrics(self, data: SequenceData | None) -> MetricCollection:
        """Make metrics of what a test's `predict` gives: their `update` takes answers `(B, S)` and the batch."""
        return MetricCollection({})

    def texts(self, evaluation: Evaluation) -> dict[str, str]:
        """Write texts in Markdown, by name: of a validation for TensorBoard."""
        return {}

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """Draw figures, by name: of a validation for TensorBoard, of a test to be saved beside its results."""
        return {}

    def report(self, evaluation: Evaluation, look: Look) -> list[Section]:
        """Make the page of `python -m seqsum.inspect`: a test's figures, and gates and states of its first sequence."""
        figures = self.figures(evaluation)
        sections = captions.sections(figures)
        return sections if any(name.startswith("states") for name in figures) else sections + inside(evaluation)

    def show(self, prediction: Prediction) -> Shown:
        """Make what `predict` shows for a user's input: the answers at each step, also as `predictions.csv`."""
        tables: list[Table] = []
        counts = {answers.shape[2:].numel() for answers in prediction.answers}
        names = ["answer"] if counts == {1} else [f"answer {number}" for number in range(1, max(counts) + 1)]
        lines = [",".join(["sequence", "step", *names])]
        for batch, answers in zip(prediction.batches, prediction.answers, strict=True):
            for row, of_sequence in enumerate(answers.unsqueeze(2).flatten(2).tolist()):
                valid = of_sequence
                if batch.mask is not None and len(of_sequence) == batch.mask.shape[1]:  # not one for the whole sequence
                    valid = list(compress(of_sequence, batch.mask[row].tolist()))
                rows = [(str(step), *(f"{answer:g}" for answer in found)) for step, found in enumerate(valid, start=1)]
                tables.append(Table(("step", *names), rows, f"Sequence {len(tables) + 1}"))
                lines += [",".join(map(repr, (len(tables), step, *found))) for step, found in enumerate(valid, start=1)]
        return Shown(tables=tables, files={"predictions.csv": "\n".join([*lines, ""])})


def update_metrics(metrics: MetricCollection, outputs: Tensor, batch: Batch) -> None:
    """Update metrics by a batch; those whose `update` takes `negatives` get these too, if the batch has any."""
    compared = {} if batch.negatives is None else {"negatives": batch.negatives}
    metrics.update(outputs.detach(), batch.targets, batch.scored, **compared)


def separate(metrics: MetricCollection, prefix: str) -> MetricCollection:
    """Let each of an objective's metrics keep its own sums, see `collect`, under its name with a prefix."""
    alone: dict[str, Metric | MetricCollection] = dict(metrics.items(keep_base=True, copy_state=False))
    return MetricCollection(alone, prefix=prefix, postfix=metrics.postfix, compute_groups=False)


def inside(evaluation: Evaluation) -> list[Section]:
    """Draw gates and states of each layer while it reads the first sequence that has a step.

    Nothing is drawn if there is no such sequence in the first batch, or no recurrence.
    """
    if not any(isinstance(part, Recurrent | nn.RNNBase) for part in evaluation.network.modules()):
        return []
    inputs, mask = evaluation.first.inputs, evaluation.first.mask
    valid = torch.ones(inputs.shape[:2], dtype=torch.bool) if mask is None else mask
    with_steps = valid.any(dim=1).nonzero().flatten()
    if len(with_steps) == 0:
        return []
    row = int(with_steps[0])
    first = evaluation.first.map(lambda tensor: tensor[row : row + 1])
    steps = valid[row].nonzero().squeeze(1)
    part_of = f", first {GATE_STEPS} of {len(steps)} steps" if len(steps) > GATE_STEPS else ""
    sections = []
    for suffix, parts in trace_batch(evaluation.network, first).items():
        figure = plot_gates({name: values[0, steps[:GATE_STEPS]] for name, values in parts.items()})
        title, text = captions.describe_gates(list(parts), suffix)
        sections.append(Section(title + part_of, text, f"gates_{suffix}", figure))
    return sections or [Section("Inside the recurrence", captions.NO_GATES)]


def check_loss(objective: Objective, loss: Any, learns: bool) -> None:
    """Check what an objective returns as its loss.

    Args:
        objective: The objective.
        loss: The loss.
        learns: Whether gradients are computed from it.

    Raises:
        InputError: It is no tensor without axes, or has no gradient.
    """
    name = type(objective).__name__
    if not isinstance(loss, Tensor) or loss.dim() > 0:
        kind = f"of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise InputError(f"the loss of {name} (={kind}) must be a tensor without axes, such as a mean")
    if learns and not loss.requires_grad:
        raise InputError(
            f"the loss of {name} has no gradient: it must depend on the network's outputs and not be detached"
        )
