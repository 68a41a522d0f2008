// Matrix products, built on one loop, `accumulate`, that does nearly all the work.
//
// A tile of the result, a few rows by up to four vectors, stays in registers while the loop runs over the inner axis.
// Each iteration loads the vectors of one row of the right-hand matrix and multiplies them by one number from each
// row of the left-hand matrix. The right-hand matrix is packed beforehand into panels of the tile's width, so that
// the loop reads it in order (as in Goto & van de Geijn, 2008).

#pragma once

#include "vectors.h"

constexpr int WIDTH = 4;                              // vectors in a tile's row
constexpr int MAX_ROWS = REGISTERS == 32 ? 6 : 3;     // of a tile: 24 or 12 registers of sums, others for operands

template <class real> using Tile = Vector<real>[MAX_ROWS][WIDTH];

// sums[r][to[v]] += left[r][k * stride] * panel[k][v], for all k < length.
template <int rows, int width, class real>
INLINE void accumulate(Tile<real> &sums, const real *const *left, int64_t stride, const real *panel, int64_t length,
                       const int (&to)[WIDTH] = {0, 1, 2, 3}) {
    for (int64_t k = 0; k < length; ++k, panel += width * LANES<real>) {
        Vector<real> right[width];
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) right[v] = load(panel + v * LANES<real>);
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            const real factor = left[r][k * stride];
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) sums[r][to[v]] += right[v] * factor;
        }
    }
}

template <int number> struct Constant {
    static constexpr int value = number;
};

// Calls f with `number` (1 … most) as a compile-time constant, so that the compiler can unroll the loops in f.
template <int most, class F> INLINE void with_constant(int64_t number, F f) {
    if constexpr (most > 0) {
        if (number == most) return f(Constant<most>());
        with_constant<most - 1>(number, f);
    }
}

// Splits rows 0 … count - 1 into tiles of about equal height: calls f(first, rows), `rows` being a constant.
template <class F> INLINE void in_tiles(int64_t count, F f) {
    const int64_t tiles = (count + MAX_ROWS - 1) / MAX_ROWS;
    for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t first = count * tile / tiles, end = count * (tile + 1) / tiles;
        with_constant<MAX_ROWS>(end - first, [&](auto rows) { f(first, rows); });
    }
}

// Copies `columns` numbers and pads them with zeros to `width`.
template <class real> INLINE void copy_row(real *to, const real *from, int64_t columns, int64_t width) {
    memcpy(to, from, columns * sizeof(real));
    for (int64_t k = columns; k < width; ++k) to[k] = 0;
}
