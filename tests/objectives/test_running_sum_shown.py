"""What is shown of running sums: the right digits, sums, gates and files, of a network that adds 0.25 too much."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqsum.data import Batch, DigitSums
from seqsum.data.digit_sums import scale
from seqsum.data.digits import Digits
from seqsum.data.own import OwnDigits, OwnSequence
from seqsum.data.sums import running_targets
from seqsum.networks import Encoder, SequenceNetwork
from seqsum.networks.image_encoders import ImageEncoder
from seqsum.objectives import Evaluation, Look, Prediction, RunningSum, running_sum_shown
from tests.drawn import draw_nothing

ROWS = torch.randperm(6 * 18, generator=torch.Generator().manual_seed(0)).view(6, 18)  # six sequences of 18 digits
LABELS = torch.randint(0, 9, (6 * 18,), generator=torch.Generator().manual_seed(1))
MISREAD = ROWS[[1, 3, 4], [5, 0, 17]]  # of three sequences one digit, of the last of them a digit that isn't drawn
IMAGES = LABELS.index_add(0, MISREAD, torch.ones_like(MISREAD)).byte().view(-1, 1, 1).repeat(1, 28, 28)
IMAGES[:, 0, 1] = torch.arange(6 * 18).byte()  # tells which digit it is
TARGETS = running_targets(LABELS[ROWS], "sum")
SUMS = running_targets(IMAGES[ROWS][..., 0, 0].long(), "sum") + 0.25
DRAWN = [name for name in vars(running_sum_shown) if name.startswith("plot_")]


class FirstPixel(Encoder):
    """An encoder that reads a digit from its first pixel."""

    output_size = 1

    def forward(self, inputs):
        return ((inputs[:, 0, 0, :1] * 0.3081 + 0.1307) * 255).round()


class Adder(nn.Module):
    """Has the sum in one unit and its negative in the other."""

    def forward(self, features, state=None):
        total = features.cumsum(dim=1)
        return torch.cat([total, -total], dim=-1), state


def trace(network, features):
    """Gates and states that tell of which sequences they are; the last part falls in its first unit."""
    hidden, _ = network.recurrence(features)
    return {"l0": {"forget_gate": hidden / 1_000, "hidden": hidden, "cell_state": -hidden}}


@pytest.fixture
def network(monkeypatch):
    draw_nothing(monkeypatch, running_sum_shown, *DRAWN)
    monkeypatch.setattr(running_sum_shown, "trace_layers", trace)
    monkeypatch.setattr(running_sum_shown, "trace_batch", lambda net, batch: trace(net, net.features(batch)))
    network = SequenceNetwork(FirstPixel(), Adder(), nn.Linear(2, 1))
    network.head.weight.data, network.head.bias.data = torch.tensor([[0.25, -0.75]]), torch.tensor([0.25])
    return network.eval()


def data_of(**splits):
    data = DigitSums(operation="sum", sequence_length=18)
    data.splits = splits
    return data


@pytest.fixture
def given(network):
    """What each figure of a page is drawn from, by name, and the table beside it."""
    batches = [Batch(torch.empty(0), TARGETS[few], rows=ROWS[few]) for few in (slice(4), slice(4, 6))]
    evaluation = Evaluation("test", network, data_of(test=Digits(IMAGES, LABELS)), batches[0], batches, [])
    sections = RunningSum().report(evaluation, Look(sequences=5, longest=12))
    return {section.name: (section.figure.given, section.table) for section in sections}


@pytest.mark.parametrize(("name", "rows"), [("sums", [0, 1, 2, 3, 4]), ("wrong_sums", [1, 3])])
def test_digits_stand_above_their_sums_for_as_many_sequences_as_are_asked_for(given, name, rows):
    drawn, _ = given[name]
    assert torch.equal(torch.stack(drawn.images), IMAGES[ROWS[rows, :16]])
    assert torch.equal(torch.stack(drawn.predictions), SUMS[rows, :16])
    assert torch.equal(torch.stack(drawn.targets), TARGETS[rows, :16])


@pytest.mark.parametrize("name", ["errors", "predicted_against_true", "confusion"])
def test_errors_are_those_of_all_sequences(given, name):
    drawn, _ = given[name]
    assert torch.equal(drawn.predictions, SUMS)
    assert torch.equal(drawn.targets, TARGETS)


def test_gates_are_those_of_the_first_sequence_sorted_by_the_part_that_carries_the_count(given):
    drawn, _ = given["gates_l0"]
    hidden = torch.stack([SUMS, -SUMS], dim=-1) - torch.tensor([0.25, -0.25])
    states = hidden[0, :12]
    torch.testing.assert_close(drawn.gates, {"forget_gate": states / 1_000, "hidden": states, "cell_state": -states})
    assert torch.equal(drawn.images, IMAGES[ROWS[0, :12]])
    assert drawn.order.tolist() == [1, 0]
    drawn, _ = given["number_line"]
    assert torch.equal(drawn.states, hidden)
    assert torch.equal(drawn.targets, TARGETS)


def test_lengths_go_up_to_the_longest_beside_what_misread_digits_leave(given):
    drawn, table = given["length_curve"]
    assert list(drawn.lengths) == [1, 2, 3, 4, 6, 8, 12]
    assert list(drawn.trained) == [18]
    assert drawn.digit_accuracy == pytest.approx(105 / 108, abs=0.02)  # of the digits that were drawn
    assert [(row[0], row[2], row[4]) for row in table.rows] == [
        (str(length), f"{right / 2_000:.3f}", f"{drawn.digit_accuracy**length:.3f}")
        for length, right in zip(drawn.lengths, drawn.right.tolist(), strict=True)
    ]


def test_long_sequences_are_of_digits_that_are_read_correctly(given):
    drawn, _ = given["increment_errors"]
    assert drawn.errors.tolist() == [[0.25] + [0] * 11] * 20
    run, _ = given["long_run"]
    assert torch.equal(run.true, drawn.sums[0])
    assert torch.equal(run.sums, run.true + 0.25)
    assert torch.equal(run.cell_state, torch.stack([-run.true, run.true], dim=-1))
    assert run.order.tolist() == [1, 0]
    leaks, _ = given["leaks"]
    assert torch.equal(1_000 * leaks.forget_gate[..., 0], drawn.sums)
    assert leaks.weights.tolist() == [0.25, -0.75]


def evaluate(split):
    inputs, recorded = scale(IMAGES)[ROWS], {"hidden_l0": torch.zeros(4, 18, 2)}
    batches = [Batch(inputs[few], TARGETS[few]) for few in (slice(4), slice(4, 6))]
    outputs = [SUMS[few].unsqueeze(2) for few in (slice(4), slice(4, 6))]
    return RunningSum().figures(Evaluation(split, nn.Identity(), data_of(), batches[0], batches, outputs, recorded))


def test_figures_of_an_evaluation_are_of_all_sums_as_they_were_computed(monkeypatch):
    monkeypatch.setattr(running_sum_shown, "plot_all", lambda *given: dict(enumerate(given)))
    images, recorded, sums, targets, operation, mask = evaluate("val").values()
    torch.testing.assert_close(images, scale(IMAGES)[ROWS[:4]].squeeze(2))
    assert recorded.keys() == {"hidden_l0"}
    assert torch.equal(sums, SUMS)
    assert torch.equal(targets, TARGETS)
    assert (operation, mask) == ("sum", None)


def test_figures_of_a_test_are_of_its_first_sequences(monkeypatch):
    draw_nothing(monkeypatch, running_sum_shown, "plot_sums")
    given = evaluate("test")["test_sequences"].given
    count = len(given.images)
    assert 0 < count <= 4
    torch.testing.assert_close(torch.stack(given.images), scale(IMAGES)[ROWS[:count, :12]].squeeze(2))
    assert torch.equal(torch.stack(given.predictions), SUMS[:count, :12])
    assert torch.equal(torch.stack(given.targets), TARGETS[:count, :12])
    assert given.longest == 18


def test_a_users_digits_have_their_signs_sums_files_and_gates(network):
    sequences = [OwnSequence(IMAGES[:3], ["a.png", "b.png", "c.png"]), OwnSequence(IMAGES[3:5], ["d.png", "e.png"])]
    data = DigitSums()
    data.own = OwnDigits([*sequences, OwnSequence(IMAGES[5:6], ["f.png"])], [], [])  # the last is not read
    batches, answers = list(data.predict_dataloader())[:2], [torch.tensor([[3.0, 1, 6]]), torch.tensor([[9.0, 8]])]
    shown = RunningSum().show(Prediction(network, data, batches, answers))
    assert [table.rows for table in shown.tables] == [
        [("1", "+", "3", "3", "a.png"), ("2", "-", "2", "1", "b.png"), ("3", "+", "5", "6", "c.png")],
        [("1", "+", "9", "9", "d.png"), ("2", "-", "1", "8", "e.png")],
    ]
    assert [row[2] for row in shown.page[0].table.rows] == ["3", "2", "5", "9", "1"]
    given = shown.figures["predictions"].given
    for place, (digits, names) in enumerate(sequences):
        torch.testing.assert_close(given.images[place], scale(digits).squeeze(1))
        assert given.predictions[place].tolist() == answers[place][0].tolist()
        assert given.names[place] == names
        gates = next(section.figure.given for section in shown.page if section.name == f"gates_{place + 1}_l0")
        torch.testing.assert_close(gates.images, scale(digits).squeeze(1))
        torch.testing.assert_close(gates.gates["hidden"][:, 0], digits[:, 0, 0].cumsum(0).float())
        assert gates.order.tolist() == [[1, 0], [0, 1]][place], "its sums rise, or fall"


def test_a_users_digits_are_read_by_the_signs_of_the_data(network):
    data = DigitSums(operation="sum")
    data.own = OwnDigits([OwnSequence(IMAGES[:3], ["a.png", "b.png", "c.png"])], [], [])
    shown = RunningSum().show(Prediction(network, data, data.own_batches(), [torch.tensor([[3.0, 5, 11]])]))
    (table,), readings = shown.tables, shown.page[0].table
    assert [row[1:4] for row in table.rows] == [("+", "3", "3"), ("+", "2", "5"), ("+", "6", "11")]
    assert [row[2:4] for row in readings.rows] == [("3", "3"), ("2", "5"), ("6", "11")]


class Shares(ImageEncoder):
    """An image's first pixel says how many hundredths it has of the second code; the rest is of the third."""

    def __init__(self):
        Encoder.__init__(self)

    def shares(self, images):
        second = ((images[:, 0, 0, :1] * 0.3081 + 0.1307) * 2.55).round(decimals=2)
        return torch.cat([0 * second, second, 1 - second], dim=-1)


class Through(nn.Module):
    def forward(self, features, state=None):
        return features, state


def test_the_most_ambiguous_digits_come_first_with_what_is_read_from_their_codes(network):
    shares = torch.tensor([90, 52, 35, 60, 75, 44, 97, 70])
    images = shares.byte().view(-1, 1, 1).repeat(1, 28, 28)
    features = 5 * torch.eye(3)[torch.arange(8) % 3]  # what is passed on may be another code
    reader = SequenceNetwork(Shares(), Through(), nn.Linear(3, 1, bias=False))
    reader.head.weight.data = torch.tensor([[1.0, 2.0, 4.0]])
    (section,) = running_sum_shown._ambiguous(reader, images, features)
    given, order = section.figure.given, [1, 5, 3, 2, 7, 4]
    assert torch.equal(given.images, images[order])
    torch.testing.assert_close(given.codes[:, 1:], torch.stack([shares, 100 - shares], dim=-1)[order] / 100)
    assert given.chosen.tolist() == [place % 3 for place in order]
    of_second, of_third = 5 * 2, 5 * 4
    for read, share in zip(given.read, shares[order].tolist(), strict=True):
        mixture = (share * of_second + (100 - share) * of_third) / 100
        assert read == pytest.approx([*sorted([of_second, of_third], reverse=share < 50), mixture])
