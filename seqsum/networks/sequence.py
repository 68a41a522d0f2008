"""The network of every experiment: encoder → recurrence → head, at each step."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from seqsum.networks.encoders import Encoder
from seqsum.networks.initial_state import InitialState, check_initial_state, make_state
from seqsum.networks.time_distributed import TimeDistributed
from seqsum.recurrent.recurrent import States

LEARNED_STATE = "recurrence.initial_state."  # how its weights' names begin


class SequenceNetwork(nn.Module):
    """Encodes every step, runs a recurrence over the features, reads every step's output by one head.

    Args:
        encoder: Maps one step's input to `encoder.output_size` features.
        recurrence: Maps `(B, T, F)` to outputs `(B, T, H)` and a final state, as torch.nn's layers do.
        head: Maps `(…, H)` to `(…, K)`; its weights are shared by all steps.
        initial_state: Of the recurrence, where `run` is not given one: see `make_state`.

    Raises:
        ValueError: An unknown `initial_state`.
    """

    encoder: TimeDistributed

    def __init__(
        self, encoder: Encoder, recurrence: nn.Module, head: nn.Module, initial_state: InitialState = "zero"
    ) -> None:
        super().__init__()
        check_initial_state(initial_state)
        self.encoder = TimeDistributed(encoder)
        self.recurrence = recurrence
        self.head = head
        self.initial_state = initial_state
        self.register_load_state_dict_pre_hook(_leave_out_learned_state)

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs `(B, T, …)`, mask `(B, T)` -> `(B, T, K)`."""
        return self.run(inputs, mask=mask)[0]

    def run(self, inputs: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, States]:
        """The same from a given state of the recurrence on: a long sequence goes through it piece by piece.

        Args:
            inputs: `(B, T, …)`.
            state: What the piece before ended with, as the recurrence gives and takes it; None for the
                initial state.
            mask: `(B, T)`; the layers written by hand take one, torch's own don't.

        Returns:
            Outputs of the head `(B, T, K)`, and the state after the last step.
        """
        outputs, state = self.recur(self.encoder(inputs), state, mask=mask)
        return self.head(outputs), state  # (B, T, K)

    def recur(self, features: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Any, States]:
        """The recurrence alone: features `(B, T, F)` -> outputs `(B, T, H)` and the state after the last step."""
        if state is None:
            state = make_state(self.initial_state, self.recurrence, len(features), self.training)
        masked = {} if mask is None else {"mask": mask}
        return self.recurrence(features, state, **masked)

    def describe(self) -> str:
        """One line for the user: the parts and how many parameters each has."""
        parts = (self.encoder.module, self.recurrence, self.head)
        counts = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
        names = [f"{type(part).__name__} {count:,}" for part, count in zip(parts, counts, strict=True)]
        return f"{' → '.join(names)}, {sum(counts):,} parameters in all"


def _leave_out_learned_state(network: SequenceNetwork, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Weights that were trained with a learned initial state can be tried with another."""
    if network.initial_state != "learned":
        for key in [key for key in state_dict if key.startswith(f"{prefix}{LEARNED_STATE}")]:
            del state_dict[key]
