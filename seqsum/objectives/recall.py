"""Copy memory: repeat the symbols read, in order, and output blanks before that."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics import MetricCollection

from seqsum.data import CopyMemory
from seqsum.figures.recall import plot_recall, plot_recall_by_place
from seqsum.objectives.classification import Accuracy, Classification
from seqsum.objectives.evaluation import Evaluation
from seqsum.objectives.masks import scored_steps
from seqsum.objectives.metrics import StepMean, collect

SEQUENCES = 4  # sequences drawn


class Recall(Classification):
    """Cross-entropy at every step, and metrics of the recall steps, those whose target is not the blank.

    `accuracy` is the share of recall steps that are right, `exact_recall` the share of sequences without a mistake.

    Args:
        num_symbols: Number of different symbols; the blank is the class after them. On the command line it follows the
            data, if they know it; 9 otherwise.

    Raises:
        ValueError: There are fewer than two symbols.
    """

    def __init__(self, num_symbols: int | None = None) -> None:
        num_symbols = 9 if num_symbols is None else num_symbols
        if num_symbols < 2:
            raise ValueError(f"`num_symbols` (={num_symbols}) must be at least 2")
        super().__init__(num_symbols + 1, scored="every")
        self.blank = num_symbols

    def metrics(self) -> MetricCollection:
        return collect({"accuracy": RecalledAccuracy(self.blank), "exact_recall": ExactRecall(self.blank)})

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """Draw the first sequences with the probability of each symbol, and the accuracy at each place."""
        if not isinstance(evaluation.data, CopyMemory):
            return {}
        outputs, targets, mask = evaluation.join()
        asked = blank_masked(targets, mask, self.blank)
        first = evaluation.first
        few = slice(min(SEQUENCES, len(first.inputs)))  # of the first batch, whose inputs are kept
        steps = first.targets.shape[1]
        chances = self.probabilities(outputs[few, :steps])
        symbols = first.inputs[few].argmax(-1)
        return {
            "recall": plot_recall(symbols, chances, first.targets[few], self.blank),
            "recall_by_place": plot_recall_by_place(outputs.argmax(-1), asked, self.blank),
        }


def blank_masked(targets: Tensor, mask: Tensor | None, blank: int) -> Tensor:
    """Let masked steps, as those of the blank, recall nothing."""
    return targets.masked_fill(~scored_steps(targets, mask), blank)


class RecalledAccuracy(Accuracy):
    """Share of recall steps that are right.

    Args:
        blank: Class of the steps that recall nothing.
    """

    def __init__(self, blank: int) -> None:
        super().__init__()
        self.blank = blank

    def update(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        super().update(outputs, targets, scored_steps(targets, mask) & (targets != self.blank))


class ExactRecall(StepMean):
    """Share of sequences whose recall steps are all right.

    Args:
        blank: Class of the steps that recall nothing.
    """

    def __init__(self, blank: int) -> None:
        super().__init__(last=1)
        self.blank = blank

    def update(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        super().update(outputs, blank_masked(targets, mask, self.blank), mask)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        right = (outputs.argmax(-1) == targets) | (targets == self.blank)
        return right.all(-1, keepdim=True).expand_as(targets)
