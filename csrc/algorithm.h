/* algorithm.h -- a row of the table of algorithms, and the arithmetic that their blockings and costs share.
 *
 * forward.c holds the table of fwd and bwd_data, whose rows are there, in channels.c, col2im.c, planes.c, transforms.c, windows.c, scale.c and batch.c,
 * each beside its arithmetic; backward.c the table of bwd_weights; plan.c chooses among the rows. Arithmetic alone: no allocation, nothing shared.
 */
#ifndef FASTCONV_ALGORITHM_H
#define FASTCONV_ALGORITHM_H

#include "layouts.h"
#include "machine.h"
#include "plane_layouts.h"
#include "transform_layouts.h"

#define CACHE_BYTES 262144      /* of packed source in one task: half of the smallest second-level cache we care for */
#define FIRST_CACHE 24576       /* bytes of all that a tile reads in turn, which the first-level cache holds */
#define DIRECT_LIMIT 33554432   /* beyond this a single channel's rows are not "packed once" any more */
#define PANEL_LIMIT 268435456

struct conv_algorithm {
    conv_algorithm_id id;
    int kernel;
    const char *reason;
    int (*applicable)(const conv_plan *plan); /* to the problem; NULL: to all */
    void (*block)(conv_plan *plan);
    double (*cost)(const conv_plan *plan);    /* of the blocked plan; the least wins */
    idx (*chunks)(const conv_plan *plan);
    double (*task_bytes)(const conv_plan *plan);
    double limit; /* of task_bytes, beyond which what it keeps does not fit, or how it counts; 0: none */
    int regroups; /* bwd_data: takes w as it is, without the prepare step */
    void (*share)(conv_plan *plan); /* the cut for plan->threads, of which there are some; NULL: that of plan.c */
    void (*cut)(conv_plan *plan, idx others); /* of an image into columns and rows, where there are `others` of them; NULL: into rows */
    double (*at_least)(const conv_plan *plan); /* less than any cost, where blocking takes its time; NULL: not known */
    int spans; /* tasks are chunks of all groups together, cut for the batch and not for the threads */
    enum { ONE_LATTICE, ROWS_OF_LATTICES, EVERY_LATTICE } task; /* what a task does of its box: one phase; all of a row; all */
};

extern const conv_algorithm *const forward_algorithms[], *const backward_algorithms[]; /* they end with NULL */
extern const conv_algorithm channels_algorithm, col2im_algorithm, col2im_rows_algorithm, winograd_algorithm, fft_algorithm, slide_algorithm, stencil_algorithm,
    planes_algorithm, batch_algorithm, batch_weights_algorithm, windows_algorithm, scale_algorithm;

static inline double max_double(double a, double b)
{
    return a > b ? a : b;
}

static inline double min_double(double a, double b)
{
    return a < b ? a : b;
}

static inline idx element_bytes(const conv_plan *plan)
{
    return dtype_bytes(plan->p.dtype);
}

static inline idx lanes_of(const conv_plan *plan)
{
    return plan->kernels->set[plan->p.dtype]->lanes;
}

static inline idx tile_columns(const conv_plan *plan)
{
    return plan->nv * plan->kernels->set[plan->p.dtype]->lanes;
}

static inline idx tile_bytes(const conv_plan *plan)
{
    return BUFFER_ROWS * plan->kernels->nv * lanes_of(plan) * element_bytes(plan);
}

/* Of a row of the table whose tasks keep nothing. */
static inline double no_scratch(const conv_plan *plan)
{
    (void)plan;
    return 0;
}

/* Whether each result is made of one channel of the source. */
static inline int one_channel(const conv_plan *plan)
{
    return (plan->p.pass == CONV_FWD ? plan->p.ic : plan->p.oc) == 1;
}

#define PLANES_WORK 1e5 /* cycles of a task at most, where planes are small and it takes several */

/* The largest lattice of the plan: phase 0 has the most taps, but not always the most points. */
static inline lattice largest_lattice(const conv_plan *plan)
{
    lattice lat = plan_lattice(plan, 0, 0);
    for (idx i = 1; i < plan->phases_h; i++)
        lat.h.grid = max_idx(lat.h.grid, plan_lattice(plan, i, 0).h.grid);
    for (idx i = 1; i < plan->phases_w; i++)
        lat.w.grid = max_idx(lat.w.grid, plan_lattice(plan, 0, i).w.grid);
    return lat;
}

/* Wide tiles for few rows: the accumulators must cover the latency of the multiply-add. */
static inline int vectors_for_rows(const kernel_table *k, idx rows)
{
    return rows <= k->mr / 4 ? 4 * k->nv : rows <= k->mr / 2 ? 2 * k->nv : k->nv;
}

/* For the rows of a lattice's weights, which may be few because they collide. */
static inline int vectors_for(const conv_plan *plan, const lattice *lat)
{
    const idx apart = weights_pitch(plan, lat->source_channels * lat->h.taps * lat->w.taps) * element_bytes(plan);
    return vectors_for_rows(plan->kernels, min_idx(lat->result_channels, rows_together(apart, plan->kernels->mr)));
}

#define COLUMNS_PACKED 1536 /* of all examples, for which weights are worth packing in the call itself: an element costs what forty columns of it do; */
#define POINTS_PACKED 768   /* where rows of the source are read in place, which have no panels to wait for */

/* Of the widest tile whose lanes are over channels: three where the number of their vectors is odd, or where three leave fewer empty. */
static inline int vectors_for_channels(const conv_plan *plan, idx channels)
{
    const idx vectors = ceil_div(channels, lanes_of(plan)), usual = plan->kernels->nv;
    const int three = usual == 2 ? vectors % 2 == 1 : round_up(vectors, 3) < round_up(vectors, usual);
    return vectors == 1 ? 1 : three ? 3 : (int)usual;
}

/* Lanes of all those tiles. */
static inline idx lanes_for_channels(const conv_plan *plan, idx channels)
{
    return round_up(channels, plan->nv == 3 && plan->kernels->nv == 2 ? lanes_of(plan) : tile_columns(plan));
}

#define TILE_CYCLES 40 /* to begin with a tile and to end it, beside its stores */

static inline idx highest_tile(const conv_plan *plan)
{
    return plan->nv <= plan->kernels->nv ? plan->kernels->mr : plan->kernels->mr * plan->kernels->nv / plan->nv;
}

#define LATENCY 4 /* cycles until a multiply-add may be added to */

/* Cycles of one term for a tile of nv vectors over all rows; a load that crosses cache lines counts twice. */
static inline double tile_cycles(const conv_plan *plan, idx rows, int nv, double crossing)
{
    const double tiles = (double)ceil_div(rows, highest_tile(plan)), height = (double)rows / tiles;
    const double products = height * nv / 2, loads = (nv * (1 + crossing) + height) / 2;
    return tiles * max_double(LATENCY, max_double(products, loads));
}

#define FAR_BYTES 10485760 /* bytes of all sources and results of an example, beyond which they come from memory and go there */

/* Lines of a group's sources and results where they do, as many as they weigh; else none. */
static inline double far_lines(const conv_plan *plan, const lattice *lat)
{
    const double source = (double)lat->source_channels * (double)lat->h.size * (double)lat->w.size;
    const double result = (double)lat->result_channels * (double)lat->h.out_size * (double)lat->w.out_size;
    const double bytes = (source + result) * (double)element_bytes(plan);
    return bytes * (double)plan->p.groups > FAR_BYTES ? machine_of(plan)->far_line * bytes / ALIGNMENT : 0;
}

#define FAR_WEIGHTS 1500000 /* bytes of weights, beyond which the second-level cache does not keep them */

/* Lines of a group's weights where they are far; else none. */
static inline double far_weights(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const double bytes = (double)(p->ic * p->oc) * (double)(p->kh * p->kw) * (double)element_bytes(plan);
    return bytes > FAR_WEIGHTS ? bytes / ALIGNMENT : 0;
}

/* Taps of the lattices of a gradient, to each of them as many as the largest has: some have fewer. */
static inline double taps_filled(const conv_plan *plan)
{
    const double each = (double)(plan->largest.h.taps * plan->largest.w.taps);
    return (double)(plan->p.kh * plan->p.kw) / max_double(1, each * (double)(plan->phases_h * plan->phases_w));
}

/* Cycles to move a vector of elements that are `step` apart. */
static inline double step_cycles(idx step)
{
    return step == 1 ? 2 : step == 2 ? 4 : 8;
}

/* Cycles of a weight of a gradient that is laid out tile by tile; by rows; and of one by rows that lies apart from the others of its lattice: a third of
 * what they take, since other images may follow. */
#define LAID_TILED 0.5
#define LAID_WEIGHT 1
#define APART_WEIGHT 2
#define LAID_FAR 6 /* of a line of far weights: a third, likewise */
#define LAID_POINTS 128 /* of an image, below which others follow, most likely: a share of it, */
#define LAID_LEAST 0.4  /* no less than this: one image then takes 1.3 times the best choice's time, eight 1.1, 64 1.1; without a least 1.6, 1.25, 1.06 */

/* Cycles in which the weights of a gradient are laid out. */
static inline double laid_out(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int apart = plan->phases_h * plan->phases_w > 1, tiled = plan->weights == WEIGHTS_BY_TILES;
    const double each = p->pass != CONV_BWD_DATA ? 0 : tiled ? LAID_TILED : apart ? APART_WEIGHT : LAID_WEIGHT;
    const double weights = (double)(p->ic * p->oc) * (double)(p->kh * p->kw), points = (double)(p->ih * p->iw);
    const int small = apart && weights * (double)element_bytes(plan) <= CACHE_BYTES && points < LAID_POINTS;
    return each * weights * (small ? max_double(LAID_LEAST, points / LAID_POINTS) : 1) + (each > 0 ? LAID_FAR * far_weights(plan) : 0);
}

#define COPIED_LINE 20 /* cycles of a line from memory or to it, where it is copied: measured */

/* Tasks whose chunks are boxes of images, rows and columns. */
static inline idx box_chunks(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    return ceil_div(lat.w.grid, plan->chunk_w) * ceil_div(lat.h.grid, plan->chunk_h) * ceil_div(plan->p.n, plan->chunk_n);
}

typedef struct {
    idx planes;  /* residues per channel */
    idx span_h, span_w, taps;
} direct_shape;

static inline direct_shape direct_shape_of(const lattice *lat)
{
    axis_rows h = axis_row_layout(&lat->h), w = axis_row_layout(&lat->w);
    return (direct_shape){h.period * w.period, h.span, w.span, lat->h.taps * lat->w.taps};
}

/* Elements of one channel's box, over all residues. */
static inline double direct_box(const conv_plan *plan, const direct_shape *s, idx n, idx h, idx w)
{
    const double rows = (double)n * (double)(h + s->span_h), pitch = (double)direct_pitch(w, s->span_w, tile_columns(plan), lanes_of(plan));
    return (double)s->planes * (rows * pitch + 2 * ALIGNMENT / (double)element_bytes(plan)); /* see task_box */
}

/* Positions of a padded copy without residues (view_tpl.h), from the first that so many points read to the last. */
static inline double view_positions(const conv_axis *axis, idx points)
{
    return ((double)(points - 1) * (double)axis->step + (double)(axis->taps - 1) * (double)axis_distance(axis)) / (double)axis_common(axis) + 1;
}

/* Elements of one channel's box as such a copy; none where nothing is padded. */
static inline double view_box(const conv_plan *plan, const lattice *lat, idx n, idx h, idx w)
{
    const double rows = view_positions(&lat->h, h), columns = view_positions(&lat->w, w);
    return lattice_inside(lat) ? 0 : (double)n * rows * (columns <= (double)lanes_of(plan) ? (double)view_pitch((idx)columns, lanes_of(plan)) : columns);
}

/* Cycles to make the boxes of all channels of an image; none where nothing is padded. */
static inline double view_cycles(const conv_plan *plan, const lattice *lat, idx h, idx w)
{
    const double rows = (double)lat->source_channels * view_positions(&lat->h, h), width = view_positions(&lat->w, w);
    return lattice_inside(lat) ? 0 : rows * (16 + width / (double)lanes_of(plan) * step_cycles(axis_common(&lat->w)));
}

#endif
