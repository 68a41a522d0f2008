"""What a run says, shows and leaves behind."""

from seqsum.callbacks.checkpoints import AveragedWeights, BestCheckpoint, LastCheckpoint
from seqsum.callbacks.console import ProgressBar, RunLines
from seqsum.callbacks.cores import SharedCores
from seqsum.callbacks.curves import CurvePictures
from seqsum.callbacks.decisions import DecisionPictures
from seqsum.callbacks.diagnosis import Diagnosis
from seqsum.callbacks.finite import FiniteLoss
from seqsum.callbacks.pictures import SumPictures
from seqsum.callbacks.record import RunRecord
from seqsum.callbacks.report import TestReport
from seqsum.callbacks.resume import ExactResume
from seqsum.callbacks.scalars import Scalars
from seqsum.callbacks.seeds import Seeds
from seqsum.callbacks.tensorboard import TensorBoard

__all__ = [
    "AveragedWeights",
    "BestCheckpoint",
    "CurvePictures",
    "DecisionPictures",
    "Diagnosis",
    "ExactResume",
    "FiniteLoss",
    "LastCheckpoint",
    "ProgressBar",
    "RunLines",
    "RunRecord",
    "Scalars",
    "Seeds",
    "SharedCores",
    "SumPictures",
    "TensorBoard",
    "TestReport",
]
