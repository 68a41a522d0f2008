"""The network of every experiment: encoder → recurrence → head, at each step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqsum.networks.encoders import Encoder
from seqsum.networks.time_distributed import TimeDistributed
from seqsum.recurrent import LSTM
from seqsum.recurrent.cells import OutputActivation
from seqsum.recurrent.unroll import Backend


class SequenceNetwork(nn.Module):
    """Encodes every step, runs a recurrence over the features, reads every step's output by one head.

    Args:
        encoder: Maps one step's input to `encoder.output_size` features.
        recurrence: Maps `(B, T, F)` to outputs `(B, T, H)` and a final state, as torch.nn's layers do.
        head: Maps `(…, H)` to `(…, K)`; its weights are shared by all steps.
    """

    encoder: TimeDistributed

    def __init__(self, encoder: Encoder, recurrence: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = TimeDistributed(encoder)
        self.recurrence = recurrence
        self.head = head

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs `(B, T, …)`, mask `(B, T)` -> `(B, T, K)`."""
        features = self.encoder(inputs)  # (B, T, F)
        outputs, _ = self.recurrence(features) if mask is None else self.recurrence(features, mask=mask)
        return self.head(outputs)  # (B, T, K)

    def describe(self) -> str:
        """One line for the user: the parts and how many parameters each has."""
        parts = (self.encoder.module, self.recurrence, self.head)
        counts = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
        names = [f"{type(part).__name__} {count:,}" for part, count in zip(parts, counts, strict=True)]
        return f"{' → '.join(names)}, {sum(counts):,} parameters in all"


def build_recurrence(
    cell: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    backend: Backend = "auto",
    output_activation: OutputActivation | None = None,
) -> nn.Module:
    """The recurrent layers called `cell` on the command line: batch first, `(B, T, F)` -> `(B, T, H)`.

    `output_activation` None is "identity" for the hand-written LSTM, since running sums grow beyond those
    seen in training, and "tanh" for torch's, which has no other.

    Raises:
        ValueError: An unknown cell, a size below one, an option that the cell does not have.
    """
    if cell not in CELLS:
        raise ValueError(f"`cell` (={cell!r}) must be one of {list(CELLS)}")
    return CELLS[cell](input_size, hidden_size, num_layers, backend, output_activation)


def _lstm(
    input_size: int, hidden_size: int, num_layers: int, backend: Backend, output_activation: OutputActivation | None
) -> nn.Module:
    output = output_activation or "identity"
    return LSTM(input_size, hidden_size, num_layers, batch_first=True, backend=backend, output_activation=output)


def _torch_lstm(
    input_size: int, hidden_size: int, num_layers: int, backend: Backend, output_activation: OutputActivation | None
) -> nn.Module:
    """`torch.nn.LSTM` with the very weights that the hand-written one starts with under the same seed."""
    if output_activation not in (None, "tanh"):
        raise ValueError(f"`output_activation` (={output_activation!r}) must be 'tanh' for `cell` 'torch_lstm'")
    with torch.device("meta"):  # without torch's own start, whose random numbers would shift all later ones
        layers = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True).to_empty(device="cpu")
    layers.load_state_dict(LSTM(input_size, hidden_size, num_layers).torch_state_dict())
    return layers


CELLS: dict[str, Callable[[int, int, int, Backend, OutputActivation | None], nn.Module]] = {
    "lstm": _lstm,
    "torch_lstm": _torch_lstm,
}
