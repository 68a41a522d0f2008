"""Whole networks exported by torch.export, for any number of sequences and steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqsum.data import Batch
from seqsum.networks import ConvEncoder, Embed, Flatten, build_network

DYNAMIC = torch.export.Dim.DYNAMIC
NETWORKS = {
    "images": lambda: build_network(encoder=ConvEncoder((4,), output_size=8), output_size=1, hidden_size=5),
    "rows": lambda: build_network(encoder=Flatten(3), output_size=2, cell="gru", num_layers=2, bidirectional=True),
    "learned state": lambda: build_network(encoder=Flatten(3), output_size=2, initial_state="learned"),
    "words": lambda: build_network(encoder=Embed(9, output_size=4), output_size=2, cell="gru", readout="mean_max"),
}


class OfTensors(nn.Module):
    """Takes tensors, as an exported program does."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, inputs, mask):
        return self.network(Batch(inputs, inputs.new_zeros(1, 1), mask))


def draw(name, batch, steps):
    generator = torch.Generator().manual_seed(batch)
    inputs = torch.randn(batch, steps, *((1, 28, 28) if name == "images" else (3,)), generator=generator)
    if name == "words":
        inputs = torch.randint(9, (batch, steps), generator=generator)
    return inputs, torch.rand(batch, steps, generator=generator) < 0.7


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # torch's own code
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("grad", [True, False])
def test_a_network_is_exported_for_any_number_of_sequences_and_steps(name, grad):
    if torch.__version__ < (2, 11) and name in ("images", "learned state"):
        pytest.skip("torch 2.8 can't export a loop over time whose cell is a part of a module")
    torch.manual_seed(0)
    network = OfTensors(NETWORKS[name]()).eval()
    sizes = {0: DYNAMIC, 1: DYNAMIC}
    with torch.set_grad_enabled(grad):
        exported = torch.export.export(network, draw(name, 3, 5), dynamic_shapes=(sizes, sizes)).module()
        for batch, steps in ((3, 5), (2, 7), (6, 2)):
            given = draw(name, batch, steps)
            torch.testing.assert_close(exported(*given), network(*given))
