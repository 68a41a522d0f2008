"""Builds the default network from its command-line options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seqsum.networks.conv_encoder import ConvEncoder
from seqsum.networks.encoders import Encoder
from seqsum.networks.heads import build_head
from seqsum.networks.initial_state import InitialState
from seqsum.networks.readouts import ReadoutName, make_readout
from seqsum.networks.recurrences import Bias, build_recurrence, sizes_of
from seqsum.networks.sequence import SequenceNetwork
from seqsum.recurrent.backends import Backend
from seqsum.recurrent.cells import OutputActivation


def build_network(
    output_size: int,
    cell: str = "lstm",
    hidden_size: int = 128,
    num_layers: int = 1,
    backend: Backend = "auto",
    output_activation: OutputActivation | None = None,
    bias: Bias = "two",
    initial_state: InitialState = "zero",
    forget_bias: float | dict[str, float] | None = None,
    encoder: Encoder | None = None,
    head_sizes: Sequence[int] = (),
    truncate: int | None = None,
    bidirectional: bool = False,
    readout: ReadoutName = "every",
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    input_dropout: float = 0.0,
    readout_dropout: float = 0.0,
    carry: int = 0,
    cell_options: dict[str, Any] | None = None,
) -> SequenceNetwork:
    """Build an encoder, a recurrence and a head with matching sizes.

    Args:
        output_size: Outputs per step, `K`.
        cell: Recurrence: hand-written `lstm`, `gru`, `rnn` or `irnn` (ReLU units with identity recurrent weights
            at the start, Le et al., 2015); torch's own `torch_lstm`, `torch_gru` or `torch_rnn` with the same
            initial weights; or the path of your own cell class, such as `my_cells.MyCell`.
        hidden_size: Units of each recurrent layer, `H`.
        num_layers: Number of recurrent layers, `L`.
        backend: How the hand-written loop over time runs: `eager` (plain Python), `script` (TorchScript),
            `compile` (torch.compile), `bptt` (hand-written backward pass), `native` (C++), `triton` (GPU
            kernels) or `auto`, the fastest that works.
        output_activation: What the output gate of `lstm` scales: `identity` for the cell state itself, the
            default, which lets the head count beyond the sums seen in training; or `tanh` of it, as in
            `torch_lstm`, and the default with `proj_size`.
        bias: Biases of each gate of a built-in cell: `two`, one for the input's product and one for the
            recurrent product, as in torch; `one`, as in most papers; or `none`.
        initial_state: State before the first step: `zero`, `random` (standard normal, different for each
            sequence), `learned`, or a number to fill it with. A trained network can be tested with a different one.
        forget_bias: Initial bias of the gate that keeps the state: the forget gate of `lstm`, 1 by default, or
            the update gate of `gru`, 0 by default. The larger, the longer the memory at the start of training
            (Tallec & Ollivier, 2018). Or initial biases of several gates by name, such as
            `{reset_gate: 1, update_gate: 1}`.
        encoder: Module that turns one step's input into features; a `ConvEncoder` by default.
        head_sizes: Units of hidden layers between recurrence and outputs, with ReLUs before and after each;
            empty for a linear head.
        truncate: Number of steps after which gradients through time stop, to save memory on long sequences; see
            `run_in_windows`. By default they go back to the first step.
        bidirectional: Whether each layer also reads the sequence backwards; the head then gets the states of both
            directions, `2·H` numbers. Each output depends on the whole sequence, so don't predict what comes next.
        readout: Outputs at `every` step, or one for each sequence, `(B, 1, K)`: from the `last` state, which is
            that of both ends if `bidirectional`; from `mean_states` or their maximum, `max`, or both concatenated,
            `mean_max`; or from the outputs at all steps, by `mean_logits` or `mean_probabilities`. Masked steps are
            left out.
        dropout: Probability, in training, of dropping an output of any recurrent layer except the last; needs two
            layers.
        recurrent_dropout: Probability, in training, of hiding a unit of the hidden state from the gates, the same at
            all steps of a sequence (Gal & Ghahramani, 2016). Only for hand-written cells.
        input_dropout: Probability, in training, of dropping a feature that the recurrence reads, the same at all steps
            of a sequence (Gal & Ghahramani, 2016).
        readout_dropout: Probability, in training, of dropping a number that the head reads.
        carry: For outputs that add up: most other sequences of the batch that the network reads before each training
            sequence, half of the time, to go on from where they lead. It learns to count far from short sequences.
        cell_options: Further arguments of the cell, by name: those of your own cell's class, such as
            `{zoneout: 0.1}`, `layer_norm` of the hand-written ones, `nonlinearity` of `rnn`, `proj_size` of `lstm`.

    Raises:
        ValueError: An option is unknown, below its minimum, or not supported by the cell.
    """
    encoder = encoder or ConvEncoder()
    recurrence = build_recurrence(
        cell,
        encoder.output_size,
        hidden_size,
        num_layers,
        backend,
        output_activation,
        bias,
        learn_initial_state=initial_state == "learned",
        forget_bias=forget_bias,
        bidirectional=bidirectional,
        dropout=dropout,
        recurrent_dropout=recurrent_dropout,
        cell_options=cell_options,
    )
    width = sizes_of(recurrence)[0]
    directions = 2 if bidirectional else 1
    head = build_head(width * directions * make_readout(readout).width, head_sizes, output_size)
    return SequenceNetwork(
        encoder,
        recurrence,
        head,
        initial_state,
        truncate,
        readout=readout,
        input_dropout=input_dropout,
        readout_dropout=readout_dropout,
        carry=carry,
    )
