"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import ModuleType

import torch

from seqsum.benchmarks import compiled, gpu, loading, recurrent, reviews, scaling, training, translation, words
from seqsum.console import errors_in_a_line, write_any_character
from seqsum.options import at_least, device_of
from seqsum.paths import expand_home
from seqsum.tables import show, write

BENCHMARKS: dict[str, ModuleType] = {
    "recurrent": recurrent,
    "reviews": reviews,
    "training": training,
    "loading": loading,
    "scaling": scaling,
    "compiled": compiled,
    "translation": translation,
    "words": words,
}


def main(arguments: list[str] | None = None) -> None:
    """Run one benchmark: print its table and write its JSON files."""
    write_any_character()
    with errors_in_a_line():
        options = expand_home(make_parser().parse_args(arguments))
        status = gpu.run(options) if options.benchmark == "gpu" else _run(options)
    if status:
        sys.exit(status)


def make_parser() -> argparse.ArgumentParser:
    """Make a parser with one command for each benchmark."""
    parser = argparse.ArgumentParser(prog="python -m seqsum.benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True)
    for name, benchmark in BENCHMARKS.items():
        command = commands.add_parser(name, help=(benchmark.__doc__ or "").strip(), description=benchmark.__doc__)
        benchmark.add_arguments(command)
        command.add_argument("--rounds", action=at_least(1), default=20, help="timed calls of each contestant")
        command.add_argument(
            "--warm-up", action=at_least(0), default=3, help="untimed calls of each contestant before that"
        )
        command.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
        command.add_argument("--threads", action=at_least(1), help="torch's threads on the CPU; default: torch's own")
        command.add_argument("--output", type=Path, help="default: logs/benchmarks/NAME.json")
    gpu.add_arguments(commands.add_parser("gpu", help=(gpu.__doc__ or "").strip(), description=gpu.__doc__))
    return parser


def _run(options: argparse.Namespace) -> int:
    """Run any benchmark except `gpu`, which has parts."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device = device_of(options.device)
    rows = BENCHMARKS[options.benchmark].run(options, device)
    show(options.benchmark, rows)
    write(options.output or Path("logs/benchmarks") / f"{options.benchmark}.json", device, options, rows)
    return 0


if __name__ == "__main__":
    main()
