// Forward pass through all steps of a layer.
//
// Each thread runs all steps of its rows of the batch. Rows are independent, so no thread waits for another
// before the last step. A step computes W [x; h] tile by tile. While a tile's sums are still in registers, it computes
// gates and new state from them, so that the sums never go through memory.

#pragma once

#include <memory>

#include "layer.h"

// Packs weights into panels of Cell::UNITS vectors of units with all their gates: (panel, k, gate, unit).
template <class Cell, class real>
void pack_panel(const Layer<real> &layer, const real *weight, int64_t columns, int64_t first_unit, real *panel) {
    constexpr int lanes = Cell::UNITS * LANES<real>, width = Cell::GATES * lanes, block = 16;
    for (int64_t begin = 0; begin < columns; begin += block) {
        const int64_t end = begin + block < columns ? begin + block : columns;
        for (int64_t gate = 0; gate < Cell::GATES; ++gate)
            for (int64_t lane = 0; lane < lanes; ++lane) {
                const int64_t unit = first_unit + lane;
                const real *row = weight + (gate * layer.hidden + unit) * columns;
                real *to = panel + gate * lanes + lane;
                for (int64_t k = begin; k < end; ++k) to[k * width] = unit < layer.hidden ? row[k] : 0;
            }
    }
}

// Adds up the biases of a panel's units, with which the sums of a tile start; Cell maps gates to sums.
template <class Cell, class real>
void pack_bias(const Layer<real> &layer, int64_t first_unit, Vector<real> (&start)[WIDTH]) {
    constexpr int lanes = Cell::UNITS * LANES<real>;
    real summed[WIDTH * LANES<real>] = {};
    for (int64_t gate = 0; gate < Cell::GATES; ++gate)
        for (int64_t lane = 0; lane < lanes && first_unit + lane < layer.hidden; ++lane) {
            const int64_t source = gate * layer.hidden + first_unit + lane;
            if (layer.bias_ih) summed[Cell::INPUT_SUMS[gate * Cell::UNITS] * LANES<real> + lane] += layer.bias_ih[source];
            if (layer.bias_hh) summed[Cell::RECURRENT_SUMS[gate * Cell::UNITS] * LANES<real> + lane] += layer.bias_hh[source];
        }
    for (int v = 0; v < WIDTH; ++v) start[v] = load(summed + v * LANES<real>);
}

// Stores the slot that each step of a row starts from, and copies the initial state into slot 0.
template <class Cell, class real> void begin_row(const Layer<real> &layer, int64_t row, int32_t *current) {
    int32_t slot = 0;
    for (int64_t step = 0; step < layer.steps; ++step) {
        const int64_t t = layer.time(step), place = layer.place(t, row);
        const bool valid = !layer.mask || layer.mask[place];
        layer.previous[place] = valid ? slot : -1;
        if (valid) slot = int32_t(t + 1);
    }
    *current = slot;  // the slot of the final state
    copy_row(layer.hiddens + row * layer.padded, layer.initial_hidden + row * layer.hidden, layer.hidden, layer.padded);
    if (Cell::HAS_CELL_STATE)
        copy_row(layer.cell_states + row * layer.padded, layer.initial_cell_state + row * layer.hidden, layer.hidden, layer.padded);
    if (layer.dropout)
        for (int64_t k = 0; k < layer.hidden; ++k)
            layer.recurrents[row * layer.padded + k] =
                layer.initial_hidden[row * layer.hidden + k] * layer.dropout[row * layer.hidden + k];
}

template <class Cell, class real>
void end_row(const Layer<real> &layer, int64_t row, int32_t slot) {
    const int64_t from = layer.place(slot, row) * layer.padded, to = row * layer.hidden, size = layer.hidden * sizeof(real);
    memcpy(layer.final_hidden + to, layer.hiddens + from, size);
    if (Cell::HAS_CELL_STATE) memcpy(layer.final_cell_state + to, layer.cell_states + from, size);
}

// Computes sums of biases and products with the inputs, of a tile of rows, for one panel of units.
template <class Cell, int rows, class real>
INLINE void begin_sums(const Layer<real> &layer, const Vector<real> (&start)[WIDTH], const real *panel, const RowStep *steps,
                       Tile<real> &sums) {
    const real *inputs[rows];
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
        inputs[r] = layer.input(steps[r].t, steps[r].row);
#pragma GCC unroll 4
        for (int v = 0; v < WIDTH; ++v) sums[r][v] = start[v];
    }
    accumulate<rows, Cell::GATES * Cell::UNITS>(sums, inputs, 1, panel, layer.features, Cell::INPUT_SUMS);
}

// Computes these sums for some steps and stores them in rows that are `length` apart.
template <class Cell, class real>
void begin_panel(const Layer<real> &layer, int64_t unit, const real *panel, const RowStep *steps, int64_t count, real *begun,
                 int64_t length) {
    Vector<real> start[WIDTH];
    pack_bias<Cell>(layer, unit, start);
    in_tiles(count, [&](int64_t first, auto rows) {
        Tile<real> sums;
        begin_sums<Cell, rows.value>(layer, start, panel, steps + first, sums);
#pragma GCC unroll 6
        for (int r = 0; r < rows.value; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < WIDTH; ++v) store(begun + (first + r) * length + v * LANES<real>, sums[r][v]);
    });
}

template <int rows, class real> INLINE void load_sums(const real *begun, int64_t length, Tile<real> &sums) {
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < WIDTH; ++v) sums[r][v] = load(begun + r * length + v * LANES<real>);
}

// Runs some rows' steps at one time for one panel of units; `begun` is what `begin_panel` has stored for them, or null.
template <class Cell, class real>
void step_panel(const Layer<real> &layer, int64_t unit, const real *panel, const RowStep *steps, int64_t count,
                const real *begun, int64_t length) {
    constexpr int width = Cell::GATES * Cell::UNITS;
    Vector<real> start[WIDTH];
    if (!begun) pack_bias<Cell>(layer, unit, start);
    in_tiles(count, [&](int64_t first, auto rows) {
        const real *recurrents[rows.value];
        Tile<real> sums;
        if (begun)
            load_sums<rows.value>(begun + first * length, length, sums);
        else
            begin_sums<Cell, rows.value>(layer, start, panel, steps + first, sums);
#pragma GCC unroll 6
        for (int r = 0; r < rows.value; ++r) {
            const auto [t, row] = steps[first + r];
            recurrents[r] = layer.recurrents + layer.place(layer.previous[layer.place(t, row)], row) * layer.padded;
        }
        accumulate<rows.value, width>(sums, recurrents, 1, panel + layer.features * width * LANES<real>, layer.hidden,
                                      Cell::RECURRENT_SUMS);
#pragma GCC unroll 6
        for (int r = 0; r < rows.value; ++r) Cell::step(layer, steps[first + r].t, steps[first + r].row, unit, sums[r]);
    });
}

// Runs all steps of a thread's rows, from position `first` to before `end`.
template <class Cell, class real> void run_rows(const Layer<real> &layer, int64_t first, int64_t end) {
    constexpr int64_t units = Cell::UNITS * LANES<real>, sums = WIDTH * LANES<real>;
    const int64_t panels = layer.padded / units, size = (layer.features + layer.hidden) * units * Cell::GATES;
    const int64_t at_once = steps_at_once(end - first), most = at_once * (end - first), length = panels * sums;
    const std::unique_ptr<RowStep[]> active(new RowStep[most]);
    const std::unique_ptr<real[]> begun(at_once > 1 ? new real[most * length] : nullptr);
    for (int64_t begin = 0; begin < layer.steps; begin += at_once) {
        const int64_t stop = begin + at_once < layer.steps ? begin + at_once : layer.steps;
        int64_t count = 0;
        for (int64_t step = begin; step < stop; ++step)
            count += active_rows(layer, layer.time(step), first, end, active.get() + count);
        for (int64_t panel = 0; panel < panels && begun; ++panel)
            begin_panel<Cell>(layer, panel * units, layer.packed + panel * size, active.get(), count, &begun[panel * sums], length);
        for (int64_t done = 0, next; done < count; done = next) {
            for (next = done; next < count && active[next].t == active[done].t;) ++next;
            for (int64_t panel = 0; panel < panels; ++panel)
                step_panel<Cell>(layer, panel * units, layer.packed + panel * size, &active[done], next - done,
                                 begun ? &begun[done * length + panel * sums] : nullptr, length);
        }
    }
}

template <class Cell, class real> void forward(const Layer<real> &layer) {
    constexpr int64_t units = Cell::UNITS * LANES<real>;
    const int64_t panels = layer.padded / units, size = (layer.features + layer.hidden) * units * Cell::GATES;
#pragma omp parallel num_threads(layer.threads)
    {
#pragma omp for
        for (int64_t panel = 0; panel < panels; ++panel) {
            real *to = layer.packed + panel * size;
            pack_panel<Cell>(layer, layer.weight_ih, layer.features, panel * units, to);
            pack_panel<Cell>(layer, layer.weight_hh, layer.hidden, panel * units, to + layer.features * units * Cell::GATES);
        }
#pragma omp for
        for (int64_t thread = 0; thread < layer.threads; ++thread) {
            const int64_t first = layer.first_row(thread), end = layer.first_row(thread + 1);
            const std::unique_ptr<int32_t[]> last(new int32_t[end - first]);
            for (int64_t position = first; position < end; ++position)
                begin_row<Cell>(layer, layer.row(position), &last[position - first]);
            run_rows<Cell>(layer, first, end);
            for (int64_t position = first; position < end; ++position)
                end_row<Cell>(layer, layer.row(position), last[position - first]);
        }
    }
}
