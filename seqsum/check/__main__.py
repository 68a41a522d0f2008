"""The command line: `python -m seqsum.check my_cells.MyLSTM --like=lstm`.

Exit code 0 if all is right, 1 if something is wrong with a cell, 2 if the command itself is.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path

from seqsum.check.equations.catalogue import CATALOGUE
from seqsum.check.grading import find_submissions, grade, make_table, to_json
from seqsum.check.run import LIKES, check_target, ordered_checks
from seqsum.console import write_any_character

TIMEOUT = 120.0  # seconds for each of several files


def main(arguments: Sequence[str] | None = None) -> int:
    """Check one cell, or grade several files; the exit code."""
    write_any_character()
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not (options.cells or options.list):
        parser.error("name a cell, such as my_cells.MyLSTM")
    try:
        if options.list:
            print(list_all(options.like), flush=True)
            return 0
        if len(options.cells) > 1 or Path(options.cells[0]).is_dir():
            return grade_all(options, parser)
        if options.timeout is not None:
            parser.error("--timeout is for a folder or several files; one cell is checked until it ends")
        return check_one(options)
    except BrokenPipeError:  # such as `| head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at its end
        return 1
    except KeyboardInterrupt:
        return 1
    except OSError as error:
        parser.exit(2, f"error: {error.filename or 'a file'} can't be read or written ({error.strerror or error})\n")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")


def make_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = argparse.ArgumentParser(
        prog="python -m seqsum.check",
        description="Is a recurrent cell right? Says in words what is wrong with it, what to mend first.",
        allow_abbrev=False,
    )
    cells = (
        "my_cells.MyLSTM, a file, a file and a class as in cells.py:MyLSTM; or several files or a folder, for a table"
    )
    parser.add_argument("cells", nargs="*", metavar="CELL", help=cells)
    parser.add_argument("--like", choices=LIKES, help="hold its equations against torch.nn's")
    parser.add_argument(
        "--learn", action="store_true", help="also see how it learns and how fast it is: up to a minute"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page with pictures; a folder for several cells"
    )
    parser.add_argument(
        "--list", action="store_true", help="only list the checks, and the mistakes that are recognised"
    )
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="for each of several files (120)")
    return parser


def list_all(like: str | None) -> str:
    """All checks, and all mistakes and variants that are recognised, for one reference or for each."""
    lines = [f"{check.title}: {check.explanation}" for check in ordered_checks(learn=True)]
    for name in [like] if like else LIKES:
        known = CATALOGUE[name]
        variants = [mistake for mistake in known if mistake.kind == "variant"]
        lines.append(f"\n{name}: {len(known) - len(variants)} mistakes and {len(variants)} variants are recognised")
        lines += [f"  {mistake.name}: {mistake.sentence}" for mistake in known]
    return "\n".join(lines)


def check_one(options: argparse.Namespace) -> int:
    """Check one cell and print the report."""
    with redirect_stdout(sys.stderr):  # what a user's file prints is not part of it
        report = check_target(options.cells[0], options.like, learn=options.learn)
    if options.html is not None:
        report.to_html(options.html)
    print(report.to_json() if options.json else report, flush=True)
    return 0 if report.passed else 1


def grade_all(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Check several files and print the table."""
    files = find_submissions(options.cells)
    if not files:
        parser.error(f"there are no Python files in {', '.join(options.cells)} (names that begin with _ do not count)")
    if options.html is not None:
        options.html.mkdir(parents=True, exist_ok=True)
    grades = grade(
        files,
        options.like,
        learn=options.learn,
        timeout=TIMEOUT if options.timeout is None else options.timeout,
        pages=options.html,
    )
    print(to_json(grades) if options.json else make_table(grades), flush=True)
    return 0 if grades and all(grade.passed for grade in grades) else 1


if __name__ == "__main__":
    sys.exit(main())
