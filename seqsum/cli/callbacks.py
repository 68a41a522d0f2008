"""Make the program's own callbacks for a run. Their order does not matter."""

from __future__ import annotations

from typing import NamedTuple

from jsonargparse import Namespace
from lightning.pytorch import Callback

from seqsum.callbacks import (
    ProgressBar,
    RunLines,
    RunRecord,
    Scalars,
    Seeds,
    SharedCores,
    TestReport,
)
from seqsum.cli.run import seed_of
from seqsum.defaults import by_flag
from seqsum.diagnosis import FiniteLoss
from seqsum.objectives import Objective
from seqsum.resume.best import BestCheckpoint
from seqsum.resume.exact import ExactResume
from seqsum.resume.last import LastCheckpoint


class Described(NamedTuple):
    """What the callbacks know of a run.

    Attributes:
        name: Name of the run's folder.
        settings: All settings of the subcommand.
        configuration: The same as YAML.
    """

    name: str
    settings: Namespace
    configuration: str


def of_every_run(run: Described) -> list[Callback]:
    """Callbacks of every run."""
    seed = seed_of(run.settings.seed_everything)
    return [
        Seeds(seed),
        ExactResume(run.settings.experiment),
        RunLines(),
        SharedCores(),
        TestReport(run.name, seed, run.settings.get("verbose", True)),
        FiniteLoss(),
        Scalars(),
        RunRecord(run.configuration, by_flag(run.settings)),
    ]


def checkpoints(objective: Objective) -> list[Callback]:
    """Callbacks that write `best.ckpt` and `last.ckpt`."""
    return [BestCheckpoint(objective), LastCheckpoint()]


def progress_bar() -> list[Callback]:
    """The callback that draws the progress bar."""
    return [ProgressBar()]
