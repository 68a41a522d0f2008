"""Read a checkpoint's settings, and check that its weights fit a network."""

from __future__ import annotations

from typing import Any

import torch

from seqsum.checkpoint_file import differing_weights
from seqsum.errors import InputError
from seqsum.networks.sequence import LEARNED_STATE


def settings_in(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Extract the settings to rebuild a checkpoint's network, `model`, and its data, `data`."""
    model = {key: value for key, value in checkpoint.get("hyper_parameters", {}).items() if key[0] != "_"}
    data = dict(checkpoint.get("datamodule_hyper_parameters", {}))
    data.pop("seed", None)  # follows `seed_everything`
    class_path, taken = data.pop("_class_path", None), data.pop("_arguments", None)
    arguments = {key: value for key, value in data.items() if key[0] != "_" and (taken is None or key in taken)}
    return {"model": model} | ({"data": {"class_path": class_path, "init_args": arguments}} if class_path else {})


def experiment_in(checkpoint: dict[str, Any]) -> str | None:
    """Name of a checkpoint's experiment; checkpoints of version 0.1.0 may have none."""
    return checkpoint.get("experiment") or checkpoint.get("hyper_parameters", {}).get("_experiment")


def check_architecture(
    path: str,
    checkpoint: dict[str, Any],
    model: torch.nn.Module,
    going_on: bool = False,
    class_path: str | None = None,
) -> None:
    """Check that the weights in a checkpoint fit the network.

    A learned initial state in the file may be ignored, to test with another one, unless the training is resumed.

    Args:
        path: Path of the checkpoint, for the message.
        checkpoint: Content of the checkpoint.
        model: A `SequenceModule`.
        going_on: Whether the training is resumed, which also loads the optimizer's state.
        class_path: Class of the data that the network is to read, if known.

    Raises:
        InputError: Weights differ in name or shape; the message names up to five, and the data if they differ too.
    """
    found, wanted = checkpoint["state_dict"], model.state_dict()
    differing = differing_weights(found, wanted)
    if not going_on:
        left_out = {name for name in found.keys() - wanted.keys() if name.startswith(f"network.{LEARNED_STATE}")}
        differing = [name for name in differing if name not in left_out]
    if differing:
        in_file, here = ({name: tuple(tensor.shape) for name, tensor in state.items()} for state in (found, wanted))
        shown = "; ".join(
            f"{name}: {in_file.get(name, 'none')} in the file, {here.get(name, 'none')} here" for name in differing[:5]
        )
        raise InputError(
            f"`--ckpt_path` (={path}) contains another architecture than the `--model` flags ask for: "
            f"{other_data(checkpoint, class_path)}{len(differing)} weights differ ({shown})"
        )


def other_data(checkpoint: dict[str, Any], class_path: str | None) -> str:
    """Say as a clause that a network was made for other data than those of the settings; empty if it wasn't."""
    trained_on = settings_in(checkpoint).get("data", {}).get("class_path")
    there, here = ((path or "").rpartition(".")[2] for path in (trained_on, class_path))
    if not there or not here or there == here:
        return ""
    return f"it is of a network for {there}, not for {here} as `-c` or `--data` asks for; "
