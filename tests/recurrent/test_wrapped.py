"""Cells within modules of other libraries, which bring the weights when they are called, and take them away again."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, checkpoint_wrapper
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy
from torch.testing import assert_close

from seqsum import GRU, LSTM, RNN, GRUCell, Recurrent
from tests.covering import covering
from tests.recurrent.oracles import BACKENDS, B, F, H, T
from tests.recurrent.test_recurrent import MinimalGatedUnit

LAYERS = {
    "lstm": lambda backend: LSTM(F, H, num_layers=2, bidirectional=True, backend=backend),
    "gru": lambda backend: GRU(F, H, learn_initial_state=True, backend=backend),
    "rnn": lambda backend: RNN(F, H, backend=backend),
    "own": lambda backend: Recurrent(MinimalGatedUnit(F, H), backend=backend),
}


class Around(nn.Module):
    """Doubles a cell's weights, which were halved, while it runs, and with gradients until the backward pass."""

    def __init__(self, cell):
        super().__init__()
        self.inner = cell
        with torch.no_grad():
            for weight in cell.parameters():
                weight /= 2

    def forward(self, *arguments):
        for weight in self.inner.parameters():
            weight.data *= 2
        results = self.inner(*arguments)
        if not torch.is_grad_enabled():
            for weight in self.inner.parameters():
                weight.data /= 2
        return results


class Passing(Around):
    """Has the cell's attributes, too."""

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)


def offload(cell):
    """Do as accelerate does: put weights elsewhere, and bring them from there by another `forward`."""
    elsewhere = {name: weight.detach().clone() for name, weight in cell.named_parameters(recurse=False)}

    def put(values):
        for name, value in values.items():
            cell._parameters[name] = nn.Parameter(value)

    def forward(cell, *arguments):
        put(elsewhere)
        results = cell._old_forward(*arguments)
        put({name: value.to("meta") for name, value in elsewhere.items()})
        return results

    cell._old_forward = cell.forward
    cell.forward = partial(forward, cell)
    put({name: value.to("meta") for name, value in elsewhere.items()})


@pytest.mark.parametrize(("kind", "backend", "around"), covering(LAYERS, ("auto", *BACKENDS), (Around, Passing)))
def test_a_module_around_a_cell_runs(kind, backend, around):
    layer = LAYERS[kind](backend if kind != "own" or backend in ("auto", "eager", "script") else "auto")
    plain, inputs = copy.deepcopy(layer), torch.randn(T, B, F)
    for index, cell in enumerate(layer.cells):
        layer.cells[index] = around(cell)
    states = plain(inputs)[1]  # of the shapes that a user gives
    with torch.no_grad():
        for hx in (None, states):
            assert_close(layer(inputs, hx)[0], plain(inputs, hx)[0])
    layer(inputs)[0].sum().backward()
    plain(inputs)[0].sum().backward()
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        assert_close(one.grad, other.grad)
    assert repr(layer)


@pytest.mark.parametrize("kind", ["lstm", "rnn"])
@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_weights_may_be_elsewhere_until_a_cell_runs(kind, backend):
    layer = LAYERS[kind](backend)
    plain, inputs = copy.deepcopy(layer), torch.randn(T, B, F)
    for cell in layer.cells:
        offload(cell)
    with torch.no_grad():
        for hx in (None, plain(inputs)[1]):
            assert_close(layer(inputs, hx)[0], plain(inputs, hx)[0])
    assert all(weight.is_meta for weight in layer.cells.parameters())
    with pytest.raises(ValueError, match=r"`input` of type torch\.float64 must be of the type of the weights"):
        layer(inputs.double())


def test_weights_on_the_meta_device_that_nobody_brings_are_refused():
    with pytest.raises(ValueError, match="must be on the device of the weights, meta"):
        GRU(F, H, device="meta")(torch.randn(T, B, F))


@pytest.mark.parametrize("way", ["compiled", *CheckpointImpl])
def test_what_computes_the_same_is_left_out(way):
    layer, inputs = Recurrent(GRUCell(F, H), num_layers=2), torch.randn(T, B, F)
    plain = copy.deepcopy(layer)
    compiled = partial(torch.compile, backend="eager")
    around = compiled if way == "compiled" else partial(checkpoint_wrapper, checkpoint_impl=way)
    for index, cell in enumerate(layer.cells):
        layer.cells[index] = around(cell)
    outputs, expected = layer(inputs)[0], plain(inputs)[0]
    assert_close(outputs, expected)
    outputs.sum().backward()
    expected.sum().backward()
    for one, other in zip(layer.parameters(), plain.parameters(), strict=True):
        assert_close(one.grad, other.grad)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = LSTM(F, 16, num_layers=2), nn.Linear(16, 1)

    def forward(self, inputs):
        return self.head(self.layer(inputs)[0])


def train_in_shards(rank, folder, use_orig_params):
    """Train a step with weights that two processes divide among them, cell by cell, and save the outputs after it."""
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(0)
    policy = partial(size_based_auto_wrap_policy, min_num_params=1000)
    device = torch.device("cpu")
    model = FullyShardedDataParallel(
        Model(), auto_wrap_policy=policy, device_id=device, use_orig_params=use_orig_params
    )
    assert all(isinstance(cell, FullyShardedDataParallel) for cell in model.layer.cells)
    torch.save(outputs_after_a_step(model), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def outputs_after_a_step(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(T, B, F, generator=torch.Generator().manual_seed(1))
    model(inputs).square().mean().backward()
    optimizer.step()
    return model(inputs).detach()


@pytest.mark.slow
@pytest.mark.parametrize("use_orig_params", [False, True])
def test_cells_may_be_sharded_each_by_itself(tmp_path, use_orig_params):
    multiprocessing.spawn(train_in_shards, (str(tmp_path), use_orig_params), nprocs=2)
    torch.manual_seed(0)
    expected = outputs_after_a_step(Model())
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), expected)
