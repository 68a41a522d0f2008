// What is computed: one layer in one direction over a batch of sequences, and where everything lies.
//
// Axes as in seqsum/__init__.py. `P` is H rounded up to whole vectors: the kernel's own tensors have rows of
// that length, and what is beyond H stays zero in them, or is multiplied by zero.
//
// States of all steps are kept in slots: 0 is the initial state, t + 1 the state after the step at time t.
// `previous[t][b]` is the slot that step starts from, which a mask puts further back, and -1 where the mask leaves
// the step out. So a step that is left out costs nothing, and nothing is copied for it.

#pragma once

#include "product.h"

template <class real> struct Layer {
    int64_t steps, batch, features, hidden, padded, threads;
    int64_t reverse, identity, relu;  // flags
    const real *inputs;               // (T, B, F), by the strides below
    int64_t inputs_step, inputs_row;
    const uint8_t *mask;   // (T, B) or null
    const int32_t *order;  // (B,) or null: rows in the order in which they are shared between threads
    const real *weight_ih, *weight_hh, *bias_ih, *bias_hh;  // (G·H, F), (G·H, H), (G·H,) or null each
    const real *dropout;                                    // (B, H) or null
    const real *initial_hidden, *initial_cell_state;            // (B, H)
    // written forwards, read backwards
    int32_t *previous;            // (T, B)
    real *hiddens, *cell_states;     // (T + 1, B, P)
    real *recurrents;             // what gates read of the states: those, or times dropout; (T + 1, B, P)
    real *gates;                  // (T, B, G', P) or null when no gradients are wanted
    real *outputs;                // (T, B, H), zeros where the mask is to leave them
    real *final_hidden, *final_cell_state;  // (B, H)
    // backwards
    const real *d_outputs;  // (T, B, H), by the strides below
    int64_t d_outputs_step, d_outputs_row;
    real *d_hidden, *d_cell_state;        // (B, P): at first of the final, in the end of the initial state
    real *d_gates;                    // (T, B, G', P)
    real *d_inputs;                   // (T, B, F) or null, zeros where the mask is to leave them
    real *d_weight_ih, *d_weight_hh;  // (F, G, P), (H, G, P): transposed
    real *d_bias;                     // (G', P)
    real *packed;                     // room for a weight matrix in panels

    INLINE const real *input(int64_t t, int64_t row) const { return inputs + t * inputs_step + row * inputs_row; }
    INLINE int64_t place(int64_t t, int64_t row) const { return t * batch + row; }
    INLINE int64_t time(int64_t step) const { return reverse ? steps - 1 - step : step; }

    // Rows of one thread: a part of `order`, of the same size as the others or one more.
    INLINE int64_t first_row(int64_t thread) const {
        const int64_t more = batch % threads;
        return thread * (batch / threads) + (thread < more ? thread : more);
    }
    INLINE int32_t row(int64_t position) const { return order ? order[position] : int32_t(position); }
};

// Rows of one thread that have a step at time t, into `active`; returns how many.
template <class real>
INLINE int64_t active_rows(const Layer<real> &layer, int64_t t, int64_t first, int64_t end, int32_t *active) {
    int64_t count = 0;
    for (int64_t position = first; position < end; ++position) {
        const int32_t row = layer.row(position);
        if (layer.previous[layer.place(t, row)] >= 0) active[count++] = row;
    }
    return count;
}
