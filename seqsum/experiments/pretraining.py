"""Start encoders from trainings without labels, freeze none, some or all of their layers, and train with few labels."""

from __future__ import annotations

import argparse
from itertools import product
from typing import Any, NamedTuple

from seqsum.experiments.files import save, save_table
from seqsum.experiments.runs import Run, spread, trained, training_seconds
from seqsum.figures.error_panels import plot_error_panels
from seqsum.options import a_seed, labels_of, quoted_flags

TASKS = ("autoencoder", "denoising", "inpainting")
DIRECT = "from scratch"
FROZEN = {"all": "all frozen", "2": "last two layers trained", "none": "fine-tuned"}
CLASSES = 10  # of the images
LABELS = ("100", "1000", "all")
QUIET = ["--tensorboard.figures_every_n_epochs=0", "--tensorboard.histograms_every_n_epochs=0"]


class Network(NamedTuple):
    """What is trained on top of the encoder, which is the main job's in all of them.

    Attributes:
        arguments: Arguments of `train.py`.
        encoder: Prefix of the encoder's options.
        metric: The test metric to compare.
    """

    arguments: tuple[str, ...]
    encoder: str
    metric: str


NETWORKS = {
    "images": Network(("-c", "configs/images_few.yaml"), "--model.network.encoder", "test/accuracy"),
    "sum": Network(
        ("-c", "configs/sum.yaml", "--trainer.max_epochs=5", "--data.sequence_length=4", "--model.encoder.views=1"),
        "--model.encoder",
        "test/exact_final",
    ),
}


class SetUp(NamedTuple):
    """A training with labels.

    Attributes:
        network: Name of what is trained on top of the encoder.
        frozen: Which layers of the encoder stay as they start; `none` from scratch.
        labels: Labelled images.
        start: The training that the encoder starts from, or `DIRECT`.
    """

    network: str
    frozen: str
    labels: str
    start: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="trained with labels")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS), help="trained without labels")
    parser.add_argument(
        "--frozen", nargs="+", choices=FROZEN, default=list(FROZEN), help="layers that stay as they are"
    )
    parser.add_argument(
        "--labels",
        nargs="+",
        action=labels_of(CLASSES),
        default=list(LABELS),
        help="numbers of labelled images, or all",
    )
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0, 1, 2])
    parser.add_argument(
        "--pretraining",
        type=quoted_flags,
        default=[],
        help="other flags for trainings without labels, in quotation marks",
    )
    parser.add_argument("arguments", nargs="*", help="other flags for all trainings, after --, such as --data.root=…")


def run(options: argparse.Namespace) -> None:
    """Train what is not trained yet; print a table, and write table, figures and numbers."""
    found: dict[SetUp, list[Run]] = {}
    for seed in options.seeds:  # all of one seed first, so that an interruption leaves complete seeds
        starts = {task: pretrain(task, seed, options) for task in options.tasks}
        for set_up in set_ups(options):
            found.setdefault(set_up, []).append(train(set_up, seed, starts.get(set_up.start), options))
    rows = [row(set_up, runs) for set_up, runs in found.items()]
    save_table("encoders that start from trainings without labels", "pretraining", rows, options)
    for network in options.networks:
        save(
            plot_error_panels(panels(network, found, options), "labels"), options.output / f"pretraining_{network}.png"
        )


def set_ups(options: argparse.Namespace) -> list[SetUp]:
    """List the trainings with labels: each from every task and in every way, and one from scratch."""
    found = []
    for network, labels in product(options.networks, options.labels):
        found.append(SetUp(network, "none", labels, DIRECT))
        found += [SetUp(network, way, labels, task) for task, way in product(options.tasks, options.frozen)]
    return found


def pretrain(task: str, seed: int, options: argparse.Namespace) -> Run:
    """Train an encoder without labels, unless it is trained already."""
    arguments = [f"--seed_everything={seed}", *QUIET, *options.pretraining, *options.arguments]
    return trained(options.output, f"{task}_seed{seed}", ["-c", f"configs/pretrain_{task}.yaml", *arguments])


def train(set_up: SetUp, seed: int, start: Run | None, options: argparse.Namespace) -> Run:
    """Train a network with labels, unless it is trained already."""
    network = NETWORKS[set_up.network]
    name = "_".join([*set_up, f"seed{seed}"]).replace(" ", "_")
    arguments = [*network.arguments, f"--data.labels={set_up.labels}", f"--seed_everything={seed}", *QUIET]
    if start is not None:
        arguments += [f"{network.encoder}.start_from={start.checkpoint}", f"{network.encoder}.frozen={set_up.frozen}"]
    return trained(options.output, name, [*arguments, *options.arguments])


def row(set_up: SetUp, runs: list[Run]) -> dict[str, Any]:
    """Make the table's row for a set-up."""
    return {
        "network": set_up.network,
        "labels": set_up.labels,
        "encoder": set_up.start,
        "trained": "all" if set_up.start == DIRECT else FROZEN[set_up.frozen],
        "dataset": runs[0].results["dataset"],
        "parameters": runs[0].results["parameters"],
        **spread(scores(set_up, runs)),
        "training, s": training_seconds(runs),
    }


def scores(set_up: SetUp, runs: list[Run]) -> list[float]:
    """Return what is compared: the share of right answers in the test of each run."""
    return [run.results["test"][NETWORKS[set_up.network].metric] for run in runs]


def panels(
    network: str, found: dict[SetUp, list[Run]], options: argparse.Namespace
) -> dict[tuple[str, str, str], list[float]]:
    """Sort accuracies into a panel for each way of freezing; each has the network from scratch beside it."""
    sorted_out: dict[tuple[str, str, str], list[float]] = {}
    for frozen, labels in product(options.frozen, options.labels):
        for start in (DIRECT, *options.tasks):
            set_up = SetUp(network, "none" if start == DIRECT else frozen, labels, start)
            sorted_out[FROZEN[frozen], labels, start] = scores(set_up, found[set_up])
    return sorted_out
