"""Read a checkpoint as data, and refuse what is none."""

from __future__ import annotations

import glob
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqsum.errors import InputError
from seqsum.paths import expand_home
from seqsum.versions import started, versions

KINDS = {
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "callbacks": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}  # with other types, Lightning would fail later without a clear message
SETTINGS = {"learning_rate", "weight_decay", "cell", "hidden_size", "encoder"}  # some are in each that has settings


class NotFiniteWeightsError(InputError):
    """A checkpoint has weights that are NaN or infinite."""


def load_checkpoint(path: str, flag: str = "--ckpt_path") -> dict[str, Any]:
    """Read a checkpoint as data; no code in it is run.

    Args:
        path: The file.
        flag: The flag or argument that named it, for messages.

    Raises:
        InputError: The file is not a checkpoint of seqsum, is damaged, or contains weights that are NaN or infinite.
    """
    path = expand_home(path)
    if not Path(path).is_file():
        other = _in_folder(Path(path)) or _with_data_named(Path(path))
        raise InputError(f"`{flag}` (={path}) is not a file{f', but {other} is' if other else ''}")
    try:
        with zipfile.ZipFile(path) as archive:  # torch doesn't verify checksums
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"the checksum of {damaged} in it is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the unpickler fail anywhere
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if reason.startswith("Weights only load failed"):
            reason = "it contains objects of Python, and none of their code is run"
        raise InputError(
            f"`{flag}` (={path}) is not a checkpoint, or a damaged one ({reason}){_beside(path)}"
        ) from error
    if wrong := _wrong_part(checkpoint):
        raise InputError(f"`{flag}` (={path}) is not a checkpoint of seqsum: {wrong}")
    for name, weight in checkpoint["state_dict"].items():
        if weight.is_floating_point() and not weight.isfinite().all():
            raise NotFiniteWeightsError(f"`{flag}` (={path}) can't be used: {name} in it is NaN or infinite")
    return checkpoint


def differing_weights(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Return the names, sorted, of weights that only one of two state dicts has, or that have another shape in it."""
    shapes, others = ({name: tensor.shape for name, tensor in state.items()} for state in (found, wanted))
    return sorted(name for name in shapes.keys() | others.keys() if shapes.get(name) != others.get(name))


def _beside(path: str) -> str:
    """Name the other checkpoint of the same run, if there is one."""
    others = {"last.ckpt": "best.ckpt", "best.ckpt": "last.ckpt"}
    there = Path(path).with_name(others.get(Path(path).name, Path(path).name))
    return f"; the run has another one, {there}" if there != Path(path) and there.is_file() else ""


def _in_folder(path: Path) -> Path | None:
    """Find the best checkpoint, or else the last, of a run, or of the newest run of an experiment, or return None."""
    folders = [path, path / "checkpoints", *(run / "checkpoints" for run in versions(path))]
    for name in ("best.ckpt", "last.ckpt"):
        if found := [file for folder in folders if (file := folder / name).is_file()]:
            return max(found, key=started)
    return None


def _with_data_named(path: Path) -> Path | None:
    """Find the file in a run's folder that also names its data, such as `sum-rendered` for `sum`, or return None."""
    for folder in path.parents:
        if folder.name and folder.parent.is_dir():
            found = sorted(folder.parent.glob(f"{glob.escape(folder.name)}-*"))
            if others := [other for run in found if (other := run / path.relative_to(folder)).is_file()]:
                return others[0]
    return None


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
    settings = [name for name in checkpoint.get("hyper_parameters", {}) if not name.startswith("_")]
    if settings and not SETTINGS & set(settings):
        return f"its settings are {', '.join(map(repr, settings[:5]))}"
    no_tensors = [name for name, weight in checkpoint["state_dict"].items() if not isinstance(weight, torch.Tensor)]
    return f"{no_tensors[0]} in it is not a tensor" if no_tensors else None
