"""The command line: `python -m seqsum.inspect CHECKPOINT [--images …]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from seqsum.callbacks import describe
from seqsum.console import errors_in_a_line, print_line, write_any_character
from seqsum.data.own import OWN_INPUTS, OwnInput
from seqsum.errors import InputError
from seqsum.figures.page import Section, Table, make_files
from seqsum.files import write_folder
from seqsum.inspect.look import predict, report
from seqsum.inspect.restore import load
from seqsum.objectives import Look
from seqsum.paths import expand_home
from seqsum.run import print_left_out
from seqsum.versions import next_version

# arguments as the messages call them, which are those of Python, and as they are called here
FLAGS = {
    "`path`": "`CHECKPOINT`",
    "`root`": "`--root`",
    **{f"`{name}`": f"`--{name}`" for name in OWN_INPUTS},
    "`look.longest`": "`--max-length`",
    "`convolutions`": "`--convolutions`",
}


def main(arguments: list[str] | None = None) -> None:
    """Draw the figures of a checkpoint; `arguments` are those of the process by default."""
    write_any_character()
    parser = argparse.ArgumentParser(
        prog="python -m seqsum.inspect",
        description="Figures of a trained network, as PNG and as one HTML page that needs no server.",
        allow_abbrev=False,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="such as logs/sum/version_0/checkpoints/best.ckpt")
    parser.add_argument("--root", help="folder of the datasets; default: the one in the checkpoint")
    parser.add_argument("--images", nargs="+", help="your own digits instead of the test split: files, or a folder")
    parser.add_argument("--curve", help="your own curve instead, for a network that continues curves: a CSV file")
    parser.add_argument("--texts", nargs="+", help="your own texts, for a network that reads words: files, or a folder")
    parser.add_argument("--output", type=Path, help="a new folder; default: the next logs/inspect/version_N")
    parser.add_argument(
        "--sequences",
        type=int,
        default=6,
        help="test sequences that are drawn one by one, of sums, texts and translations",
    )
    parser.add_argument("--max-length", type=int, default=100, help="where the curve of lengths ends, of sums")
    parser.add_argument(
        "--convolutions",
        nargs="+",
        metavar="NAME",
        help="convolutions whose filters and feature maps are drawn, such as layers.0.0; default: up to the objective",
    )
    options = expand_home(parser.parse_args(arguments))
    with errors_in_a_line():
        try:
            own = inspect(options)
        except InputError as error:
            message = str(error)
            for name, here in FLAGS.items():
                message = message.replace(name, here)
            raise InputError(message) from error
    print_left_out(own)
    if own.skipped:
        sys.exit(1)


def inspect(options: argparse.Namespace) -> OwnInput:
    """Find out what is wrong, read, draw, and write at last, so that a mistake leaves nothing behind.

    Returns:
        What was found in the user's own input.
    """
    if options.sequences < 1:
        raise InputError(f"`--sequences` (={options.sequences}) must be at least 1")
    folder = options.output or next_version(Path("logs/inspect"))
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"`--output` (={folder}) exists already: name a new folder")
    given = {name: getattr(options, name) for name in OWN_INPUTS}
    look = Look(options.sequences, options.max_length, options.convolutions)
    if any(given.values()) and look != Look():
        raise InputError(
            "`--sequences`, `--max-length` and `--convolutions` say what is shown of the test split, not of "
            f"{' and '.join(f'`--{name}`' for name, value in given.items() if value)}"
        )
    module, data, settings = load(options.checkpoint, options.root, **given)
    sections = [*(predict(module, data) if any(given.values()) else report(module, data, look)).page]
    rows = [(name, str(value)) for name, value in settings.items()]
    sections.append(Section("Settings", "How it was made and trained.", table=Table(("setting", "value"), rows)))
    lead = f"{options.checkpoint}: {describe(module.network, module.objective, data)}"
    try:
        write_folder(folder, make_files("A look into a trained network", lead, sections))
    except OSError as error:
        raise InputError(f"`--output` (={folder}) can't be written ({error.strerror})") from error
    beside = ", and its figures as PNG beside it" if any(section.figure for section in sections) else ""
    print_line(f"Page: {folder / 'index.html'}{beside}")
    return data.own


if __name__ == "__main__":
    main()
