/* trim -- taps that meet nothing but zero padding, whatever the output, are no part of the problem that is solved. */
#include <string.h>

#include "axes.h"

#define TRIM_LEAST 6 /* products of an image that are spared for each weight that is copied, which takes as long as 40 of them; batches share it. Measured */

/* Drops taps at either end of an axis with the padding that they needed, so that outputs stay where they are; how many before the first
 * that is left. */
static idx axis_trim(idx size, idx *kernel, idx stride, idx *dil, idx outputs, idx *before, idx *after)
{
    if (*before < *dil && *after < *dil)
        return 0;
    const idx highest = (outputs - 1) * stride - *before; /* where tap 0 of the last output is */
    const idx first = min_idx(min_idx(*kernel - 1, *before / *dil), highest < 0 ? ceil_div(-highest, *dil) : 0);
    const idx end = max_idx(first + 1, min_idx(*kernel, ceil_div(size + *before, *dil)));
    const idx rest = min_idx(*kernel - end, *after / *dil);
    *kernel -= first + rest;
    *before -= first * *dil;
    *after -= rest * *dil;
    if (*kernel == 1)
        *dil = 1;
    return first;
}

int conv_problem_trim(const conv_problem *p, conv_trim *trim)
{
    conv_problem *const small = &trim->p;
    if (p->pad_mode != CONV_ZEROS || p->algorithm != CONV_AUTO || p->n == 0)
        return 0;
    *small = *p;
    trim->top = axis_trim(p->ih, &small->kh, p->stride_h, &small->dil_h, p->oh, &small->pad_top, &small->pad_bottom);
    trim->left = axis_trim(p->iw, &small->kw, p->stride_w, &small->dil_w, p->ow, &small->pad_left, &small->pad_right);
    const double taps = (double)(p->kh * p->kw), left = (double)(small->kh * small->kw);
    return left < taps && (p->packed || (double)(p->oh * p->ow) * (taps - left) >= TRIM_LEAST * left);
}

idx conv_trim_bytes(const conv_trim *trim)
{
    const conv_problem *p = &trim->p;
    return p->groups * p->oc * p->ic * p->kh * p->kw * dtype_bytes(p->dtype);
}

/* Whether no exponent is all ones: integers, of which the compiler takes a vector at a time. */
typedef uint32_t word_f32 __attribute__((may_alias));
typedef uint64_t word_f64 __attribute__((may_alias));

#define ALL_FINITE(dt, exponent)                                          \
    static int finite_##dt(idx count, const word_##dt *bits)              \
    {                                                                     \
        word_##dt wrong = 0;                                              \
        for (idx i = 0; i < count; i++)                                   \
            wrong |= (word_##dt)((bits[i] & (exponent)) == (exponent));   \
        return wrong == 0;                                                \
    }
ALL_FINITE(f32, 0x7f800000u)
ALL_FINITE(f64, 0x7ff0000000000000u)
#undef ALL_FINITE

int conv_finite(conv_dtype dtype, idx count, const void *values)
{
    return dtype == CONV_F32 ? finite_f32(count, values) : finite_f64(count, values);
}

void conv_trim_move(const conv_problem *p, const conv_trim *trim, const void *from, void *to, int spread)
{
    const idx element = dtype_bytes(p->dtype), row = p->kw * element, kernel = p->kh * row;
    const idx small_row = trim->p.kw * element, small_kernel = trim->p.kh * small_row, kernels = p->groups * p->oc * p->ic;
    const idx first = trim->top * row + trim->left * element;
    if (!spread) {
        conv_part_move((const char *)from + first, kernel, row, to, small_kernel, small_row, kernels, trim->p.kh, small_row);
        return;
    }
    memset(to, 0, (size_t)(kernels * kernel));
    conv_part_move(from, small_kernel, small_row, (char *)to + first, kernel, row, kernels, trim->p.kh, small_row);
}
