"""A checkpoint as what it was made from: its network with its weights, and its data."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from jsonargparse import ArgumentError, Namespace

from seqsum.checkpoint_file import load_checkpoint
from seqsum.data import SequenceData
from seqsum.data.own import OWN_INPUTS
from seqsum.defaults import OwnDefaultsParser, by_flag, drop_default_encoder
from seqsum.errors import InputError
from seqsum.inspect.argument_names import python_names
from seqsum.inspect.look import as_text
from seqsum.module import SequenceModule
from seqsum.networks import build_network
from seqsum.resume.checkpoints import check_architecture, settings_in

OWN = [f"data.{name}" for name in OWN_INPUTS]  # not settings


class Restored(NamedTuple):
    """What a checkpoint holds: the module in evaluation, its data, not read yet, and its settings by flag."""

    module: SequenceModule
    data: SequenceData
    settings: dict[str, Any]


@python_names()
def load(
    path: str | os.PathLike[str], root: str | None = None, *, module: SequenceModule | None = None, **own: Any
) -> Restored:
    """Make the network and the data of a checkpoint again; nothing in the file is run.

        module, data, settings = load("logs/sum/version_0/checkpoints/best.ckpt")

    Args:
        path: The checkpoint.
        root: Folder of the datasets, instead of the one in the checkpoint.
        module: Takes the weights. It is needed where the network was put together in Python: such a checkpoint does not
            know how. By default the module is made from the settings in the checkpoint.
        own: A user's own input, by the name of the data's argument, such as `images`; None for what is not given.

    Returns:
        The module in evaluation, on the CPU, the data, not read yet, and the settings.

    Raises:
        InputError: The file is no checkpoint, or a damaged one; its weights don't fit the module, or it has no class
            of data; or its data don't take such an input.
    """
    if not isinstance(root, str | os.PathLike | None):
        raise InputError(f"`root` (={type(root).__name__}) must be a folder; a module is given by `module=`")
    path = os.fspath(path)
    checkpoint = load_checkpoint(path)
    inputs = {name: as_text(value) for name, value in own.items()}
    found, is_of_python = settings_in(checkpoint), module is not None and not _is_of_command_line(checkpoint)
    made, data, settings = instantiate(path, found | {"model": {}} if is_of_python else found, root, inputs)
    if is_of_python:
        others = {flag: value for flag, value in settings.items() if not flag.startswith("model.")}
        settings = others | _known(found["model"], checkpoint)
    module = module or made
    _check_weights(path, checkpoint, module)
    with _naming(path):
        module.on_load_checkpoint(checkpoint)
    module.load_state_dict(checkpoint["state_dict"])
    if of_data := checkpoint.get(type(data).__qualname__):
        data.load_state_dict(of_data)
    seed = checkpoint.get("datamodule_hyper_parameters", {}).get("seed", "unknown")
    trained = {
        "seed": seed,
        "epochs trained": _epochs(checkpoint),
        "steps trained": checkpoint.get("global_step", 0),
    }
    return Restored(module.eval(), data, settings | trained)


def _epochs(checkpoint: dict[str, Any]) -> int:
    """Epochs whose training steps are done. `epoch` alone does not tell: at the end of a training it is one more."""
    progress = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {}).get("current", {})
    done: int = progress.get("processed", checkpoint.get("epoch", -1) + 1)  # a file may be without loops
    return done


def _check_weights(path: str, checkpoint: dict[str, Any], module: SequenceModule) -> None:
    """Compare the weights with the module that is to take them, and say what may help where Python made them."""
    try:
        check_architecture(path, checkpoint, module)
    except InputError as error:
        if _is_of_command_line(checkpoint):
            raise
        raise InputError(f"{error}; parts that were put together in Python go in `module`") from error


def _is_of_command_line(checkpoint: dict[str, Any]) -> bool:
    """Whether the command line has made the module, and so kept all its settings."""
    return "_instantiator" in checkpoint.get("hyper_parameters", {})


def _known(arguments: dict[str, Any], checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint knows of a module made in Python, by flag: arguments that are no objects, and the objective."""
    known = {f"model.{name}": value for name, value in arguments.items() if name != "backend"}
    return known | {"model.objective": checkpoint["objective_class"]} if "objective_class" in checkpoint else known


def _give(path: str, data: Namespace, own: Mapping[str, Any]) -> None:
    """Hand the user's own input, and where the datasets are, to the data that take it."""
    for name, value in own.items():
        if name in (data.get("init_args") or ()):
            data.init_args[name] = value
        elif value is not None:
            kind = data.class_path.rpartition(".")[2]
            raise InputError(f"`--data.{name}` (={value}) does not go with {path}, whose data ({kind}) take none")


def settings_parser() -> OwnDefaultsParser:
    """Reads what `settings_in` finds in a checkpoint."""
    parser = OwnDefaultsParser(exit_on_error=False)
    parser.add_lightning_class_args(SequenceModule, "model")
    parser.add_lightning_class_args(SequenceData, "data", subclass_mode=True)
    parser.set_default_classes()
    return parser


def instantiate(
    path: str, settings: dict[str, Any], root: str | None, own: Mapping[str, Any]
) -> tuple[SequenceModule, SequenceData, dict[str, Any]]:
    """Module and data as the command line would make them, and their settings under the names of its flags."""
    if "data" not in settings:
        raise InputError(
            f"`--ckpt_path` (={path}) does not hold what its data were, as it does for a SequenceData that calls "
            "`save_hyperparameters()`. A module takes the weights alone by `load_state_dict`, from its `state_dict`"
        )
    # what trains fastest where the checkpoint comes from need not run here, and all give the same numbers
    settings["model"].pop("backend", None)
    parser = settings_parser()
    with _naming(path):
        config = parser.parse_object(settings)
        drop_default_encoder(config.model)
    flat = by_flag(config)
    # of this machine, or not in `settings`, which follow the seed of everything
    for here in ("model.backend", "data.root", *OWN, "data.num_workers", "data.seed"):
        flat.pop(here, None)
    if config.model.get("network") is not None:  # options of the default network
        for name in inspect.signature(build_network).parameters:
            flat.pop(f"model.{name}", None)
    _give(path, config.data, ({} if root is None else {"root": root}) | dict(own))
    with _naming(path):
        made = parser.instantiate_classes(config)
    return made.model, made.data, flat


@contextmanager
def _naming(path: str) -> Iterator[None]:
    """Say of which checkpoint the settings are that don't work."""
    try:
        yield
    except (ArgumentError, ValueError) as error:
        of_class = re.search(r"Problem with given class_path '.+?':\s*(.+)", str(error))  # amid all types tried
        why = of_class[1] if of_class else error
        raise InputError(f"`--ckpt_path` (={path}) has settings that don't work here: {why}") from error
