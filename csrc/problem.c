/* problem -- shape arithmetic with checked overflow: output sizes, FLOPs, errors.
 *
 * Everything below conv_problem_check may multiply sizes freely: each product that it can form of one array's extents,
 * in bytes, has been shown to fit.
 */
#include "conv.h"

/* Checks one axis, and brings a stride or dilation that reaches beyond the axis back to one of the same meaning. */
static conv_status axis_check(idx size, idx kernel, idx *stride_, idx *dil_, idx before, idx after, conv_pad_mode mode,
                              idx *out)
{
    const idx stride = *stride_, dil = *dil_;
    idx padded, extent;
    if (size < 1 || kernel < 1)
        return CONV_BAD_KERNEL;
    if (stride < 1 || dil < 1 || before < 0 || after < 0)
        return CONV_BAD_SIZE;
    if (__builtin_add_overflow(size, before, &padded) || __builtin_add_overflow(padded, after, &padded) ||
        __builtin_mul_overflow(kernel - 1, dil, &extent) || __builtin_add_overflow(extent, 1, &extent) ||
        padded > PTRDIFF_MAX / 16)
        return CONV_OVERFLOW;
    if (extent > padded)
        return CONV_BAD_KERNEL;
    if ((mode == CONV_REFLECT && (before >= size || after >= size)) ||
        (mode == CONV_CIRCULAR && (before > size || after > size)))
        return CONV_BAD_PADDING;
    *out = (padded - extent) / stride + 1;
    if (*out == 1)
        *stride_ = 1;
    if (kernel == 1)
        *dil_ = 1;
    return CONV_OK;
}

/* Whether the bytes of a float64 array of this shape, with a margin of 16, can be counted. */
static int product_overflows(idx a, idx b, idx c, idx d)
{
    idx total = 8 * 16;
    return __builtin_mul_overflow(total, a ? a : 1, &total) || __builtin_mul_overflow(total, b, &total) ||
           __builtin_mul_overflow(total, c, &total) || __builtin_mul_overflow(total, d, &total);
}

conv_status conv_problem_check(conv_problem *p)
{
    idx in_channels, out_channels, padded_h, padded_w;
    conv_status status;
    if (p->n < 0 || p->groups < 1 || p->ic < 1 || p->oc < 1)
        return CONV_BAD_SIZE;
    status = axis_check(p->ih, p->kh, &p->stride_h, &p->dil_h, p->pad_top, p->pad_bottom, p->pad_mode, &p->oh);
    if (status != CONV_OK)
        return status;
    status = axis_check(p->iw, p->kw, &p->stride_w, &p->dil_w, p->pad_left, p->pad_right, p->pad_mode, &p->ow);
    if (status != CONV_OK)
        return status;
    if (__builtin_mul_overflow(p->ic, p->groups, &in_channels) ||
        __builtin_mul_overflow(p->oc, p->groups, &out_channels))
        return CONV_OVERFLOW;
    padded_h = p->ih + p->pad_top + p->pad_bottom;
    padded_w = p->iw + p->pad_left + p->pad_right;
    if (product_overflows(p->n, in_channels, padded_h, padded_w) || product_overflows(p->n, out_channels, p->oh, p->ow) ||
        product_overflows(out_channels, p->ic, p->kh, p->kw))
        return CONV_OVERFLOW;
    return CONV_OK;
}

const char *conv_status_string(conv_status status)
{
    static const char *const text[] = {
        "ok",
        "sizes, strides, dilations and groups must be positive and padding not negative",
        "the kernel's extent exceeds the padded input, or the input is empty",
        "reflect padding must be smaller than the input, circular padding at most as large",
        "the sizes overflow",
        "the algorithm is not applicable to this problem",
    };
    return text[status];
}

double conv_flops(const conv_problem *p)
{
    return 2.0 * (double)p->n * (double)p->groups * (double)p->oc * (double)p->oh * (double)p->ow *
           (double)p->ic * (double)p->kh * (double)p->kw;
}
