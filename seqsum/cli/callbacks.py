"""The program's own callbacks of every run. Their order does not matter, but for the first two."""

from __future__ import annotations

from jsonargparse import Namespace
from lightning.pytorch import Callback

from seqsum.callbacks import RunLines, RunRecord, Scalars, Seeds, SharedCores, TestReport
from seqsum.cli.run import seed_of
from seqsum.defaults import by_flag
from seqsum.diagnosis import FiniteLoss
from seqsum.resume.exact import ExactResume


def of_every_run(name: str, settings: Namespace, configuration: str) -> list[Callback]:
    """Make the callbacks of every run.

    Args:
        name: Name of the run's folder.
        settings: All settings of the subcommand.
        configuration: The same as YAML.
    """
    given = settings.seed_everything
    seed = seed_of(given)
    return [
        ExactResume(settings.experiment),
        Seeds(seed),
        RunLines(),
        SharedCores(),
        TestReport(name, None if given is None or given is False else seed, settings.get("verbose", True)),
        FiniteLoss(),
        Scalars(),
        RunRecord(configuration, by_flag(settings)),
    ]
