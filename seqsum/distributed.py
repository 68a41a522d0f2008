"""Run several processes so that together they compute what one would."""

from __future__ import annotations

import atexit
import os

import torch
from lightning.fabric.plugins.environments import TorchElasticEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, distributed

from seqsum.errors import InputError


def weight_among_processes(mean: Tensor, count: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    """Weigh this process's mean loss so that the average over processes, as DDP computes it, is the global mean.

    DDP averages gradients as if all processes had the same number of terms. But a process may have fewer rows of a
    short last batch, or none, and masks leave out different numbers of steps. So each process's mean is weighted by its
    count. This takes one small message per batch.

    Args:
        mean: Scalar, this process's mean; if `count` is 0, any finite value.
        count: Scalar, the number of terms in the mean.

    Returns:
        The weight by which this process multiplies its mean before it differentiates it; the mean over all processes,
        detached; and the number of their terms. With one process, None, for no weight, `mean` and `count`.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return None, mean.detach(), count
    counted = count.to(torch.promote_types(mean.dtype, torch.float32))  # bfloat16 counts exactly only up to 256
    sums = torch.stack([mean.detach() * counted, counted])
    distributed.all_reduce(sums)
    total, count_of_all = sums[0], sums[1].clamp(min=1)
    return distributed.get_world_size() * counted / count_of_all, total / count_of_all, sums[1]


@atexit.register
def end_process_group() -> None:
    """Destroy the process group before the interpreter ends.

    A gloo thread needs Python to free a tensor. If the interpreter is shutting down, that aborts the process
    ("terminate called without an active exception"). Lightning registers the same for NCCL only.
    """
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def is_first_process() -> bool:
    """Whether this is the first of all processes, as far as is known before the Trainer exists."""
    return getattr(rank_zero_only, "rank", 0) == 0 and os.environ.get("NODE_RANK", "0") == "0"


def check_processes(trainer: Trainer) -> None:
    """Raise an InputError unless the Trainer's processes are started by a command, as many as it uses.

    Those that torchrun starts beyond that number would train independently, each in its own run. And what is trained in
    processes that Lightning starts from this one, as in a notebook, can't be tested here.
    """
    if type(trainer.strategy.launcher).__name__ == "_MultiProcessingLauncher":
        raise InputError(
            "`--trainer.strategy` starts processes from this one (by spawn or fork, as in a notebook): use ddp, and "
            "`python train.py` or torchrun"
        )
    if not TorchElasticEnvironment.detect():
        return
    started = int(os.environ["WORLD_SIZE"])
    if started != trainer.world_size:
        nodes = trainer.num_nodes
        raise InputError(
            f"`--trainer.devices` (={trainer.num_devices}) times `--trainer.num_nodes` (={nodes}) makes "
            f"{trainer.world_size} processes, but torchrun started {started}: the product must be {started}"
        )


def first_device(devices: str | int | list[int]) -> int | list[int]:
    """Return the first of the devices in `--trainer.devices`: a list with its index if there are indices, else 1."""
    if isinstance(devices, str) and "," in devices:
        devices = [int(number) for number in devices.split(",") if number]
    return devices[:1] if isinstance(devices, list) else 1
