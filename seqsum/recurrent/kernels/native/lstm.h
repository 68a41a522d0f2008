// One step of the LSTM and its derivatives, for one vector of units; see `cells/lstm.py` for the equations.

#pragma once

#include "layer.h"

struct Lstm {
    static constexpr int GATES = 4, UNITS = 1, KEPT = 4;  // gates of a unit, vectors of units in a panel, kept blocks
    static constexpr bool HAS_CELL_STATE = true;
    // for each gate, the sum of a tile and the kept block that its input part and its recurrent part belong to
    static constexpr int INPUT_SUMS[WIDTH] = {0, 1, 2, 3}, RECURRENT_SUMS[WIDTH] = {0, 1, 2, 3};

    template <class real>
    static INLINE void step(const Layer<real> &layer, int64_t t, int64_t row, int64_t unit, const Vector<real> *sums) {
        const int64_t place = layer.place(t, row), before = layer.place(layer.previous[place], row) * layer.padded + unit;
        const int64_t after = layer.place(t + 1, row) * layer.padded + unit;
        const Vector<real> input_gate = sigmoid<real>(sums[0]), forget_gate = sigmoid<real>(sums[1]);
        const Vector<real> cell_update = hyperbolic_tangent<real>(sums[2]), output_gate = sigmoid<real>(sums[3]);
        const Vector<real> cell_state = forget_gate * load(layer.cell_states + before) + input_gate * cell_update;
        const Vector<real> hidden = output_gate * hyperbolic_tangent<real>(cell_state);
        store(layer.cell_states + after, cell_state);
        store(layer.hiddens + after, hidden);
        if (layer.dropout)
            store(layer.recurrents + after,
                  hidden * load_some(layer.dropout + row * layer.hidden + unit, layer.hidden - unit));
        store_some(layer.outputs + place * layer.hidden + unit, layer.identity ? output_gate * cell_state : hidden,
                   layer.hidden - unit);
        if (!layer.gates) return;
        real *kept = layer.gates + place * KEPT * layer.padded + unit;
        store(kept, input_gate);
        store(kept + layer.padded, forget_gate);
        store(kept + 2 * layer.padded, cell_update);
        store(kept + 3 * layer.padded, output_gate);
    }

    // Backward pass: δgates of this step, and the previous state's gradient except for what comes through the gates.
    template <class real>
    static INLINE void differentiate(const Layer<real> &layer, int64_t t, int64_t row, int64_t unit) {
        const int64_t place = layer.place(t, row), before = layer.place(layer.previous[place], row) * layer.padded + unit;
        const int64_t after = layer.place(t + 1, row) * layer.padded + unit;
        const real *kept = layer.gates + place * KEPT * layer.padded + unit;
        const Vector<real> input_gate = load(kept), forget_gate = load(kept + layer.padded);
        const Vector<real> cell_update = load(kept + 2 * layer.padded), output_gate = load(kept + 3 * layer.padded);
        const Vector<real> cell_state = load(layer.cell_states + after), squashed = hyperbolic_tangent<real>(cell_state);
        const Vector<real> d_output =
            load_some(layer.d_outputs + t * layer.d_outputs_step + row * layer.d_outputs_row + unit, layer.hidden - unit);
        real *d_hidden_at = layer.d_hidden + row * layer.padded + unit, *d_cell_state_at = layer.d_cell_state + row * layer.padded + unit;
        Vector<real> d_hidden = load(d_hidden_at), d_cell_state = load(d_cell_state_at), d_output_gate = {};
        if (layer.identity) {
            d_output_gate = d_output * cell_state;
            d_cell_state += d_output * output_gate;
        } else {
            d_hidden += d_output;
        }
        d_output_gate += d_hidden * squashed;
        d_cell_state += d_hidden * output_gate * (1 - squashed * squashed);
        real *d_sums = layer.d_gates + place * KEPT * layer.padded + unit;
        store(d_sums, d_cell_state * cell_update * input_gate * (1 - input_gate));
        store(d_sums + layer.padded, d_cell_state * load(layer.cell_states + before) * forget_gate * (1 - forget_gate));
        store(d_sums + 2 * layer.padded, d_cell_state * input_gate * (1 - cell_update * cell_update));
        store(d_sums + 3 * layer.padded, d_output_gate * output_gate * (1 - output_gate));
        store(d_cell_state_at, d_cell_state * forget_gate);
        store(d_hidden_at, Vector<real>{});
    }
};
