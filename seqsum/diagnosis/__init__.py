"""What goes wrong in a training, said in words, once; and the end of a training that has come to a NaN.

callback      when it looks, and what it says
observation   what it sees of a network
findings      the faults it knows, one function each
finite        NaN and infinity
broken        parts that are broken on purpose, for `configs/broken/`
"""

from seqsum.diagnosis.callback import Diagnosis
from seqsum.diagnosis.finite import FiniteLoss

__all__ = ["Diagnosis", "FiniteLoss"]
