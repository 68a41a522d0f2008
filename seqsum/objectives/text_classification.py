"""Classification of texts, which have one label each."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics import MetricCollection

from seqsum.data.base import Batch, SequenceData
from seqsum.data.text.labelled import LabelledTexts
from seqsum.errors import InputError
from seqsum.figures.page import Section
from seqsum.objectives.base import inside
from seqsum.objectives.classification import Accuracy, Classification, class_logits
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown
from seqsum.objectives.metrics import collect
from seqsum.objectives.text_classification_shown import draw_texts, report_texts, show_texts


class TextClassification(Classification):
    """Cross-entropy of the one label that each text has; needs a network with one output for each sequence.

    It shows which words moved an answer, how accuracy depends on length, and the mistakes that the network was surest
    of. Names and words need data that offer what `LabelledTexts` lists.

    Args:
        num_classes: Number of classes, `C`.
        sigmoid: Whether the network has one output `z`, whose sigmoid is the probability of class 1, instead of one
            for each class; by default if there are two classes.

    Raises:
        ValueError: There are fewer than two classes, or more with `sigmoid`.
    """

    def __init__(self, num_classes: int = 2, sigmoid: bool | None = None) -> None:
        super().__init__(num_classes, sigmoid=num_classes == 2 if sigmoid is None else sigmoid)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the mean over texts from outputs `(B, 1, K)` and labels `(B, 1)`: a scalar, in nats.

        Raises:
            InputError: There is not one output and one label for each text.
        """
        if outputs.shape[1] != 1 or batch.targets.shape[1] != 1:
            raise InputError(
                "TextClassification needs one output and one label for each text, not "
                f"{outputs.shape[1]} and {batch.targets.shape[1]}: set `--model.readout`, to mean_max, say"
            )
        return super().loss(outputs, batch)

    def metrics(self) -> MetricCollection:
        return collect({"accuracy": Accuracy()})

    def describe(self, data: SequenceData) -> str:
        """Say in a sentence what a network was trained for."""
        if not isinstance(data, LabelledTexts):
            return super().describe(data)
        *others, last = data.label_names
        return f"Trained on {data.dataset} texts to tell {', '.join(others)} from {last}"

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """See `draw_texts`."""
        return draw_texts(evaluation, class_logits)

    def report(self, evaluation: Evaluation, look: Look) -> list[Section]:
        """See `report_texts`; gates and states of the first text are last."""
        return report_texts(evaluation, look, class_logits) + inside(evaluation)

    def show(self, prediction: Prediction) -> Shown:
        """See `show_texts`."""
        return show_texts(prediction, class_logits) or super().show(prediction)
