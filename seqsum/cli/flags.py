"""Help texts of Lightning's flags that work differently in this program."""

from __future__ import annotations

import argparse
import re
from functools import partial

RUN = "DEFAULT_ROOT_DIR/EXPERIMENT/version_N"
MEANINGS = {
    "--seed_everything": (
        "Seed of the initial weights, of the order and the warps of the data, and of dropout. `true` takes the seed "
        "from the environment variable PL_GLOBAL_SEED, else 0; `false` draws different initial weights each time and "
        "uses 0 for the rest."
    ),
    "--ckpt_path": (
        "Checkpoint to resume from with `fit`; required for `validate`, `test` and `predict`. A file; or `last` or "
        f"`best`: the newest run's, in {RUN}/checkpoints. Settings of the model and the data come from the checkpoint "
        "unless the command line or a file gives them. With `fit`, `last` and `best` restore all settings of that "
        "run, and start a new run if there is none."
    ),
    "--weights_only": "Can only be true, the default: a checkpoint is read as data, and no code in it is run.",
    "--verbose": "Whether to print the table of the metrics.",
    "--trainer.logger": (
        f"By default (null or `true`) a CSV file and TensorBoard, in a new folder for each run, {RUN}. `false`: the "
        "run has no folder, and writes neither logs nor pictures nor checkpoints. Or your own loggers instead; the "
        "run uses the folder of the first."
    ),
    "--trainer.default_root_dir": f"Folder of all runs; each run makes a new folder in it, {RUN}.",
    "--trainer.callbacks": "Callbacks in addition to the program's own.",
    "--trainer.max_epochs": (
        "Epochs of the training, including the epochs before the checkpoint that it resumes from. The schedule "
        "`one_cycle` spans them all; -1, for no limit, needs `--model.schedule=constant`. `null`: as many as "
        "`--trainer.max_steps` or `--trainer.max_time` allows, else 1000."
    ),
    "--trainer.max_steps": (
        "Optimizer steps after which the training stops, unless `--trainer.max_epochs` stops it before; -1 for no "
        "limit."
    ),
    "--trainer.enable_checkpointing": (
        "By default (null or `true`) a training keeps two checkpoints in its folder: `best.ckpt`, the epoch that is "
        "best on the validation data, and `last.ckpt`, from which an interrupted training resumes. Your own "
        "checkpoint callbacks are added to these."
    ),
    "--trainer.enable_progress_bar": (
        "Whether to show a progress bar; by default (null) yes. Each epoch prints a line either way."
    ),
    "--trainer.enable_model_summary": (
        "Whether Lightning prints a table of the modules. By default one line describes the network."
    ),
    "--trainer.gradient_clip_val": (
        "Largest norm of the gradients, or largest value, as `--trainer.gradient_clip_algorithm` says; larger "
        "gradients are clipped to it. `null` for no clipping."
    ),
    "--trainer.devices": (
        'Number of devices; -1 for all; a list of indices, such as "0,1"; or `auto`. Under torchrun, devices times '
        "`--trainer.num_nodes` must be the number of processes. `predict` uses only the first device."
    ),
    "--trainer.use_distributed_sampler": (
        "Whether Lightning divides your own data between processes; the built-in data do so themselves."
    ),
}


FEW = 30  # classes up to which all of them are named
KNOWN = ", known subclasses: "  # as jsonargparse writes


def explain(options: dict[str, argparse.Action]) -> None:
    """Replace Lightning's help texts of a parser's options, given by name, and shorten lists of classes."""
    for flag in MEANINGS.keys() & options.keys():
        options[flag].help = MEANINGS[flag]
    for action in options.values():
        if listed := getattr(action, "extra_help", None):
            action.extra_help = partial(_shortened, listed())  # type: ignore[attr-defined]  # what jsonargparse calls


def _shortened(classes: str) -> str:
    """Of many classes, all modules of torch for example, name the program's own that are public."""
    names = classes.removeprefix(KNOWN).split(", ")
    if len(names) <= FEW:
        return classes
    own = [name for name in names if re.fullmatch(r"seqsum(\.\w+)?\.\w+", name)]
    return f"{KNOWN}{', '.join([*own, f'and {len(names) - len(own)} others'])}"
