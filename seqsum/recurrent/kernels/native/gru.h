// One step of the GRU and its derivatives, for one vector of units; see `cells/gru.py` for the equations.

#pragma once

#include "layer.h"

struct Gru {
    static constexpr int GATES = 3, UNITS = 1, KEPT = 4;
    static constexpr bool HAS_CELL_STATE = false;
    // the candidate's two parts have separate sums, since the reset gate scales only the recurrent one
    static constexpr int INPUT_SUMS[WIDTH] = {0, 1, 2, 2}, RECURRENT_SUMS[WIDTH] = {0, 1, 3, 3};

    template <class real>
    static INLINE void step(const Layer<real> &layer, int64_t t, int64_t row, int64_t unit, const Vector<real> *sums) {
        const int64_t place = layer.place(t, row), before = layer.place(layer.previous[place], row) * layer.padded + unit;
        const int64_t after = layer.place(t + 1, row) * layer.padded + unit;
        const Vector<real> reset_gate = sigmoid<real>(sums[0]), update_gate = sigmoid<real>(sums[1]);
        const Vector<real> candidate = hyperbolic_tangent<real>(sums[2] + reset_gate * sums[3]);
        const Vector<real> hidden = candidate + update_gate * (load(layer.hiddens + before) - candidate);
        store(layer.hiddens + after, hidden);
        if (layer.dropout)
            store(layer.recurrents + after,
                  hidden * load_some(layer.dropout + row * layer.hidden + unit, layer.hidden - unit));
        store_some(layer.outputs + place * layer.hidden + unit, hidden, layer.hidden - unit);
        if (!layer.gates) return;
        real *kept = layer.gates + place * KEPT * layer.padded + unit;
        store(kept, reset_gate);
        store(kept + layer.padded, update_gate);
        store(kept + 2 * layer.padded, candidate);
        store(kept + 3 * layer.padded, sums[3]);
    }

    // Backward pass: gradients of four blocks: reset gate, update gate, the candidate's input and recurrent parts.
    template <class real>
    static INLINE void differentiate(const Layer<real> &layer, int64_t t, int64_t row, int64_t unit) {
        const int64_t place = layer.place(t, row), before = layer.place(layer.previous[place], row) * layer.padded + unit;
        const real *kept = layer.gates + place * KEPT * layer.padded + unit;
        const Vector<real> reset_gate = load(kept), update_gate = load(kept + layer.padded);
        const Vector<real> candidate = load(kept + 2 * layer.padded), recurrent = load(kept + 3 * layer.padded);
        real *d_hidden_at = layer.d_hidden + row * layer.padded + unit;
        const Vector<real> d_hidden =
            load(d_hidden_at) +
            load_some(layer.d_outputs + t * layer.d_outputs_step + row * layer.d_outputs_row + unit, layer.hidden - unit);
        const Vector<real> d_candidate = d_hidden * (1 - update_gate) * (1 - candidate * candidate);
        const Vector<real> d_update_gate = d_hidden * (load(layer.hiddens + before) - candidate);
        real *d_sums = layer.d_gates + place * KEPT * layer.padded + unit;
        store(d_sums, d_candidate * recurrent * reset_gate * (1 - reset_gate));
        store(d_sums + layer.padded, d_update_gate * update_gate * (1 - update_gate));
        store(d_sums + 2 * layer.padded, d_candidate);
        store(d_sums + 3 * layer.padded, d_candidate * reset_gate);
        store(d_hidden_at, d_hidden * update_gate);
    }
};
