"""Classification of whole sequences, or of each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from seqsum.data.base import Batch
from seqsum.data.labelled_images import LabelledImages
from seqsum.errors import is_whole
from seqsum.figures.page import Section
from seqsum.objectives.base import Objective
from seqsum.objectives.classification_shown import draw_decisions, show_decisions
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown
from seqsum.objectives.image_classification_shown import draw_images, report_images, show_images
from seqsum.objectives.masks import at_least_float32, masked_mean, scored_steps, without_masked
from seqsum.objectives.metrics import StepMean, collect


class Classification(Objective):
    """Cross-entropy of the class at the scored steps; a softmax over the outputs gives the probabilities.

    A sequence with a single label has it as the target of every step. If only the `last` step is scored, the network
    may decide at any step; `accuracy` scores the final decision, and `accuracy_step` the decisions at all steps.

    Args:
        num_classes: Number of classes, `C`. On the command line it follows the data, if they know it; 10 otherwise.
        scored: Steps to score in each sequence: the `last` valid step, `every` valid step, or a number of valid
            steps at the end.
        sigmoid: Whether the network has one output `z`, whose sigmoid is the probability of class 1, instead of one
            for each of two classes; it is the same as two outputs 0 and `z`.
        convolutions: Names of convolutions whose filters and feature maps are drawn, such as `layers.0.0`, if the data
            are single images; by default the first and the last.

    Raises:
        ValueError: There are fewer than two classes, or more with `sigmoid`; or the number of steps is below one.
    """

    monitor = "val/accuracy"
    monitor_mode: Literal["min", "max"] = "max"

    def __init__(
        self,
        num_classes: int | None = None,
        scored: Literal["last", "every"] | int = "last",
        sigmoid: bool = False,
        convolutions: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        num_classes = 10 if num_classes is None else num_classes
        if num_classes < 2:
            raise ValueError(f"`num_classes` (={num_classes}) must be at least 2")
        named = {"last": 1, "every": None}
        if scored not in named and (not is_whole(scored) or int(scored) < 1):
            raise ValueError(f"`scored` (={scored!r}) must be one of {[*named]}, or a number of at least 1")
        if sigmoid and num_classes != 2:
            raise ValueError(f"`sigmoid` (=true) needs `num_classes` (={num_classes}) to be 2")
        self.sigmoid = sigmoid
        self.convolutions = convolutions
        self.output_size = 1 if sigmoid else num_classes
        self.last = named[scored] if isinstance(scored, str) else scored

    def scored(self, batch: Batch) -> Tensor:
        return scored_steps(batch.targets, batch.scored, self.last)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the mean over scored steps from outputs `(B, T, K)` and classes `(B, T)`: a scalar, in nats."""
        self.check_outputs(outputs, batch)
        outputs = class_logits(outputs)
        outputs, targets = without_masked(outputs, batch.scored), without_masked(batch.targets, batch.scored)
        classes = self.classes(targets, outputs.shape[-1])
        of_steps = F.cross_entropy(at_least_float32(outputs).movedim(-1, 1), classes, reduction="none")  # (B, T)
        return masked_mean(of_steps, self.scored(batch))

    def metrics(self) -> MetricCollection:
        of_all_steps = {} if self.last is None else {"accuracy_step": Accuracy()}
        return collect({"accuracy": Accuracy(self.last), **of_all_steps})

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Compute the probability of each class after each step, `(B, T, C)`, from outputs `(B, T, K)`."""
        return at_least_float32(class_logits(outputs)).softmax(-1)

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the most probable class after each step."""
        return class_logits(outputs).argmax(-1)

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """See `draw_images` for single images, otherwise `draw_decisions`."""
        if isinstance(evaluation.data, LabelledImages):
            return draw_images(evaluation, class_logits, self.convolutions)
        logits = [class_logits(outputs) for outputs in evaluation.outputs]
        return draw_decisions(evaluation._replace(outputs=logits), self.probabilities)

    def report(self, evaluation: Evaluation, look: Look) -> list[Section]:
        """See `report_images` for single images; of others all figures, gates and states."""
        if isinstance(evaluation.data, LabelledImages):
            return report_images(evaluation, look, class_logits, self.convolutions)
        return super().report(evaluation, look)

    def show(self, prediction: Prediction) -> Shown:
        """See `show_images` and `show_decisions`."""
        for show in (show_images, show_decisions):
            if shown := show(prediction, self.probabilities):
                return shown
        return super().show(prediction)


class Accuracy(StepMean):
    """Share of steps whose most probable class is the right one."""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return class_logits(outputs).argmax(-1) == targets


def class_logits(outputs: Tensor) -> Tensor:
    """Return a logit for each class: outputs themselves, but 0 and `z` for a single output `z`."""
    return F.pad(outputs, (1, 0)) if outputs.shape[-1] == 1 else outputs
