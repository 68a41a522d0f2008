"""Where `seqsum.diagnosis.broken` was, for YAML files and checkpoints that name it."""

from seqsum.diagnosis.broken import BinarySum, DenseEncoder, StandardNormalRNNCell, UnscaledDigits

__all__ = ["BinarySum", "DenseEncoder", "StandardNormalRNNCell", "UnscaledDigits"]
