"""Hidden layers: against products of matrices; starts of their weights; why zeros don't learn."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from seqsum.data import Batch
from seqsum.networks import Flatten, HiddenLayers, StepNetwork
from seqsum.networks.weight_starts import start_weights
from seqsum.objectives import Classification


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_each_layer_is_a_product_and_an_activation(activation):
    encoder = HiddenLayers([5, 3], activation, input_size=12).double().eval()
    inputs = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    expected = inputs.flatten(1)
    for layer in (part for part in encoder.layers if isinstance(part, nn.Linear)):
        expected = getattr(torch, activation)(expected @ layer.weight.T + layer.bias)
    torch.testing.assert_close(encoder(inputs), expected)
    assert encoder.output_size == 3


def test_units_are_dropped_in_training_only():
    encoder = HiddenLayers([500], "sigmoid", dropout=0.4, input_size=6)
    inputs = torch.randn(20, 6)
    assert 0.35 < float((encoder.train()(inputs) == 0).float().mean()) < 0.45
    assert (encoder.eval()(inputs) > 0).all()


@pytest.mark.parametrize(
    ("start", "std"),
    [
        ("torch", math.sqrt(1 / 3 / 800)), ("he", math.sqrt(2 / 800)), ("glorot", math.sqrt(2 / (800 + 400))),
        ("normal", 0.01), ("zeros", 0.0),
    ],
)  # fmt: skip
def test_starts_have_the_spread_that_they_say(start, std):
    torch.manual_seed(0)
    layer = HiddenLayers([400], start=start, input_size=800).layers[0]
    assert float(layer.weight.detach().std()) == pytest.approx(std, rel=0.02)
    assert (layer.bias == 0).all() == (start != "torch")


def learned(activation, start):
    """Train on classes that one unit can't tell apart; return the network and its share of right answers."""
    torch.manual_seed(0)
    network = StepNetwork(4, HiddenLayers([8], activation, start, input_size=2), start=start)
    points = torch.randn(200, 1, 2)
    batch = Batch(points, (2 * (points[..., 0] > 0) + (points[..., 1] > 0)).long())
    objective, optimizer = Classification(4), torch.optim.Adam(network.parameters(), lr=0.03)
    for _ in range(200):
        optimizer.zero_grad()
        objective.loss(network(batch), batch).backward()
        optimizer.step()
    return network, float((network(batch).argmax(-1) == batch.targets).float().mean())


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_from_zeros_all_units_stay_equal_and_little_is_learned(activation):
    network, accuracy = learned(activation, "zeros")
    weight = network.encoder.module.layers[0].weight
    assert (weight == weight[:1]).all()
    assert (weight == 0).all() == (activation != "sigmoid")  # σ(0) is ½, so the head learns, and then the layer
    assert accuracy < 0.7
    assert learned(activation, "he")[1] > 0.9


def test_logistic_regression_is_one_product():
    network = StepNetwork(10, Flatten(784)).double()
    batch = Batch(torch.randn(3, 1, 1, 28, 28, dtype=torch.float64), torch.zeros(3, 1))
    expected = batch.inputs.flatten(2) @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(network(batch), expected)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: HiddenLayers([]), r"`sizes` \(=\[\]\) must be one or more numbers of at least 1"),
        (lambda: HiddenLayers([4, 0]), r"`sizes` \(=\[4, 0\]\) must be one or more numbers of at least 1"),
        (lambda: HiddenLayers(activation="step"), r"`activation` \(='step'\) must be one of"),
        (lambda: HiddenLayers(start="ones"), r"`start` \(='ones'\) must be one of"),
        (lambda: HiddenLayers(dropout=2), r"`dropout` \(=2\) must be between 0 and 1"),
        (lambda: HiddenLayers(input_size=0), r"`input_size` \(=0\) must be at least 1"),
        (lambda: HiddenLayers()(torch.ones(2, 3, 4)), r"`input_size` \(=784\) of the encoder must be the 12 numbers"),
        (lambda: StepNetwork(start="ones"), r"`start` \(='ones'\) must be one of"),
        (lambda: start_weights(nn.Linear(2, 2), "ones"), r"`start` \(='ones'\) must be one of"),
    ],
)
def test_what_is_wrong_is_named(made, message):
    with pytest.raises(ValueError, match=message):
        made()
