// Vectors of the processor's width, and the functions of the gates, σ and tanh, for all lanes at once.
//
// GCC and Clang compile arithmetic on these types to vector instructions. -ffast-math is not used: it would hide
// NaNs and change how the whole process treats denormal numbers.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64, REGISTERS = 32;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32, REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int VECTOR_BYTES = 16, REGISTERS = 32;
#else
constexpr int VECTOR_BYTES = 16, REGISTERS = 16;
#endif

#define INLINE inline __attribute__((always_inline))

template <class real> struct Types;
template <> struct Types<float> {
    typedef float vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef int32_t integers __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr int MANTISSA = 23, BIAS = 127, DEGREE = 7;  // degree of the Taylor series; error below rounding
    static constexpr float LIMIT = 87, ROUND = 12582912;  // ROUND: 1.5 * 2^23; adding it rounds off the fraction
    static constexpr float LN2_HIGH = 0.693145752f, LN2_LOW = 1.42860677e-6f;
};
template <> struct Types<double> {
    typedef double vector __attribute__((vector_size(VECTOR_BYTES)));
    typedef int64_t integers __attribute__((vector_size(VECTOR_BYTES)));
    static constexpr int MANTISSA = 52, BIAS = 1023, DEGREE = 13;
    static constexpr double LIMIT = 708, ROUND = 6755399441055744;
    static constexpr double LN2_HIGH = 0.693147180369123816490, LN2_LOW = 1.90821492927058770002e-10;
};
template <class real> using Vector = typename Types<real>::vector;
template <class real> constexpr int LANES = VECTOR_BYTES / sizeof(real);

template <class real> INLINE Vector<real> load(const real *from) {
    Vector<real> vector;
    memcpy(&vector, from, sizeof vector);
    return vector;
}

template <class real> INLINE void store(real *to, Vector<real> vector) { memcpy(to, &vector, sizeof vector); }

// Loads the first `count` lanes and sets the others to zero, for the end of a row; loads nothing for count <= 0.
template <class real> INLINE Vector<real> load_some(const real *from, int64_t count) {
    if (count >= LANES<real>) return load(from);
    Vector<real> vector = {};
    if (count > 0) memcpy(&vector, from, count * sizeof(real));
    return vector;
}

// Stores the first `count` lanes; nothing for count <= 0.
template <class real> INLINE void store_some(real *to, Vector<real> vector, int64_t count) {
    if (count >= LANES<real>) return store(to, vector);
    if (count > 0) memcpy(to, &vector, count * sizeof(real));
}

// e^x = power * (1 + growth). Of an x near 0, growth keeps the digits that e^x itself would round off.
template <class real> struct Exponential {
    Vector<real> power, growth;
};

// x is clamped to ±LIMIT: x = n ln 2 + r, power = 2^n, and growth = e^r - 1 by its Taylor series, |r| <= ln 2 / 2.
template <class real> INLINE Exponential<real> exponential(Vector<real> x) {
    using T = Types<real>;
    using integers = typename T::integers;
    x = x < -T::LIMIT ? Vector<real>{} - T::LIMIT : x;  // comparisons in this form keep NaN
    x = x > T::LIMIT ? Vector<real>{} + T::LIMIT : x;
    const Vector<real> n = (x * real(1.4426950408889634) + T::ROUND) - T::ROUND;
    const Vector<real> r = (x - n * T::LN2_HIGH) - n * T::LN2_LOW;
    Vector<real> series = Vector<real>{} + 1;
#pragma GCC unroll 16
    for (int k = T::DEGREE; k > 1; --k) series = 1 + series * r * (real(1) / k);
    const integers exponent = (__builtin_convertvector(n, integers) + T::BIAS) << T::MANTISSA;
    Vector<real> power;
    memcpy(&power, &exponent, sizeof power);
    return {power, series * r};
}

// Zero below -LIMIT: a gate that is shut must not let through the gradient of an enormous input.
template <class real> INLINE Vector<real> sigmoid(Vector<real> x) {
    const Exponential<real> e = exponential<real>(-x);
    const Vector<real> open = 1 / (1 + e.power * (1 + e.growth));
    return x < -Types<real>::LIMIT ? Vector<real>{} : open;
}

// tanh(x) = (e^2x - 1) / (e^2x + 1)
template <class real> INLINE Vector<real> hyperbolic_tangent(Vector<real> x) {
    const Exponential<real> e = exponential<real>(2 * x);
    const Vector<real> less_one = e.power * e.growth + (e.power - 1);
    return less_one / (less_one + 2);
}
