"""The loop over time for torch.export, torch.jit.trace and ONNX.

Recorded step by step, a loop fits only the example's number of steps. torch.export keeps it as a loop, for any number
(`Scan`); torch.jit.trace records torch's own operation where that computes the same, otherwise each step, and says so
(`JitTraced`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from seqsum.recurrent.cells import GRUCell, LSTMCell, PackedCell, RecurrentCell, RNNCell
from seqsum.recurrent.kernels.written_for import edited
from seqsum.recurrent.unroll import Unroll
from seqsum.recurrent.warn import warn_caller


def is_exporting() -> bool:
    """Whether torch.export is running the model; False in versions of torch that can't tell.

    Reads the flag itself, since torch 2.11 takes `torch.compiler.is_exporting()` for True under torch.compile.
    """
    return getattr(torch.compiler, "_is_exporting_flag", False)


def is_unrolled() -> bool:
    """Whether torch.compile runs the model, and would unroll the loop over time."""
    return torch.compiler.is_compiling() and not is_exporting()


class Scan(Unroll):
    """`Unroll` as a single `scan` operation in the graph of torch.export, for any cell and mask; ONNX has it too.

    torch 2.14 can't differentiate `scan` for every cell, for example for one that slices: export such a cell
    under `torch.no_grad()`.
    """

    def loop(
        self, projected: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        from torch._higher_order_ops.scan import scan  # not public yet

        # a constant may be a view of another, or of a weight, which `scan` takes no two of
        constants = [tensor.clone() for tensor in state[self.num_states :]]

        def step(state: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
            projected, *masks = (tensor.unsqueeze(0) for tensor in inputs)
            outputs, new = Unroll.loop(self, projected, [*state, *constants], masks[0] if masks else None)
            # results of `scan` must not be views of each other or of its arguments
            return tuple(tensor.clone() for tensor in new[: self.num_states]), outputs.squeeze(0).clone()

        inputs = (projected,) if mask is None else (projected, mask)
        initial = tuple(tensor.clone() for tensor in state[: self.num_states])
        final, outputs = scan(step, initial, inputs, reverse=reverse)
        return outputs, [*final, *constants]


class JitTraced(Unroll):
    """`Unroll` for torch.jit.trace, by torch's own LSTM, GRU or RNN operation where it computes the same."""

    def forward(
        self, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        to_onnx = torch.onnx.is_in_onnx_export()
        beyond = _beyond_torch(self.cell, state, mask, to_onnx)
        if beyond is None:
            return _by_operation(cast("PackedCell", self.cell), inputs, state, reverse)
        limit = f"{type(self.cell).__name__} with {beyond} for exactly {inputs.shape[0]} steps"
        if to_onnx:
            instead = "`dynamo=True`" if mask is None else "`dynamo=True`, and `lengths` instead of packed sequences"
            raise RuntimeError(f"ONNX export with `dynamo=False` could only record {limit}: use {instead}")
        warn_caller(f"torch.jit.trace records {limit}", torch.jit.TracerWarning)
        return super().forward(inputs, state, mask, reverse)


def _beyond_torch(cell: RecurrentCell, state: Sequence[Tensor], mask: Tensor | None, to_onnx: bool) -> str | None:
    """Say what of a call torch's own operation doesn't compute; None if it computes the same."""
    if not isinstance(cell, PackedCell) or type(cell) not in (RNNCell, LSTMCell, GRUCell) or edited(cell):
        return "equations of its own"  # also a subclass may have some
    found = {
        "a mask": mask is not None,
        "recurrent dropout": len(state) > len(cell.state_size),
        "`output_activation` (='identity')": getattr(cell, "output_activation", "tanh") == "identity",
        "`layer_norm`": cell.layer_norm,
        "`proj_size`": to_onnx and getattr(cell, "proj_size", 0) > 0,
    }
    return next((name for name, has in found.items() if has), None)


def _by_operation(cell: PackedCell, inputs: Tensor, state: list[Tensor], reverse: bool) -> tuple[Tensor, list[Tensor]]:
    weights: list[Tensor] = [cell.weight_ih, cell.weight_hh]
    if cell.bias_ih is not None:
        weights += [cell.bias_ih, torch.zeros_like(cell.bias_ih) if cell.bias_hh is None else cell.bias_hh]
    hx: Any = [tensor.unsqueeze(0) for tensor in state]
    options = (cell.bias, 1, 0.0, False, False, False)  # one layer, one direction, no dropout
    inputs = inputs.flip(0) if reverse else inputs
    if isinstance(cell, LSTMCell):
        weights += [] if cell.weight_hr is None else [cell.weight_hr]
        outputs, *final = torch._VF.lstm(inputs, hx, weights, *options)
    else:
        name = f"rnn_{cell.nonlinearity}" if isinstance(cell, RNNCell) else "gru"
        outputs, *final = getattr(torch._VF, name)(inputs, hx[0], weights, *options)
    return outputs.flip(0) if reverse else outputs, [tensor.squeeze(0) for tensor in final]
