"""The network of every experiment: encoder → recurrence → head, at each step."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqsum.networks.encoders import Encoder
from seqsum.networks.time_distributed import TimeDistributed
from seqsum.recurrent import GRU, LSTM, RNN, Recurrent
from seqsum.recurrent.backends import Backend
from seqsum.recurrent.cells import OutputActivation
from seqsum.recurrent.layers import TorchLike
from seqsum.recurrent.recurrent import States


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
        return self.run(inputs, mask=mask)[0]

    def run(self, inputs: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, States]:
        """The same from a given state of the recurrence on: a long sequence goes through it piece by piece.

        Args:
            inputs: `(B, T, …)`.
            state: What the piece before ended with, as the recurrence gives and takes it; None at the start.
            mask: `(B, T)`; the layers written by hand take one, torch's own don't.

        Returns:
            Outputs of the head `(B, T, K)`, and the state after the last step.
        """
        features = self.encoder(inputs)  # (B, T, F)
        masked = {} if mask is None else {"mask": mask}
        outputs, state = self.recurrence(features, state, **masked)
        return self.head(outputs), state  # (B, T, K)

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

    Args:
        cell: One of `LAYERS`, written by hand; one of `TORCH_LAYERS`, torch's own with the very weights
            that the hand-written one starts with under the same seed; or the path of a class with the
            contract of `RecurrentCell`, such as `my_cells.MyCell`, made from input and hidden size.
        input_size: Features per step, `F`.
        hidden_size: Units of each layer, `H`.
        num_layers: Layers, `L`.
        backend: How the hand-written loop runs.
        output_activation: Of `lstm` alone. None is "identity", since running sums grow beyond those seen in
            training; torch's LSTM has "tanh" and no other.

    Raises:
        ValueError: An unknown cell, a size below one, an option that the cell does not have.
    """
    if cell != "lstm" and output_activation not in (None, "tanh"):
        raise ValueError(f"`output_activation` (={output_activation!r}) must be 'tanh' for `cell` {cell!r}")
    if cell in TORCH_LAYERS:
        if backend != "auto":
            raise ValueError(f"`backend` (={backend!r}) must be 'auto' for `cell` {cell!r}, which is torch's own")
        return _torch_layers(cell, input_size, hidden_size, num_layers)
    options: dict[str, Any] = {"num_layers": num_layers, "batch_first": True, "backend": backend}
    if cell == "lstm":
        options["output_activation"] = output_activation or "identity"
    if cell in LAYERS:
        return LAYERS[cell](input_size, hidden_size, **options)
    return Recurrent(_import_cell(cell)(input_size, hidden_size), **options)


def _torch_layers(cell: str, input_size: int, hidden_size: int, num_layers: int) -> nn.Module:
    torch_class, hand_written = TORCH_LAYERS[cell]
    with torch.device("meta"):  # without torch's own start, whose random numbers would shift all later ones
        layers = torch_class(input_size, hidden_size, num_layers, batch_first=True).to_empty(device="cpu")
    layers.load_state_dict(hand_written(input_size, hidden_size, num_layers).torch_state_dict())
    return layers


def _import_cell(path: str) -> Callable[[int, int], Any]:
    module_name, _, class_name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), class_name) if module_name else None
    except (ImportError, AttributeError) as error:
        raise ValueError(f"`cell` (={path!r}) can't be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        known = [*LAYERS, *TORCH_LAYERS]
        raise ValueError(f"`cell` (={path!r}) must be one of {known}, or the path of a class such as my_cells.MyCell")
    return found


LAYERS: dict[str, Callable[..., TorchLike]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
TORCH_LAYERS: dict[str, tuple[Callable[..., nn.RNNBase], Callable[..., TorchLike]]] = {
    "torch_rnn": (nn.RNN, RNN),
    "torch_lstm": (nn.LSTM, LSTM),
    "torch_gru": (nn.GRU, GRU),
}
