"""Backward through time for the gated recurrent unit, by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.cells.gru import GRUCell
from seqsum.recurrent.kernels.common import (
    after,
    before,
    differentiable_gradients,
    room_for_states,
    steps,
    tanh_,
    valid_outputs,
    weight_gradient,
)


def unroll_gru(
    cell: GRUCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, its gradients written by hand."""
    hidden, *constants = state
    dropout = constants[0] if constants else None
    outputs, hidden = _UnrollGRU.apply(
        cell, mask, reverse, cell.project(inputs), cell.weight_hh, cell.bias_hh, hidden, dropout
    )
    return outputs, [hidden, *constants]


class _UnrollGRU(torch.autograd.Function):
    """With `d` the dropout mask, if there is one, forwards:

        recurrent(t)    = W_hh (d * hidden(t-1)) + b_hh             in blocks reset, update, candidate
        reset(t)        = σ(projected_reset(t) + recurrent_reset(t))
        update(t)       = σ(projected_update(t) + recurrent_update(t))
        candidate(t)    = tanh(projected_candidate(t) + reset(t) * recurrent_candidate(t))
        hidden(t)       = candidate(t) + update(t) * (hidden(t-1) - candidate(t))

    Backwards, with `δx` the gradient of x and σ' = σ (1 - σ), every block is δhidden(t) times something
    that the forward pass has left:

        δhidden(t)                += δoutput(t)
        δprojected_candidate(t)    = δhidden(t) * (1 - update(t)) * (1 - candidate(t)²)
        δrecurrent_candidate(t)    = δprojected_candidate(t) * reset(t)
        δreset(t), before its σ    = δprojected_candidate(t) * recurrent_candidate(t) * σ'(reset(t))
        δupdate(t), before its σ   = δhidden(t) * (hidden(t-1) - candidate(t)) * σ'(update(t))
        δhidden(t-1)               = δhidden(t) * update(t) + d * (W_hhᵀ δrecurrent(t))
        δW_hh, δb_hh               = Σ_t δrecurrent(t) (d * hidden(t-1))ᵀ,  Σ_t δrecurrent(t)

    A row that the mask leaves out has `hidden(t) = hidden(t-1)`: as if its update gate were 1.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: GRUCell,
        mask: Tensor | None,
        reverse: bool,
        projected: Tensor,
        weight_hh: Tensor,
        bias_hh: Tensor | None,
        initial: Tensor,
        dropout: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        (length, batch, _), size = projected.shape, initial.shape[-1]
        gates = projected.clone().view(length, batch, 3, size)  # reset, update, candidate
        recurrents = projected.new_empty(length, batch, 3, size)
        hidden = room_for_states(initial, length, reverse)  # (T + 1, B, H)
        bias = projected.new_zeros(weight_hh.shape[0]) if bias_hh is None else bias_hh
        # views of all steps, taken once: taken in the loop they would cost as much as a small product
        both, resets, updates, candidates = (
            block.unbind(0) for block in (gates[:, :, :2], gates[:, :, 0], gates[:, :, 1], gates[:, :, 2])
        )
        rows, recurrent_both, recurrent_candidates, hiddens = (
            block.unbind(0) for block in (recurrents.flatten(2), recurrents[:, :, :2], recurrents[:, :, 2], hidden)
        )
        for t, last, now in steps(length, reverse):
            recurrent = hiddens[last] if dropout is None else hiddens[last] * dropout
            torch.addmm(bias, recurrent, weight_hh.t(), out=rows[t])
            both[t].add_(recurrent_both[t]).sigmoid_()
            tanh_(candidates[t].addcmul_(resets[t], recurrent_candidates[t]))
            torch.lerp(candidates[t], hiddens[last], updates[t], out=hiddens[now])
            if mask is not None:
                torch.where(mask[t].unsqueeze(-1), hiddens[now], hiddens[last], out=hiddens[now])
        ctx.cell, ctx.mask, ctx.reverse = cell, mask, reverse
        ctx.save_for_backward(projected, weight_hh, bias_hh, initial, dropout, gates, recurrents, hidden)
        return valid_outputs(after(hidden, reverse), mask), hidden[now].clone()

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_final: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight_hh, bias_hh, initial, dropout, gates, recurrents, hidden = ctx.saved_tensors
        cell, mask, reverse = ctx.cell, ctx.mask, ctx.reverse
        if torch.is_grad_enabled():
            inputs = {"projected": projected, "weight_hh": weight_hh, "bias_hh": bias_hh}
            inputs |= {"hidden": initial, "dropout": dropout}
            gradients = differentiable_gradients(cell, mask, reverse, inputs, 2, [d_outputs, d_final])
            return None, None, None, *gradients
        reset_gate, update_gate, candidate = gates.unbind(2)  # (T, B, H) each
        last_hidden = before(hidden, reverse)
        if mask is not None:
            valid = mask.unsqueeze(-1)  # (T, B, 1)
            update_gate, d_outputs = torch.where(valid, update_gate, 1.0), d_outputs * valid
        # what δhidden is multiplied by; all three are zero where the update gate is 1
        local_candidate = (1 - update_gate) * (1 - candidate.square())
        local = torch.addcmul(gates, gates, gates, value=-1)  # σ' in the first two blocks
        local[:, :, 0].mul_(recurrents[:, :, 2]).mul_(local_candidate)
        local[:, :, 1].mul_(last_hidden - candidate)
        torch.mul(local_candidate, reset_gate, out=local[:, :, 2])
        if mask is not None:
            local[:, :, 1].mul_(valid)
        d_recurrent = torch.empty_like(gates)  # (T, B, 3, H)
        d_candidate = torch.empty_like(candidate)
        d_hidden = d_final
        products = list(zip(local.unbind(0), d_recurrent.unbind(0), d_recurrent.flatten(2).unbind(0), strict=True))
        candidate_products = list(zip(local_candidate.unbind(0), d_candidate.unbind(0), strict=True))
        d_output_rows, updates = d_outputs.unbind(0), update_gate.unbind(0)
        for t, _, _ in reversed(steps(len(projected), reverse)):
            d_hidden = d_hidden + d_output_rows[t]
            torch.mul(products[t][0], d_hidden.unsqueeze(1), out=products[t][1])
            torch.mul(candidate_products[t][0], d_hidden, out=candidate_products[t][1])
            d_last = products[t][2] @ weight_hh
            d_last = d_last if dropout is None else d_last * dropout
            d_hidden = torch.addcmul(d_last, d_hidden, updates[t])
        d_recurrent = d_recurrent.flatten(2)  # (T, B, 3·H)
        recurrent = last_hidden if dropout is None else last_hidden * dropout
        d_weight = weight_gradient(d_recurrent, recurrent)
        d_bias = None if bias_hh is None else d_recurrent.sum((0, 1))
        d_projected = torch.cat([d_recurrent[..., : -candidate.shape[-1]], d_candidate], dim=-1)
        return None, None, None, d_projected, d_weight, d_bias, d_hidden, None
