"""The default network, from the options that the command line has for it."""

from __future__ import annotations

from collections.abc import Sequence

from seqsum.networks.encoders import ConvEncoder, Encoder
from seqsum.networks.heads import build_head
from seqsum.networks.initial_state import InitialState
from seqsum.networks.recurrences import Bias, build_recurrence
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
) -> SequenceNetwork:
    """Encoder, recurrence and head of the sizes that fit each other.

    Args:
        output_size: Outputs per step, `K`.
        cell: Recurrence, written by hand: `lstm`, `gru`, `rnn` or `irnn` (ReLUs that start by keeping their
            state, Le et al., 2015); torch's own with the same start:
            `torch_lstm`, `torch_gru` or `torch_rnn`; or a cell of your own, the path of its class, such as
            `my_cells.MyCell`.
        hidden_size: Units of each recurrent layer, `H`.
        num_layers: Recurrent layers, `L`.
        backend: How the hand-written loop over time runs: `eager` (plain Python), `script`
            (TorchScript), `compile` (torch.compile), `bptt` (backward written by hand too), `native`
            (in C++), `triton` (in kernels for GPUs) or `auto`, the fastest that works.
        output_activation: What the output gate of `lstm` scales: `identity`, the cell state itself, the
            default, which lets the head count beyond the sums seen in training; or `tanh` of it, as
            `torch_lstm` does.
        bias: Biases of each gate of a built-in cell: `two`, one of the input's product and one of the
            recurrent one, as in torch; `one`, as in most papers; or `none`.
        initial_state: State before the first step: `zero`, `random` (standard normal, another for each
            sequence), `learned`, or a number that fills it. A trained network can be tested with another.
        forget_bias: Start of the bias of the gate that keeps the state: of `lstm` the forget gate, 1 by default,
            of `gru` the update gate, 0 by default. The larger, the longer the memory, from the first step of
            the training on (Tallec & Ollivier, 2018). Or of several gates by name, such as
            `{reset_gate: 1, update_gate: 1}`.
        encoder: What turns one step's input into features; a `ConvEncoder` by default.
        head_sizes: Units of hidden layers between recurrence and outputs, with ReLUs around them; none for a
            head that is linear.
        truncate: Steps after which gradients through time stop, for sequences too long for the memory: see
            `run_in_windows`. By default they go back to the first step.

    Raises:
        ValueError: An option that is unknown, below its least value, or not one of the cell's.
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
    )
    head = build_head(hidden_size, head_sizes, output_size)
    return SequenceNetwork(encoder, recurrence, head, initial_state, truncate)
