"""A checkpoint as what it was made from: its network with its weights, and its data."""

from __future__ import annotations

from typing import Any, NamedTuple

from jsonargparse import ArgumentError

from seqsum.data import DigitSums, SequenceData
from seqsum.defaults import DEFAULT_CLASSES, OwnDefaultsParser, by_flag, drop_default_encoder
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.objectives import RunningSum
from seqsum.resume.checkpoints import check_architecture, load_checkpoint, settings_in


class Restored(NamedTuple):
    """What a checkpoint holds: the module in evaluation, its data, not read yet, and its settings by flag."""

    module: SequenceModule
    data: SequenceData
    settings: dict[str, Any]


class RestoredSums(NamedTuple):
    """The same for running sums of digits."""

    module: SequenceModule
    data: DigitSums
    settings: dict[str, Any]


def restore(path: str, root: str | None = None, images: list[str] | None = None) -> RestoredSums:
    """Make the network and the data of a checkpoint of running sums again; nothing in the file is run.

    Args:
        path: The checkpoint.
        root: Folder of the datasets, instead of the one in the checkpoint.
        images: A user's own image files or folders.

    Raises:
        InputError: The file is no checkpoint, a damaged one, or one of another experiment.
    """
    module, data, settings = restore_any(path, root, images)
    if not (isinstance(data, DigitSums) and isinstance(module.objective, RunningSum)):
        found = f"{type(data).__name__} and {type(module.objective).__name__}"
        raise InputError(f"`--ckpt_path` (={path}) is of another experiment: {found}, not running sums of digits")
    return RestoredSums(module, data, settings)


def restore_any(path: str, root: str | None = None, images: list[str] | None = None) -> Restored:
    """The same for a checkpoint of any experiment."""
    checkpoint = load_checkpoint(path)
    module, data, settings = _instantiate(path, settings_in(checkpoint), root, images)
    check_architecture(path, checkpoint, module)
    module.load_state_dict(checkpoint["state_dict"])
    seed = checkpoint.get("datamodule_hyper_parameters", {}).get("seed", "unknown")
    trained = {
        "seed": seed,
        "epochs trained": checkpoint.get("epoch", -1) + 1,
        "steps trained": checkpoint.get("global_step", 0),
    }
    return Restored(module.eval(), data, settings | trained)


def settings_parser() -> OwnDefaultsParser:
    """Reads what `settings_in` finds in a checkpoint."""
    parser = OwnDefaultsParser(exit_on_error=False)
    parser.add_lightning_class_args(SequenceModule, "model")
    parser.add_lightning_class_args(SequenceData, "data", subclass_mode=True)
    parser.set_default_classes()
    return parser


def _instantiate(
    path: str, settings: dict[str, Any], root: str | None, images: list[str] | None
) -> tuple[SequenceModule, SequenceData, dict[str, Any]]:
    """Module and data as the command line would make them, and their settings under the names of its flags."""
    # what trains fastest where the checkpoint comes from need not run here, and all give the same numbers
    settings["model"].pop("backend", None)
    parser = settings_parser()
    try:
        config = parser.parse_object(settings)
        drop_default_encoder(config.model)
        if root is not None:
            config.data.init_args.root = root
        flat = by_flag(config)
        # of this machine, or not in `settings`, which follow the seed of everything
        for here in ("model.backend", "data.root", "data.images", "data.num_workers", "data.seed"):
            flat.pop(here, None)
        if config.data.class_path == DEFAULT_CLASSES["data"]:
            config.data.init_args.images = images
        made = parser.instantiate_classes(config)
    except (ArgumentError, ValueError) as error:
        raise InputError(f"`--ckpt_path` (={path}) has settings that don't work here: {error}") from error
    return made.model, made.data, flat
