"""Figures of running sums: digits with their sums, errors, gates, the number line, and a user's own digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.data import DigitSums
from seqsum.data.digit_sums import scale
from seqsum.data.sums import Operation, read_digits, running_targets, signs
from seqsum.figures import (
    binomial_interval,
    last_layer,
    last_states,
    order_units,
    plot_all,
    plot_codes,
    plot_confusion,
    plot_errors,
    plot_gates,
    plot_increment_errors,
    plot_leaks,
    plot_length_curve,
    plot_long_run,
    plot_number_line,
    plot_predictions,
    plot_sums,
)
from seqsum.figures.page import Section, Table
from seqsum.figures.style import digit, number
from seqsum.figures.together import first_sequences
from seqsum.networks import SequenceNetwork
from seqsum.networks.image_encoders import ImageEncoder
from seqsum.objectives import captions
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown
from seqsum.objectives.reading import (
    CHUNK,
    LENGTHS,
    LengthScore,
    encode,
    exact_by_length,
    read,
    read_right,
    run_long,
    trace_batch,
    trace_layers,
)

STEPS, GATE_STEPS = 16, 12  # most steps of a test sequence drawn; more would be too small to see
DOTS = 1_000  # most states on the number line
LONG, RUNS = 10, 20  # steps of a long sequence, at least, and sequences that show why the network loses count
AMBIGUOUS = 6  # digits whose codes are drawn
TRACED = 4  # most of the user's sequences whose gates are drawn


def draw_sums(evaluation: Evaluation) -> dict[str, Figure]:
    """Draw the figures of an evaluation: all of them for a validation, the first sequences for a test."""
    data = evaluation.data
    if not isinstance(data, DigitSums):
        return {}
    outputs, targets, mask = evaluation.join()
    images, sums = evaluation.first.inputs.squeeze(2), outputs.squeeze(-1)
    if evaluation.split == "val":
        return plot_all(images, evaluation.recorded, sums, targets, data.operation, mask)
    digits, predicted, true = first_sequences(images.cpu(), sums.cpu(), targets.cpu(), mask, lines=2)
    return {"test_sequences": plot_sums(digits, predicted, data.operation, true, longest=images.shape[1])}


def report_sums(evaluation: Evaluation, look: Look) -> list[Section]:
    """Make all sections for a test of the default network; none for other data or networks."""
    data, network = evaluation.data, evaluation.network
    if not (isinstance(data, DigitSums) and isinstance(network, SequenceNetwork)):
        return []
    operation, (digits, labels) = data.operation, data.splits["test"]
    look.check_longest()
    features = encode(network, digits)  # (N, F)
    rows = torch.cat([batch.rows for batch in evaluation.batches if batch.rows is not None])  # (B, T)
    targets = running_targets(labels[rows], operation)
    outputs, sums = read(network, features[rows])
    wrong = (sums.round() != targets)[:, :STEPS].any(dim=1)
    few = slice(max(1, DOTS // rows.shape[1]))
    layers = trace_layers(network, features[rows[few]])
    lengths = [*(length for length in LENGTHS if length < look.longest), look.longest]
    scores = exact_by_length(network, features, labels, operation, lengths)
    return [
        *_sums("sums", digits[rows[: look.sequences]], sums, operation, targets),
        *_sums("wrong_sums", digits[rows[wrong][: look.sequences]], sums[wrong], operation, targets[wrong]),
        _length_curve(scores, data.trained_lengths),
        *_long_run(network, features, labels, operation, look.longest),
        *_ambiguous(network, digits, features),
        captions.section("errors", plot_errors(sums, targets)),
        captions.section("predicted_against_true", plot_predictions(sums, targets)),
        captions.section("confusion", plot_confusion(sums, targets, operation)),
        *_gates(network, layers, digits[rows[0]], targets[few], operation),
        captions.section("number_line", plot_number_line(last_states(layers, outputs[few]), targets[few], operation)),
    ]


def show_sums(prediction: Prediction) -> Shown | None:
    """Show the sums of a user's digits and what each file was read as; None for other data."""
    data = prediction.data
    if not isinstance(data, DigitSums):
        return None
    images = [digits for batch in prediction.batches for digits in batch.inputs.squeeze(2).cpu()]
    sums = [of_sequence.cpu() for answers in prediction.answers for of_sequence in answers]
    names = data.own.names()[: len(sums)]  # a flag of the Trainer may limit the batches
    figure = plot_sums(images, sums, data.operation, names=names)
    tables = [
        _steps(f"Sequence {place}", *sequence, data.operation)
        for place, sequence in enumerate(zip(names, sums, strict=True), start=1)
    ]
    if tables and (skipped := len(data.own.skipped)):
        caption = f"{skipped} skipped, see below: the sums go on without {'it' if skipped == 1 else 'them'}"
        tables[-1] = tables[-1]._replace(caption=caption)
    page = [captions.section("predictions", figure)._replace(table=_readings(names, sums, data.operation))]
    page += captions.skipped(data.own)
    for place, batch in enumerate(prediction.batches[:TRACED], start=1):
        name = f"_{place}" if len(prediction.batches) > 1 else ""
        layers = trace_batch(prediction.network, batch)
        drawn = layers, images[place - 1], prediction.answers[place - 1]
        page += _gates(prediction.network, *drawn, data.operation, name)
        if not layers:
            break  # one section says that there are no gates
    return Shown(tables=tables, figures={"predictions": figure}, page=page)


def _steps(title: str, names: Sequence[str], sums: Tensor, operation: Operation) -> Table:
    """Make a table of sign, digit, running sum and file at each step."""
    read_as, added = read_digits(sums, operation).tolist(), signs(len(sums), operation) > 0
    rows = [
        (str(step + 1), "+" if added[step] else "-", digit(read_as[step]), str(int(sums[step])), name)
        for step, name in enumerate(names)
    ]
    return Table(("step", "sign", "digit", "running sum", "file"), rows, title)


def _readings(names: Sequence[Sequence[str]], sums: Sequence[Tensor], operation: Operation) -> Table:
    """Make a table of digit and running sum for every step of all sequences, from sums `(T,)`."""
    rows = []
    for place, (of_steps, totals) in enumerate(zip(names, sums, strict=True), start=1):
        steps = zip(of_steps, read_digits(totals, operation).tolist(), totals.tolist(), strict=True)
        for step, (name, one, total) in enumerate(steps, start=1):
            rows.append((str(place), str(step), digit(one), number(total), name))
    return Table(("sequence", "step", "digit", "running sum", "file"), rows)


def _sums(name: str, digits: Tensor, sums: Tensor, operation: Operation, targets: Tensor) -> list[Section]:
    """Draw digits `(N, T, Y, X)`, if any, with their sums: the first `N` rows of `(B, T)`."""
    if len(digits) == 0:
        return []
    drawn, length = digits[:, :STEPS], digits.shape[1]
    shown = slice(len(drawn)), slice(STEPS)
    figure = plot_sums(list(drawn), list(sums[shown]), operation, list(targets[shown]), longest=targets.shape[1])
    remark = f"Shown are the first {STEPS} digits of {length}." if length > STEPS else ""
    return [captions.section(name, figure, remark)]


def _length_curve(scores: list[LengthScore], trained: Sequence[int]) -> Section:
    lengths, right, counts = zip(*scores, strict=True)
    accuracy = right[0] / counts[0]  # of single digits
    ends = binomial_interval(torch.tensor(right), torch.tensor(counts))
    rows = [
        (str(t), f"{n:,}", f"{r / n:.3f}", f"{low:.3f} to {high:.3f}", f"{accuracy**t:.3f}")
        for (t, r, n), low, high in zip(scores, *(end.tolist() for end in ends), strict=True)
    ]
    figure = plot_length_curve(lengths, torch.tensor(right), torch.tensor(counts), accuracy, trained)
    table = Table(("length", "sequences", "exactly right", "95 % interval", "all digits right"), rows)
    return captions.section("length_curve", figure)._replace(table=table)


def _long_run(
    network: SequenceNetwork, features: Tensor, labels: Tensor, operation: Operation, length: int
) -> list[Section]:
    """Show why the network loses count, on long sequences of digits that it reads correctly if it reads one alone."""
    kept = read_right(network, features, labels)
    if length < LONG or not kept.any():
        return []
    found = run_long(network, features[kept], labels[kept], operation, length, RUNS)
    sums, targets = found.sums, found.targets
    sections = [captions.section("increment_errors", plot_increment_errors(found.errors, targets))]
    last = last_layer(trace_layers(network, found.features))  # which the head reads
    if last.keys() >= {"cell_state", "forget_gate"}:
        cell_state, forget_gate = last["cell_state"], last["forget_gate"]
        run = plot_long_run(sums[0], targets[0], cell_state[0], order_units(cell_state, targets))
        sections.append(captions.section("long_run", run))
        if isinstance(network.head, nn.Linear) and network.head.in_features == forget_gate.shape[-1]:
            sections.append(captions.section("leaks", plot_leaks(forget_gate, network.head.weight[0])))
    return sections


@torch.no_grad()
def _ambiguous(network: SequenceNetwork, digits: Tensor, features: Tensor) -> list[Section]:
    """Show which codes share the most ambiguous digits, and what is read from the codes and from their mixture."""
    encoder = network.encoder.module
    if not isinstance(encoder, ImageEncoder) or encoder.shares(scale(digits[:1])) is None:
        return []
    shares = torch.cat([cast("Tensor", encoder.shares(scale(chunk))) for chunk in digits.split(CHUNK)])
    least = shares.amax(-1).argsort()[:AMBIGUOUS]
    whole = features.sum(-1).mean()  # to what the features of a digit add up

    def read_codes(codes: Tensor) -> Tensor:
        return read(network, (whole * codes).unsqueeze(1))[1][:, 0]

    largest = shares[least].topk(2).indices
    one, other = (read_codes(F.one_hot(largest[:, place], shares.shape[1]).float()) for place in (0, 1))
    numbers = torch.stack([one, other, read_codes(shares[least])], dim=-1).tolist()
    figure = plot_codes(digits[least], shares[least], features[least].argmax(-1), numbers)
    return [captions.section("codes", figure)]


def _gates(
    network: nn.Module,
    layers: Mapping[str, dict[str, Tensor]],
    digits: Tensor,
    sums: Tensor,
    operation: Operation,
    name: str = "",
) -> list[Section]:
    """Draw a figure of each layer for the first sequence; the other sequences only help to sort the units."""
    shows_cell_state = any(getattr(part, "output_activation", "") == "identity" for part in network.modules())
    sections = []
    for suffix, parts in layers.items():
        order = order_units(list(parts.values())[-1], sums)  # the last part carries the count
        seen = {part: values[0, :GATE_STEPS] for part, values in parts.items()}
        figure = plot_gates(seen, digits[:GATE_STEPS], operation, order)
        title, text = captions.describe_gates(list(parts), suffix, True, shows_cell_state)
        part = f", sequence {name[1:]}" if name else ""
        text = "" if name not in ("", "_1") else text  # once is enough
        if digits.shape[0] > GATE_STEPS:
            part += f", first {GATE_STEPS} digits"
        sections.append(Section(title + part, text, f"gates{name}_{suffix}", figure))
    return sections or [Section("Inside the recurrence", captions.NO_GATES)]
