"""Lightning's private state, which any new version of Lightning may change.

`PRIVATE` and `LOOPS` list the private names of Lightning that the package uses: functions here wrap some, `used_in`
says where the others are. `missing` looks for all in the installed Lightning and says in words what is gone; its test
is the first to fail after an update. The code is written for lightning 2.6.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import lightning
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from torch import Tensor

from seqsum.accumulation import Accumulation, gradients_wait

HERE = "seqsum/resume/lightning_state.py"


class Private(NamedTuple):
    """A private name of Lightning, or of a library below it, that the package relies on.

    Attributes:
        owner: An attribute of the Trainer, such as `fit_loop.epoch_loop`; or a class.
        name: The private attribute of the owner.
        used_in: The file that uses or overrides it.
    """

    owner: str | type
    name: str
    used_in: str


PRIVATE = (
    Private("fit_loop", "_should_accumulate", "seqsum/accumulation.py"),
    Private("fit_loop", "_data_fetcher", HERE),
    Private("fit_loop", "_restarting", "seqsum/optimization.py"),
    Private("fit_loop.epoch_loop", "_num_ready_batches_reached", "seqsum/optimization.py"),
    Private("fit_loop.epoch_loop", "_should_check_val_fx", HERE),
    Private("fit_loop.epoch_loop", "_batches_that_stepped", HERE),
    Private("fit_loop.trainer", "_logger_connector", HERE),
    Private("_logger_connector", "_callback_metrics", HERE),
    Private(ModelCheckpoint, "_save_checkpoint", HERE),
    # used where they belong instead of wrapped here: overridden methods, and attributes of a subclass's own
    Private(LightningModule, "_trainer", "seqsum/module.py"),
    Private(LightningModule, "_trainer", "seqsum/graphs/module.py"),
    Private(LightningModule, "_trainer", "seqsum/optimization.py"),
    Private(RichProgressBar, "_get_train_description", "seqsum/callbacks/console.py"),
    Private(LightningCLI, "_parse_ckpt_path", "seqsum/cli/app.py"),
    Private(LightningCLI, "_run_subcommand", "seqsum/cli/app.py"),
    Private(LightningCLI, "_instantiate_trainer", "seqsum/cli/app.py"),
    Private(LightningCLI, "_parser", "seqsum/cli/app.py"),
    Private(LightningArgumentParser, "_option_string_actions", "seqsum/cli/parser.py"),
    Private(LightningArgumentParser, "_actions", "seqsum/defaults.py"),
)
COUNTERS = ("ready", "started", "processed", "completed")
LOOPS = (  # entries for the training loops in a checkpoint
    *(f"epoch_progress.{span}.{counter}" for span in ("total", "current") for counter in COUNTERS),
    *(f"epoch_loop.batch_progress.{span}.{counter}" for span in ("total", "current") for counter in COUNTERS),
    *(f"epoch_loop.val_loop.batch_progress.{span}.{counter}" for span in ("total", "current") for counter in COUNTERS),
    "epoch_loop.batch_progress.is_last_batch",
    "epoch_loop.state_dict._batches_that_stepped",
    "state_dict",
)


def missing(trainer: Trainer) -> Iterator[str]:
    """Yield a sentence for each name that the installed Lightning lacks."""
    for owner, name, used_in in PRIVATE:
        named = owner if isinstance(owner, str) else owner.__name__
        if not _has(trainer, owner, name):
            yield _sentence(f"{named}.{name}", used_in)
    loops = trainer.fit_loop.state_dict()
    for name in LOOPS:
        if not _is_in(loops, name):
            yield _sentence(f"{name} in the loops of a checkpoint", HERE)


def _has(trainer: Trainer, owner: str | type, name: str) -> bool:
    if isinstance(owner, str):
        return hasattr(operator.attrgetter(owner)(trainer), name)
    made = owner() if owner in (LightningArgumentParser, LightningModule) else owner  # set by their constructors
    return hasattr(made, name)


def _is_in(loops: dict[str, Any], name: str) -> bool:
    """Whether a dotted name leads to an entry; the entries' own names may contain dots."""
    if name in loops:
        return True
    parts = [part for part in loops if name.startswith(f"{part}.") and isinstance(loops[part], dict)]
    return any(_is_in(loops[part], name.removeprefix(f"{part}.")) for part in parts)


def _sentence(name: str, used_in: str) -> str:
    return f"lightning {lightning.__version__} no longer has `{name}`, which {used_in} relies on"


def set_steps(trainer: Trainer, steps: int) -> None:
    """Set Lightning's count of training steps, which it logs as the step."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = steps


def validation_follows(trainer: Trainer) -> bool:
    """Whether Lightning validates after the current training batch."""
    fetcher = trainer.fit_loop._data_fetcher
    return fetcher is not None and trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)


def end_epoch(trainer: Trainer) -> None:
    """Leave no batch of the epoch within which a training goes on, so that it ends with Lightning's next step."""
    fetcher: Any = trainer.fit_loop._data_fetcher
    fetcher.iterator = iter(())
    if ahead := getattr(fetcher, "batches", None):  # read before
        ahead.clear()


def begin_again(trainer: Trainer) -> None:
    """Make the iterator over an epoch's batches anew, before the first of them is taken."""
    if (fetcher := trainer.fit_loop._data_fetcher) is not None:
        iter(fetcher)


def batches_begun(trainer: Trainer) -> int:
    """Return how many batches of the current epoch have begun, also in a resumed one before its first."""
    begun: int = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return begun


def waiting_batches(trainer: Trainer) -> int:
    """Return how many batches of the current epoch wait for further ones, and only then make an optimizer step."""
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress  # whose type says nothing of `processed`
    done: int = progress.current.processed
    is_over = progress.is_last_batch and progress.current.ready == done
    return 0 if is_over or done >= trainer.num_training_batches else done % trainer.accumulate_grad_batches


def metrics_so_far(trainer: Trainer) -> dict[str, Tensor]:
    """Return the metrics that callbacks and schedules may look at; `callback_metrics` would compute unfinished ones."""
    found: dict[str, Tensor] = trainer._logger_connector._callback_metrics
    return found


def is_within_batch(trainer: Trainer, accumulation: Accumulation) -> bool:
    """Whether gradients of a batch have been added that is not done yet."""
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress
    return bool(accumulation.differentiated > progress.current.processed)


def skip_batch(trainer: Trainer) -> None:
    """Take a batch from the iterator over an epoch as Lightning does, and drop it."""
    fetcher: Any = trainer.fit_loop._data_fetcher
    batch = next(fetcher.iterator, None)
    if ahead := getattr(fetcher, "batches", None):  # one that was read before, where the loader has no length
        ahead[:] = [] if batch is None else [batch]


def save(callback: ModelCheckpoint, trainer: Trainer, path: str) -> None:
    """Make the callback write a checkpoint now."""
    callback._save_checkpoint(trainer, path)


class Place(NamedTuple):
    """The position of a training.

    Attributes:
        epoch_finished: Whether the epoch is finished.
        validation_due: Whether a validation is due after the last training batch, or was interrupted.
        steps: Number of training steps done.
        batch_size: Sequences in a batch, if the loader knows.
        epochs, batches: Whole epochs done, and batches of the epoch within which it is.
    """

    epoch_finished: bool
    validation_due: bool
    steps: int
    batch_size: int | None = None  # not in older checkpoints, as what follows
    epochs: int | None = None
    batches: int = 0


def place_of(trainer: Trainer, loops: dict[str, Any], validated: bool) -> Place:
    """Determine the position of the training whose loops are being saved.

    Args:
        trainer: The Trainer, during `fit`.
        loops: State of the loops in the checkpoint.
        validated: Whether the validation after the last training batch is over.
    """
    epochs, batches = loops["epoch_progress"]["current"], loops["epoch_loop.batch_progress"]["current"]
    ending_batch = batches["completed"] < batches["processed"]
    finished = epochs["processed"] == epochs["started"] and not is_within_epoch(trainer)
    due = not validated if trainer.validating else ending_batch and validation_follows(trainer)
    # Lightning counts a step only after the batch and its validation
    uncounted = (ending_batch or trainer.validating) and not gradients_wait(trainer)
    steps = loops["epoch_loop.state_dict"]["_batches_that_stepped"] + uncounted
    done = epochs["processed"] if finished else epochs["started"] - 1
    return Place(finished, not finished and due, steps, None, done, 0 if finished else batches["processed"])


def is_within_epoch(trainer: Trainer) -> bool:
    """Whether some batches of the current epoch are done and not all: also where a limit of time or steps ended it."""
    batches = trainer.fit_loop.epoch_loop.batch_progress
    return 0 < batches.current.completed < trainer.num_training_batches and not batches.is_last_batch


def go_on_at(loops: dict[str, Any], place: Place) -> None:
    """Set the counters of a checkpoint's training loops so that Lightning resumes at `place`.

    Each event has four counters: `ready`, `started`, `processed` and `completed`. During an epoch or a validation the
    last two lag behind. In a checkpoint written between two hooks they are not in a state that Lightning can resume
    from, so they are set to one: each batch is either done or not.

    Args:
        loops: State of the loops in the checkpoint, changed in place.
        place: Position to resume at.
    """
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    if not place.validation_due:  # after which Lightning counts the last batch's step, if it made one
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] = place.steps
    batches["is_last_batch"] &= batches["current"]["ready"] == batches["current"]["processed"]
    for span in ("total", "current"):
        started = epochs[span]["started"]
        done = epochs[span]["processed"] if place.epoch_finished else started - 1
        epochs[span].update(ready=started, processed=done, completed=done)
        batches[span] = dict.fromkeys(batches[span], batches[span]["processed"])
        begun = int(place.validation_due)
        loops["epoch_loop.val_loop.batch_progress"][span].update(ready=begun, started=begun, processed=0, completed=0)
    for loader in loops["state_dict"].get("combined_loader", []):
        if "served" in loader:  # a `BatchLoader` may have prefetched a batch that was not used
            loader.update(served=batches["current"]["processed"])
    if place.epoch_finished:
        batches.update(current=dict.fromkeys(batches["current"], 0), is_last_batch=False)
        loops["state_dict"].pop("combined_loader", None)


def batches_done(loops: dict[str, Any]) -> int:
    """Return how many batches of its epoch a checkpoint has behind it."""
    done: int = loops["epoch_loop.batch_progress"]["current"]["completed"]
    return done


def loader_states(loops: dict[str, Any]) -> list[dict[str, Any]]:
    """States of the training's loaders in a checkpoint."""
    return loops["state_dict"].get("combined_loader", [])
