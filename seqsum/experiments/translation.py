"""Translate with additive attention, multiplicative attention and none, at each step or after all, and compare."""

from __future__ import annotations

import argparse
from itertools import product
from statistics import mean
from typing import Any, NamedTuple, get_args

from seqsum.data.pairs.translated import TranslatedTexts
from seqsum.errors import InputError
from seqsum.experiments.files import save, save_table
from seqsum.experiments.runs import Run, tested, trained, training_seconds
from seqsum.figures.attention import Attended, plot_attention
from seqsum.inspect.restore import load
from seqsum.networks.decoders import Attends
from seqsum.objectives import NextToken
from seqsum.objectives.next_token_shown import translate
from seqsum.options import a_seed
from seqsum.recurrent.cells import Attention

GREEDY = "--model.objective.beams=1"
SENTENCES = 3  # whose attention is drawn


class SetUp(NamedTuple):
    """Which attention a network has, and when it attends."""

    attention: str
    attends: str

    def arguments(self, seed: int) -> list[str]:
        """Arguments of `train.py`."""
        network = [f"--model.network.{name}={value}" for name, value in self._asdict().items()]
        return ["-c", "configs/translation.yaml", *network, f"--seed_everything={seed}"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    attentions, times = get_args(Attention), get_args(Attends)
    parser.add_argument("--attentions", nargs="+", choices=attentions, default=list(attentions))
    parser.add_argument("--attends", nargs="+", choices=times, default=list(times), help="when decoders attend")
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0])
    parser.add_argument("arguments", nargs="*", help="other flags for all trainings, after --, such as --data.root=…")


def run(options: argparse.Namespace) -> None:
    """Train and test what is not there yet; print a table, and write it with numbers and maps of attention."""
    set_ups = [SetUp(*each) for each in product(options.attentions, options.attends)]
    runs: dict[SetUp, list[Run]] = {set_up: [] for set_up in set_ups}
    for seed in options.seeds:  # all networks with one seed first, so that an interruption leaves complete seeds
        for set_up in set_ups:
            name = "_".join([*set_up, f"seed{seed}"])
            runs[set_up].append(trained(options.output, name, [*set_up.arguments(seed), *options.arguments]))
    rows = [row(set_up, found, options) for set_up, found in runs.items()]
    save_table("translation", "translation", rows, options)
    for attends in options.attends:
        draw(
            {set_up.attention: found[0] for set_up, found in runs.items() if set_up.attends == attends},
            attends,
            options,
        )


def row(set_up: SetUp, runs: list[Run], options: argparse.Namespace) -> dict[str, Any]:
    """Make the table's row for a set-up: means over the seeds."""
    greedy = [tested(options.output, run, GREEDY).results["test"]["test/bleu"] for run in runs]
    tests = [run.results["test"] for run in runs]
    return {
        **set_up._asdict(),
        "dataset": runs[0].results["dataset"],
        "parameters": runs[0].results["parameters"],
        "seeds": len(runs),
        "perplexity": round(mean(test["test/perplexity"] for test in tests), 3),
        "BLEU, greedy": round(mean(greedy), 2),
        "BLEU, beams": round(mean(test["test/bleu"] for test in tests), 2),
        "training, s": training_seconds(runs),
    }


def draw(runs: dict[str, Run], attends: str, options: argparse.Namespace) -> None:
    """Draw what the networks attend to in the first test sentences, side by side for each sentence."""
    found = {name: attended(run) for name, run in runs.items()}
    for place, maps in enumerate(zip(*found.values(), strict=True), start=1):
        save(plot_attention(dict(zip(found, maps, strict=True))), options.output / f"attention_{attends}_{place}.png")


def attended(run: Run) -> list[Attended]:
    """Return what a trained network attends to while it translates the first test sentences, or all if they are few."""
    module, data, _ = load(run.checkpoint)
    if not (isinstance(data, TranslatedTexts) and isinstance(module.objective, NextToken)):
        raise InputError(f"{run.checkpoint} was not trained to translate")
    data.setup("test")
    rows = range(min(SENTENCES, data.count("test")))
    sentences = [data.pair_of("test", row).source for row in rows]
    shown = [translate(module.network, data, sentence, module.objective.predict) for sentence in sentences]
    return [each.attended for each in shown if each.attended is not None]
