"""What flags mean that Lightning brings along and this program changes: the words of `--help`."""

from __future__ import annotations

import argparse

RUN = "DEFAULT_ROOT_DIR/EXPERIMENT/version_N"
MEANINGS = {
    "--seed_everything": (
        "Seed of the initial weights, of the order and the warps of the data, and of dropout. `true` takes that of "
        "PL_GLOBAL_SEED in the environment, else 0; `false` draws other initial weights each time, and takes 0 for "
        "the rest."
    ),
    "--ckpt_path": (
        "Checkpoint that `fit` goes on from, and without which `validate`, `test` and `predict` do nothing. A file; or "
        f"`last` or `best`, that of the newest run, {RUN}/checkpoints. Settings of the model and the data come from "
        "it where neither the command line nor a file gives them. For `fit`, `last` and `best` bring back all "
        "settings of that run, and start a new run where there is none."
    ),
    "--weights_only": "Can only be true, which it is: a checkpoint is read as data, and nothing in it is run.",
    "--verbose": "Whether to print the table of the metrics.",
    "--trainer.logger": (
        f"By default (null or `true`) a CSV file and TensorBoard, in a folder that is new for each run, {RUN}. "
        "`false`: the run has no folder, and writes neither logs nor pictures nor checkpoints. Or loggers of your "
        "own in place of those two; the folder of the first is that of the run."
    ),
    "--trainer.default_root_dir": f"Folder of all runs; each makes one of its own in it, {RUN}.",
    "--trainer.callbacks": "Callbacks in addition to those of this program.",
    "--trainer.max_epochs": (
        "Epochs of the training. One that goes on from a checkpoint counts those before it. The schedule "
        "`one_cycle` spans them all; -1, for no end, needs `--model.schedule=constant`. `null`: as many as "
        "`--trainer.max_steps` or `--trainer.max_time` allows, else 1000."
    ),
    "--trainer.max_steps": (
        "Steps of the optimizer after which the training stops, unless `--trainer.max_epochs` stops it before; -1 "
        "for no such limit."
    ),
    "--trainer.enable_checkpointing": (
        "By default (null or `true`) a training keeps two checkpoints in its folder: `best.ckpt`, the epoch that is "
        "best on the validation data, and `last.ckpt`, from which one that was interrupted goes on. Checkpoint "
        "callbacks of your own come on top of these."
    ),
    "--trainer.enable_progress_bar": (
        "Whether there is a progress bar, by default (null) there is. Each epoch leaves a line either way."
    ),
    "--trainer.enable_model_summary": (
        "Whether Lightning prints a table of the modules. By default a line says what the network is."
    ),
    "--trainer.gradient_clip_val": (
        "Norm above which the gradients of a step are scaled down to it, or the largest value, as "
        "`--trainer.gradient_clip_algorithm` says. `null` for no clipping."
    ),
    "--trainer.devices": (
        'How many devices; -1 for all; a list of their numbers, such as "0,1"; or `auto`. Under torchrun, times '
        "`--trainer.num_nodes`, as many as the processes it starts. `predict` uses the first alone."
    ),
    "--trainer.use_distributed_sampler": (
        "Whether Lightning divides data of your own between processes; those of this program divide themselves."
    ),
}


def explain(options: dict[str, argparse.Action]) -> None:
    """Give the options of a parser, by name, the words that are true here in place of Lightning's."""
    for flag in MEANINGS.keys() & options.keys():
        options[flag].help = MEANINGS[flag]
