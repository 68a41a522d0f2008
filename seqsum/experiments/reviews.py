"""Train networks on film reviews, step by step from a plain RNN to the full network, and compare choices one by one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from statistics import mean
from typing import Any, NamedTuple, cast

from seqsum.callbacks.results import STEP_SECONDS
from seqsum.data import FilmReviews
from seqsum.errors import InputError
from seqsum.experiments.files import save, save_table
from seqsum.experiments.review_set_ups import (
    CURVES,
    FULL,
    GROUPS,
    SCRATCH,
    Flags,
    as_arguments,
    make_set_ups,
    read_flags,
)
from seqsum.experiments.runs import Run, accuracies, finished, logged, spread, tested, trained
from seqsum.figures.ladder import Rung, plot_ladder
from seqsum.figures.learning import Learning, plot_learning
from seqsum.inspect.restore import load
from seqsum.options import a_seed

ALL = ("ladder", "left_out", *GROUPS)
# set-ups that are tested on other reviews than the rest, and how they are tested on the same
TESTED_AGAIN = {"drop": "--data.beyond=keep_end"}


class Found(NamedTuple):
    """A set-up's runs, one for each seed, and what its data say.

    Attributes:
        runs: The runs.
        tested: Reviews in the test.
        all: Reviews in the corpus's test split.
        padding: Share of padding among the steps of an epoch of training.
    """

    runs: list[Run]
    tested: int
    all: int
    padding: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--groups", nargs="+", choices=ALL, default=list(ALL), help="comparisons to make")
    parser.add_argument("--names", nargs="+", help="set-ups of these comparisons; default: all")
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0, 1, 2])
    parser.add_argument("--trained", action="store_true", help="only report what is trained already")
    parser.add_argument("arguments", nargs="*", help="other flags for train.py, after --, such as --data.root=…")


def run(options: argparse.Namespace) -> None:
    """Train what is not trained yet, seed by seed; print a table for each group, and write its figure and numbers."""
    set_ups, groups = make_set_ups(read_flags(SCRATCH), read_flags(FULL))
    names = choose(options, groups)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for seed in options.seeds:  # all networks with one seed first, so that an interruption leaves complete seeds
        for name in names:
            if done := train(name, set_ups[name], seed, options):
                runs[name].append(done)
    found = {name: look(of_name) for name, of_name in runs.items() if of_name}
    if not found:
        raise InputError(f"`--output` (={options.output}) contains none of the trainings that `--trained` asks for")
    for group in options.groups:
        report(group, {name: found[name] for name in groups[group] if name in found}, options)


def choose(options: argparse.Namespace, groups: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the names of the set-ups that the options ask for, each once."""
    of_groups = list(dict.fromkeys(name for group in options.groups for name in groups[group]))
    if options.names is None:
        return of_groups
    if unknown := [name for name in options.names if name not in of_groups]:
        raise InputError(f"`--names` (={' '.join(unknown)}) must be among {', '.join(of_groups)}")
    return [name for name in of_groups if name in options.names]


def train(name: str, flags: Flags, seed: int, options: argparse.Namespace) -> Run | None:
    """Train one set-up with one seed, unless it is trained already; None if `--trained` forbids it."""
    label = f"{name}_seed{seed}"
    if options.trained:  # by whatever other flags, which needn't be repeated
        return finished(options.output / label)
    return trained(options.output, label, [*as_arguments(flags), f"--seed_everything={seed}", *options.arguments])


def look(runs: list[Run]) -> Found:
    """Read the data of a set-up once more, to measure its padding."""
    data = cast("FilmReviews", load(str(runs[0].checkpoint)).data)
    data.prepare_data()
    data.setup("fit")
    assert data.corpus is not None, "`setup` keeps it"
    return Found(runs, data.count("test"), len(data.corpus.splits["test"].labels), data.padding_share("train"))


def report(group: str, found: Mapping[str, Found], options: argparse.Namespace) -> None:
    """Print a group's table, and write it with its figure and its numbers; nothing if none of it is trained."""
    if not found:
        return
    rows = [made for name, one in found.items() for made in rows_of(name, one, options)]
    save_table(f"film reviews: {group}", group, rows, options)
    rungs = {
        name: Rung(accuracies(one.runs), 1000 * step_seconds(one.runs)[1], one.padding) for name, one in found.items()
    }
    save(plot_ladder(rungs), options.output / f"{group}.png")
    if group == "curves":
        save(plot_learning(learning(found)), options.output / "learning.png")


def rows_of(name: str, found: Found, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Make the table's rows for a set-up: one, or two if it is tested again."""
    rows = [row(name, found.runs, found)]
    if name in TESTED_AGAIN:
        again = [tested(options.output, one, TESTED_AGAIN[name]) for one in found.runs]
        rows.append(row(f"{name}, tested on all", again, found) | {"test reviews": found.all})
    return rows


def row(name: str, tests: list[Run], found: Found) -> dict[str, Any]:
    """Make a row from the results of the tests."""
    results = found.runs[0].results
    clock, processor = step_seconds(found.runs)
    return {
        "set-up": name,
        "dataset": results["dataset"],
        "parameters": results["parameters"],
        "seeds": len(tests),
        "validation": f"{mean(max(logged(one, 'val/accuracy').values()) for one in found.runs):.4f}",
        **spread(accuracies(tests)),
        "test loss": f"{mean(one.results['test']['test/loss'] for one in tests):.4f}",
        "test reviews": found.tested,
        "padding, %": f"{100 * found.padding:.1f}",
        "step, ms": f"{1000 * clock:.1f}",
        "step, CPU ms": f"{1000 * processor:.1f}",
    }


def step_seconds(runs: list[Run]) -> tuple[float, float]:
    """Return the mean seconds of a training step: by the clock, and of the processor."""
    seconds = [one.results["seconds"] for one in runs]
    clock, processor = (mean(each[name] for each in seconds) for name in STEP_SECONDS)
    return clock, processor


def learning(found: Mapping[str, Found]) -> list[Learning]:
    """Collect the curves of the set-ups, means of their runs at each step."""
    curves = []
    for steps in CURVES:
        for masked in (True, False):
            if one := found.get(f"curve_{steps}_{'masked' if masked else 'unmasked'}"):
                losses, reached = (average(one.runs, name) for name in ("train/step_loss", "val/accuracy"))
                curves.append(Learning(f"{steps} steps", masked, losses, reached))
    return curves


def average(runs: list[Run], name: str) -> dict[int, float]:
    """Average what the runs logged under a name over those that logged it at the same step."""
    of_runs = [logged(one, name) for one in runs]
    return {step: mean(values[step] for values in of_runs if step in values) for step in of_runs[0]}
