"""Train word vectors, and show neighbours, analogies and a picture; start networks of film reviews from them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from torch import Tensor

from seqsum.console import print_line
from seqsum.data import WordPairs
from seqsum.data.text import UNKNOWN, Vocabulary
from seqsum.errors import InputError
from seqsum.experiments.analogies import ANALOGIES, Solved, solve
from seqsum.experiments.files import save, trained_on
from seqsum.experiments.runs import Run, accuracies, logged, spread, trained, training_seconds
from seqsum.figures.words import plot_words
from seqsum.inspect.restore import load
from seqsum.networks import WordVectors
from seqsum.networks.nearest import cosine_to, nearest
from seqsum.options import a_seed, labels_of
from seqsum.tables import show, write, write_markdown

MODES = ("skipgram", "cbow")
PARTS = ("vectors", "reviews")
NEAREST = 5  # neighbours in the table, and answers to an analogy
WORDS = ("good", "terrible", "boring", "actor", "daughter", "director", "zombie", "hitchcock", "france", "three")
# words of the picture
KINDS = {
    "praise": "good great excellent wonderful superb brilliant funny moving charming",
    "blame": "bad terrible awful horrible boring dull silly annoying tedious",
    "family": "father mother son daughter brother sister husband wife",
    "people": "man woman boy girl king queen actor actress",
    "kinds of films": "comedy drama horror thriller western musical documentary",
    "countries": "france germany italy japan china england america",
    "numbers": "one two three four five six ten",
}
FREQUENT = 40  # words of the picture if those above are not known
CLASSES = 2  # of reviews: negative and positive
FEW_EPOCHS = 24  # with a few labels, which are soon read
CHECKS = 4  # epochs from one validation to the next, if there are few labels


class Model(NamedTuple):
    """Trained word vectors.

    Attributes:
        vectors: `(V, F)`, in the order of the vocabulary.
        vocabulary: The words.
        checkpoint: Path of the checkpoint.
        run: The training; None if the checkpoint was given.
    """

    vectors: Tensor
    vocabulary: Vocabulary
    checkpoint: str
    run: Run | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to report")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--checkpoints", nargs="+", default=[], help="of the --modes; default: train them")
    parser.add_argument("--words", nargs="+", default=list(WORDS), help="words whose neighbours are shown")
    parser.add_argument(
        "--labels",
        nargs="+",
        action=labels_of(CLASSES),
        default=["1000", "all"],
        help="numbers of labelled reviews, or all",
    )
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0], help="vectors are those of the first seed")
    parser.add_argument("arguments", nargs="*", help="other flags for train.py, after --, such as --data.root=…")


def run(options: argparse.Namespace) -> None:
    """Train what is not trained yet; print the tables, and write tables, figure and numbers."""
    if options.checkpoints and len(options.checkpoints) != len(options.modes):
        raise InputError(f"`--checkpoints` names {len(options.checkpoints)}, and `--modes` {len(options.modes)}")
    paths = dict(zip(options.modes, options.checkpoints, strict=False))
    models = {mode: find(mode, paths.get(mode), options) for mode in options.modes}
    tables: dict[str, list[dict[str, Any]]] = {}
    if "vectors" in options.parts:
        solved = {mode: solve(model.vectors, model.vocabulary, NEAREST) for mode, model in models.items()}
        tables["words_models"] = [describe(mode, model, solved[mode]) for mode, model in models.items()]
        tables["words_neighbours"] = neighbours(models, options.words)
        tables["words_analogies"] = count_solved(solved)
        report_answers(solved)
        draw(models, options.output / "words.png")
    if "reviews" in options.parts:
        tables["words_reviews"] = compare_starts(models, options)
    for name, rows in tables.items():
        show(name.replace("_", ": "), rows)
        write_markdown(options.output / f"{name}.md", rows)
    numbers = [{"table": name} | row for name, rows in tables.items() for row in rows]
    write(options.output / "words.json", trained_on(), options, numbers)


def find(mode: str, path: str | None, options: argparse.Namespace) -> Model:
    """Train the vectors of a mode, unless they are trained already or a checkpoint is given."""
    done = None
    if path is None:
        seed = options.seeds[0]
        arguments = [f"--config=configs/words_{mode}.yaml", f"--seed_everything={seed}", *options.arguments]
        done = trained(options.output, f"words_{mode}_seed{seed}", arguments)
        path = str(done.checkpoint)
    module, data, _ = load(path)
    if not (isinstance(data, WordPairs) and isinstance(module.network, WordVectors)):
        made = f"{type(module.network).__name__} on {type(data).__name__}"
        raise InputError(f"`--checkpoints` (={path}) is of a {made}, not of a WordVectors on WordPairs")
    vectors = module.network.weight.detach()[: len(data.vocabulary)]  # a small corpus has fewer words than vectors
    return Model(vectors, data.vocabulary, path, done)


def describe(mode: str, model: Model, solved: Sequence[Solved]) -> dict[str, Any]:
    """Make the row of a model: its test, its training, and its analogies."""
    test = model.run.results["test"] if model.run else {}
    right = sum(each.right for each in solved)
    return {
        "model": mode,
        "words": len(model.vocabulary) - UNKNOWN - 1,
        "numbers a word": model.vectors.shape[1],
        "test loss": f"{test['test/loss']:.4f}" if test else "–",
        "above all negatives": f"{test['test/accuracy']:.4f}" if test else "–",
        "analogies": f"{right} of {len(solved)}",
        "training, s": training_seconds([model.run] if model.run else []),
    }


def neighbours(models: Mapping[str, Model], words: Sequence[str]) -> list[dict[str, Any]]:
    """Make a row for each word: its nearest neighbours and their cosines.

    A line names words that a model does not know.
    """
    rows = []
    for word in words:
        found = {mode: listed(model, word) for mode, model in models.items()}
        if unknown := [mode for mode, text in found.items() if text is None]:
            print_line(f"{word} is not among the words of {', '.join(unknown)}.")
        rows.append({"word": word} | {mode: text or "–" for mode, text in found.items()})
    return rows


def listed(model: Model, word: str) -> str | None:
    """List the neighbours of a word; None if the model doesn't know it."""
    if word not in model.vocabulary.ids:
        return None
    place = model.vocabulary.ids[word]
    found = nearest(model.vectors, model.vectors[place], NEAREST, without=[place])
    cosines = cosine_to(model.vectors, model.vectors[place])[found].tolist()
    words = model.vocabulary.words
    return ", ".join(f"{words[number]} {cosine:.2f}" for number, cosine in zip(found, cosines, strict=True))


def count_solved(solved: Mapping[str, Sequence[Solved]]) -> list[dict[str, Any]]:
    """Make a row for each kind of analogy, and one for all."""
    rows = []
    for kinds in (*((kind,) for kind in ANALOGIES), tuple(ANALOGIES)):
        row: dict[str, Any] = {"kind": kinds[0] if len(kinds) == 1 else "all"}
        for mode, of_mode in solved.items():
            chosen = [each for each in of_mode if each.kind in kinds]
            among = sum(each.analogy.answer in each.found for each in chosen)
            row |= {mode: f"{sum(each.right for each in chosen)} of {len(chosen)}", f"{mode}, nearest {NEAREST}": among}
        rows.append(row)
    return rows


def report_answers(solved: Mapping[str, Sequence[Solved]]) -> None:
    """Print each analogy with the nearest words, and with a check mark where the nearest is right."""
    for mode, of_mode in solved.items():
        for each in of_mode:
            a, b, c, answer = each.analogy
            mark = "✓" if each.right else f"not {answer}"
            print_line(f"{mode}: {a} − {b} + {c} = {each.found[0]} ({mark}; then {', '.join(each.found[1:])})")


def draw(models: Mapping[str, Model], path: Path) -> None:
    """Draw the words that all models know."""
    known = set.intersection(*(set(model.vocabulary.ids) for model in models.values()))
    kinds = {kind: [word for word in words.split() if word in known] for kind, words in KINDS.items()}
    kinds = {kind: words for kind, words in kinds.items() if words}
    if sum(map(len, kinds.values())) < FREQUENT // 2:
        first = next(iter(models.values())).vocabulary.words[UNKNOWN + 1 :]
        kinds = {"frequent": [word for word in first if word in known][:FREQUENT]}
    words = [word for named in kinds.values() for word in named]
    vectors = {mode: model.vectors[model.vocabulary.encode(words)] for mode, model in models.items()}
    save(plot_words(vectors, kinds), path)


def compare_starts(models: Mapping[str, Model], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train a network of reviews with few labels and with all, from random vectors and from those of each model."""
    starts: dict[str, Model | None] = {"random": None, **models}
    size = next(iter(models.values())).vectors.shape[1]
    runs: dict[tuple[str, str], list[Run]] = {}
    for seed in options.seeds:  # all networks with one seed first, so that an interruption leaves complete seeds
        for labels in options.labels:
            for start, model in starts.items():
                arguments = [*of_reviews(labels, size, model), f"--seed_everything={seed}", *options.arguments]
                done = trained(options.output, f"reviews_{labels}_{start}_seed{seed}", arguments)
                runs.setdefault((labels, start), []).append(done)
    return [row(labels, start, found) for (labels, start), found in runs.items()]


def of_reviews(labels: str, size: int, model: Model | None) -> list[str]:
    """Arguments of the training of a network of reviews."""
    often = [] if labels == "all" else [
        f"--trainer.max_epochs={FEW_EPOCHS}", f"--trainer.check_val_every_n_epoch={CHECKS}"
    ]  # fmt: skip
    start = [] if model is None else [f"--model.encoder.vectors={model.checkpoint}"]
    config = ["--config=configs/reviews.yaml", f"--model.encoder.output_size={size}", f"--data.labels={labels}"]
    return [*config, *often, *start]


def row(labels: str, start: str, runs: list[Run]) -> dict[str, Any]:
    """Make the row of a start."""
    return {
        "labels": labels,
        "start": start,
        "seeds": len(runs),
        "validation": f"{mean(max(logged(one, 'val/accuracy').values()) for one in runs):.4f}",
        **spread(accuracies(runs)),
        "test loss": f"{mean(one.results['test']['test/loss'] for one in runs):.4f}",
    }
