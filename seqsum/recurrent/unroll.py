"""The loop over time: any cell, over a whole sequence, forwards or backwards, with or without a mask.

`Unroll.forward` is the only loop. The backend says how it runs: `eager` as the Python you read here,
`script` compiled by TorchScript from the same source. The only place that calls `torch.jit.script`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from seqsum.recurrent.cells import RecurrentCell

Backend = Literal["auto", "eager", "script"]


class Unroll(nn.Module):
    """Runs a cell over time."""

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(
        self, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Inputs `(T, B, F)`, state of `(B, H)` each, mask `(T, B)` -> outputs `(T, B, O)`, final state."""
        projected = self.cell.project(inputs).unbind(0)
        outputs: list[Tensor] = []
        for t in range(len(projected)):
            time = len(projected) - 1 - t if reverse else t
            output, new_state = self.cell.step(projected[time], state)
            if mask is not None:
                valid = mask[time].unsqueeze(-1)
                output = torch.where(valid, output, torch.zeros_like(output))
                new_state = [torch.where(valid, new_state[k], state[k]) for k in range(len(state))]
            state = new_state
            outputs.append(output)
        if reverse:
            outputs.reverse()
        return torch.stack(outputs), state


def unroll(
    cell: RecurrentCell,
    inputs: Tensor,
    state: list[Tensor],
    mask: Tensor | None = None,
    reverse: bool = False,
    backend: Backend = "auto",
) -> tuple[Tensor, list[Tensor]]:
    """Run `cell` over `inputs`, see `Unroll.forward`, by the given backend.

    Args:
        cell: The step.
        inputs: `(T, B, F)`, `T` at least one.
        state: Initial state, one `(B, H)` tensor for each state of the cell.
        mask: `(T, B)` bool. Where it is False, the row's state is carried over and its output is zero.
        reverse: Start with the last step; outputs stay at the place of their inputs.
        backend: `eager`, `script`, or `auto`: script where it works, else eager, said once.

    Returns:
        Outputs `(T, B, output_size)` and the state after the last step.

    Raises:
        ValueError: An unknown backend, or an empty time axis.
        RuntimeError: `script` was asked for by name and TorchScript can't compile the cell.
    """
    check_backend(backend)
    if len(inputs) == 0:
        raise ValueError(f"`inputs` of shape {tuple(inputs.shape)} (T, B, F) must have at least one time step")
    if resolve_backend(cell, backend) == "eager":
        return Unroll(cell)(inputs, state, mask, reverse)
    if not torch.is_inference_mode_enabled():
        return _scripted(cell)(inputs, state, mask, reverse)
    # A loop that TorchScript has specialised for training refuses inference tensors, so it gets others.
    with torch.inference_mode(False), torch.no_grad():
        return _scripted(cell)(inputs.clone(), [s.clone() for s in state], mask, reverse)


def check_backend(backend: str) -> None:
    """Raise a ValueError unless the backend is one of `Backend`."""
    if backend not in get_args(Backend):
        raise ValueError(f"`backend` (={backend!r}) must be one of {get_args(Backend)}")


def resolve_backend(cell: RecurrentCell, backend: Backend) -> Literal["eager", "script"]:
    """The backend that `unroll` really uses for this cell: what `auto` stands for, or `backend` itself."""
    if backend != "auto":
        return backend
    if type(cell) in _not_scriptable:
        return "eager"
    try:
        _scripted(cell)
    except RuntimeError as error:
        _not_scriptable.add(type(cell))
        warnings.warn(f"{type(cell).__name__} runs eagerly, since {error}", stacklevel=2)
        return "eager"
    return "script"


_not_scriptable: set[type] = set()


class _Compiled:
    """A compiled loop with the tensors that it was compiled around; a copy or a pickle of it is empty.

    It hangs on the cell as a plain attribute, so scripting shows in no state dict and travels with no
    deep copy or pickle. (A weak dictionary beside the cells would not do: TorchScript keeps the cell.)
    """

    def __init__(self, loop: nn.Module | None = None, tensors: Sequence[Tensor] = ()) -> None:
        self.loop = loop
        self.tensors = tensors

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        """Whether the loop still uses these very tensors; `module.weight = …` or a swap replaces them."""
        return len(tensors) == len(self.tensors) and all(a is b for a, b in zip(tensors, self.tensors, strict=True))

    def __reduce__(self) -> tuple[type[_Compiled], tuple[()]]:
        return _Compiled, ()


def _scripted(cell: RecurrentCell) -> nn.Module:
    """The TorchScript loop of this cell, compiled when first needed and when its tensors were replaced."""
    tensors = [*cell.parameters(), *cell.buffers()]
    compiled = cell.__dict__.pop("_compiled", _Compiled())
    if compiled.loop is None or not compiled.fits(tensors):
        compiled = _Compiled(_script(Unroll(cell)), tensors)
    if compiled.loop.training != cell.training:
        compiled.loop.train(cell.training)
    cell.__dict__["_compiled"] = compiled
    return compiled.loop


def _script(loop: Unroll) -> nn.Module:
    try:
        with warnings.catch_warnings():
            # Recent torch calls torch.jit deprecated (FutureWarning or DeprecationWarning, by version).
            # `auto` is prepared for its removal, so the user need not hear of it.
            warnings.filterwarnings("ignore", ".*torch.jit.script")
            return torch.jit.script(loop)
    except Exception as error:  # TorchScript documents no exception types of its own
        raise RuntimeError(f"TorchScript can't compile {type(loop.cell).__name__}: {error}") from error
