"""The former name of `seqsum.diagnosis.broken`, for YAML files and checkpoints that use it."""

from seqsum.diagnosis.broken import BinarySum, DenseEncoder, StandardNormalRNNCell, UnscaledDigits

__all__ = ["BinarySum", "DenseEncoder", "StandardNormalRNNCell", "UnscaledDigits"]
