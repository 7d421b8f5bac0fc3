/* band -- the tables of linear maps along one axis: means over windows, interpolation, and their transposes. */
#include <math.h>

#include "layouts.h"

/* The end of a window for PyTorch's count of its elements is that of the padding, where ceil_mode lets it reach further. */
void band_window(band *b, idx kernel, idx stride, idx pad, int count_include_pad)
{
    b->taps = 0;
    for (idx o = 0; o < b->out; o++) {
        const idx start = o * stride - pad, end = min_idx(start + kernel, b->size + pad);
        b->first[o] = max_idx(start, 0);
        b->count[o] = min_idx(end, b->size) - b->first[o];
        b->divisor[o] = (double)(count_include_pad ? end - start : b->count[o]);
        b->taps = max_idx(b->taps, b->count[o]);
    }
}

/* floor(o * size / out), without the product. */
static idx share(const band *b, idx o)
{
    const idx whole = b->size / b->out, rest = b->size % b->out;
    return o * whole + o * rest / b->out;
}

void band_adaptive(band *b)
{
    b->taps = 0;
    for (idx o = 0; o < b->out; o++) {
        b->first[o] = share(b, o);
        b->count[o] = b->size - share(b, b->out - o - 1) - b->first[o]; /* to the ceiling of the next share */
        b->divisor[o] = (double)b->count[o];
        b->taps = max_idx(b->taps, b->count[o]);
    }
}

/* In single precision whatever the dtype, as PyTorch does it. */
void band_nearest(band *b, double scale)
{
    const float ratio = scale > 0 ? (float)(1 / scale) : (float)b->size / (float)b->out;
    for (idx o = 0; o < b->out; o++) {
        b->first[o] = b->out == b->size ? o : min_idx((idx)floorf((float)o * ratio), b->size - 1);
        b->count[o] = 1;
    }
    b->taps = 1;
}

void band_linear(band *b, double scale, int align_corners)
{
    const double ratio = align_corners ? (b->out > 1 ? (double)(b->size - 1) / (double)(b->out - 1) : 0)
                         : scale > 0   ? 1 / scale : (double)b->size / (double)b->out;
    b->taps = b->size > 1 && b->out != b->size ? 2 : 1;
    for (idx o = 0; o < b->out; o++) {
        const double place = align_corners ? (double)o * ratio : fmax(((double)o + 0.5) * ratio - 0.5, 0);
        b->first[o] = b->out == b->size ? o : min_idx((idx)place, b->size - 1); /* equal sizes: whatever the scale */
        b->count[o] = min_idx(b->taps, b->size - b->first[o]);
        const double beyond = b->count[o] == 2 ? fmin(place - (double)b->first[o], 1) : 0;
        b->weights[o] = 1 - beyond;
        if (b->taps == 2)
            b->weights[b->out + o] = beyond;
    }
}

void band_transpose_runs(band *t, const band *b)
{
    idx begin = 0, end = 0; /* the outputs that read element i */
    t->size = b->out;
    t->out = b->size;
    t->taps = 1;
    for (idx i = 0; i < b->size; i++) {
        while (begin < b->out && b->first[begin] + b->count[begin] <= i)
            begin++;
        while (end < b->out && b->first[end] <= i)
            end++;
        t->first[i] = min_idx(begin, b->out - 1);
        t->count[i] = max_idx(end - begin, 0);
        t->taps = max_idx(t->taps, t->count[i]);
    }
}

void band_transpose_weights(band *t, const band *b)
{
    for (idx tap = 0; tap < t->taps; tap++)
        for (idx i = 0; i < t->out; i++) {
            double *weight = t->weights + tap * t->out + i;
            const idx o = t->first[i] + tap;
            *weight = 0;
            if (tap < t->count[i]) {
                *weight = b->weights ? b->weights[(i - b->first[o]) * b->out + o] : 1;
                *weight /= b->divisor ? b->divisor[o] : 1;
            }
        }
}
