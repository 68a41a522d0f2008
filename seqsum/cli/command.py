"""Run the program, and report a user's mistake in one line."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import jsonargparse.typing
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from seqsum.allocator import keep_memory
from seqsum.cli.app import SeqsumCLI
from seqsum.cli.arguments import SUBCOMMANDS
from seqsum.cli.configurations import dump_settings
from seqsum.cli.settings import read_settings
from seqsum.console import errors_in_a_line, fail, write_any_character
from seqsum.distributed import is_first_process
from seqsum.errors import InputError, NotFiniteError
from seqsum.recurrent import Recurrent
from seqsum.recurrent.explain import say_check

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota, no larger file
PROGRAM = "train.py"
TOO_LONG_INTERVAL = "`val_check_interval` ("  # as Lightning begins if an epoch has fewer batches
UNKNOWN_MONITOR = "Early stopping conditioned on metric"  # as Lightning says after an epoch in which nobody logged it


def main(args: list[str] | None = None) -> None:
    """Run the command line with `args`, by default `sys.argv[1:]`.

    Another program may call it with `args`: they are those of `train.py`, as errors say, and not its own.
    """
    write_any_character()
    program = None if args is None else PROGRAM
    if args is None:
        args = sys.argv[1:]
        sys.path.append(os.getcwd())  # for classes of the user's own, where the program is in another folder
    jsonargparse.set_dumper("yaml", dump_settings)
    jsonargparse.typing.register_type(torch.device, str)
    keep_memory()
    has_subcommand = bool(args) and args[0] in SUBCOMMANDS
    subcommand, options = (args[0], args[1:]) if has_subcommand else ("fit", args)
    _quieten(subcommand)
    with errors_in_a_line(), _other_errors_in_a_line(), _cell_at_fault():
        app = SeqsumCLI(subcommand, read_settings(subcommand, options), program)
        try:
            if not has_subcommand:
                app.test_best()
        finally:  # a test that fails leaves the training as it is
            if subcommand == "fit":
                app.say_where_everything_is()
        if subcommand == "predict" and app.datamodule.own.skipped:
            sys.exit(1)


@contextmanager
def _other_errors_in_a_line() -> Iterator[None]:
    """Print mistakes of a user's that others find likewise, without a traceback, and exit."""
    try:
        yield
    except NotFiniteError as error:  # raised in all processes: print it once
        fail(str(error) if is_first_process() else None)
    except MisconfigurationException as error:  # Lightning checks some flags only when the training starts
        fail(str(error))
    except ValueError as error:
        if TOO_LONG_INTERVAL not in str(error):
            raise
        fail(" ".join(str(error).split()))
    except RuntimeError as error:
        if not str(error).startswith(UNKNOWN_MONITOR):
            raise
        fail(str(error))
    except OSError as error:  # from a logger; the checkpoint's error may be its context
        if error.errno not in FULL_DISK:
            raise
        first = error.__context__ if isinstance(error.__context__, InputError) else error
        fail(f"{first} (the disk is full: `--trainer.default_root_dir` may name another one)")


@contextmanager
def _cell_at_fault() -> Iterator[None]:
    """Add to an error that arose in a user's own cell how to learn what is wrong with it."""
    try:
        yield
    except Exception as error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code is Recurrent._run_cell.__code__:
                kind = type(frame.f_locals["cell"])
                if not kind.__module__.startswith("seqsum.") and hasattr(error, "add_note"):  # from Python 3.11 on
                    error.add_note(say_check(kind))
                break
        raise


def _quieten(subcommand: str) -> None:
    """Filter out warnings and tips that are of no use to a user of this program."""
    # index tables take microseconds: workers would only slow the loading down
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    # the picture shows boxes for a file name in another script; the table and the page show it correctly
    warnings.filterwarnings("ignore", r"Glyph .* missing from (current )?font")
    if subcommand != "fit":  # a test doesn't need the training's callbacks
        warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")
    # a resumed training has a new folder, and so its own best checkpoint
    warnings.filterwarnings("ignore", "The dirpath has changed from .*")
    # lightning 2.6 causes this warning itself under torch 2.11 and later
    warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*")
    # `ExactResume` goes on within the epoch
    warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")
    # a frozen encoder is meant to be
    warnings.filterwarnings("ignore", ".*in eval mode at the start of training.*")
    # a default that is an object is left out, see `dump_settings`
    warnings.filterwarnings("ignore", r"\s*Unable to serialize instance")
    # `GraphedModule.optimizer_step` is meant for steps of the optimizer, however many batches these take
    warnings.filterwarnings("ignore", "When using `Trainer\\(accumulate_grad_batches != 1\\)`.*")
    # `Scalars` lowers the interval
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Leave out an advertisement, and what sounds like a second Ctrl-C; `interrupts.py` has said that it stops."""
    return not any(text in record.getMessage() for text in ("litlogger", "Detected KeyboardInterrupt"))
