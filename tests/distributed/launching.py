"""Runs a function in several processes that form a group."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

TIMEOUT = 300  # seconds; a process that waits for another hangs


def run_in_processes(count: int, folder: Path, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Run a function in each of several processes, and return what each returned.

    They are forked from one process that has imported everything: torchrun's would each do so.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": find_free_network_port(), "WORLD_SIZE": count}
    processes = [
        context.Process(target=_run_as_one_of_several, args=(folder, group, rank, function, arguments), daemon=True)
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=TIMEOUT)
    assert [process.exitcode for process in processes] == [0] * count
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _run_as_one_of_several(
    folder: Path, group: dict[str, Any], rank: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """Call the function in a process with torchrun's variables, and write what it returns to `FOLDER/RANK.pt`."""
    variables = {**group, "RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_RUN_ID": "tests"}
    os.environ.update({name: str(value) for name, value in variables.items()})
    torch.set_num_threads(1)
    torch.save(function(*arguments), folder / f"{rank}.pt")
