"""What a run says, shows and leaves behind."""

from seqsum.callbacks.checkpoints import AveragedWeights, BestCheckpoint, LastCheckpoint
from seqsum.callbacks.console import ProgressBar, RunLines
from seqsum.callbacks.cores import SharedCores
from seqsum.callbacks.diagnosis import Diagnosis
from seqsum.callbacks.finite import FiniteLoss
from seqsum.callbacks.pictures import Pictures, describe
from seqsum.callbacks.record import RunRecord
from seqsum.callbacks.results import TestReport
from seqsum.callbacks.resume import ExactResume
from seqsum.callbacks.run import print_left_out, print_line, run_folder, write_atomically
from seqsum.callbacks.scalars import Scalars
from seqsum.callbacks.seeds import Seeds

__all__ = [
    "AveragedWeights",
    "BestCheckpoint",
    "Diagnosis",
    "ExactResume",
    "FiniteLoss",
    "LastCheckpoint",
    "Pictures",
    "ProgressBar",
    "RunLines",
    "RunRecord",
    "Scalars",
    "Seeds",
    "SharedCores",
    "TestReport",
    "describe",
    "print_left_out",
    "print_line",
    "run_folder",
    "write_atomically",
]
