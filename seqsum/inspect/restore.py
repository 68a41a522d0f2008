"""Rebuild the network, with its weights, and the data from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jsonargparse import ArgumentError, Namespace

from seqsum.data import SequenceData
from seqsum.defaults import OwnDefaultsParser, by_flag, drop_default_encoder
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.resume.checkpoints import check_architecture, load_checkpoint, settings_in

OWN = ("data.images", "data.curve")  # a user's input, not settings


class Restored(NamedTuple):
    """The module in evaluation mode, its data, not set up yet, and its settings by flag."""

    module: SequenceModule
    data: SequenceData
    settings: dict[str, Any]


def restore(path: str, root: str | None = None, own: Mapping[str, Any] | None = None) -> Restored:
    """Rebuild the network and the data of a checkpoint; no code in the file is run.

    Args:
        path: Path of the checkpoint.
        root: Folder of the datasets, instead of the one in the checkpoint.
        own: The user's input by the name of the data's argument, such as `images`; a value of None is ignored.

    Raises:
        InputError: The file is not a valid checkpoint, or its data don't take this input.
    """
    checkpoint = load_checkpoint(path)
    module, data, settings = _instantiate(path, settings_in(checkpoint), root, own or {})
    check_architecture(path, checkpoint, module)
    module.load_state_dict(checkpoint["state_dict"])
    seed = checkpoint.get("datamodule_hyper_parameters", {}).get("seed", "unknown")
    trained = {
        "seed": seed,
        "epochs trained": checkpoint.get("epoch", -1) + 1,
        "steps trained": checkpoint.get("global_step", 0),
    }
    return Restored(module.eval(), data, settings | trained)


def _give(path: str, data: Namespace, own: Mapping[str, Any]) -> None:
    """Set the user's input in the settings of the data, or refuse it."""
    for name, value in own.items():
        if name in data.init_args:
            data.init_args[name] = value
        elif value is not None:
            kind = data.class_path.rpartition(".")[2]
            raise InputError(f"`--data.{name}` (={value}) does not go with {path}: its data ({kind}) don't take it")


def settings_parser() -> OwnDefaultsParser:
    """Make a parser for what `settings_in` returns."""
    parser = OwnDefaultsParser(exit_on_error=False)
    parser.add_lightning_class_args(SequenceModule, "model")
    parser.add_lightning_class_args(SequenceData, "data", subclass_mode=True)
    parser.set_default_classes()
    return parser


def _instantiate(
    path: str, settings: dict[str, Any], root: str | None, own: Mapping[str, Any]
) -> tuple[SequenceModule, SequenceData, dict[str, Any]]:
    """Make module and data as the command line would, and return their settings by flag."""
    # the backend of the training may not run here, and all backends compute the same
    settings["model"].pop("backend", None)
    parser = settings_parser()
    try:
        config = parser.parse_object(settings)
        drop_default_encoder(config.model)
        if root is not None:
            config.data.init_args.root = root
        flat = by_flag(config)
        # specific to this machine or input; the seed comes from `seed_everything`
        for here in ("model.backend", "data.root", *OWN, "data.num_workers", "data.seed"):
            flat.pop(here, None)
        _give(path, config.data, own)
        made = parser.instantiate_classes(config)
    except (ArgumentError, ValueError) as error:
        raise InputError(f"`--ckpt_path` (={path}) has settings that don't work here: {error}") from error
    return made.model, made.data, flat
