"""Cross-entropy and accuracies of chosen steps, compared with numbers computed by hand."""

import math

import pytest
import torch

from seqsum.objectives import Classification
from tests.objectives.batches import labelled

# probabilities of the right class by step: 1/2, 1/4, 3/4 and 1/4, 5/8, 1/8
RIGHT = torch.tensor([[0.5, 0.25, 0.75], [0.25, 0.625, 0.125]])
TARGETS = torch.tensor([[2, 2, 2], [0, 0, 0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])


def outputs():
    """Make logits `(2, 3, 3)` whose remaining probability goes to the right class's neighbour, except for a trace."""
    probabilities = torch.full((2, 3, 3), 1e-9)
    for row, target in ((0, 2), (1, 0)):
        probabilities[row, :, target] = RIGHT[row]
        probabilities[row, :, 1] = 1 - RIGHT[row]
    return probabilities.log() + 3  # a softmax takes no notice of a constant


@pytest.mark.parametrize(
    ("scored", "mask", "expected"),
    [
        ("every", None, [0.5, 0.25, 0.75, 0.25, 0.625, 0.125]),
        ("every", MASK, [0.5, 0.25, 0.75, 0.25, 0.625]),
        ("last", None, [0.75, 0.125]),
        ("last", MASK, [0.75, 0.625]),
        (2, None, [0.25, 0.75, 0.625, 0.125]),
        (2, MASK, [0.25, 0.75, 0.25, 0.625]),
    ],
)
def test_loss_is_the_mean_surprise_at_the_scored_steps(scored, mask, expected):
    objective = Classification(3, scored)
    surprise = sum(-math.log(p) for p in expected) / len(expected)
    assert objective.loss(outputs(), labelled(TARGETS, mask)).item() == pytest.approx(surprise, rel=1e-5)
    assert objective.scored(labelled(TARGETS, mask)).sum() == len(expected)


def test_loss_of_no_sequence_is_zero():
    assert Classification(3).loss(outputs()[:0], labelled(TARGETS[:0])).item() == 0


def test_accuracy_at_the_end_and_after_every_step():
    metrics = Classification(3).metrics()
    metrics.update(outputs(), TARGETS, MASK)
    assert metrics["accuracy"].compute().item() == 1  # steps 3 and 2
    metrics.update(outputs(), TARGETS)
    assert metrics["accuracy"].compute().item() == 3 / 4
    # step 1: the tie goes to the neighbour, 0 of 4; step 2: 2 of 4, step 3: 2 of 3
    assert metrics["accuracy_step"].by_step().tolist() == pytest.approx([0, 0.5, 2 / 3])


def test_at_every_step_one_accuracy_is_enough():
    assert set(Classification(3, "every").metrics()) == {"accuracy"}


def test_answers_are_the_likeliest_classes():
    assert Classification(3).answers(outputs(), labelled(TARGETS)).tolist() == [[1, 1, 2], [1, 0, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, r"`num_classes` \(=1\) must be at least 2"),
        ({"scored": 0}, r"`scored` \(=0\) must be one of \['last', 'every'\], or a number of at least 1"),
        ({"scored": "first"}, r"`scored` \(='first'\) must be one of"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Classification(**arguments)


@pytest.mark.parametrize("scored", ["last", "every", 2])
@pytest.mark.parametrize("mask", [None, MASK])
def test_one_sigmoid_output_equals_two_softmax_outputs(scored, mask):
    torch.manual_seed(0)
    single = (3 * torch.randn(2, 3, 1)).requires_grad_()
    double = torch.cat([torch.zeros(2, 3, 1), single.detach()], dim=-1).requires_grad_()
    batch = labelled(torch.tensor([[1, 1, 1], [0, 0, 0]]), mask)
    sigmoid, softmax = Classification(2, scored, sigmoid=True), Classification(2, scored)
    assert (sigmoid.output_size, softmax.output_size) == (1, 2)
    losses = sigmoid.loss(single, batch), softmax.loss(double, batch)
    torch.testing.assert_close(*losses)
    scored_steps = sigmoid.scored(batch)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        single[..., 0][scored_steps], batch.targets[scored_steps].float()
    )
    torch.testing.assert_close(losses[0].float(), expected)
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(single.grad[..., 0], double.grad[..., 1])
    assert torch.equal(sigmoid.probabilities(single), softmax.probabilities(double))
    torch.testing.assert_close(sigmoid.probabilities(single)[..., 1], single[..., 0].sigmoid())
    assert torch.equal(sigmoid.answers(single, batch), (single[..., 0] > 0).long())
    metrics = [objective.metrics() for objective in (sigmoid, softmax)]
    for of_objective, outputs in zip(metrics, (single, double), strict=True):
        of_objective.update(outputs, batch.targets, batch.scored)
    assert metrics[0].compute() == metrics[1].compute()
    right = ((single[..., 0] > 0) == batch.targets)[scored_steps]
    if scored != 2:
        assert metrics[0]["accuracy"].compute().item() == pytest.approx(right.float().mean().item())


def test_extreme_sigmoid_outputs_have_finite_losses():
    outputs = torch.tensor([[[300.0]], [[-300.0]]], requires_grad=True)
    loss = Classification(2, sigmoid=True).loss(outputs, labelled(torch.tensor([[0], [1]])))
    assert loss.item() == 300
    loss.backward()
    assert outputs.grad.flatten().tolist() == [0.5, -0.5]


def test_a_sigmoid_tells_only_two_classes_apart():
    with pytest.raises(ValueError, match=r"`sigmoid` \(=true\) needs `num_classes` \(=3\) to be 2"):
        Classification(3, sigmoid=True)


def test_probabilities_of_16_bits_are_computed_in_32():
    logits = outputs().bfloat16()
    torch.testing.assert_close(Classification(3).probabilities(logits), logits.float().softmax(-1))
