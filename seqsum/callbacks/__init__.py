"""Callbacks that print, log and draw what a run does, seed it and average its weights."""

from seqsum.callbacks.averaging import AveragedWeights
from seqsum.callbacks.console import ProgressBar, RunLines
from seqsum.callbacks.cores import SharedCores
from seqsum.callbacks.dropout import EndRecurrentDropout
from seqsum.callbacks.pictures import Pictures, describe
from seqsum.callbacks.record import RunRecord
from seqsum.callbacks.results import TestReport
from seqsum.callbacks.scalars import Scalars
from seqsum.callbacks.seeds import Seeds

__all__ = [
    "AveragedWeights",
    "EndRecurrentDropout",
    "Pictures",
    "ProgressBar",
    "RunLines",
    "RunRecord",
    "Scalars",
    "Seeds",
    "SharedCores",
    "TestReport",
    "describe",
]
