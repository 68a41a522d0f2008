"""Name, seed and loggers of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from seqsum.data import SequenceData
from seqsum.errors import check_seed_number
from seqsum.versions import STAND_INS, claim_version, number_of

SEED = "--seed_everything"


def run_name(settings: Namespace, subcommand: str, data: SequenceData) -> str:
    """Name the run's folder: `experiment[-subcommand]`, and behind it the data if they stand in for real ones."""
    parts = [settings.experiment]
    if subcommand != "fit":
        parts.append(subcommand)
    if data.dataset in STAND_INS and subcommand != "predict":
        parts.append(data.dataset)
    return "-".join(parts)


def seed_of(given: bool | int | None) -> int:
    """Return the seed that `--seed_everything` means: for true, PL_GLOBAL_SEED or 0; for false or null, 0."""
    if given is True:
        seed = os.environ.get("PL_GLOBAL_SEED", "0")
        return int(seed) if seed.isdecimal() else -1  # which `check_seed` refuses
    return given or 0


def check_seed(given: bool | int | None) -> None:
    """Raise an InputError if a seed is one that NumPy does not take."""
    name, value = ("PL_GLOBAL_SEED", os.environ.get("PL_GLOBAL_SEED")) if given is True else (SEED, given)
    check_seed_number(name, seed_of(given), value)


def make_loggers(root: str, name: str) -> list[Logger]:
    """Make loggers for CSV and TensorBoard, both in a new folder `root/name/version_N`."""
    version = _claim(Path(root) / name)
    return [
        # CSV first: it warns if the folder is not empty
        CSVLogger(root, name, version),
        TensorBoardLogger(root, name, version, default_hp_metric=False),
    ]


@rank_zero_only
def _claim(folder: Path) -> Any:
    return number_of(claim_version(folder))
