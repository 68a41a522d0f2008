"""What a run says, shows and leaves behind."""

from seqsum.callbacks.averaging import AveragedWeights
from seqsum.callbacks.console import ProgressBar, RunLines
from seqsum.callbacks.cores import SharedCores
from seqsum.callbacks.curves import CurvePictures
from seqsum.callbacks.decisions import DecisionPictures
from seqsum.callbacks.pictures import SumPictures
from seqsum.callbacks.record import RunRecord
from seqsum.callbacks.report import TestReport
from seqsum.callbacks.scalars import Scalars
from seqsum.callbacks.seeds import Seeds
from seqsum.callbacks.tensorboard import TensorBoard

__all__ = [
    "AveragedWeights",
    "CurvePictures",
    "DecisionPictures",
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
