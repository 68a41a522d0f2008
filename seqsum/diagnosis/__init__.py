"""Report in words what goes wrong in a training, and stop it at a NaN.

callback      decides when to look, and prints findings
observation   collects what findings need from a network
findings      the faults it detects, one function each
finite        NaN and infinity
broken        parts that are broken on purpose, for `configs/broken/`
"""

from seqsum.diagnosis.callback import Diagnosis
from seqsum.diagnosis.finite import FiniteLoss

__all__ = ["Diagnosis", "FiniteLoss"]
