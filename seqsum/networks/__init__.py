"""Networks: encoder → recurrence → head, and those of another form, such as an encoder and a decoder."""

from seqsum.networks.autoencoder import Autoencoder
from seqsum.networks.build import build_network
from seqsum.networks.by_step import StepNetwork
from seqsum.networks.conv_encoder import ConvEncoder
from seqsum.networks.dense_encoder import DenseEncoder
from seqsum.networks.encoder_decoder import EncoderDecoder
from seqsum.networks.encoders import Encoder, Flatten
from seqsum.networks.heads import build_head
from seqsum.networks.hidden_layers import HiddenLayers
from seqsum.networks.initial_state import InitialState
from seqsum.networks.readouts import Readout, ReadoutName, make_readout
from seqsum.networks.recurrences import Bias, build_recurrence
from seqsum.networks.sequence import SequenceNetwork
from seqsum.networks.time_distributed import TimeDistributed
from seqsum.networks.windows import run_in_windows
from seqsum.networks.word_vectors import WordVectors
from seqsum.networks.words import Embed, OneHot

__all__ = [
    "Autoencoder",
    "Bias",
    "ConvEncoder",
    "DenseEncoder",
    "Embed",
    "Encoder",
    "EncoderDecoder",
    "Flatten",
    "HiddenLayers",
    "InitialState",
    "OneHot",
    "Readout",
    "ReadoutName",
    "SequenceNetwork",
    "StepNetwork",
    "TimeDistributed",
    "WordVectors",
    "build_head",
    "build_network",
    "build_recurrence",
    "make_readout",
    "run_in_windows",
]
