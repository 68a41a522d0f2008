"""Two processes have the same results with and without graphs, bit for bit, also if only one of them has graphs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqsum.errors import InputError
from seqsum.graphs.averaging import Averaging, PackedGradients
from tests.distributed.launching import run_in_processes
from tests.graphs import job

SLOW = [name for name in job.CASES if name not in job.FAST]


NO_GRAPHS, FAILED = "without CUDA graphs, since", "one can't be captured (no memory)."
LOOKS_BACK = "LambdaCallback.on_before_backward may inspect the autograd graph of the loss."
SAID = {
    "captured in one": [
        [],
        [f"[rank: 1] {what} {NO_GRAPHS} {FAILED}" for what in ("Batches are made", "Training steps run")],
    ],
    "refused in one": [[f"Training steps run {NO_GRAPHS} {LOOKS_BACK}"], []],  # the first process speaks for all
}


@pytest.mark.parametrize("names", [job.FAST, pytest.param(SLOW, marks=pytest.mark.slow)], ids=["fast", "slow"])
def test_graphs_change_nothing(names, tmp_path, mnist_root):
    """By the stand-in for CUDA graphs."""
    processes = run_in_processes(2, tmp_path, job.compute, names, mnist_root, tmp_path, "cpu")
    for name in names:
        found = [process[name] for process in processes]
        assert [process["difference"] for process in found] == [0.0, 0.0], name
        assert tuple(process["graphs"] for process in found) == job.CASES[name].graphs, name
        assert [process["said"] for process in found] == SAID.get(name, [[], []]), name


def test_packed_gradients_lie_in_memory_as_autograd_lays_them(group):
    """Otherwise clipping and the optimizer would add in another order on a GPU."""
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(3, 5, bias=False), nn.Linear(1, 7, dtype=torch.float64))
    network[0].to(memory_format=torch.channels_last)
    weights = [*network.parameters()]
    weights.append(nn.Parameter(torch.randn(4, 3, 2).permute(2, 0, 1)))
    weights.append(nn.Parameter(torch.randn(3).expand(4, 3)))
    packed = PackedGradients(weights, group)
    for weight, view in zip(weights, packed.views, strict=True):
        weight.square().sum().backward()
        assert view.stride() == weight.grad.stride()
        assert (view.data_ptr() - packed.views[0].data_ptr()) % 16 == 0 or view.dtype != torch.float32
    before = [weight.grad.clone() for weight in weights]
    packed.pack()
    packed.average()
    packed.give_views()
    assert all(torch.equal(weight.grad, gradient) for weight, gradient in zip(weights, before, strict=True))


def test_the_places_are_those_of_the_weights_that_are_trained_now(group):
    module = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    averaging = Averaging(nn.parallel.DistributedDataParallel(module), module)
    for frozen, trained in ((0, [*module[1].parameters()]), (1, [*module[0].parameters()])):
        averaging.places()
        for place, part in enumerate(module):
            part.requires_grad_(place != frozen)
        found = averaging.places()
        assert all(one is other for one, other in zip(found.weights, trained, strict=True))
        assert averaging.places() is found


def test_a_weight_without_gradient_is_named(group):
    """As by DDP itself, which says so in the next step."""
    module = nn.ModuleDict({"used": nn.Linear(1, 1), "idle": nn.Linear(1, 1)})
    averaging = Averaging(nn.parallel.DistributedDataParallel(module), module)
    averaging.begin_step(accumulated=1)
    module["used"](torch.ones(1)).backward()
    with pytest.raises(InputError, match=r"idle.weight has no gradient.*--trainer.strategy=ddp_find_unused_parameters"):
        averaging.average(None)
