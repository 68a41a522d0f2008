"""A look inside: the gates and states of every step, layer and direction, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.recurrent import Recurrent
from seqsum.recurrent.unroll import Unroll, leave_out


class Traced(Mapping[str, Tensor]):
    """What `trace` recorded: a mapping from names to tensors `(B, T, …)`, whatever `batch_first` says.

    Names are those of the gates and states of the cell, with the layer and direction behind them as torch
    names its weights, and the path of the recurrent module before them, as in a state dict:
    `input_gate_l0`, `cell_state_l1_reverse`, `network.recurrence.hidden_l0`. States are those after each step;
    at steps that a mask leaves out they are carried over, and the gates are zero. The LSTM's `cell_state` is found
    under its former name, `memory`, too.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        *path, own = name.rpartition(".")
        if own.startswith("memory_l"):
            name = "".join((*path, own.replace("memory", "cell_state", 1)))
        if name not in self._tensors:
            raise KeyError(f"{name!r} was not recorded, but {list(self._tensors) or 'nothing'}")
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"Traced({', '.join(f'{name} {tuple(tensor.shape)}' for name, tensor in self.items())})"


class _Recorder:
    """Keeps what one recurrent module did in its latest call."""

    def __init__(self, traced: Traced, path: str) -> None:
        self.traced = traced
        self.prefix = f"{path}." if path else ""

    @torch.no_grad()
    def record(
        self, suffix: str, cell: RecurrentCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
    ) -> None:
        """Run one layer in one direction again, step by step; the arguments are those of `unroll`."""
        inputs = leave_out(inputs, mask)
        states = _states(cell, inputs, state, mask, reverse)  # of each step, and the one before
        count = len(cell.state_size)
        before = [torch.stack([last[k] for last, _ in states]) for k in range(count)]  # (T, B, S)
        found = {name: torch.stack([new[k] for _, new in states]) for k, name in enumerate(cell.state_names)}
        if cell.gate_names:
            gates = cell.gates(cell.project(inputs), before + state[count:])  # all steps at once
            valid = torch.ones_like(inputs[..., :1]) if mask is None else mask.unsqueeze(-1)
            found = {name: gate * valid for name, gate in zip(cell.gate_names, gates, strict=True)} | found
        for name, tensor in found.items():
            self.traced._tensors[f"{self.prefix}{name}{suffix}"] = tensor.transpose(0, 1)


def _states(
    cell: RecurrentCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
) -> list[tuple[list[Tensor], list[Tensor]]]:
    """The states before and after each step, by the plain loop, one step long each time."""
    states: list[tuple[list[Tensor], list[Tensor]]] = [([], [])] * len(inputs)
    for t in reversed(range(len(inputs))) if reverse else range(len(inputs)):
        _, new = Unroll(cell)(inputs[t : t + 1], state, None if mask is None else mask[t : t + 1])
        states[t] = (state, new)
        state = new
    return states


@contextmanager
def trace(module: nn.Module) -> Iterator[Traced]:
    """Record the gates and states of every recurrent module inside `module` while the context lasts.

        with seqsum.trace(network) as traced:
            network(inputs)
        traced["recurrence.input_gate_l0"]      # (B, T, H)

    The modules run as ever, by their own backend, and give the same results; beside that, the plain loop
    runs the same steps and keeps what it sees, without gradients. A second call overwrites the first.
    Without `trace` there is nothing to pay.

    Args:
        module: A `Recurrent` (`LSTM`, …) or anything that has some inside.

    Yields:
        A mapping that fills with each call, see `Traced`.

    Raises:
        ValueError: There is no recurrent module inside, or it is being traced already.
    """
    found = {path: part for path, part in module.named_modules() if isinstance(part, Recurrent)}
    if not found:
        raise ValueError(f"`module` (={type(module).__name__}) has no Recurrent (LSTM, …) inside that could be traced")
    if any(part.recorder is not None for part in found.values()):
        raise ValueError(f"`module` (={type(module).__name__}) is being traced already")
    traced = Traced()
    for path, part in found.items():
        part.recorder = _Recorder(traced, path)
    try:
        yield traced
    finally:
        for part in found.values():
            part.recorder = None
