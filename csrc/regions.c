/* regions -- outputs that meet the same few taps: where most of every window lies in zero padding, each region is a problem of its own. */
#include <string.h>

#include "axes.h"

#define REGIONS_SHARE 0.9   /* of the multiplications at most that are left where regions are solved, */
#define REGIONS_GAIN 0.85   /* and of the cycles */
#define REGIONS_OUTSIDE 0.2 /* of an axis's pairs of outputs and taps at least that lie in padding, where it is cut */
#define REGIONS_WORK 1e6    /* FLOPs in the time that a region's plan takes, for an image */
#define REGIONS_COPY 64     /* FLOPs in the time that an element of its weights is copied and packed: measured */
#define REGION_CYCLES 4000  /* to plan one and to make its arrays: measured */
#define COPY_CYCLES 0.6     /* to copy an element of its source, weights or results: measured */
#define COPY_FAR 1.5        /* where these have more than so many bytes, whose pages are new each time: measured */
#define COPY_FAR_BYTES 6291456
#define COPY_ROW 6          /* to copy a row that is not as long as its plane's: measured */

/* The pairs of an output and a tap that meet, of all pairs. */
static double axis_share(const conv_axis *axis)
{
    double met = 0;
    for (idx t = 0; t < axis->taps; t++) {
        const axis_run points = axis_points(axis, t);
        met += (double)max_idx(0, points.p1 - points.p0);
    }
    return met / ((double)axis->grid * (double)axis->taps);
}

static double region_work(const axis_run *run)
{
    return (double)(run->p1 - run->p0) * (double)max_idx(0, run->t1 - run->t0);
}

/* An axis cut into runs of outputs that meet the same taps, neighbours joined where that adds no more than so much of its work. */
typedef struct {
    double joined;
    int count; /* or more than there is room for */
    axis_run runs[REGIONS_MOST];
} axis_cut;

static void cut_add(axis_cut *cut, const axis_run *run)
{
    axis_run *const last = cut->runs + max_idx(0, cut->count - 1);
    const int empty = run->t0 >= run->t1;
    if (cut->count > REGIONS_MOST)
        return;
    if (cut->count > 0 && empty == (last->t0 >= last->t1)) {
        const axis_run both = {last->p0, run->p1, min_idx(last->t0, run->t0), max_idx(last->t1, run->t1)};
        if (empty || region_work(&both) <= region_work(last) + region_work(run) + cut->joined) {
            *last = both;
            if (empty)
                last->t1 = last->t0;
            return;
        }
    }
    if (cut->count++ < REGIONS_MOST)
        cut->runs[cut->count - 1] = *run;
}

/* Ways to cut an axis, from many regions to few. */
#define REGIONS_WAYS 3
static const double joined[REGIONS_WAYS] = {0.02, 0.08, 0.32};

/* An axis that is not cut is one run, whatever its lattices. */
static void axis_cuts(const conv_axis *axis, idx kernel, int padded, axis_cut *cuts)
{
    axis_run run = {0, axis->out_size, 0, kernel};
    for (int i = 0; i < REGIONS_WAYS; i++)
        cuts[i] = (axis_cut){.joined = joined[i] * (double)axis->grid * (double)axis->taps, .count = !padded, .runs = {run}};
    run.p1 = 0;
    while (padded && axis_next_run(axis, &run))
        for (int i = 0; i < REGIONS_WAYS; i++)
            cut_add(cuts + i, &run);
}

/* Whether much of an axis's windows lies in padding. A strided gradient is not cut: its outputs have taps of their own anyway. */
static int axis_padded(const conv_problem *p, const conv_axis *axis, idx stride, idx pads)
{
    const double outside = p->pass == CONV_FWD ? (double)pads : (double)(axis->grid - axis->size);
    return axis->grid > 1 && outside > REGIONS_OUTSIDE * (double)(stride * axis->grid) && (p->pass == CONV_FWD || stride == 1) &&
           axis_share(axis) < 1 - REGIONS_OUTSIDE;
}

/* Pairs of outputs and taps that are left, and the taps of all runs together. */
typedef struct {
    double left, taps;
} cut_sum;

static cut_sum cut_sums(const axis_cut *cut)
{
    cut_sum sum = {0, 0};
    for (int i = 0; i < min_idx(cut->count, REGIONS_MOST); i++) {
        sum.left += region_work(cut->runs + i);
        sum.taps += (double)max_idx(0, cut->runs[i].t1 - cut->runs[i].t0);
    }
    return sum;
}

static conv_axis problem_axis(const conv_problem *p, int vertical)
{
    if (p->pass == CONV_FWD)
        return vertical ? axis_fwd(p->ih, p->oh, p->kh, p->stride_h, p->dil_h, p->pad_top)
                        : axis_fwd(p->iw, p->ow, p->kw, p->stride_w, p->dil_w, p->pad_left);
    return vertical ? axis_bwd_data(p->ih, p->oh, p->kh, p->stride_h, p->dil_h, p->pad_top, p->pad_bottom, 0, 0)
                    : axis_bwd_data(p->iw, p->ow, p->kw, p->stride_w, p->dil_w, p->pad_left, p->pad_right, 0, 0);
}

/* The part of an axis that a region is: which of the source, and the padding that is left. */
static conv_span axis_part(const conv_problem *p, const conv_axis *axis, const axis_run *run, idx dil, idx before)
{
    const idx a = run->p0 * axis->step + axis->first, b = a + (run->p1 - 1 - run->p0) * axis->step;
    const idx near = run->t0 * axis->delta, far = (run->t1 - 1) * axis->delta;
    const idx low = a + min_idx(near, far), high = b + max_idx(near, far) + 1;
    conv_span s = {.to = run->p0, .to_end = run->p1, .from = max_idx(0, low), .from_end = min_idx(axis->size, high),
                   .tap = run->t0, .tap_end = run->t1};
    if (p->pass == CONV_FWD) {
        s.before = s.from - low;
        s.after = high - s.from_end;
    } else {
        s.before = before + run->p0 - s.from - run->t0 * dil;
        s.after = s.from_end - s.from - 1 + (run->t1 - 1 - run->t0) * dil + 1 - (run->p1 - run->p0) - s.before;
    }
    return s;
}

void conv_region(const conv_problem *p, const conv_regions *r, int row, int column, conv_problem *small, conv_span *h, conv_span *w)
{
    const int forward = p->pass == CONV_FWD;
    const conv_axis vertical = problem_axis(p, 1), horizontal = problem_axis(p, 0);
    *h = (conv_span){0, forward ? p->oh : p->ih, 0, forward ? p->ih : p->oh, 0, p->kh, p->pad_top, p->pad_bottom};
    *w = (conv_span){0, forward ? p->ow : p->iw, 0, forward ? p->iw : p->ow, 0, p->kw, p->pad_left, p->pad_right};
    if (r->tall)
        *h = axis_part(p, &vertical, r->h + row, p->dil_h, p->pad_top);
    if (r->wide)
        *w = axis_part(p, &horizontal, r->w + column, p->dil_w, p->pad_left);
    const idx from_h = h->from_end - h->from, from_w = w->from_end - w->from, to_h = h->to_end - h->to, to_w = w->to_end - w->to;
    *small = *p;
    small->ih = forward ? from_h : to_h;
    small->iw = forward ? from_w : to_w;
    small->oh = forward ? to_h : from_h;
    small->ow = forward ? to_w : from_w;
    small->kh = h->tap_end - h->tap;
    small->kw = w->tap_end - w->tap;
    small->pad_top = h->before;
    small->pad_bottom = h->after;
    small->pad_left = w->before;
    small->pad_right = w->after;
    if (small->kh == 1)
        small->dil_h = 1;
    if (small->kw == 1)
        small->dil_w = 1;
}

/* Whether no tap of any output lies on an axis: only a step as long as that passes over it. */
static int axis_missed(idx size, idx outputs, idx kernel, idx stride, idx dil, idx before)
{
    if (before == 0 || (stride <= size && dil <= size))
        return 0;
    const conv_axis axis = axis_fwd(size, outputs, kernel, stride, dil, before);
    return axis_share(&axis) == 0;
}

/* Whether padding is all that any window holds. */
static int meets_nothing(const conv_problem *p)
{
    return axis_missed(p->ih, p->oh, p->kh, p->stride_h, p->dil_h, p->pad_top) ||
           axis_missed(p->iw, p->ow, p->kw, p->stride_w, p->dil_w, p->pad_left);
}

static int may_be_cut(const conv_problem *p)
{
    return p->pad_mode == CONV_ZEROS && p->algorithm == CONV_AUTO && p->pass != CONV_BWD_WEIGHTS && p->layout == CONV_IMAGES && p->n > 0;
}

/* The regions that leave least to multiply; whether that is less than the whole. */
static int least_regions(const conv_problem *p, conv_regions *r)
{
    const idx outputs = p->pass == CONV_FWD ? p->oh * p->ow : p->ih * p->iw;
    const double channels = (double)(p->groups * p->ic * p->oc);
    const double work = 2.0 * channels * (double)outputs * (double)(p->kh * p->kw); /* of an image and whole windows */
    if (work < 2 * REGIONS_WORK)
        return 0;
    const conv_axis h = problem_axis(p, 1), w = problem_axis(p, 0);
    const int tall = axis_padded(p, &h, p->stride_h, p->pad_top + p->pad_bottom), wide = axis_padded(p, &w, p->stride_w, p->pad_left + p->pad_right);
    if (!tall && !wide)
        return 0;
    axis_cut rows[REGIONS_WAYS], columns[REGIONS_WAYS];
    axis_cuts(&h, p->kh, tall, rows);
    axis_cuts(&w, p->kw, wide, columns);
    double least = REGIONS_SHARE * work;
    r->rows = 0;
    for (int i = 0; i < REGIONS_WAYS; i++) {
        const axis_cut *const a = rows + i, *const b = columns + i;
        const cut_sum sum_h = cut_sums(a), sum_w = cut_sums(b);
        const double copies = REGIONS_COPY * channels * sum_h.taps * sum_w.taps;
        const double all = 2 * channels * sum_h.left * sum_w.left + REGIONS_WORK * (double)(a->count * b->count) + copies;
        if (a->count > REGIONS_MOST || b->count > REGIONS_MOST || all >= least)
            continue;
        least = all;
        *r = (conv_regions){.rows = a->count, .columns = b->count, .tall = tall, .wide = wide};
        memcpy(r->h, a->runs, sizeof r->h);
        memcpy(r->w, b->runs, sizeof r->w);
    }
    return r->rows > 0;
}

/* Cycles of an example by the plan of a call. */
static double example_cycles(const conv_problem *p)
{
    conv_problem one = *p;
    conv_plan plan;
    one.n = 1;
    one.packed = 0;
    return conv_plan_init(&plan, &one, 1) == CONV_OK ? conv_plan_cycles(&plan) : 0;
}

/* Cycles to copy a part of all planes. */
static double copy_cycles(const conv_problem *p, const conv_regions *r, idx planes, idx rows, idx columns)
{
    const double lines = (double)(p->groups * planes) * (double)rows, elements = lines * (double)columns;
    return elements * (elements * (double)dtype_bytes(p->dtype) > COPY_FAR_BYTES ? COPY_FAR : COPY_CYCLES) + (r->wide ? COPY_ROW * lines : 0);
}

/* Of an example. */
static double regions_cycles(const conv_problem *p, const conv_regions *r)
{
    const int forward = p->pass == CONV_FWD;
    double cycles = 0;
    for (int row = 0; row < r->rows; row++)
        for (int column = 0; column < r->columns; column++) {
            conv_problem small;
            conv_span h, w;
            conv_region(p, r, row, column, &small, &h, &w);
            cycles += REGION_CYCLES + copy_cycles(p, r, forward ? p->oc : p->ic, h.to_end - h.to, w.to_end - w.to);
            if (small.kh > 0 && small.kw > 0) /* else nothing but the bias */
                cycles += example_cycles(&small) + copy_cycles(p, r, p->ic * p->oc, small.kh, small.kw) +
                          copy_cycles(p, r, forward ? p->ic : p->oc, h.from_end - h.from, w.from_end - w.from);
        }
    return cycles;
}

int conv_problem_regions(const conv_problem *p, conv_regions *r)
{
    if (!may_be_cut(p))
        return 0;
    if (meets_nothing(p)) { /* one region without taps */
        *r = (conv_regions){.rows = 1, .columns = 1, .tall = 1, .h = {{0, p->pass == CONV_FWD ? p->oh : p->ih, 0, 0}}};
        return 1;
    }
    return least_regions(p, r) && regions_cycles(p, r) < REGIONS_GAIN * example_cycles(p);
}

void conv_part_move(const void *from, idx from_plane, idx from_row, void *to, idx to_plane, idx to_row, idx planes, idx rows, idx bytes)
{
    if (from_row == bytes && to_row == bytes) {
        bytes *= rows;
        rows = 1;
    }
    for (idx plane = 0; plane < planes; plane++)
        for (idx row = 0; row < rows; row++) {
            const char *const a = (const char *)from + plane * from_plane + row * from_row;
            char *const b = (char *)to + plane * to_plane + row * to_row;
            if (bytes >= 4 * ALIGNMENT)
                memcpy(b, a, (size_t)bytes);
            else
                for (idx i = 0; i < bytes; i += 4) /* of the rows of a kernel: a call would take longer */
                    memcpy(b + i, a + i, 4);
        }
}
