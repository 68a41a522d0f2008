"""The default network of all experiments: encoder → recurrence → head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.data.base import Batch, refuse_tensor
from seqsum.errors import InputError
from seqsum.networks.budget import count_parameters, describe_size
from seqsum.networks.carried import run_carried
from seqsum.networks.encoders import Encoder
from seqsum.networks.initial_state import InitialState, check_initial_state, make_state
from seqsum.networks.masked import run_masked
from seqsum.networks.readouts import ReadoutName, make_readout
from seqsum.networks.time_distributed import TimeDistributed
from seqsum.networks.windows import run_in_windows
from seqsum.recurrent import Recurrent
from seqsum.recurrent.cells.base import check_probability
from seqsum.recurrent.recurrent import States

LEARNED_STATE = "recurrence.initial_state."  # prefix of its parameters' names


class SequenceNetwork(nn.Module):
    """Encodes each step, runs a recurrence over the features, and applies a head to each of its outputs.

    Args:
        encoder: Maps one step's input to `encoder.output_size` features.
        recurrence: Maps `(B, T, F)` to outputs `(B, T, D·H)` and a final state, as torch.nn's layers do. Its attribute
            `bidirectional`, if it has one, says whether it has two directions.
        head: Maps `(…, D·H)` to `(…, K)`; all steps share its weights. The readout `mean_max` gives it `2·D·H`.
        initial_state: Initial state of the recurrence if `run` gets none, see `make_state`.
        truncate: Number of steps after which gradients through time stop, see `run_in_windows`. By default they go
            back to the first step.
        readout: How outputs are read from the states of the recurrence, see `networks/readouts.py`.
        input_dropout: Probability, in training, of dropping a feature that the recurrence reads, the same at all steps
            of a sequence (Gal & Ghahramani, 2016).
        readout_dropout: Probability, in training, of dropping a number that the head reads.
        carry: Most other sequences of the batch after which a training sequence starts, see `run_carried`.

    Raises:
        ValueError: `initial_state` or `readout` is unknown, `truncate` is below one or combined with what needs the
            whole sequence at once, a probability is outside [0, 1], `carry` is below two or combined with what can't be
            continued, or the recurrence reads `(T, B, F)`.
    """

    encoder: TimeDistributed

    def __init__(
        self,
        encoder: Encoder,
        recurrence: nn.Module,
        head: nn.Module,
        initial_state: InitialState = "zero",
        truncate: int | None = None,
        *,
        readout: ReadoutName = "every",
        input_dropout: float = 0.0,
        readout_dropout: float = 0.0,
        carry: int = 0,
    ) -> None:
        super().__init__()
        _check_axes(recurrence)
        check_initial_state(initial_state)
        _check_learned(initial_state, recurrence)
        check_probability("input_dropout", input_dropout)
        check_probability("readout_dropout", readout_dropout)
        self.bidirectional: bool = getattr(recurrence, "bidirectional", False)
        self.readout = make_readout(readout, 2 if self.bidirectional else 1)
        self.input_dropout = input_dropout
        self.readout_dropout = readout_dropout
        if truncate is not None:
            self._check_truncate(truncate, recurrence)
        self._check_carry(carry, truncate)
        self.encoder = TimeDistributed(encoder)
        self.recurrence = recurrence
        self.head = head
        self.initial_state = initial_state
        self.truncate = truncate
        self.carry = carry
        self.register_load_state_dict_pre_hook(_leave_out_learned_state)

    def forward(self, batch: Batch) -> Tensor:
        """Map a batch with inputs `(B, T, …)` to outputs: `(B, T, K)` for the readout `every`, else `(B, 1, K)`.

        Outputs of `every` are meaningless at masked steps.

        Raises:
            InputError: There is an output for each sequence, but the batch has targets for several steps; or sequences
                of unequal length are to be carried on.
        """
        refuse_tensor(batch)
        if not self.readout.every_step and batch.targets.shape[1] > 1:
            raise InputError(
                f"`--model.readout` (={self.readout.name}) gives one output for each sequence, but these data have "
                f"{batch.targets.shape[1]} targets for each: use every"
            )
        if self.carry and self.training:
            if batch.mask is not None:
                raise InputError(f"`--model.carry` (={self.carry}) does not go with data of unequal lengths")
            return run_carried(self, batch, self.carry)
        if self.truncate is None or batch.inputs.shape[1] <= self.truncate:
            return self.run(batch.inputs, mask=batch.mask)[0]
        return run_in_windows(self, batch.inputs, batch.mask, self.truncate)

    def features(self, batch: Batch) -> Tensor:
        """Compute the features that the recurrence reads, `(B, T, F)`."""
        return self.encoder(batch.inputs, batch.mask)

    def by_step(self, batch: Batch) -> Tensor:
        """Ask for the output after every step, `(B, T, K)`: what `forward` would give had the sequence ended there.

        For `every`, these are its outputs. For other readouts, step `t` is the readout of the first `t` steps: for
        means and maxima a running mean or maximum. At a masked step, it is that of the valid step before. With
        two directions, the recurrence reads each beginning of the sequence anew, which takes about `T / 2` times as
        long. Call it in evaluation, because dropout draws anew for every step.
        """
        if self.readout.every_step:
            return self(batch)
        features, mask = self.features(batch), batch.mask
        states = None if self.bidirectional else self.recur(features, mask=mask)[0]
        outputs = []
        for end in range(1, features.shape[1] + 1):
            valid = None if mask is None else mask[:, :end]
            seen = self.recur(features[:, :end], mask=valid)[0] if states is None else states[:, :end]
            outputs.append(self.read(seen, valid))
        return torch.cat(outputs, dim=1)

    def run(self, inputs: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, States]:
        """Run the network from a given state, for instance to process a long sequence piece by piece.

        Args:
            inputs: `(B, T, …)`.
            state: State of the recurrence, as the previous piece returned it; None for the initial state.
            mask: `(B, T)`, True where a step exists; other steps are skipped.

        Returns:
            Outputs `(B, T, K)`, or `(B, 1, K)` as read from these steps, and the state after the last step.

        Raises:
            InputError: A state is given to a network whose outputs need the whole sequence: one with two directions, or
                with a readout other than `every` and `last`.
        """
        if state is not None and (self.bidirectional or self.readout.name not in ("every", "last")):
            flag = "bidirectional" if self.bidirectional else "readout"
            value = "true" if self.bidirectional else self.readout.name
            raise InputError(
                f"`--model.{flag}` (={value}) needs whole sequences, which can't be continued from a state"
            )
        states, state = self.recur(self.encoder(inputs, mask), state, mask=mask)
        return self.read(states, mask), state

    def read(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Apply readout and head to states `(B, T, D·H)`: outputs `(B, T, K)`, or `(B, 1, K)` for each sequence."""
        return self.readout(states, mask, self._apply_head)

    def _apply_head(self, states: Tensor) -> Tensor:
        if self.readout_dropout:
            states = F.dropout(states, self.readout_dropout, self.training)
        return self.head(states)

    def recur(self, features: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Any, States]:
        """Run only the recurrence: features `(B, T, F)` -> outputs `(B, T, D·H)` and the state after the last step."""
        if self.input_dropout and self.training:
            kept = F.dropout(torch.ones_like(features[:, :1]), self.input_dropout)  # (B, 1, F)
            features = features * kept
        if state is None:
            state = make_state(self.initial_state, self.recurrence, features.shape[0], self.training)
        return run_masked(self.recurrence, features, state, mask)

    def _check_truncate(self, truncate: int, recurrence: nn.Module) -> None:
        if truncate < 1:
            raise ValueError(f"`truncate` (={truncate}) must be at least 1")
        whole: dict[str, object] = {"bidirectional": self.bidirectional, "input_dropout": self.input_dropout}
        whole["readout"] = "" if self.readout.every_step else self.readout.name
        whole["recurrent_dropout"] = max(getattr(part, "recurrent_dropout", 0.0) for part in recurrence.modules())
        for name, value in whole.items():
            if value:
                raise ValueError(
                    f"`truncate` (={truncate}) does not go with `{name}` (={value!r}), which needs the whole sequence "
                    "at once"
                )

    def _check_carry(self, carry: int, truncate: int | None) -> None:
        if carry != 0 and carry < 2:
            raise ValueError(f"`carry` (={carry}) must be at least 2, or 0")
        others = {"bidirectional": self.bidirectional, "readout": not self.readout.every_step, "truncate": truncate}
        for name, given in others.items():
            if carry and given:
                raise ValueError(f"`carry` (={carry}) does not go with `{name}`")

    def describe(self) -> str:
        """Name the parts and their numbers of parameters, in one line for the user."""
        parts = (self.encoder.module, self.recurrence, self.head)
        kinds = ["torch.nn." if isinstance(part, nn.RNNBase) else "" for part in parts]
        names = [f"{kind}{type(part).__name__} {describe_size(part)}" for kind, part in zip(kinds, parts, strict=True)]
        return f"{' → '.join(names)}, {sum(map(count_parameters, parts)):,} parameters in all"


def _check_axes(recurrence: nn.Module) -> None:
    if getattr(recurrence, "batch_first", True) is False:
        kind = type(recurrence).__name__
        raise ValueError(f"the recurrence must read (B, T, F): make it by `{kind}(..., batch_first=True)`")


def _check_learned(initial_state: InitialState, recurrence: nn.Module) -> None:
    layers = isinstance(recurrence, Recurrent | nn.RNNBase)
    if initial_state == "learned" and layers and not len(getattr(recurrence, "initial_state", ())):
        raise ValueError("`initial_state` (='learned') needs a recurrence made with `learn_initial_state=True`")


def describe_network(network: nn.Module) -> str:
    """Describe a network in one line for the user; one that is no `SequenceNetwork` by its class and size."""
    if isinstance(network, SequenceNetwork):
        return network.describe()
    return f"{type(network).__name__}, {describe_size(network)} parameters"


def _leave_out_learned_state(network: SequenceNetwork, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Drop a learned initial state from a state dict, so that its weights can be tried with a different one."""
    if network.initial_state != "learned":
        for key in [key for key in state_dict if key.startswith(f"{prefix}{LEARNED_STATE}")]:
            del state_dict[key]
