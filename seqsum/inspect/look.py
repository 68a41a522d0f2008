"""Run a network on the test split or on a user's input, and let its objective show the result."""

from __future__ import annotations

import torch

from seqsum.data import SequenceData
from seqsum.figures.page import Section, Table
from seqsum.module import SequenceModule
from seqsum.objectives import Evaluation, Look, Prediction, WeightedMean, captions


def look_at_test(module: SequenceModule, data: SequenceData, look: Look) -> list[Section]:
    """Collect the metrics of `python train.py test`, and the objective's full report.

    Args:
        module: The module in evaluation mode, on the CPU.
        data: Its data, not set up yet.
        look: How many sequences and which lengths to show.
    """
    data.setup("test")
    evaluation, metrics = evaluate(module, data)
    return [metrics, *module.objective.report(evaluation, look)]


@torch.no_grad()
def evaluate(module: SequenceModule, data: SequenceData) -> tuple[Evaluation, Section]:
    """Evaluate the network on the whole test split, and make a table of its metrics."""
    objective, first, batches, found = module.objective, None, [], []
    metrics, mean_loss = objective.metrics(), WeightedMean()
    for served in data.test_dataloader():
        batch = data.on_after_batch_transfer(served, 0)
        outputs = module(batch)
        metrics.update(outputs, batch.targets, batch.scored)
        mean_loss.update(objective.loss(outputs, batch), objective.scored(batch).sum())
        first = first or batch
        batches.append(batch._replace(inputs=batch.inputs[:0]))
        found.append(outputs)
    assert first is not None  # a test split is never empty
    values = {**metrics.compute(), "loss": mean_loss.compute()}
    rows = [(f"test/{name}", f"{float(value):.4f}", captions.METRICS.get(name, "")) for name, value in values.items()]
    sequences, longest = sum(map(len, found)), max(outputs.shape[1] for outputs in found)
    text = (
        f"{sequences:,} sequences of {'up to ' if first.mask is not None else ''}{longest} steps from the test split."
    )
    evaluation = Evaluation("test", module.network, data, first, batches, found)
    return evaluation, Section("Test", text, table=Table(("metric", "value", "meaning"), rows))


@torch.no_grad()
def look_at_input(module: SequenceModule, data: SequenceData) -> list[Section]:
    """Collect what the objective shows for a user's input.

    Args:
        module: The module in evaluation mode, on the CPU.
        data: Data made with the input, not set up yet.
    """
    data.setup("predict")
    batches = list(data.predict_dataloader())
    answers = [module.predict_step(batch, 0) for batch in batches]
    shown = module.objective.show(Prediction(module.network, data, batches, answers))
    return list(shown.page)
