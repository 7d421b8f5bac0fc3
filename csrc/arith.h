/* arith.h -- small sums on sizes, below which nothing overflows that conv_problem_check has let pass. */
#ifndef FASTCONV_ARITH_H
#define FASTCONV_ARITH_H

#include "conv.h"

#define ALIGNMENT 64

static inline idx ceil_div(idx a, idx b)
{
    return (a + b - 1) / b;
}

/* Bytes of an element. */
static inline idx dtype_bytes(conv_dtype dtype)
{
    return dtype == CONV_F32 ? 4 : 8;
}

static inline idx round_up(idx a, idx b)
{
    return ceil_div(a, b) * b;
}

static inline idx min_idx(idx a, idx b)
{
    return a < b ? a : b;
}

static inline idx max_idx(idx a, idx b)
{
    return a > b ? a : b;
}

/* Cut `total` into pieces of at most `most`, all about equally long. */
static inline idx even(idx total, idx most)
{
    return ceil_div(total, max_idx(1, ceil_div(total, max_idx(1, min_idx(most, total)))));
}

/* Whole vectors, an odd number of them: streams a power of two apart would share a few sets of the cache (36 of them a
 * multiple of 4096 bytes apart made the transforms three times slower). */
static inline idx odd_pitch(idx count, idx lanes)
{
    return (ceil_div(count, lanes) | 1) * lanes;
}

/* The same for rows of weights, in whole lines whatever the vector. */
static inline idx line_pitch(idx count, idx element)
{
    return odd_pitch(count, ALIGNMENT / element);
}

static inline idx floor_div(idx a, idx b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static inline idx gcd_idx(idx a, idx b)
{
    while (b != 0) {
        idx r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

#endif
