"""A trained network run over the test split, or over a user's own input, and what its objective shows of that."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from seqsum.callbacks.collector import Collector
from seqsum.data import SequenceData
from seqsum.errors import InputError
from seqsum.figures.page import Section, Table
from seqsum.inspect.argument_names import python_names
from seqsum.module import SequenceModule
from seqsum.objectives import Evaluation, Look, Prediction, Shown, WeightedMean, captions
from seqsum.objectives.base import separate, update_metrics
from seqsum.objectives.convolutions import describe_convolutions


@python_names()
def evaluate(module: SequenceModule, data: SequenceData) -> dict[str, float]:
    """The metrics that `python train.py test` gives: `test/loss`, `test/exact_final` and the like.

    The module may still be in training mode: it is put into evaluation, and back.

    Args:
        module: On the CPU.
        data: Read here, unless they have been.

    Raises:
        InputError: The dataset is not there.
    """
    with _in_evaluation(module):
        return _run(module, data)[1]


@python_names()
def report(module: SequenceModule, data: SequenceData, look: Look | None = None) -> Shown:
    """The metrics of the test split, and all that the objective has to show of it.

    Args:
        module: On the CPU; its mode stays as it is.
        data: Read here, unless they have been.
        look: How much to show; `Look()` by default.

    Returns:
        `figures` by name, `tables`, of which the first has the metrics, and `page`, which says what to look at in them.

    Raises:
        InputError: The dataset is not there, `look.longest` is below one, or the network lacks a convolution of
            `look.convolutions`.
    """
    with _in_evaluation(module):
        evaluation, metrics = _run(module, data)
        look = look or Look()
        sections = [*module.objective.report(evaluation, look)]
        if look.convolutions is not None:
            sections += describe_convolutions(evaluation, look.convolutions)
    figures = {section.name: section.figure for section in sections if section.figure is not None}
    sections.insert(0, _metrics_section(evaluation, metrics, bool(figures)))
    return Shown(tables=[section.table for section in sections if section.table], figures=figures, page=sections)


@python_names()
def predict(module: SequenceModule, data: SequenceData, **own: Any) -> Shown:
    """What a network makes of a user's own input, as `python train.py predict` shows it.

        predict(module, data, images=["three.png", "scans/"]).figures["predictions"]

    Args:
        module: On the CPU; its mode stays as it is.
        data: What the network was trained on. They stay as they are.
        own: The input, by the name of the data's argument: `images` for digits, `curve` for
            sines, `texts` for words. Without any, that which `data` were made with.

    Returns:
        `tables`, `figures`, `page`, which says what to look at in them, and `lines`, which name what could not be read.

    Raises:
        InputError: The data take no such input, or nothing of it can be read.
    """
    if own:
        data = _with_input(data, own)
    with _in_evaluation(module):
        data.setup("predict")
        batches = list(data.predict_dataloader())
        answers = [module.predict_step(batch, 0) for batch in batches]
        shown = module.objective.show(Prediction(module.network, data, batches, answers))
    return shown._replace(lines=[*shown.lines, *data.own.left_out()])


@contextmanager
def _in_evaluation(module: SequenceModule) -> Iterator[None]:
    """Every part in evaluation and without gradients, and each back in its own mode afterwards."""
    in_training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part in in_training:
            part.training = True


def _run(module: SequenceModule, data: SequenceData) -> tuple[Evaluation, dict[str, float]]:
    """The whole test split, and its metrics."""
    data.require_test_split()
    data.setup("test")
    objective, collector = module.objective, Collector()
    metrics, answer_metrics = (separate(m, "test/") for m in (objective.metrics(), objective.answer_metrics(data)))
    mean_loss = WeightedMean()
    for served in data.test_dataloader():
        batch = data.on_after_batch_transfer(served, 0)
        outputs = module(batch)
        update_metrics(metrics, outputs, batch)
        mean_loss.update(objective.loss(outputs, batch), objective.scored(batch).sum())
        collector.add(batch, outputs)
        if len(answer_metrics):
            answer_metrics.update(objective.predict(module.network, batch), batch)
    evaluation = collector.evaluation("test", module.network, data)
    assert evaluation is not None  # a test split is never empty
    answered = answer_metrics.compute() if len(answer_metrics) else {}
    values = {**metrics.compute(), **answered, "test/loss": mean_loss.compute()}
    return evaluation, {name: float(value) for name, value in values.items()}


def _metrics_section(evaluation: Evaluation, metrics: Mapping[str, float], with_figures: bool) -> Section:
    kept = sum(map(len, evaluation.outputs))
    longest = max(batch.targets.shape[1] for batch in evaluation.batches)
    inputs = evaluation.first.inputs  # (B, T, …)
    what, answers = "sequences", f"of {'up to ' if evaluation.first.mask is not None else ''}{longest} steps"
    if inputs.shape[1] == 1:
        most = "up to " if evaluation.first.target_mask is not None else ""
        what, answers = "images" if inputs.dim() > 3 else "inputs", f"with {most}{longest} answers each"
    if longest == 1:
        answers = "with one answer each"
    rows = [
        (name, f"{value:.4f}", captions.METRICS.get(name.removeprefix("test/"), "")) for name, value in metrics.items()
    ]
    text = f"{evaluation.total:,} {what} {answers} from the test split."
    if with_figures and kept < evaluation.total:
        text += f" The figures below are of the first {kept:,}."
    return Section("Test", text, table=Table(("metric", "value", "meaning"), rows))


def _with_input(data: SequenceData, own: Mapping[str, Any]) -> SequenceData:
    """The same data made again with a user's own input."""
    kind = type(data)
    known = inspect.signature(kind).parameters
    for name, value in own.items():
        if name not in known:
            raise InputError(f"`{name}` (={value}) does not go with {kind.__name__}, whose arguments are {list(known)}")
    settings = {name: value for name, value in data.hparams.items() if name in known}
    made = kind(**settings | {name: _as_read(known[name], value) for name, value in own.items()})
    made.load_state_dict(data.state_dict())
    return made


def _as_read(parameter: inspect.Parameter, value: Any) -> Any:
    """A value of an argument of the data; where the argument takes paths, checked and as text."""
    if re.search(r"\b(str|Path)\b", str(parameter.annotation)) is None:
        return value
    for each in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(each, str | os.PathLike | None):
            kind = type(each).__name__
            raise InputError(
                f"`{parameter.name}`: files are given by their paths, or by a folder or pattern, not as {kind}"
            )
    return as_text(value)


def as_text(paths: Any) -> Any:
    """A path, or each of several, as the text that the command line would give; what is no path as it is."""
    if isinstance(paths, list | tuple):
        return [as_text(path) for path in paths]
    return os.fspath(paths) if isinstance(paths, os.PathLike) else paths
