// One step of the simple recurrent network and its derivatives; see `cells/rnn.py` for the equation.

#pragma once

#include "layer.h"

struct Rnn {
    static constexpr int GATES = 1, UNITS = 4, KEPT = 1;
    static constexpr bool HAS_CELL_STATE = false;
    static constexpr int INPUT_SUMS[WIDTH] = {0, 1, 2, 3}, RECURRENT_SUMS[WIDTH] = {0, 1, 2, 3};

    template <class real>
    static INLINE void step(const Layer<real> &layer, int64_t t, int64_t row, int64_t first_unit, const Vector<real> *sums) {
#pragma GCC unroll 4
        for (int v = 0; v < UNITS; ++v) {
            const int64_t unit = first_unit + v * LANES<real>, after = layer.place(t + 1, row) * layer.padded + unit;
            const Vector<real> hidden =
                layer.relu ? (sums[v] < 0 ? Vector<real>{} : sums[v]) : hyperbolic_tangent<real>(sums[v]);
            store(layer.hiddens + after, hidden);
            if (layer.dropout)
                store(layer.recurrents + after,
                      hidden * load_some(layer.dropout + row * layer.hidden + unit, layer.hidden - unit));
            store_some(layer.outputs + layer.place(t, row) * layer.hidden + unit, hidden, layer.hidden - unit);
        }
    }

    template <class real>
    static INLINE void differentiate(const Layer<real> &layer, int64_t t, int64_t row, int64_t unit) {
        const int64_t place = layer.place(t, row);
        real *d_hidden_at = layer.d_hidden + row * layer.padded + unit;
        const Vector<real> hidden = load(layer.hiddens + layer.place(t + 1, row) * layer.padded + unit);
        const Vector<real> d_hidden =
            load(d_hidden_at) +
            load_some(layer.d_outputs + t * layer.d_outputs_step + row * layer.d_outputs_row + unit, layer.hidden - unit);
        store(layer.d_gates + place * layer.padded + unit,
              layer.relu ? (hidden <= 0 ? Vector<real>{} : d_hidden) : d_hidden * (1 - hidden * hidden));
        store(d_hidden_at, Vector<real>{});
    }
};
