"""Which figures there are of a network: on the test split, and on a user's own digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data import DigitSums
from seqsum.data.base import Batch
from seqsum.data.own import OwnDigits
from seqsum.data.sums import Operation, read_digits, running_targets
from seqsum.figures import (
    binomial_interval,
    last_states,
    order_units,
    plot_confusion,
    plot_errors,
    plot_gates,
    plot_length_curve,
    plot_number_line,
    plot_predictions,
    plot_sums,
)
from seqsum.figures.style import digit, number
from seqsum.inspect import texts
from seqsum.inspect.reading import LengthScore, encode, exact_by_length, read, trace_layers
from seqsum.module import SequenceModule, parts_of
from seqsum.networks.sequence import describe_network

STEPS, GATE_STEPS = 16, 12  # of a test sequence that are drawn: more would be too small to see
DOTS = 1_000  # states on the number line
TRACED = 4  # of the user's sequences whose gates are drawn


class Table(NamedTuple):
    """Head and rows, as texts."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


class Section(NamedTuple):
    """A part of the page: a figure, or a table, or both, with what to look at.

    Attributes:
        name: Of the figure's file, without ending.
    """

    title: str
    text: str = ""
    name: str = ""
    figure: Figure | None = None
    table: Table | None = None


def report_test(module: SequenceModule, data: DigitSums, sequences: int = 6, longest: int = 100) -> list[Section]:
    """All figures on the test split, and the metrics that `python train.py test` gives.

    Args:
        module: In evaluation, on the CPU.
        data: Set up for a test; its sequences are those of every test.
        sequences: How many are drawn digit by digit.
        longest: Where the curve of lengths ends.
    """
    network, operation, (digits, labels) = parts_of(module), data.operation, data.splits["test"]
    features = encode(network, digits)  # (N, F)
    rows = torch.cat([batch.rows for batch in data.test_dataloader()])  # (B, T)
    targets = running_targets(labels[rows], operation)
    outputs, sums = read(network, features[rows])
    wrong = (sums.round() != targets)[:, :STEPS].any(dim=1)
    few = slice(max(1, DOTS // rows.shape[1]))
    layers = trace_layers(network, features[rows[few]])
    scores = exact_by_length(network, features, labels, operation, longest)
    return [
        _metrics(module, sums, targets),
        *_sums("sums", digits[rows[:sequences]], sums, operation, targets),
        *_sums("wrong_sums", digits[rows[wrong][:sequences]], sums[wrong], operation, targets[wrong]),
        _length_curve(scores, data.lengths),
        _section("errors", plot_errors(sums, targets)),
        _section("predicted_against_true", plot_predictions(sums, targets)),
        _section("confusion", plot_confusion(sums, targets, operation)),
        *_gates(layers, digits[rows[0]], targets[few], operation),
        _section("number_line", plot_number_line(last_states(layers, outputs[few]), targets[few], operation)),
    ]


def report_images(module: SequenceModule, own: OwnDigits, operation: Operation) -> list[Section]:
    """Figures of a user's own digits, whose true sums nobody knows, and what could not be read.

    Args:
        module: In evaluation, on the CPU.
        own: What was found in the user's images.
        operation: What the signs are.
    """
    network = parts_of(module)
    images = [digits for digits, _ in own.sequences]
    features = [encode(network, digits)[None] for digits in images]  # (1, T, F) each
    sums = [read(network, steps)[1] for steps in features]  # (1, T) each
    figure = plot_sums(images, [row[0] for row in sums], operation, names=own.names())
    sections = [_section("predictions", figure)._replace(table=_readings(own, sums, operation)), *_skipped(own)]
    for row, digits in enumerate(images[:TRACED]):
        name = f"_{row + 1}" if len(images) > 1 else ""
        sections += _gates(trace_layers(network, features[row]), digits, sums[row], operation, name)
        if not sections[-1].figure:
            break  # of torch's own layers, which is said once
    return sections


def _readings(own: OwnDigits, sums: list[Tensor], operation: Operation) -> Table:
    """Every step of every sequence: the sum `(1, T)` counted up to there, and the digit that makes it so."""
    rows = []
    for place, (names, of_steps) in enumerate(zip(own.names(), sums, strict=True), start=1):
        rounded = of_steps[0].round()
        steps = zip(names, read_digits(rounded, operation).tolist(), rounded.tolist(), strict=True)
        for step, (name, one, total) in enumerate(steps, start=1):
            rows.append((str(place), str(step), digit(one), number(total), name))
    return Table(("sequence", "step", "digit", "running sum", "file"), rows)


def _skipped(own: OwnDigits) -> list[Section]:
    if not own.skipped:
        return []
    return [Section("Skipped", texts.SKIPPED, table=Table(("file", "why"), own.skipped))]


def describe(module: SequenceModule, data: DigitSums) -> str:
    """The network and its task in a line."""
    task = f"Trained on {data.dataset} digits to say {texts.describe_sums(data.operation)}"
    return f"{describe_network(module.network)}. {task}"


def _section(name: str, figure: Figure, remark: str = "") -> Section:
    title, text = texts.FIGURES[name]
    return Section(title, f"{text} {remark}".strip(), name, figure)


def _sums(name: str, digits: Tensor, sums: Tensor, operation: Operation, targets: Tensor) -> list[Section]:
    """The sequences whose digits `(N, T, Y, X)` are given, if any, with their sums, the first of `(B, T)`."""
    if len(digits) == 0:
        return []
    drawn, length = digits[:, :STEPS], digits.shape[1]
    shown = slice(len(drawn)), slice(STEPS)
    figure = plot_sums(list(drawn), list(sums[shown]), operation, list(targets[shown]))
    return [_section(name, figure, f"Shown are the first {STEPS} digits of {length}." if length > STEPS else "")]


def _metrics(module: SequenceModule, sums: Tensor, targets: Tensor) -> Section:
    outputs = sums[..., None]  # (B, T, 1)
    metrics = module.objective.metrics()
    metrics.update(outputs, targets)
    values: dict[str, Any] = {**metrics.compute(), "loss": module.objective.loss(outputs, Batch(outputs, targets))}
    rows = [(f"test/{name}", f"{float(values[name]):.4f}", meaning) for name, meaning in texts.METRICS.items()]
    length = targets.shape[1]
    text = f"{len(targets):,} sequences of {length} {'digit' if length == 1 else 'digits'} from the test split."
    return Section("Test", text, table=Table(("metric", "value", "meaning"), rows))


def _length_curve(scores: list[LengthScore], trained: tuple[int, int]) -> Section:
    lengths, right, counts = zip(*scores, strict=True)
    accuracy = right[0] / counts[0]  # of single digits
    ends = binomial_interval(torch.tensor(right), torch.tensor(counts))
    rows = [
        (str(t), f"{n:,}", f"{r / n:.3f}", f"{low:.3f} to {high:.3f}", f"{accuracy**t:.3f}")
        for (t, r, n), low, high in zip(scores, *(end.tolist() for end in ends), strict=True)
    ]
    figure = plot_length_curve(lengths, torch.tensor(right), torch.tensor(counts), accuracy, trained)
    table = Table(("length", "sequences", "exactly right", "95 % interval", "ceiling"), rows)
    return _section("length_curve", figure)._replace(table=table)


def _gates(
    layers: Mapping[str, dict[str, Tensor]], digits: Tensor, sums: Tensor, operation: Operation, name: str = ""
) -> list[Section]:
    """A figure for each layer, of the first of the sequences; the others help to put the units in order."""
    sections = []
    for layer, (suffix, parts) in enumerate(layers.items(), start=1):
        order = order_units(list(parts.values())[-1], sums)  # the last is what carries the count
        seen = {part: values[0, :GATE_STEPS] for part, values in parts.items()}
        figure = plot_gates(seen, digits[:GATE_STEPS], operation, order)
        title, text = texts.describe_gates(list(parts), layer)
        part = f", sequence {name[1:]}" if name else ""
        text = "" if name not in ("", "_1") else text  # once is enough
        if digits.shape[0] > GATE_STEPS:
            part += f", first {GATE_STEPS} digits"
        sections.append(Section(title + part, text, f"gates{name}_{suffix}", figure))
    return sections or [Section("Inside the recurrence", texts.NO_GATES)]
