// Description of the task, one layer in one direction over a batch of sequences, and of the memory layout.
//
// See seqsum/__init__.py for the axis letters; G' is the number of kept blocks. Here `P` is H rounded up to full panels:
// the kernel's own tensors have rows of that length, and numbers beyond H are zero or are multiplied by zero.
//
// Slots hold the states of all steps: slot 0 the initial state, slot t + 1 the state after the step at time t.
// `previous[t][b]` is the slot that a step starts from, or -1 if the step is masked. After masked steps it is an
// earlier slot, so that masked steps cost nothing and no state is copied for them.

#pragma once

#include "product.h"

constexpr int64_t FEW_ROWS = 12;  // with more, products take longer than reading the weights

template <class real> struct Layer {
    int64_t steps, batch, features, hidden, padded, threads;
    int64_t reverse, identity, relu;  // flags
    const real *inputs;               // (T, B, F), with the strides below
    int64_t inputs_step, inputs_row;
    const uint8_t *mask;   // (T, B) or null
    const int32_t *order;  // (B,) or null: order in which rows are divided among threads
    const real *weight_ih, *weight_hh, *bias_ih, *bias_hh;  // (G·H, F), (G·H, H), (G·H,) or null each
    const real *dropout;                                    // (B, H) or null
    const real *initial_hidden, *initial_cell_state;            // (B, H)
    // written by the forward pass, read by the backward pass
    int32_t *previous;            // (T, B)
    real *hiddens, *cell_states;     // (T + 1, B, P)
    real *recurrents;             // hidden states that gates read, with dropout if any; (T + 1, B, P)
    real *gates;                  // (T, B, G', P) or null when no gradients are wanted
    real *outputs;                // (T, B, H), zeroed by the caller if there is a mask
    real *final_hidden, *final_cell_state;  // (B, H)
    // backward pass
    const real *d_outputs;  // (T, B, H), with the strides below
    int64_t d_outputs_step, d_outputs_row;
    real *d_hidden, *d_cell_state;        // (B, P): on entry for the final state, on exit for the initial state
    real *d_gates;                    // (T, B, G', P)
    real *d_inputs;                   // (T, B, F) or null, zeroed by the caller if there is a mask
    real *d_weight_ih, *d_weight_hh;  // (F, G, P), (H, G, P): transposed
    real *d_bias;                     // (G', P)
    real *packed;                     // room for the weights in panels

    INLINE const real *input(int64_t t, int64_t row) const { return inputs + t * inputs_step + row * inputs_row; }
    INLINE int64_t place(int64_t t, int64_t row) const { return t * batch + row; }
    INLINE int64_t time(int64_t step) const { return reverse ? steps - 1 - step : step; }

    // First position of a thread's rows in `order`; the numbers of rows differ by at most one.
    INLINE int64_t first_row(int64_t thread) const {
        const int64_t more = batch % threads;
        return thread * (batch / threads) + (thread < more ? thread : more);
    }
    INLINE int32_t row(int64_t position) const { return order ? order[position] : int32_t(position); }
};

// A valid step of one row.
struct RowStep {
    int64_t t, row;
};

// Writes the valid steps of a thread's rows at time t to `active` and returns their number.
template <class real>
INLINE int64_t active_rows(const Layer<real> &layer, int64_t t, int64_t first, int64_t end, RowStep *active) {
    int64_t count = 0;
    for (int64_t position = first; position < end; ++position) {
        const int32_t row = layer.row(position);
        if (layer.previous[layer.place(t, row)] >= 0) active[count++] = {t, row};
    }
    return count;
}

// Number of time steps whose products with the weights of the input a thread computes at once. They depend on no state.
// So where a step has few rows, these weights are read once for several steps.
INLINE int64_t steps_at_once(int64_t rows) { return rows > 0 && rows < FEW_ROWS ? (FEW_ROWS + rows - 1) / rows : 1; }
