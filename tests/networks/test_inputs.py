"""Inputs that a network can't read, of any type and shape, are an error in words."""

from __future__ import annotations

import itertools

import pytest
import torch

from seqsum.data.base import unlabelled
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, DenseEncoder, Embed, Flatten, HiddenLayers, OneHot

ENCODERS = {
    "conv": lambda: ConvEncoder(channels=(2,)),
    "dense": lambda: DenseEncoder(blocks=(1,), growth=2),
    "flatten": Flatten,
    "hidden layers": lambda: HiddenLayers([4], input_size=28),
    "embed": lambda: Embed(9, 4),
    "one-hot": lambda: OneHot(9, 4),
}
READS_WORDS, READS_IMAGES = ("embed", "one-hot"), ("conv", "dense")
TYPES = torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool
SHAPES = (), (1,), (28,), (4, 7), (28, 28), (1, 28, 28), (3, 28, 28), (1, 1, 28, 28)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_network_reads_a_steps_input_or_says_why_not(name):
    module = SequenceModule(encoder=ENCODERS[name](), hidden_size=4).eval()
    for dtype, shape in itertools.product(TYPES, SHAPES):
        if name in READS_WORDS:
            fits = shape == () and dtype in (torch.int64, torch.int32, torch.uint8)
        elif name in READS_IMAGES:
            fits = shape == (1, 28, 28) and dtype == torch.float32
        else:
            fits = shape in ((28,), (4, 7)) and dtype == torch.float32
        batch = unlabelled(torch.ones(2, 3, *shape).to(dtype))
        if fits:
            assert module(batch).shape == (2, 3, 1)
        else:
            with pytest.raises(InputError, match=r"encoder|data|vocabulary_size"):
                module(batch)
