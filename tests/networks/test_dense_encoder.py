"""DenseNet's connectivity against its equations, written as a loop over lists of maps."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqsum.networks import ConvEncoder, DenseEncoder
from seqsum.networks.dense_encoder import DenseBlock


def make_block(channels=5, layers=4, growth=3):
    torch.manual_seed(1)
    block = DenseBlock(channels, layers, growth).double().train()
    for part in block.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return block


def by_equations(block, maps):
    """`x_l = H_l([x_0, …, x_{l−1}])` with weights of a block, by functions of torch alone."""
    found = [maps]
    for norm, _, convolution in block.layers:
        read = torch.cat(found, dim=1)
        mean, variance = read.mean(dim=(0, 2, 3), keepdim=True), read.var(dim=(0, 2, 3), correction=0, keepdim=True)
        normal = (read - mean) / (variance + norm.eps).sqrt() * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
        found.append(F.conv2d(normal.clamp(min=0), convolution.weight, padding=1))
    return torch.cat(found, dim=1)


def test_a_block_is_its_equations_gradients_included():
    block = make_block()
    inputs = torch.randn(2, 5, 6, 6, dtype=torch.float64, requires_grad=True)
    outputs, expected = block(inputs), by_equations(block, inputs)
    assert outputs.shape == (2, 5 + 4 * 3, 6, 6)
    torch.testing.assert_close(outputs, expected)
    weights = [inputs, *block.parameters()]
    factors = torch.randn_like(outputs)
    torch.testing.assert_close(
        torch.autograd.grad((outputs * factors).sum(), weights),
        torch.autograd.grad((expected * factors).sum(), weights),
    )


@pytest.mark.parametrize("changed", range(4))
def test_every_layer_reads_all_before_it_and_none_after(changed):
    block = make_block().eval()
    inputs = torch.randn(2, 5, 6, 6, dtype=torch.float64)
    before = block(inputs).split([5, 3, 3, 3, 3], dim=1)
    with torch.no_grad():
        block.layers[changed][2].weight.add_(0.1)
    after = block(inputs).split([5, 3, 3, 3, 3], dim=1)
    differs = [not torch.equal(*pair) for pair in zip(before, after, strict=True)]
    assert differs == [place > changed for place in range(5)]


def test_transitions_compress_channels_and_average_pixels():
    encoder = DenseEncoder(blocks=(3, 5, 2), growth=4, compression=0.5)
    seen = []
    for layer in encoder.layers[:-4]:
        layer.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape[1:])))
    encoder(torch.randn(2, 1, 28, 28))
    assert seen[:6] == [(8, 14, 14), (20, 14, 14), (10, 7, 7), (30, 7, 7), (15, 3, 3), (23, 3, 3)]
    transition = encoder.layers[2].eval()
    maps = torch.randn(2, 20, 14, 14)
    expected = F.conv2d(F.relu(transition[0](maps)), transition[2].weight)
    torch.testing.assert_close(transition(maps), F.avg_pool2d(expected, 2))


@pytest.mark.parametrize("blocks", [(3,), (4, 4), (3, 3, 3, 3)])
@pytest.mark.parametrize(("image_size", "in_channels"), [(28, 1), (32, 3), (21, 2)])
def test_features_have_the_size_asked_for(blocks, image_size, in_channels):
    encoder = DenseEncoder(blocks, growth=4, output_size=10, image_size=image_size, in_channels=in_channels)
    assert encoder(torch.randn(3, in_channels, image_size, image_size)).shape == (3, 10)


def test_its_ending_is_that_of_the_other_encoder():
    torch.manual_seed(0)
    encoder = DenseEncoder((3, 3), growth=4, output_size=10, activation="logits", views=3).eval()
    images = torch.rand(6, 1, 28, 28)
    logits = encoder(images)
    torch.testing.assert_close(encoder.shares(images), logits.softmax(-1))
    encoder.choose(views=3)
    assert torch.equal(encoder(images).argmax(-1), logits.argmax(-1))
    assert encoder(images).count_nonzero(dim=-1).tolist() == [1] * 6
    frozen = DenseEncoder(frozen=True).train()
    assert not frozen.training
    assert not any(weight.requires_grad for weight in frozen.parameters())
    *_, norm, activation, _, _, _, _ = DenseEncoder((3, 3), growth=4).layers  # of the last block's maps
    assert (norm.num_features, type(activation)) == (10 + 12, nn.ReLU)
    kinds = [type(layer) for layer in DenseEncoder().layers[-4:]]
    assert kinds == [type(layer) for layer in ConvEncoder().layers[-4:]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": []}, r"`blocks` \(=\[\]\) must be one or more numbers of at least 1"),
        ({"blocks": [3, 0]}, r"`blocks` \(=\[3, 0\]\) must be one or more numbers of at least 1"),
        ({"growth": 0}, r"`growth` \(=0\) must be at least 1"),
        ({"compression": 0.0}, r"`compression` \(=0.0\) must be above 0 and at most 1"),
        ({"compression": 1.5}, r"`compression` \(=1.5\) must be above 0 and at most 1"),
        ({"blocks": [1] * 5}, r"`blocks` \(=\[1, 1, 1, 1, 1\]\) halve the image of `image_size` \(=28\) too often"),
        ({"activation": "tanh"}, r"`activation` \(='tanh'\) must be one of"),
        ({"output_size": 0}, r"`output_size` \(=0\) must be at least 1"),
        ({"in_channels": 0}, r"`in_channels` \(=0\) must be at least 1"),
        ({"image_size": 0}, r"`image_size` \(=0\) must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenseEncoder(**arguments)
