/* axes.h -- an axis of a convolution: which source each tap of each point reads, forward and in a gradient, and where that is padding. */
#ifndef FASTCONV_AXES_H
#define FASTCONV_AXES_H

#include "arith.h"

/* Source index of position i of a padded axis, or -1 for a zero. |padding| has been checked against the mode; before and behind it,
 * where the residues of a stride may lie and no tap looks, any index of the axis will do. */
static inline idx pad_index(conv_pad_mode mode, idx i, idx size)
{
    idx found;
    if (i >= 0 && i < size)
        return i;
    switch (mode) {
    case CONV_REFLECT:
        found = i < 0 ? -i : 2 * (size - 1) - i;
        break;
    case CONV_REPLICATE:
        found = i;
        break;
    case CONV_CIRCULAR:
        found = i < 0 ? i + size : i - size;
        break;
    default:
        return -1;
    }
    return max_idx(0, min_idx(found, size - 1));
}

/* The axis of a forward convolution. */
static inline conv_axis axis_fwd(idx size, idx out, idx kernel, idx stride, idx dil, idx before)
{
    return (conv_axis){.size = size, .grid = out, .step = stride, .first = -before, .delta = dil, .taps = kernel,
                       .out_size = out, .out_first = 0, .out_step = 1, .tap_first = 0, .tap_step = 1};
}

/* How many residues modulo the stride the taps of a kernel hit: the lattices of bwd_data along one axis. */
static inline idx axis_phases(idx kernel, idx stride, idx dil)
{
    return min_idx(kernel, stride / gcd_idx(stride, dil));
}

/* Lattice `phase` of the gradient of an input axis: taps phase + t*period, all meeting the outputs of one residue. The
 * axis of the result is the padded one, [0, size + pads), when the padding is not of zeros, else [before, before+size). */
static inline conv_axis axis_bwd_data(idx size, idx out, idx kernel, idx stride, idx dil, idx before, idx after,
                                      int folded, idx phase)
{
    idx period = stride / gcd_idx(stride, dil);
    idx lowest = folded ? 0 : before, end = folded ? before + size + after : before + size;
    idx residue = phase * dil % stride;
    idx position = residue + ceil_div(max_idx(lowest - residue, 0), stride) * stride;
    conv_axis axis = {.size = out, .step = 1, .delta = -(dil / gcd_idx(stride, dil)),
                      .taps = ceil_div(kernel - phase, period), .out_size = size, .out_step = stride,
                      .tap_first = phase, .tap_step = period};
    axis.grid = position < end ? ceil_div(end - position, stride) : 0;
    axis.out_first = position - before;
    axis.first = (position - phase * dil) / stride; /* exact; may be negative */
    return axis;
}

/* The taps of an axis in terms of a source packed by residue modulo the step: tap t reads, for output point p, element
 * p + shift(t) - lowest of the row of residues `slot(t)`. */
typedef struct {
    idx period;  /* distinct residues among the taps = rows packed */
    idx lowest, span;
} axis_rows;

/* From one tap to the next. */
static inline idx axis_distance(const conv_axis *axis)
{
    return axis->delta < 0 ? -axis->delta : axis->delta;
}

static inline idx tap_position(const conv_axis *axis, idx t)
{
    return axis->first + t * axis->delta;
}

/* The first source position that point 0 reads; padding where it is negative. */
static inline idx axis_lowest(const conv_axis *axis)
{
    return min_idx(tap_position(axis, 0), tap_position(axis, axis->taps - 1));
}

static inline axis_rows axis_row_layout(const conv_axis *axis)
{
    idx a = floor_div(tap_position(axis, 0), axis->step);
    idx b = floor_div(tap_position(axis, axis->taps - 1), axis->step);
    return (axis_rows){.period = axis_phases(axis->taps, axis->step, axis_distance(axis)),
                       .lowest = min_idx(a, b), .span = max_idx(a, b) - min_idx(a, b)};
}

/* The source elements that all phases of a gradient's axis read, as one axis of step 1 whose taps are `delta` 1 apart;
 * a phase without points reads nothing. */
static inline conv_axis axis_envelope(const conv_problem *p, int vertical, idx phases)
{
    conv_axis all = {.step = 1, .delta = 1, .out_step = 1, .tap_step = 1};
    idx lowest = PTRDIFF_MAX, highest = -PTRDIFF_MAX;
    for (idx i = 0; i < phases; i++) {
        const conv_axis axis =
            vertical ? axis_bwd_data(p->ih, p->oh, p->kh, p->stride_h, p->dil_h, p->pad_top, p->pad_bottom, 0, i)
                     : axis_bwd_data(p->iw, p->ow, p->kw, p->stride_w, p->dil_w, p->pad_left, p->pad_right, 0, i);
        const idx a = tap_position(&axis, 0), b = tap_position(&axis, axis.taps - 1);
        all.size = axis.size;
        all.out_size = axis.out_size;
        if (axis.grid == 0)
            continue;
        all.grid = max_idx(all.grid, axis.grid);
        lowest = min_idx(lowest, min_idx(a, b));
        highest = max_idx(highest, max_idx(a, b) + axis.grid - 1);
    }
    all.first = all.grid > 0 ? lowest : 0;
    all.taps = all.grid > 0 ? highest - lowest + 1 - (all.grid - 1) : 1;
    return all;
}

/* What divides the distance of any two positions that points read. */
static inline idx axis_common(const conv_axis *axis)
{
    return max_idx(1, gcd_idx(axis->grid > 1 ? axis->step : 0, axis->taps > 1 ? axis_distance(axis) : 0));
}

/* Positions from the first that any point reads to the last, padding among them. */
static inline idx axis_reach(const conv_axis *axis)
{
    return (max_idx(1, axis->grid) - 1) * axis->step + (axis->taps - 1) * axis_distance(axis) + 1;
}

/* Whether no tap of any point reads padding. */
static inline int axis_inside(const conv_axis *axis)
{
    idx a = tap_position(axis, 0), b = tap_position(axis, axis->taps - 1);
    return min_idx(a, b) >= 0 && max_idx(a, b) + (axis->grid - 1) * axis->step < axis->size;
}

static inline axis_run axis_taps(const conv_axis *axis, idx p)
{
    axis_run run = {p, p + 1, 0, axis->taps};
    const idx at = p * axis->step;
    while (run.t0 < run.t1 && (at + tap_position(axis, run.t0) < 0 || at + tap_position(axis, run.t0) >= axis->size))
        run.t0++;
    while (run.t0 < run.t1 && (at + tap_position(axis, run.t1 - 1) < 0 || at + tap_position(axis, run.t1 - 1) >= axis->size))
        run.t1--;
    return run;
}

/* The run that begins where `run` ends; 0 past the last. */
static inline int axis_next_run(const conv_axis *axis, axis_run *run)
{
    if (run->p1 >= axis->grid)
        return 0;
    *run = axis_taps(axis, run->p1);
    for (axis_run next; run->p1 < axis->grid; run->p1++) {
        next = axis_taps(axis, run->p1);
        if (next.t0 != run->t0 || next.t1 != run->t1)
            break;
    }
    return 1;
}

/* The points that a tap meets. */
static inline axis_run axis_points(const conv_axis *axis, idx tap)
{
    const idx at = tap_position(axis, tap);
    axis_run run = {at < 0 ? ceil_div(-at, axis->step) : 0, axis->grid, tap, tap + 1};
    run.p1 = min_idx(run.p1, at < axis->size ? (axis->size - 1 - at) / axis->step + 1 : 0);
    run.p0 = min_idx(run.p0, run.p1);
    return run;
}

/* The points of which no tap reads padding: [p0, p1), with all taps. */
static inline axis_run axis_inner(const conv_axis *axis)
{
    const axis_run first = axis_points(axis, axis->delta < 0 ? axis->taps - 1 : 0), last = axis_points(axis, axis->delta < 0 ? 0 : axis->taps - 1);
    const idx p0 = min_idx(first.p0, axis->grid);
    return (axis_run){p0, max_idx(p0, last.p1), 0, axis->taps};
}

#endif
