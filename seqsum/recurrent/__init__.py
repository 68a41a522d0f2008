"""Hand-written recurrence: cells, the loop over time, layers. Depends on torch alone."""

from seqsum.recurrent.cells import LSTMCell, RecurrentCell
from seqsum.recurrent.layers import LSTM
from seqsum.recurrent.unroll import resolve_backend, unroll

__all__ = ["LSTM", "LSTMCell", "RecurrentCell", "resolve_backend", "unroll"]
