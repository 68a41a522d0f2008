"""Several processes: which of them this is, how many there are, and that together they compute what one would."""

from __future__ import annotations

import atexit
import os

import torch
from lightning.fabric.plugins.environments import TorchElasticEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, distributed

from seqsum.errors import InputError


def of_all_processes(mean: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """A mean over one process's share of a batch as a part of that over the whole batch.

    Strategies average the gradients of the processes as if all had the same share. But of a short last batch one
    may have fewer rows or none, and masks leave out what they like. Each process's mean is therefore weighted by
    its count; the average over the processes is then the mean over everything. One small message a batch.

    Args:
        mean: Scalar, of this process; any value where `count` is 0, as long as it is finite.
        count: Scalar, of what it is the mean.

    Returns:
        What this process has to differentiate, and the mean over all processes, detached. Both are `mean` where
        there is but one.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return mean, mean.detach()
    sums = torch.stack([mean.detach() * count, count.to(mean)])
    distributed.all_reduce(sums)
    total, count_of_all = sums[0], sums[1].clamp(min=1)
    return mean * (distributed.get_world_size() * count / count_of_all), total / count_of_all


@atexit.register
def end_process_group() -> None:
    """Join the threads of the process group while there is still an interpreter.

    A thread of gloo frees a tensor for which it asks Python. If the interpreter is ending, the whole process is
    aborted ("terminate called without an active exception"). Lightning registers the same for NCCL, but for no
    other backend.
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def is_first_process() -> bool:
    """Whether this is the first of all processes, as far as one can know before the Trainer is made."""
    return getattr(rank_zero_only, "rank", 0) == 0 and os.environ.get("NODE_RANK", "0") == "0"


def check_processes(trainer: Trainer) -> None:
    """Refuse to let processes that torchrun started train one by one, each with a run of its own."""
    if not TorchElasticEnvironment.detect():
        return
    started = int(os.environ["WORLD_SIZE"])
    if started != trainer.world_size:
        nodes = trainer.num_nodes
        raise InputError(
            f"`--trainer.devices` (={trainer.num_devices}) and `--trainer.num_nodes` (={nodes}) are "
            f"{trainer.world_size} processes, but torchrun started {started}: the product must be {started}"
        )


def first_device(devices: str | int | list[int]) -> int | list[int]:
    """The first of the devices that `--trainer.devices` names: its number if there are numbers, else any one."""
    if isinstance(devices, str) and "," in devices:
        devices = [int(number) for number in devices.split(",") if number]
    return devices[:1] if isinstance(devices, list) else 1
