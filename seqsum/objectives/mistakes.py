"""Where the sequences of an evaluation are in the split, and which were classified wrongly, the surest first."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from seqsum.data.base import Batch
from seqsum.objectives.evaluation import Evaluation, Logits


def surest_mistakes(evaluation: Evaluation, logits: Logits) -> Tensor:
    """Return the places of the wrong answers `(n,)`, on the CPU, those with the highest probability first."""
    outputs, targets, _ = evaluation.join()
    of_classes = logits(outputs)[:, -1].cpu().double()  # (N, C); Apple's GPUs have no float64
    wrong = (of_classes.argmax(-1) != targets[:, -1].cpu()).nonzero().squeeze(1)
    answers = of_classes[wrong].max(-1, keepdim=True)
    others = of_classes[wrong].scatter(-1, answers.indices, -torch.inf).logsumexp(-1)
    log_odds = answers.values.squeeze(-1) - others  # in the order of probabilities, which round to 1
    return wrong[log_odds.argsort(descending=True, stable=True)]


def rows_of(evaluation: Evaluation) -> Tensor | None:
    """Return the position in the split of each output, `(N,)`; None if they are not known."""
    found = [own_rows(batch, len(of)) for batch, of in zip(evaluation.batches, evaluation.outputs, strict=True)]
    known = [rows for rows in found if rows is not None]
    return torch.cat(known) if len(known) == len(found) else None


def own_rows(batch: Batch, sequences: int) -> Tensor | None:
    """Return the positions in the split of this process's sequences, int64 `(B,)` on the CPU.

    `batch.rows` are those of all processes, dealt in turn.

    Args:
        batch: The batch, with or without its inputs.
        sequences: Number of its sequences in this process, `B`.

    Returns:
        The positions; None if the batch doesn't have them, or each sequence is made of several.
    """
    if batch.rows is None:
        return None
    rows = batch.rows.flatten().cpu()
    if len(rows) != sequences and distributed.is_initialized():
        rows = rows[distributed.get_rank() :: distributed.get_world_size()]
    return rows if len(rows) == sequences else None
