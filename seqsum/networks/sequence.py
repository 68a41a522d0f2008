"""The network of every experiment: encoder → recurrence → head, at each step."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from seqsum.data.base import Batch
from seqsum.networks.budget import count_parameters
from seqsum.networks.encoders import Encoder
from seqsum.networks.initial_state import InitialState, check_initial_state, make_state
from seqsum.networks.masked import run_masked
from seqsum.networks.time_distributed import TimeDistributed
from seqsum.networks.windows import run_in_windows
from seqsum.recurrent.recurrent import States

LEARNED_STATE = "recurrence.initial_state."  # how its weights' names begin


class SequenceNetwork(nn.Module):
    """Encodes every step, runs a recurrence over the features, reads every step's output by one head.

    Args:
        encoder: Maps one step's input to `encoder.output_size` features.
        recurrence: Maps `(B, T, F)` to outputs `(B, T, H)` and a final state, as torch.nn's layers do.
        head: Maps `(…, H)` to `(…, K)`; its weights are shared by all steps.
        initial_state: Of the recurrence, where `run` is not given one: see `make_state`.
        truncate: Steps after which gradients through time stop: see `run_in_windows`. By default they go back to the
            first step.

    Raises:
        ValueError: An unknown `initial_state`, a `truncate` below one.
    """

    encoder: TimeDistributed

    def __init__(
        self,
        encoder: Encoder,
        recurrence: nn.Module,
        head: nn.Module,
        initial_state: InitialState = "zero",
        truncate: int | None = None,
    ) -> None:
        super().__init__()
        check_initial_state(initial_state)
        if truncate is not None and truncate < 1:
            raise ValueError(f"`truncate` (={truncate}) must be at least 1")
        self.encoder = TimeDistributed(encoder)
        self.recurrence = recurrence
        self.head = head
        self.initial_state = initial_state
        self.truncate = truncate
        self.register_load_state_dict_pre_hook(_leave_out_learned_state)

    def forward(self, batch: Batch) -> Tensor:
        """Inputs `(B, T, …)` -> outputs `(B, T, K)`, those of masked steps meaning nothing."""
        if self.truncate is None or batch.inputs.shape[1] <= self.truncate:
            return self.run(batch.inputs, mask=batch.mask)[0]
        return run_in_windows(self, batch.inputs, batch.mask, self.truncate)

    def features(self, batch: Batch) -> Tensor:
        """What the recurrence reads, `(B, T, F)`."""
        return self.encoder(batch.inputs, batch.mask)

    def run(self, inputs: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, States]:
        """The same from a given state of the recurrence on: a long sequence goes through it piece by piece.

        Args:
            inputs: `(B, T, …)`.
            state: What the piece before ended with, as the recurrence gives and takes it; None for the
                initial state.
            mask: `(B, T)`, True where a step exists; the others take no part.

        Returns:
            Outputs of the head `(B, T, K)`, and the state after the last step.
        """
        outputs, state = self.recur(self.encoder(inputs, mask), state, mask=mask)
        return self.head(outputs), state  # (B, T, K)

    def recur(self, features: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Any, States]:
        """The recurrence alone: features `(B, T, F)` -> outputs `(B, T, H)` and the state after the last step."""
        if state is None:
            state = make_state(self.initial_state, self.recurrence, len(features), self.training)
        if mask is None:
            return self.recurrence(features, state)
        if isinstance(self.recurrence, nn.RNNBase):
            return run_masked(self.recurrence, features, state, mask)
        return self.recurrence(features, state, mask=mask)

    def describe(self) -> str:
        """One line for the user: the parts and how many parameters each has."""
        parts = (self.encoder.module, self.recurrence, self.head)
        names = [f"{type(part).__name__} {count_parameters(part):,}" for part in parts]
        return f"{' → '.join(names)}, {sum(map(count_parameters, parts)):,} parameters in all"


def describe_network(network: nn.Module) -> str:
    """One line for the user: what a network says of itself, else its class and its size."""
    if isinstance(network, SequenceNetwork):
        return network.describe()
    return f"{type(network).__name__}, {count_parameters(network):,} parameters"


def _leave_out_learned_state(network: SequenceNetwork, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Weights that were trained with a learned initial state can be tried with another."""
    if network.initial_state != "learned":
        for key in [key for key in state_dict if key.startswith(f"{prefix}{LEARNED_STATE}")]:
            del state_dict[key]
