"""seqsum: hand-written recurrent networks, demonstrated on running sums of handwritten digits.

The whole package uses these axis letters; shapes are written `(B, T, H)`:

    B batch · T time steps · C image channels · Y, X pixel rows, columns · F features per step
    H hidden size · G gates · L layers · D directions · K outputs per step
    P size of a hidden state, H without a projection · O outputs of a cell per step · S size of any state, or steps of a
    source or target · E features of a source step · A features of its key in attention
"""

from seqsum.check import check_cell
from seqsum.recurrent import GRU, LSTM, RNN, AttentionCell, GRUCell, LSTMCell, Recurrent, RecurrentCell, RNNCell, trace

__version__ = "0.1.0"
__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AttentionCell",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "Recurrent",
    "RecurrentCell",
    "__version__",
    "check_cell",
    "trace",
]
