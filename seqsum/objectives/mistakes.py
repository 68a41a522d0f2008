"""Which sequences of an evaluation were classified wrongly, the surest first, and where they are in the split."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.objectives.evaluation import Evaluation, Logits


def surest_mistakes(evaluation: Evaluation, logits: Logits) -> Tensor:
    """Return the places of the wrong answers `(n,)`, those with the highest probability first."""
    outputs, targets, _ = evaluation.join()
    of_classes = logits(outputs)[:, -1].double()  # (N, C)
    wrong = (of_classes.argmax(-1) != targets[:, -1]).nonzero().squeeze(1)
    first, second = of_classes[wrong].topk(2, dim=-1).values.unbind(-1)  # probabilities of 1 can't be ordered
    return wrong[(first - second).argsort(descending=True, stable=True)].cpu()


def rows_of(evaluation: Evaluation) -> Tensor | None:
    """Return the position in the split of each output, `(N,)`; None if they are not known."""
    rows = [batch.rows for batch in evaluation.batches if batch.rows is not None]
    # those of a batch are of all processes, which have their own outputs only
    counts = [len(outputs) for outputs in evaluation.outputs]
    return torch.cat(rows).flatten().cpu() if [of_batch.numel() for of_batch in rows] == counts else None
