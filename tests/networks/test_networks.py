"""Encoder, folded time and the whole network."""

import pytest
import torch
from torch import nn

from seqsum.networks import ConvEncoder, SequenceNetwork, TimeDistributed, build_recurrence


def make_network(**arguments):
    torch.manual_seed(0)
    encoder = ConvEncoder(channels=(2, 3), output_size=4)
    recurrence = build_recurrence(**{"cell": "lstm", "input_size": 4, "hidden_size": 5, **arguments})
    return SequenceNetwork(encoder, recurrence, nn.Linear(5, 1))


def test_time_distributed_equals_a_loop_over_time():
    torch.manual_seed(0)
    encoder = ConvEncoder(channels=(2, 3), output_size=4).eval()
    inputs = torch.randn(3, 5, 1, 28, 28)
    expected = torch.stack([encoder(inputs[:, t]) for t in range(5)], dim=1)
    torch.testing.assert_close(TimeDistributed(encoder)(inputs), expected)


@pytest.mark.parametrize("image_size", [28, 32, 21])
@pytest.mark.parametrize("channels", [(4,), (4, 6, 8)])
@pytest.mark.parametrize("stem", ["strided", "pooled"])
def test_encoder_shape(image_size, channels, stem):
    encoder = ConvEncoder(channels, stem, output_size=10, image_size=image_size)
    assert encoder(torch.randn(3, 1, image_size, image_size)).shape == (3, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": []}, r"`channels` \(=\[\]\) must be one or more numbers of at least 1"),
        ({"channels": [8, 0]}, r"`channels` \(=\[8, 0\]\) must be"),
        ({"output_size": 0}, r"`output_size` \(=0\) must be at least 1"),
        ({"channels": [8] * 5}, r"`channels` \(=\[8, 8, 8, 8, 8\]\) halve the image of `image_size` \(=28\) too often"),
        ({"dropout": 2.0}, "dropout probability has to be between 0 and 1, but got 2.0"),
    ],
)
def test_encoder_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvEncoder(**arguments)


def test_every_step_is_predicted_from_what_came_before():
    network = make_network().eval()
    inputs = torch.randn(2, 4, 1, 28, 28)
    outputs = network(inputs)
    assert outputs.shape == (2, 4, 1)
    changed = inputs.clone()
    changed[:, 2] += 1
    differs = (network(changed) != outputs).squeeze(-1)
    assert differs.tolist() == [[False, False, True, True]] * 2


def test_mask_reaches_the_recurrence():
    network = make_network().eval()
    inputs = torch.randn(2, 4, 1, 28, 28)
    mask = torch.tensor([[True, True, True, True], [True, False, True, True]])
    outputs = network(inputs, mask)
    torch.testing.assert_close(outputs[1, [0, 2, 3]], network(inputs[1:, [0, 2, 3]])[0])


def test_torch_lstm_starts_from_the_same_weights():
    networks = [make_network(cell=cell, num_layers=2, output_activation="tanh") for cell in ("lstm", "torch_lstm")]
    inputs = torch.randn(2, 4, 1, 28, 28)
    torch.testing.assert_close(networks[0](inputs), networks[1](inputs))
    assert isinstance(networks[1].recurrence, nn.LSTM)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "ltsm"}, r"`cell` \(='ltsm'\) must be one of \['lstm', 'torch_lstm'\]"),
        ({"hidden_size": 0}, r"`hidden_size` \(=0\) must be at least 1"),
        ({"num_layers": 0}, r"`num_layers` \(=0\) must be at least 1"),
        (
            {"cell": "torch_lstm", "output_activation": "identity"},
            r"`output_activation` \(='identity'\) must be 'tanh' for `cell` 'torch_lstm'",
        ),
    ],
)
def test_unknown_recurrence_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_network(**arguments)


def test_description_counts_parameters():
    network = make_network()
    total = sum(parameter.numel() for parameter in network.parameters())
    assert network.describe().startswith("ConvEncoder ")
    assert network.describe().endswith(f"→ Linear 6, {total:,} parameters in all")
