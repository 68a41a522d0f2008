"""Cells: the equations of one time step of a recurrent layer."""

from seqsum.recurrent.cells.attention import AttentionCell
from seqsum.recurrent.cells.base import RecurrentCell, check_read, require_cell
from seqsum.recurrent.cells.constants import Constants, check_constants, list_constants, reorder_constants
from seqsum.recurrent.cells.gru import GRUCell
from seqsum.recurrent.cells.lstm import LSTMCell, OutputActivation
from seqsum.recurrent.cells.packed import PackedCell, dropout_mask
from seqsum.recurrent.cells.rnn import Nonlinearity, RNNCell
from seqsum.recurrent.cells.source_attention import Attention, SourceAttention
from seqsum.recurrent.cells.weights import computed_weights, hand_back_attributes, has_hooks, is_copy, with_weights

__all__ = [
    "Attention",
    "AttentionCell",
    "Constants",
    "GRUCell",
    "LSTMCell",
    "Nonlinearity",
    "OutputActivation",
    "PackedCell",
    "RNNCell",
    "RecurrentCell",
    "SourceAttention",
    "check_constants",
    "check_read",
    "computed_weights",
    "dropout_mask",
    "hand_back_attributes",
    "has_hooks",
    "is_copy",
    "list_constants",
    "reorder_constants",
    "require_cell",
    "with_weights",
]
