"""Checkpoints as data: the settings in them, and whether their weights fit a network."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from seqsum.errors import InputError
from seqsum.networks.sequence import LEARNED_STATE


def checkpoint_settings(options: list[str]) -> list[str]:
    """The settings in the checkpoint that `--ckpt_path` names, as an option to stand before the user's own.

    So a network is tested on what it was trained on and as it was built, unless a flag says otherwise.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path")
    path = parser.parse_known_args(options)[0].ckpt_path
    if path is None:
        return []
    return ["--config", json.dumps(settings_in(load_checkpoint(path)))]


def settings_in(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What the command line needs to make a checkpoint's network, `model`, and its data, `data`, again."""
    model = {key: value for key, value in checkpoint.get("hyper_parameters", {}).items() if key[0] != "_"}
    data = dict(checkpoint.get("datamodule_hyper_parameters", {}))
    data.pop("seed", None)  # follows `seed_everything`
    class_path = data.pop("_class_path", None)
    data = {"class_path": class_path, "init_args": {key: value for key, value in data.items() if key[0] != "_"}}
    return {"model": model} | ({"data": data} if class_path else {})


def load_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint as data: nothing in it is run."""
    if not Path(path).is_file():
        raise InputError(f"`--ckpt_path` (={path}) is not a file")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the unpickler fail anywhere
        reason = str(error).splitlines()[0]
        raise InputError(f"`--ckpt_path` (={path}) is not a checkpoint, or a damaged one ({reason})") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise InputError(f"`--ckpt_path` (={path}) is not a checkpoint of seqsum: it has no `state_dict`")
    return checkpoint


def check_architecture(path: str, model: torch.nn.Module, going_on: bool = False) -> None:
    """Compare the weights in a checkpoint with the network that is to take them.

    A learned initial state in the file may be left out, for another, unless the training goes on.

    Args:
        path: The checkpoint.
        model: A `SequenceModule`.
        going_on: Whether the optimizer's state is to be taken too.

    Raises:
        InputError: They differ in name or shape; the message names up to five that do.
    """
    found = {name: tuple(tensor.shape) for name, tensor in load_checkpoint(path)["state_dict"].items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if not going_on:
        left_out = {name for name in found.keys() - wanted.keys() if name.startswith(f"network.{LEARNED_STATE}")}
        found = {name: shape for name, shape in found.items() if name not in left_out}
    differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if differing:
        shown = "; ".join(f"{name}: {found.get(name)} in the file, {wanted.get(name)} here" for name in differing[:5])
        raise InputError(
            f"`--ckpt_path` (={path}) holds another architecture than the `--model` flags ask for: "
            f"{len(differing)} weights differ ({shown})"
        )
