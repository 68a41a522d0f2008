"""Encoders of images in colours, of other sizes, and what they say of images that don't fit."""

from __future__ import annotations

import pytest
import torch

from seqsum.networks import ConvEncoder, DenseEncoder
from seqsum.networks.budget import count_parameters


@pytest.mark.parametrize("made", [ConvEncoder, DenseEncoder])
def test_only_the_first_convolution_grows_with_the_colours(made):
    torch.manual_seed(0)
    grey, colours = made(), made(in_channels=3)
    first, *_ = (part for part in colours.modules() if isinstance(part, torch.nn.Conv2d))
    assert first.in_channels == 3
    assert count_parameters(colours) - count_parameters(grey) == first.weight.numel() * 2 // 3


@pytest.mark.parametrize("made", [ConvEncoder, DenseEncoder])
def test_all_colours_are_seen(made):
    encoder = made(in_channels=3, image_size=32, activation="logits").eval()
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    encoder(images).square().sum().backward()
    assert (images.grad.abs().sum(dim=(0, 2, 3)) > 0).all()


@pytest.mark.parametrize("made", [ConvEncoder, DenseEncoder])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 28, 28), r"`in_channels` \(=1\) of the encoder must be that of the images, 3"),
        ((2, 1, 32, 32), r"`image_size` \(=28\) of the encoder must be that of the images, 32×32"),
        ((2, 1, 28, 27), r"`image_size` \(=28\) of the encoder must be that of the images, 28×27"),
    ],
)
def test_images_that_do_not_fit_are_named(made, shape, message):
    with pytest.raises(ValueError, match=message):
        made()(torch.rand(shape))


def test_a_frozen_encoder_looks_once_while_the_rest_learns():
    torch.manual_seed(0)
    encoder, images = ConvEncoder((2, 4), activation="logits", views=3), torch.rand(5, 1, 28, 28)
    encoder.freeze()
    looks = []
    encoder.layers[0].register_forward_hook(lambda *_: looks.append(1))
    encoder.train()(images)
    assert len(looks) == 1
    encoder.eval()(images)
    assert len(looks) == 4
