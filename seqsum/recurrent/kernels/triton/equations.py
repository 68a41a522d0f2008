"""One step of LSTM, GRU and RNN, and its derivatives, as Triton functions of blocks.

The equations are the same as in the cells (`recurrent/cells/`) and in bptt (`kernels/lstm.py`, `gru.py`, `rnn.py`).
Blocks can have any shape. Everything is computed in the type of the states: float32, or float64 in the interpreter.

With `approximate`, σ and tanh use the GPU's instruction `tanh.approx.f32`. It takes a quarter of the time, and its
error of 2^-11 doesn't matter for 16-bit gates.
"""

from __future__ import annotations

import triton
import triton.language as tl

NUM_GATES = {"lstm": 4, "gru": 3, "rnn": 1}
NUM_KEPT = {"lstm": 4, "gru": 4, "rnn": 0}  # blocks that the backward pass needs in addition to the states


@triton.jit
def tanh(x, approximate: tl.constexpr):
    """Compute tanh, by the GPU's approximation or as `2 σ(2 x) - 1`, since the interpreter has no tanh."""
    if approximate:
        return tl.inline_asm_elementwise("tanh.approx.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1)
    else:
        return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def sigmoid(x, approximate: tl.constexpr):
    """Compute σ, if approximate as `(tanh(x / 2) + 1) / 2`."""
    if approximate:
        return 0.5 * tanh(0.5 * x, True) + 0.5
    else:
        return tl.sigmoid(x)


@triton.jit
def forward_step(
    cell: tl.constexpr, variant: tl.constexpr, approximate: tl.constexpr, projected, recurrent, hidden, cell_state
):
    """Run one step.

    Args:
        cell: "lstm", "gru" or "rnn".
        variant: Whether the LSTM has the identity output, or the RNN ReLU.
        approximate: Whether σ and tanh are approximate.
        projected, recurrent: Contributions of the input and of the hidden state to each gate, with biases.
        hidden, cell_state: The state before the step. GRU and RNN return `cell_state` unchanged.

    Returns:
        `NUM_KEPT` blocks for the backward pass, hidden state, cell state, output.
    """
    if cell == "lstm":
        input_gate = sigmoid(projected[0] + recurrent[0], approximate)
        forget_gate = sigmoid(projected[1] + recurrent[1], approximate)
        cell_update = tanh(projected[2] + recurrent[2], approximate)
        output_gate = sigmoid(projected[3] + recurrent[3], approximate)
        cell_state = forget_gate * cell_state + input_gate * cell_update
        hidden = output_gate * tanh(cell_state, approximate)
        output = output_gate * cell_state if variant else hidden
        return (input_gate, forget_gate, cell_update, output_gate), hidden, cell_state, output
    elif cell == "gru":
        reset_gate = sigmoid(projected[0] + recurrent[0], approximate)
        update_gate = sigmoid(projected[1] + recurrent[1], approximate)
        candidate = tanh(projected[2] + reset_gate * recurrent[2], approximate)
        hidden = candidate + update_gate * (hidden - candidate)
        return (reset_gate, update_gate, candidate, recurrent[2]), hidden, cell_state, hidden
    else:
        summed = projected[0] + recurrent[0]
        hidden = tl.where(summed < 0, 0.0, summed) if variant else tanh(summed, approximate)  # NaN stays NaN
        return (), hidden, cell_state, hidden


@triton.jit
def backward_step(
    cell: tl.constexpr, variant: tl.constexpr, approximate: tl.constexpr, kept, state, d_output, d_hidden, d_cell_state,
    valid,
):  # fmt: skip
    """Run one step of the backward pass; `d_x` is the gradient of x.

    Args:
        cell, variant, approximate: See `forward_step`.
        kept: The blocks that `forward_step` returned.
        state: The LSTM's cell state before the step, the GRU's hidden state before it, the RNN's after it.
        d_output, d_hidden, d_cell_state: Gradients of the step's output and of the state after it.
        valid: Where the step isn't masked.

    Returns:
        Gradients of `projected` and `recurrent` for each gate, and of the state before the step, without the part
        that comes through `recurrent`.
    """
    if cell == "lstm":
        input_gate, forget_gate, cell_update, output_gate = kept
        cell_state = forget_gate * state + input_gate * cell_update
        squashed = tanh(cell_state, approximate)
        d_read = d_hidden if variant else d_hidden + d_output
        d_all_cell_state = d_cell_state + d_read * output_gate * (1 - squashed * squashed)
        d_gate = d_read * squashed
        if variant:
            d_all_cell_state += d_output * output_gate
            d_gate += d_output * cell_state
        d_summed = (
            tl.where(valid, d_all_cell_state * cell_update * input_gate * (1 - input_gate), 0.0),
            tl.where(valid, d_all_cell_state * state * forget_gate * (1 - forget_gate), 0.0),
            tl.where(valid, d_all_cell_state * input_gate * (1 - cell_update * cell_update), 0.0),
            tl.where(valid, d_gate * output_gate * (1 - output_gate), 0.0),
        )
        d_cell_state = tl.where(valid, d_all_cell_state * forget_gate, d_cell_state)
        return d_summed, d_summed, tl.where(valid, 0.0, d_hidden), d_cell_state
    elif cell == "gru":
        reset_gate, update_gate, candidate, recurrent_candidate = kept
        d_all_hidden = d_hidden + d_output
        d_candidate = d_all_hidden * (1 - update_gate) * (1 - candidate * candidate)
        d_candidate = tl.where(valid, d_candidate, 0.0)
        d_reset = tl.where(valid, d_candidate * recurrent_candidate * reset_gate * (1 - reset_gate), 0.0)
        d_update = tl.where(valid, d_all_hidden * (state - candidate) * update_gate * (1 - update_gate), 0.0)
        d_projected = d_reset, d_update, d_candidate
        d_recurrent = d_reset, d_update, tl.where(valid, d_candidate * reset_gate, 0.0)
        return d_projected, d_recurrent, tl.where(valid, d_all_hidden * update_gate, d_hidden), d_cell_state
    else:
        derivative = tl.where(state <= 0, 0.0, 1.0) if variant else 1 - state * state
        d_only = (tl.where(valid, (d_hidden + d_output) * derivative, 0.0),)
        return d_only, d_only, tl.where(valid, 0.0, d_hidden), d_cell_state
