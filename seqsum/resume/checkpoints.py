"""Read a checkpoint and its settings, and check that its weights fit a network."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from seqsum.errors import InputError
from seqsum.networks.sequence import LEARNED_STATE


def settings_in(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Extract the settings to rebuild a checkpoint's network, `model`, and its data, `data`."""
    model = {key: value for key, value in checkpoint.get("hyper_parameters", {}).items() if key[0] != "_"}
    data = dict(checkpoint.get("datamodule_hyper_parameters", {}))
    data.pop("seed", None)  # follows `seed_everything`
    class_path = data.pop("_class_path", None)
    data = {"class_path": class_path, "init_args": {key: value for key, value in data.items() if key[0] != "_"}}
    return {"model": model} | ({"data": data} if class_path else {})


def experiment_in(checkpoint: dict[str, Any]) -> str | None:
    """Name of a checkpoint's experiment; checkpoints of version 0.1.0 may have none."""
    return checkpoint.get("experiment") or checkpoint.get("hyper_parameters", {}).get("_experiment")


KINDS = {
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}  # with other types, Lightning would fail later without a clear message


def load_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint as data; no code in it is run.

    Raises:
        InputError: The file is not a checkpoint of seqsum, is damaged, or contains weights that are NaN or infinite.
    """
    if not Path(path).is_file():
        raise InputError(f"`--ckpt_path` (={path}) is not a file")
    try:
        with zipfile.ZipFile(path) as archive:  # torch doesn't verify checksums
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"the checksum of {damaged} in it is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the unpickler fail anywhere
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"`--ckpt_path` (={path}) is not a checkpoint, or a damaged one ({reason})") from error
    if wrong := _wrong_part(checkpoint):
        raise InputError(f"`--ckpt_path` (={path}) is not a checkpoint of seqsum: {wrong}")
    for name, weight in checkpoint["state_dict"].items():
        if weight.is_floating_point() and not weight.isfinite().all():
            raise InputError(f"`--ckpt_path` (={path}) can't be used: {name} in it is NaN or infinite")
    return checkpoint


def _wrong_part(checkpoint: Any) -> str | None:
    """Say as a clause what a checkpoint of seqsum would not contain, or return None."""
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        return "it has no `state_dict`"
    for part in ("state_dict", "hyper_parameters", "datamodule_hyper_parameters"):
        found = checkpoint.get(part, {})
        if not isinstance(found, dict) or not all(isinstance(name, str) and name for name in found):
            return f"its `{part}` has no names"
    for part, kind in KINDS.items():
        if part in checkpoint and type(checkpoint[part]) is not kind:
            return f"`{part}` in it is a {type(checkpoint[part]).__name__}"
    no_tensors = [name for name, weight in checkpoint["state_dict"].items() if not isinstance(weight, torch.Tensor)]
    return f"{no_tensors[0]} in it is not a tensor" if no_tensors else None


def check_architecture(path: str, checkpoint: dict[str, Any], model: torch.nn.Module, going_on: bool = False) -> None:
    """Check that the weights in a checkpoint fit the network.

    A learned initial state in the file may be ignored, to test with another one, unless the training is resumed.

    Args:
        path: Path of the checkpoint, for the message.
        checkpoint: Content of the checkpoint.
        model: A `SequenceModule`.
        going_on: Whether the training is resumed, which also loads the optimizer's state.

    Raises:
        InputError: Weights differ in name or shape; the message names up to five.
    """
    found = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if not going_on:
        left_out = {name for name in found.keys() - wanted.keys() if name.startswith(f"network.{LEARNED_STATE}")}
        found = {name: shape for name, shape in found.items() if name not in left_out}
    differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if differing:
        shown = "; ".join(f"{name}: {found.get(name)} in the file, {wanted.get(name)} here" for name in differing[:5])
        raise InputError(
            f"`--ckpt_path` (={path}) contains another architecture than the `--model` flags ask for: "
            f"{len(differing)} weights differ ({shown})"
        )
