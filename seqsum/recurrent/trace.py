"""Record the gates and states of every step, layer and direction, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from seqsum.recurrent.buffers import spared_buffers
from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.modes import is_transformed
from seqsum.recurrent.recurrent import Recurrent
from seqsum.recurrent.unroll import Unroll, leave_out


class Traced(Mapping[str, Tensor]):
    """Mapping from names to recorded tensors, `(B, T, …)` whatever `batch_first` is.

    A name consists of the path of the recurrent module, as in a state dict, the name of the gate or state, and
    torch.nn's suffix for layer and direction: `input_gate_l0`, `cell_state_l1_reverse`,
    `network.recurrence.hidden_l0`. States are recorded after each step. At masked steps, states are carried over and
    gates are zero. The LSTM's `cell_state` can also be read under its former name, `memory`.

    Raises:
        KeyError: Nothing was recorded under a name.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        *path, own = name.rpartition(".")
        if name not in self._tensors and own.startswith("memory_l"):
            name = "".join((*path, own.replace("memory", "cell_state", 1)))
        if name not in self._tensors:
            raise KeyError(f"{name!r} was not recorded; recorded: {list(self._tensors) or 'nothing'}")
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"Traced({', '.join(f'{name} {tuple(tensor.shape)}' for name, tensor in self.items())})"


class _Recorder:
    """Record the latest call of one recurrent module."""

    def __init__(self, traced: Traced, path: str) -> None:
        self.traced = traced
        self.prefix = f"{path}." if path else ""
        self.names: set[str] = set()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # copies and pickles of a module are not traced

    @torch.no_grad()
    def record(
        self, suffix: str, cell: RecurrentCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
    ) -> None:
        """Run one layer in one direction once more, step by step; see `unroll` for the arguments."""
        with _unchanged(cell, inputs):
            self._record(suffix, cell, leave_out(inputs, mask), state, mask, reverse)

    def _record(
        self, suffix: str, cell: RecurrentCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
    ) -> None:
        projected = cell.project(inputs)  # once, as in the run: it may draw random numbers
        states = _states(cell, projected, state, mask, reverse)  # before and after each step
        count = len(cell.state_size)
        before = [torch.stack([last[k] for last, _ in states]) for k in range(count)]  # (T, B, S)
        found = {name: torch.stack([new[k] for _, new in states]) for k, name in enumerate(cell.state_names)}
        if cell.gate_names:
            gates = cell.gates(projected, before + state[count:])  # for all steps at once
            if len(gates) != len(cell.gate_names):
                raise ValueError(
                    f"`gates` of {type(cell).__name__} must return a tensor for each of `gate_names`, "
                    f"{', '.join(cell.gate_names)}, not {len(gates)}"
                )
            if mask is not None:
                gates = [gate.masked_fill(~mask.unsqueeze(-1), 0) for gate in gates]
            found = dict(zip(cell.gate_names, gates, strict=True)) | found
        for name, tensor in found.items():
            self.names.add(place := f"{self.prefix}{name}{suffix}")
            self.traced._tensors[place] = tensor.transpose(0, 1)

    def reorder(self, order: Tensor | None) -> None:
        """Put the rows of a packed sequence, which were run in sorted order, in the order of the caller."""
        if order is not None:
            for name in self.names:
                self.traced._tensors[name] = self.traced._tensors[name].index_select(0, order)


@contextmanager
def _unchanged(cell: RecurrentCell, inputs: Tensor) -> Iterator[None]:
    """Keep random generators and buffers, such as running statistics, for the run itself, after the recording.

    Not where torch takes the model apart, as in torch.compile, or captures it: there they have no values to keep.
    """
    if is_transformed() or (inputs.is_cuda and torch.cuda.is_current_stream_capturing()):
        yield
        return
    with torch.random.fork_rng([inputs.device] if inputs.is_cuda else []), spared_buffers(cell.modules()):
        yield


def _states(
    cell: RecurrentCell, projected: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Return the states before and after each step, computed by the plain loop one step at a time."""
    states: list[tuple[list[Tensor], list[Tensor]]] = [([], [])] * len(projected)
    loop = Unroll(cell)
    for t in reversed(range(len(projected))) if reverse else range(len(projected)):
        _, new = loop.loop(projected[t : t + 1], state, None if mask is None else mask[t : t + 1], False)
        states[t] = (state, new)
        state = new
    return states


@contextmanager
def trace(module: nn.Module) -> Iterator[Traced]:
    """Record the gates and states of every recurrent module inside `module` while the context lasts.

        with seqsum.trace(network) as traced:
            network(inputs)
        traced["recurrence.input_gate_l0"]      # (B, T, H)

    The modules run with their own backend and return the same results. In addition, the plain loop runs the
    same steps and records them, without gradients. A second call overwrites the first. Outside of `trace`,
    recording costs nothing.

    Args:
        module: A `Recurrent` (`LSTM`, …) or a module that contains some.

    Yields:
        A mapping that each call fills, see `Traced`.

    Raises:
        ValueError: `module` contains no recurrent module, or one is being traced already.
    """
    found = {path: part for path, part in module.named_modules() if isinstance(part, Recurrent)}
    if not found:
        raise ValueError(f"`module` (={type(module).__name__}) has no Recurrent (LSTM, …) inside to trace")
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
