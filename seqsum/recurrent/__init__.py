"""Hand-written recurrent networks: cells, the loop over time, layers. Depends only on torch."""

from seqsum.recurrent.backends import resolve_backend, unroll
from seqsum.recurrent.cells import AttentionCell, GRUCell, LSTMCell, RecurrentCell, RNNCell
from seqsum.recurrent.keras import gru_from_keras, lstm_from_keras, rnn_from_keras
from seqsum.recurrent.layers import GRU, LSTM, RNN
from seqsum.recurrent.recurrent import Recurrent
from seqsum.recurrent.trace import Traced, trace

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
    "Traced",
    "gru_from_keras",
    "lstm_from_keras",
    "resolve_backend",
    "rnn_from_keras",
    "trace",
    "unroll",
]
