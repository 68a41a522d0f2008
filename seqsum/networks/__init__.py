"""Networks: an encoder applied to each step, a recurrence over the steps, a head applied to each step."""

from seqsum.networks.build import build_network
from seqsum.networks.encoders import ConvEncoder, Encoder, Flatten
from seqsum.networks.heads import build_head
from seqsum.networks.initial_state import InitialState
from seqsum.networks.recurrences import Bias, build_recurrence
from seqsum.networks.sequence import SequenceNetwork
from seqsum.networks.time_distributed import TimeDistributed
from seqsum.networks.windows import run_in_windows

__all__ = [
    "Bias",
    "ConvEncoder",
    "Encoder",
    "Flatten",
    "InitialState",
    "SequenceNetwork",
    "TimeDistributed",
    "build_head",
    "build_network",
    "build_recurrence",
    "run_in_windows",
]
