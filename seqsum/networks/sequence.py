"""The default network of all experiments: encoder → recurrence → head."""

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

LEARNED_STATE = "recurrence.initial_state."  # prefix of its parameters' names


class SequenceNetwork(nn.Module):
    """Encodes each step, runs a recurrence over the features, and applies a head to each of its outputs.

    Args:
        encoder: Maps one step's input to `encoder.output_size` features.
        recurrence: Maps `(B, T, F)` to outputs `(B, T, H)` and a final state, as torch.nn's layers do.
        head: Maps `(…, H)` to `(…, K)`; all steps share its weights.
        initial_state: Initial state of the recurrence if `run` gets none, see `make_state`.
        truncate: Number of steps after which gradients through time stop, see `run_in_windows`. By default they go
            back to the first step.

    Raises:
        ValueError: `initial_state` is unknown, or `truncate` is below one.
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
        """Map a batch with inputs `(B, T, …)` to outputs `(B, T, K)`, which are meaningless at masked steps."""
        if self.truncate is None or batch.inputs.shape[1] <= self.truncate:
            return self.run(batch.inputs, mask=batch.mask)[0]
        return run_in_windows(self, batch.inputs, batch.mask, self.truncate)

    def features(self, batch: Batch) -> Tensor:
        """Compute the features that the recurrence reads, `(B, T, F)`."""
        return self.encoder(batch.inputs, batch.mask)

    def run(self, inputs: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, States]:
        """Run the network from a given state, for instance to process a long sequence piece by piece.

        Args:
            inputs: `(B, T, …)`.
            state: State of the recurrence, as the previous piece returned it; None for the initial state.
            mask: `(B, T)`, True where a step exists; other steps are skipped.

        Returns:
            Outputs of the head `(B, T, K)`, and the state after the last step.
        """
        outputs, state = self.recur(self.encoder(inputs, mask), state, mask=mask)
        return self.head(outputs), state  # (B, T, K)

    def recur(self, features: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Any, States]:
        """Run only the recurrence: features `(B, T, F)` -> outputs `(B, T, H)` and the state after the last step."""
        if state is None:
            state = make_state(self.initial_state, self.recurrence, len(features), self.training)
        if mask is None:
            return self.recurrence(features, state)
        if isinstance(self.recurrence, nn.RNNBase):
            return run_masked(self.recurrence, features, state, mask)
        return self.recurrence(features, state, mask=mask)

    def describe(self) -> str:
        """Name the parts and their numbers of parameters, in one line for the user."""
        parts = (self.encoder.module, self.recurrence, self.head)
        names = [f"{type(part).__name__} {count_parameters(part):,}" for part in parts]
        return f"{' → '.join(names)}, {sum(map(count_parameters, parts)):,} parameters in all"


def describe_network(network: nn.Module) -> str:
    """Describe a network in one line for the user; one that is no `SequenceNetwork` by its class and size."""
    if isinstance(network, SequenceNetwork):
        return network.describe()
    return f"{type(network).__name__}, {count_parameters(network):,} parameters"


def _leave_out_learned_state(network: SequenceNetwork, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Drop a learned initial state from a state dict, so that its weights can be tried with a different one."""
    if network.initial_state != "learned":
        for key in [key for key in state_dict if key.startswith(f"{prefix}{LEARNED_STATE}")]:
            del state_dict[key]
