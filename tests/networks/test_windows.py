"""Truncated backpropagation through time, compared with a loop that detaches the state."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from seqsum.benchmarks.timing import peak_memory
from seqsum.data.base import Batch, unlabelled
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, Flatten, SequenceNetwork, TimeDistributed, build_recurrence, run_in_windows
from seqsum.objectives import RunningSum

B, T, WINDOW = 3, 7, 3  # the last window is shorter


def make_network(cell: str, backend: str = "auto", **options) -> SequenceNetwork:
    """Make a network with batch normalisation and dropout in its encoder."""
    torch.manual_seed(1)
    encoder = ConvEncoder((2,), output_size=5, dropout=0.3)
    network = SequenceNetwork(encoder, build_recurrence(cell, 5, 4, 2, backend, **options), nn.Linear(4, 1))
    return network.double()


def make_sequences(masked: bool = False):
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(B, T, 1, 28, 28, generator=generator, dtype=torch.float64)
    targets = torch.randint(-9, 10, (B, T), generator=generator).cumsum(1).double()
    mask = torch.rand(B, T, generator=generator) > 0.3 if masked else None
    return inputs, targets, mask


def by_hand(network, inputs, mask):
    """Run the windows in turn and keep all of them for the backward pass."""
    outputs, state = [], None
    for start in range(0, T, WINDOW):
        window = slice(start, start + WINDOW)
        output, state = network.run(inputs[:, window], state, mask=None if mask is None else mask[:, window])
        outputs.append(output)
        state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
    return torch.cat(outputs, 1)


def train_once(network, run, masked):
    """Run a seeded forward and backward pass; return loss, gradients and normalisation statistics."""
    inputs, targets, mask = make_sequences(masked)
    torch.manual_seed(3)
    loss = RunningSum().loss(run(network, inputs, mask), Batch(inputs, targets, mask))
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {"loss": loss.detach(), **gradients, **dict(network.named_buffers())}


@pytest.mark.parametrize(
    ("cell", "backend", "masked"),
    [
        ("lstm", "eager", True),
        ("lstm", "script", False),
        ("lstm", "auto", True),
        ("gru", "bptt", True),
        ("rnn", "auto", False),
        ("torch_gru", "auto", False),
    ],
)
def test_gradients_are_those_of_a_loop_that_detaches_the_state(cell, backend, masked):
    """The loss compares neighbouring steps across borders, and dropout draws as in the loop."""
    network = make_network(cell, backend)
    expected = train_once(copy.deepcopy(network), by_hand, masked)
    found = train_once(network, lambda network, *batch: run_in_windows(network, *batch, WINDOW), masked)
    whole = train_once(
        make_network(cell, backend), lambda network, inputs, mask: network(unlabelled(inputs, mask)), masked
    )
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-12, msg=name)
    recurrent = next(name for name in whole if "weight_hh" in name)
    assert not torch.allclose(found[recurrent], whole[recurrent], rtol=1e-3)


def test_learned_initial_state_gets_its_gradient():
    network = make_network("lstm", learn_initial_state=True)
    gradients = train_once(network, lambda network, *batch: run_in_windows(network, *batch, WINDOW), False)
    states = [value for name, value in gradients.items() if "initial_state" in name]
    assert states
    assert all(value.abs().max() > 0 for value in states)


@pytest.mark.parametrize("window", [T, T + 5])
def test_window_of_the_whole_sequence_changes_no_bit(window):
    inputs, _, mask = make_sequences(masked=True)
    results = []
    for truncate in (None, window):
        torch.manual_seed(4)
        module = SequenceModule(encoder=ConvEncoder((2,), output_size=5), hidden_size=4, truncate=truncate).double()
        module(unlabelled(inputs, mask)).pow(2).mean().backward()
        results.append([parameter.grad for parameter in module.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_evaluation_in_windows_gives_the_same_outputs():
    network = make_network("lstm").eval()
    inputs, _, mask = make_sequences(masked=True)
    with torch.no_grad():
        torch.testing.assert_close(run_in_windows(network, inputs, mask, WINDOW), network(unlabelled(inputs, mask)))


def long_step_memory(steps: int, window: int | None) -> int:
    torch.manual_seed(5)
    module = SequenceModule(encoder=Flatten(output_size=8), hidden_size=32, backend="bptt", truncate=window)
    inputs = torch.randn(2, steps, 8)
    targets = inputs.sum(-1).cumsum(1)

    def step() -> None:
        module.objective.loss(module(Batch(inputs, targets)), Batch(inputs, targets)).backward()

    step()  # compilers and gradients
    return peak_memory(step, torch.device("cpu"))


@pytest.mark.slow
def test_memory_of_a_step_does_not_grow_with_the_sequence():
    """Memory still grows by outputs and by states at the borders, which are negligible beside the activations."""
    short, long, whole = long_step_memory(200, 50), long_step_memory(800, 50), long_step_memory(800, None)
    per_step = (long - short) / 600
    assert per_step < 2 * 4 * 30, "bytes: some numbers for each of two sequences"
    assert whole > 5 * long


def test_truncate_must_be_positive():
    with pytest.raises(ValueError, match=r"`truncate` \(=0\) must be at least 1"):
        SequenceModule(truncate=0)


class Peak(nn.Module):
    """Stands in for an encoder and records the largest number of inputs in one call."""

    most = 0

    def forward(self, inputs):
        self.most = max(self.most, len(inputs))
        return inputs.flatten(1)


@pytest.mark.parametrize(
    ("training", "gradients", "most"), [(False, False, 4_096), (False, True, 9_000), (True, False, 9_000)]
)
def test_encoder_sees_pieces_where_no_gradient_is_wanted(training, gradients, most):
    """In training the module gets whole batches, because batch normalisation must see all of them."""
    layer, inputs = TimeDistributed(Peak()).train(training), torch.randn(3_000, 3, 2)
    with torch.set_grad_enabled(gradients):
        assert torch.equal(layer(inputs), inputs)
    assert layer.module.most == most
