"""Outputs of other shapes than `(B, S, K)`, as a network of one's own may give, are refused by every objective."""

import re

import pytest
import torch

from seqsum.data import Batch
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.objectives import (
    Classification,
    Increments,
    NextSample,
    NextToken,
    Objective,
    Recall,
    Restoration,
    RunningSum,
)
from seqsum.objectives.evaluation import Prediction

B, S = 4, 3


class Pairs(Objective):
    """Answers with several numbers a step."""


@pytest.mark.parametrize(("shape", "names"), [((), ["answer"]), ((2,), ["answer 1", "answer 2"])])
def test_answers_may_have_several_numbers_a_step(shape, names):
    answers = torch.arange(B * S * (shape or (1,))[0]).reshape(B, S, *shape) / 2
    batch = Batch(torch.zeros(B, S, 1), torch.zeros(B, S), torch.arange(S) < torch.tensor([[3], [1], [2], [3]]))
    shown = Pairs().show(Prediction(torch.nn.Identity(), None, [batch], [answers]))
    head, *lines = shown.files["predictions.csv"].splitlines()
    assert head == ",".join(["sequence", "step", *names])
    numbers = [[float(number) for number in line.split(",")] for line in lines]
    assert [row[:2] for row in numbers] == [[1, 1], [1, 2], [1, 3], [2, 1], [3, 1], [3, 2], [4, 1], [4, 2], [4, 3]]
    assert [row[2:] for row in numbers] == answers.reshape(B, S, -1)[batch.mask].tolist()
    assert [tuple(table.head) for table in shown.tables] == B * [("step", *names)]
    assert [len(table.rows) for table in shown.tables] == [3, 1, 2, 3]


OBJECTIVES = [
    Classification(5),
    Classification(2),
    Classification(2, sigmoid=True),
    Increments(),
    NextSample(),
    NextToken(6),
    Recall(),
    Restoration(),
    RunningSum(),
]


def make_batch(objective, masked):
    whole = not isinstance(objective, NextSample | Restoration | RunningSum)
    targets = torch.zeros(B, S, dtype=torch.long) if whole else torch.zeros(B, S)
    return Batch(
        torch.zeros(B, S, 1), targets, torch.arange(S) < torch.tensor([[3], [1], [2], [3]]) if masked else None
    )


@pytest.mark.parametrize(
    "objective", OBJECTIVES, ids=lambda objective: f"{type(objective).__name__}-{objective.output_size}"
)
@pytest.mark.parametrize("masked", [False, True])
def test_outputs_that_torch_would_broadcast_are_refused(objective, masked):
    batch, size = make_batch(objective, masked), objective.output_size
    assert objective.loss(torch.zeros(B, S, size), batch).isfinite()
    for shape in ((B, 1, size), (1, S, size), (B, S), (B,), (S,), (), (B, S, size + 1), (B, S, size, 1), (S, B, size)):
        said = rf"^the network's outputs of shape {re.escape(str(shape))} must be of \(4, 3, {size}\), \(B, S, K\)"
        with pytest.raises(InputError, match=said):
            objective.loss(torch.zeros(shape), batch)


@pytest.mark.parametrize(("shape", "is_said"), [((B, S, 5), True), ((B, 1, 4), False), ((B,), False)])
def test_answers_at_every_step_in_place_of_one_are_told_the_flag(shape, is_said):
    batch = Batch(torch.zeros(B, S, 1), torch.zeros(B, 1, dtype=torch.long))
    with pytest.raises(InputError) as error:
        Classification(5).loss(torch.zeros(shape), batch)
    assert ("give `--model.readout=last`" in str(error.value)) == is_said


def test_targets_with_an_axis_too_many_are_named():
    batch = Batch(torch.zeros(B, S, 1), torch.zeros(B, S, 1))
    with pytest.raises(InputError, match=r"^`targets` of the batch, of shape \(4, 3, 1\), must be of \(B, S\)"):
        RunningSum().loss(torch.zeros(B, S, 1), batch)


CLASSES = [objective for objective in OBJECTIVES if type(objective) in (Classification, NextToken, Recall)]
of_classes = pytest.mark.parametrize(
    "objective", CLASSES, ids=lambda objective: f"{type(objective).__name__}-{objective.output_size}"
)


@of_classes
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_classes_may_be_of_any_type_of_whole_numbers(objective, dtype):
    batch, outputs = make_batch(objective, masked=True), torch.randn(B, S, objective.output_size)
    metrics = objective.metrics()
    targets = (torch.arange(B * S).view(B, S) % 2).to(dtype)
    expected = objective.loss(outputs, batch._replace(targets=targets.long()))
    assert torch.equal(objective.loss(outputs, batch._replace(targets=targets)), expected)
    metrics.update(outputs, targets, batch.mask)


@of_classes
@pytest.mark.parametrize("wrong", [-100, -1, 100])
def test_a_class_that_there_is_not_is_named_unless_it_is_masked(objective, wrong):
    batch, outputs = make_batch(objective, masked=True), torch.randn(B, S, objective.output_size)
    classes = max(2, objective.output_size)
    expected = objective.loss(outputs, batch)
    metrics = objective.metrics(), objective.metrics()
    metrics[0].update(outputs, batch.targets, batch.mask)
    masked = batch._replace(targets=batch.targets.masked_fill(~batch.mask, wrong))
    assert torch.equal(objective.loss(outputs, masked), expected)
    metrics[1].update(outputs, masked.targets, masked.mask)
    assert metrics[0].compute() == metrics[1].compute()
    for edge in (wrong, classes):
        batch.targets[2, 1] = edge
        said = f"^{type(objective).__name__} has classes 0 to {classes - 1}, but the targets contain {edge}; .* a mask$"
        with pytest.raises(InputError, match=said):
            objective.loss(outputs, batch)


@of_classes
def test_classes_are_whole_numbers(objective):
    batch = make_batch(objective, masked=False)
    with pytest.raises(InputError, match=r"reads classes as targets, whole numbers; these are of torch.float32$"):
        objective.loss(torch.zeros(B, S, objective.output_size), batch._replace(targets=torch.zeros(B, S)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: RunningSum(beta=float("nan")),
        lambda: RunningSum(increment_weight=float("nan")),
        lambda: NextToken(10, length_power=float("nan")),
        lambda: Classification(scored=2.5),
        lambda: Classification(scored=True),
        lambda: SequenceModule(learning_rate=float("nan")),
        lambda: SequenceModule(weight_decay=float("nan")),
    ],
)
def test_what_is_no_number_is_refused(make):
    with pytest.raises(ValueError, match=r"^`\w+` \(="):
        make()
