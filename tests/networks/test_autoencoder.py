"""Autoencoders: shapes, what the decoder sees, and that one learns to restore images and starts other networks."""

from __future__ import annotations

import pytest
import torch

from seqsum.data import unlabelled
from seqsum.networks import Autoencoder, ConvEncoder, HiddenLayers
from seqsum.networks.autoencoder import ConvDecoder
from seqsum.objectives import Restoration


@pytest.mark.parametrize(("size", "colours"), [(28, 1), (32, 3), (9, 2), (1, 1)])
@pytest.mark.parametrize("channels", [(4,), (5, 4), (6, 5, 4)])
def test_the_outputs_are_a_number_for_each_pixel(size, colours, channels):
    encoder = HiddenLayers((7,), input_size=colours * size**2)
    network = Autoencoder(encoder, channels, image_size=size, in_channels=colours).train()
    batch = unlabelled(torch.randn(3, 1, colours, size, size))
    outputs = network(batch)
    assert outputs.shape == (3, colours * size**2, 1)
    outputs.square().sum().backward()
    assert all(weight.grad.abs().max() > 0 for weight in network.encoder.parameters())


def test_pixels_come_in_the_order_of_the_images():
    """A decoder whose last bias differs by colour paints each colour's pixels, which come first to last."""
    decoder = ConvDecoder(4, (3,), image_size=6, out_channels=3).eval()
    with torch.no_grad():
        decoder.layers[-1].weight.zero_()
        decoder.layers[-1].bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    pixels = decoder(torch.randn(2, 4)).view(2, 3, 6, 6)
    assert torch.equal(pixels, torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(2, 3, 6, 6))


def test_each_image_is_restored_from_its_own_features():
    torch.manual_seed(0)
    network = Autoencoder(ConvEncoder((2, 3), output_size=5, activation="logits", views=1), (4, 3)).eval()
    images = torch.randn(6, 1, 1, 28, 28)
    together = network(unlabelled(images))
    alone = torch.cat([network(unlabelled(image[None])) for image in images])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(network.features(unlabelled(images))[:, 0], network.encoder.module(images[:, 0]))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_it_learns_a_few_images_by_heart(loss):
    torch.manual_seed(0)
    objective = Restoration(loss)
    network = Autoencoder(HiddenLayers((16,)), (8, 4)).train()
    images = (torch.rand(4, 1, 1, 28, 28) < 0.3).float()
    batch = unlabelled(images)._replace(targets=images.flatten(1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02)
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = objective.loss(network(batch), batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    error = (objective.answers(network(batch), batch) - batch.targets).square().mean()
    assert losses[-1] < 0.5 * losses[0]
    assert error < 0.1 < 0.3 * 0.7  # the error of the best constant


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"channels": ()}, "channels"), ({"channels": (0,)}, "channels"), ({"image_size": 0}, "image_size")],
)
def test_sizes_out_of_range_are_refused(arguments, named):
    with pytest.raises(ValueError, match=f"`{named}`"):
        Autoencoder(HiddenLayers((7,)), **arguments)
