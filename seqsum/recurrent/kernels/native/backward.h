// Backpropagation through all steps of a layer, then the gradients of its weights.
//
// As in the forward pass, a thread runs all steps of its rows. It computes the gradients of a step's gates (δgates),
// vector by vector, and multiplies them by the weights to get the gradients of the previous state and of the input.
// The weight gradients come last, as one product over all steps.

#pragma once

#include <memory>

#include "layer.h"

constexpr int64_t INNER = 128;  // row steps in one product of the weight gradients; small enough for the caches

// Calls f(first column, number of vectors) for each panel of a matrix with this many columns.
template <class real, class F> INLINE void in_panels(int64_t columns, F f) {
    for (int64_t first = 0; first < columns; first += WIDTH * LANES<real>) {
        const int64_t vectors = (columns - first + LANES<real> - 1) / LANES<real>;
        f(first, vectors < WIDTH ? vectors : int64_t(WIDTH));
    }
}

// Packs a weight (rows, columns) into panels of up to WIDTH vectors of columns: (panel, row, column).
template <class real> void pack_columns(const real *weight, int64_t rows, int64_t columns, real *packed) {
    in_panels<real>(columns, [&](int64_t first, int64_t vectors) {
        const int64_t width = vectors * LANES<real>, count = columns - first < width ? columns - first : width;
        real *panel = packed + rows * first;
#pragma omp for
        for (int64_t k = 0; k < rows; ++k) copy_row(panel + k * width, weight + k * columns + first, count, width);
    });
}

// Maps the gates of a cell to its kept blocks, for one of the two weights.
struct Blocks {
    int gates, units, kept;
    const int *sums;
    INLINE int64_t operator[](int64_t gate) const { return sums[gate * units]; }
};

template <class Cell> constexpr Blocks INPUT_BLOCKS = {Cell::GATES, Cell::UNITS, Cell::KEPT, Cell::INPUT_SUMS};
template <class Cell> constexpr Blocks RECURRENT_BLOCKS = {Cell::GATES, Cell::UNITS, Cell::KEPT, Cell::RECURRENT_SUMS};

// Destination of a product: rows of `columns` numbers, `length` apart, and those of the next step `step` apart.
// Multiplies by `factors` if there are any, and adds to what is there if `add`.
template <class real> struct Target {
    real *first;
    int64_t step, length, columns;
    const real *factors;  // (rows, columns) or null
    bool add;

    INLINE void take(const RowStep &at, int64_t column, Vector<real> values) const {
        const int64_t count = columns - column;
        real *to = first + at.t * step + at.row * length + column;
        if (factors) values *= load_some(factors + at.row * columns + column, count);
        store_some(to, add ? load_some(to, count) + values : values, count);
    }
};

// Multiplies δgates of some steps by a weight: the gradient of what the gates read through it.
template <class real>
void pass_on(const Layer<real> &layer, const Blocks &blocks, const real *packed, const RowStep *steps, int64_t count,
             const Target<real> &target) {
    in_panels<real>(target.columns, [&](int64_t first_column, int64_t vectors) {
        const real *panel = packed + blocks.gates * layer.hidden * first_column;
        with_constant<WIDTH>(vectors, [&](auto width) {
            in_tiles(count, [&](int64_t first, auto rows) {
                Tile<real> sums = {};
                for (int64_t gate = 0; gate < blocks.gates; ++gate) {
                    const real *d_gates[rows.value];
#pragma GCC unroll 6
                    for (int r = 0; r < rows.value; ++r) {
                        const int64_t place = layer.place(steps[first + r].t, steps[first + r].row);
                        d_gates[r] = layer.d_gates + (place * blocks.kept + blocks[gate]) * layer.padded;
                    }
                    const real *part = panel + gate * layer.hidden * width.value * LANES<real>;
                    accumulate<rows.value, width.value>(sums, d_gates, 1, part, layer.hidden);
                }
#pragma GCC unroll 6
                for (int r = 0; r < rows.value; ++r)
#pragma GCC unroll 4
                    for (int v = 0; v < width.value; ++v)
                        target.take(steps[first + r], first_column + v * LANES<real>, sums[r][v]);
            });
        });
    });
}

// Runs all steps of a thread's rows backwards, from position `first` to before `end`.
template <class Cell, class real>
void run_rows_back(const Layer<real> &layer, const real *packed_hh, const real *packed_ih, int64_t first, int64_t end) {
    const Target<real> to_hidden = {layer.d_hidden, 0, layer.padded, layer.hidden, layer.dropout, true};
    const int64_t columns = layer.features, at_once = steps_at_once(end - first);
    const Target<real> to_inputs = {layer.d_inputs, layer.batch * columns, columns, columns, nullptr, false};
    const std::unique_ptr<RowStep[]> active(new RowStep[at_once * (end - first)]);
    for (int64_t stop = layer.steps; stop > 0; stop -= at_once) {
        int64_t count = 0;
        for (int64_t step = stop - 1; step >= 0 && step >= stop - at_once; --step) {
            RowStep *steps = active.get() + count;
            const int64_t more = active_rows(layer, layer.time(step), first, end, steps);
            for (int64_t k = 0; k < more; ++k)
                for (int64_t unit = 0; unit < layer.padded; unit += LANES<real>)
                    Cell::differentiate(layer, steps[k].t, steps[k].row, unit);
            pass_on(layer, RECURRENT_BLOCKS<Cell>, packed_hh, steps, more, to_hidden);
            count += more;
        }
        if (layer.d_inputs) pass_on(layer, INPUT_BLOCKS<Cell>, packed_ih, active.get(), count, to_inputs);
    }
}

// Up to INNER row steps: pointers to their δgates, inputs and states.
template <class real> struct Steps {
    int64_t count = 0;
    const real *d_gates[INNER], *inputs[INNER], *recurrents[INNER];
};

// Packs the left-hand side of a weight gradient into transposed tiles: (tile, step, row of the tile).
template <class real>
void pack_left(const real *const *from, int64_t steps, int64_t columns, real *to) {
    for (int64_t k = 0; k < steps; ++k) {
        real *at = to + k * MAX_ROWS;
        for (int64_t column = 0; column < columns; column += MAX_ROWS, at += INNER * MAX_ROWS)
            copy_row(at, from[k] + column, columns - column < MAX_ROWS ? columns - column : int64_t(MAX_ROWS), MAX_ROWS);
    }
}

// gradient += leftᵀ right, or = the first time, for one panel of columns; rows of the gradient are `length` apart.
template <int width, class real>
void add_product(const real *left, const real *right, int64_t steps, real *gradient, int64_t rows, int64_t length, bool first_time) {
    for (int64_t first = 0; first < rows; first += MAX_ROWS, left += INNER * MAX_ROWS) {
        Tile<real> sums = {};
        const real *each[MAX_ROWS];
#pragma GCC unroll 6
        for (int r = 0; r < MAX_ROWS; ++r) each[r] = left + r;
        accumulate<MAX_ROWS, width>(sums, each, MAX_ROWS, right, steps);
#pragma GCC unroll 6
        for (int r = 0; r < MAX_ROWS; ++r) {
            if (first + r == rows) return;
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) {
                real *to = gradient + (first + r) * length + v * LANES<real>;
                store(to, first_time ? sums[r][v] : load(to) + sums[r][v]);
            }
        }
    }
}

// Adds up one panel of both weight gradients over some steps. The right-hand side is a panel of δgates. If a gate's
// input part and recurrent part are kept apart, it has a panel for each.
template <class real> struct Gradients {
    const Layer<real> &layer;
    const Steps<real> &steps;
    const real *left_ih, *left_hh;
    bool first_time;
    alignas(64) real right[INNER * WIDTH * LANES<real>];

    void pack_right(int64_t block, int64_t unit, int64_t width) {
        for (int64_t k = 0; k < steps.count; ++k)
            memcpy(right + k * width, steps.d_gates[k] + block * layer.padded + unit, width * sizeof(real));
        real *d_bias = layer.d_bias + block * layer.padded + unit;
        for (int64_t lane = 0; lane < width; lane += LANES<real>) {
            Vector<real> sum = first_time ? Vector<real>{} : load(d_bias + lane);
            for (int64_t k = 0; k < steps.count; ++k) sum += load(right + k * width + lane);
            store(d_bias + lane, sum);
        }
    }

    template <int width> void add_panel(int64_t gate, int64_t gates, int64_t input_block, int64_t block, int64_t unit) {
        const int64_t column = gate * layer.padded + unit, length = gates * layer.padded;
        pack_right(input_block, unit, width * LANES<real>);
        add_product<width>(left_ih, right, steps.count, layer.d_weight_ih + column, layer.features, length, first_time);
        if (block != input_block) pack_right(block, unit, width * LANES<real>);
        add_product<width>(left_hh, right, steps.count, layer.d_weight_hh + column, layer.hidden, length, first_time);
    }
};

// Adds one thread's panels of the weight gradients over some steps.
template <class Cell, class real>
void add_gradients(const Layer<real> &layer, const Steps<real> &steps, int64_t thread, real *left, bool first_time) {
    real *left_hh = left + (layer.features + MAX_ROWS) * INNER;
    pack_left(steps.inputs, steps.count, layer.features, left);
    pack_left(steps.recurrents, steps.count, layer.hidden, left_hh);
    Gradients<real> gradients = {layer, steps, left, left_hh, first_time, {}};
    int64_t panel = 0;
    for (int64_t gate = 0; gate < Cell::GATES; ++gate)
        in_panels<real>(layer.padded, [&](int64_t unit, int64_t vectors) {
            if (panel++ % layer.threads != thread) return;
            with_constant<WIDTH>(vectors, [&](auto width) {
                gradients.template add_panel<width.value>(gate, Cell::GATES, INPUT_BLOCKS<Cell>[gate],
                                                          RECURRENT_BLOCKS<Cell>[gate], unit);
            });
        });
}

template <class Cell, class real> void weight_gradients(const Layer<real> &layer, int64_t thread) {
    const std::unique_ptr<real[]> left(new real[INNER * (layer.features + layer.hidden + 2 * MAX_ROWS)]);
    Steps<real> steps;
    bool first_time = true;
    for (int64_t t = 0; t < layer.steps; ++t)
        for (int64_t row = 0; row < layer.batch; ++row) {
            const int64_t place = layer.place(t, row), slot = layer.previous[place];
            if (slot < 0) continue;
            steps.d_gates[steps.count] = layer.d_gates + place * Cell::KEPT * layer.padded;
            steps.inputs[steps.count] = layer.input(t, row);
            steps.recurrents[steps.count] = layer.recurrents + layer.place(slot, row) * layer.padded;
            if (++steps.count < INNER) continue;
            add_gradients<Cell>(layer, steps, thread, left.get(), first_time);
            first_time = false;
            steps.count = 0;
        }
    if (steps.count > 0 || first_time) add_gradients<Cell>(layer, steps, thread, left.get(), first_time);
}

template <class Cell, class real> void backward(const Layer<real> &layer) {
    const int64_t rows = Cell::GATES * layer.hidden, whole = WIDTH * LANES<real>;
    real *packed_hh = layer.packed, *packed_ih = packed_hh + rows * ((layer.hidden + whole - 1) / whole * whole);
#pragma omp parallel num_threads(layer.threads)
    {
        pack_columns(layer.weight_hh, rows, layer.hidden, packed_hh);
        if (layer.d_inputs) pack_columns(layer.weight_ih, rows, layer.features, packed_ih);
#pragma omp for
        for (int64_t thread = 0; thread < layer.threads; ++thread)
            run_rows_back<Cell>(layer, packed_hh, packed_ih, layer.first_row(thread), layer.first_row(thread + 1));
#pragma omp for
        for (int64_t thread = 0; thread < layer.threads; ++thread) weight_gradients<Cell>(layer, thread);
    }
}
