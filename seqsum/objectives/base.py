"""The contract of an objective."""

from __future__ import annotations

from itertools import compress
from typing import Literal

from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqsum.data.base import Batch, SequenceData
from seqsum.figures import plot_gates
from seqsum.figures.page import Section, Table
from seqsum.objectives import captions
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown
from seqsum.objectives.masks import scored_steps
from seqsum.objectives.reading import trace_batch

GATE_STEPS = 48  # of a sequence whose gates are drawn


class Objective(nn.Module):
    """Contract: outputs of a network `(B, S, K)` and the batch that it read in; loss, metrics and answers out.

    What there is to see of an experiment is the objective's too; by default it is little.

    `S` is the number of targets of a sequence, as a rule that of its input steps.

    Attributes:
        output_size: `K`.
        monitor, monitor_mode: The metric that tells the best checkpoint, and which way.
    """

    output_size: int
    monitor: str
    monitor_mode: Literal["min", "max"]

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """A scalar to be minimised, the mean over `scored` steps; 0 for a batch without any."""
        raise NotImplementedError(f"{type(self).__name__} must define `loss`")

    def scored(self, batch: Batch) -> Tensor:
        """The steps that the loss is the mean of, `(B, S)` bool: the valid ones, unless a subclass wants fewer."""
        return scored_steps(batch.targets, batch.scored)

    def metrics(self) -> MetricCollection:
        """Fresh metrics, updated with outputs, targets and `batch.scored`."""
        raise NotImplementedError(f"{type(self).__name__} must define `metrics`")

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Outputs as the numbers that a user reads, `(B, S, K) -> (B, S)`; the batch may be `unlabelled`."""
        raise NotImplementedError(f"{type(self).__name__} must define `answers`")

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """What a network makes of a user's input, an `unlabelled` batch: its answers, `(B, S)`."""
        return self.answers(network(batch), batch)

    def describe(self, data: SequenceData) -> str:
        """What a network was trained for, in a sentence."""
        return f"Trained on {data.dataset}"

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """Figures by name: TensorBoard shows those of a validation, those of a test are saved beside its results."""
        return {}

    def report(self, evaluation: Evaluation, look: Look) -> list[Section]:
        """What `python -m seqsum.inspect` shows of a test: its figures, and gates and states of a first sequence."""
        figures = self.figures(evaluation)
        sections = [captions.section(name, figure) for name, figure in figures.items()]
        return sections if any(name.startswith("states") for name in figures) else sections + _gates(evaluation)

    def show(self, prediction: Prediction) -> Shown:
        """What `predict` shows of a user's own input: the answers at each step."""
        tables: list[Table] = []
        for batch, answers in zip(prediction.batches, prediction.answers, strict=True):
            for row, of_sequence in enumerate(answers.tolist()):
                valid = of_sequence if batch.mask is None else list(compress(of_sequence, batch.mask[row].tolist()))
                rows = [(str(step), f"{answer:g}") for step, answer in enumerate(valid, start=1)]
                tables.append(Table(("step", "answer"), rows, f"Sequence {len(tables) + 1}"))
        return Shown(tables=tables)


def _gates(evaluation: Evaluation) -> list[Section]:
    """A figure for each layer while it reads the first sequence."""
    first = evaluation.first.map(lambda tensor: tensor[:1])
    steps = slice(GATE_STEPS) if first.mask is None else first.mask[0].nonzero().squeeze(1)[:GATE_STEPS]
    sections = []
    for layer, (suffix, parts) in enumerate(trace_batch(evaluation.network, first).items(), start=1):
        figure = plot_gates({name: values[0, steps] for name, values in parts.items()})
        title, text = captions.describe_gates(list(parts), layer, ordered=False)
        sections.append(Section(title, text, f"gates_{suffix}", figure))
    return sections or [Section("Inside the recurrence", captions.NO_GATES)]
