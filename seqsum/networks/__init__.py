"""Networks: an encoder for every step, a recurrence over the steps, a head for every step."""

from seqsum.networks.encoders import ConvEncoder, Encoder
from seqsum.networks.sequence import SequenceNetwork, build_recurrence
from seqsum.networks.time_distributed import TimeDistributed

__all__ = ["ConvEncoder", "Encoder", "SequenceNetwork", "TimeDistributed", "build_recurrence"]
