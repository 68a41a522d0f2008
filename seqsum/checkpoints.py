"""Checkpoints as data: the settings in them, whether their weights fit a network, how they are written and read."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from seqsum.errors import InputError
from seqsum.networks.sequence import LEARNED_STATE


class CheckpointFiles(TorchCheckpointIO):
    """Writes a whole checkpoint or none, and reads nothing but data.

    Lightning's own would write into the system's temporary folder and move the file from there, which is a
    copy that can stop halfway where that folder lies on another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write into a neighbour of `path`, make sure that it is on the disk, and let it take the place.

        Raises:
            InputError: The disk is full, or the folder can't be written to. What was at `path` is still there.
        """
        path = Path(path)
        neighbour = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with neighbour.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(neighbour, path)
        except (OSError, RuntimeError) as error:  # torch's writer hides what the system said in a RuntimeError
            neighbour.unlink(missing_ok=True)
            kept = f"; the last good one is still at {path}" if path.exists() else ""
            raise InputError(f"the checkpoint {path} can't be written ({_reason(error)}){kept}") from error

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: Any = True) -> dict[str, Any]:
        """Read it as data, whatever Lightning or the environment would rather have."""
        return load_checkpoint(str(path))


def _reason(error: BaseException) -> str:
    """What the system said, in this error or in the one behind it."""
    if isinstance(error, OSError) or error.__context__ is None:
        return str(error).splitlines()[0]
    return _reason(error.__context__)


def settings_in(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What the command line needs to make a checkpoint's network, `model`, and its data, `data`, again."""
    model = {key: value for key, value in checkpoint.get("hyper_parameters", {}).items() if key[0] != "_"}
    data = dict(checkpoint.get("datamodule_hyper_parameters", {}))
    data.pop("seed", None)  # follows `seed_everything`
    class_path = data.pop("_class_path", None)
    data = {"class_path": class_path, "init_args": {key: value for key, value in data.items() if key[0] != "_"}}
    return {"model": model} | ({"data": data} if class_path else {})


KINDS = {
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}  # what Lightning would stumble over otherwise


def load_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint as data: nothing in it is run.

    Raises:
        InputError: It is none, or damaged, or holds something else where weights or settings should be.
    """
    if not Path(path).is_file():
        raise InputError(f"`--ckpt_path` (={path}) is not a file")
    try:
        with zipfile.ZipFile(path) as archive:  # torch leaves the check sums of what it reads unread
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"the check sum of {damaged} in it is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the unpickler fail anywhere
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"`--ckpt_path` (={path}) is not a checkpoint, or a damaged one ({reason})") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise InputError(f"`--ckpt_path` (={path}) is not a checkpoint of seqsum: it has no `state_dict`")
    for part in ("state_dict", "hyper_parameters", "datamodule_hyper_parameters"):
        found = checkpoint.get(part, {})
        if not isinstance(found, dict) or not all(isinstance(name, str) and name for name in found):
            raise InputError(f"`--ckpt_path` (={path}) is not a checkpoint of seqsum: its `{part}` has no names")
    for part, kind in KINDS.items():
        if part in checkpoint and type(checkpoint[part]) is not kind:
            found = type(checkpoint[part]).__name__
            raise InputError(f"`--ckpt_path` (={path}) is not a checkpoint of seqsum: `{part}` in it is a {found}")
    for name, weight in checkpoint["state_dict"].items():
        if not isinstance(weight, torch.Tensor):
            raise InputError(f"`--ckpt_path` (={path}) is not a checkpoint of seqsum: {name} in it is no tensor")
        if weight.is_floating_point() and not weight.isfinite().all():
            raise InputError(f"`--ckpt_path` (={path}) can't be used: {name} in it is NaN or infinite")
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
