/* kernels.h -- the function table: what every ISA target exports, and nothing else of it is visible.
 *
 * A target fills one kernel_table with one kernel_set for each dtype. the planning files know the machine through the numbers here
 * alone; run.c calls through the pointers.
 */
#ifndef FASTCONV_KERNELS_H
#define FASTCONV_KERNELS_H

#include "conv.h"
#include "operators.h"

/* What a task of a convolution sees. Which array is read and which is written depends on the pass (conv_run). */
typedef struct {
    const conv_plan *plan;
    const void *src;      /* fwd, bwd_weights: x.  bwd_data: dy */
    const void *weights;  /* fwd: w.  bwd_data: w, regrouped by the prepare step.  bwd_weights: dy */
    const void *bias;
    void *dst;            /* fwd: y.  bwd_data: dx.  bwd_weights: dw */
    char *prepared;
    char *scratch;        /* task_bytes for each worker */
} conv_call;

typedef void conv_task(const void *call, idx task, int worker);

/* Units [begin, end) of an operator: rows of outputs, planes or channels. */
typedef void operator_kernel(const void *call, idx begin, idx end, char *scratch);

enum { KERNEL_DIRECT, KERNEL_CHANNELS, KERNEL_WINOGRAD, KERNEL_SLIDE, KERNEL_STENCIL, KERNEL_GEMM, KERNEL_WEIGHTS, KERNEL_OUTER, KERNEL_DOT, KERNEL_SLIDE_WEIGHTS, KERNEL_REF, KERNELS, KERNEL_FFT = KERNELS };

typedef struct {
    int lanes; /* elements in a vector */
    conv_task *conv[KERNELS];
    conv_task *prepare; /* weights regrouped for bwd_data */
    void (*pack)(const conv_plan *plan, const void *w, void *packed); /* the weights of a plan that is kept */
    void (*bias_grad)(const conv_problem *p, const void *dy, void *db);
    conv_task *matmul;
    double (*cross_entropy)(idx n, idx classes, const void *logits, const int64_t *labels, double divisor, void *grad);
    double (*peak)(idx count);
    void (*sgd)(idx n, void *data, const void *grad, void *velocity, const sgd_settings *settings);
    void (*adam)(idx n, void *data, const void *grad, void *mean, void *square, const adam_settings *settings);
    void (*relu)(idx n, const void *x, void *y);
    void (*relu_grad)(idx n, const void *dy, const void *y, void *dx);
    operator_kernel *max_pool, *scatter, *gather, *resample, *batch_norm, *batch_norm_grad, *leaky_relu, *gelu, *add;
} kernel_set;

typedef struct kernel_table {
    const char *name;
    int mr;   /* rows of the widest tile: heights 1..mr with nv vectors, 1..mr/2 with 2 nv, 1..mr/4 with 4 nv */
    int nv;
    const kernel_set *set[CONV_DTYPES];
} kernel_table;

#define BUFFER_ROWS 14   /* of nv vectors: a tile's results */
#define PREPARE_ROWS 16  /* input channels of a task that lays out weights */
#define PREPARE_AHEAD 3  /* output channels, whose weights are so far apart that they come one by one if not called */
#define MATMUL_DEPTH 512 /* of the reduction, at a time: a packed column tile of it stays in cache */

static inline idx matmul_task_bytes(idx nr, idx element)
{
    idx bytes = (BUFFER_ROWS + 1 + MATMUL_DEPTH + 16) * nr * element + MATMUL_DEPTH * (idx)sizeof(int32_t);
    return (bytes + 63) / 64 * 64;
}

/* ---- shared by planning and the templates: all of it arithmetic on shapes ---- */

#define ALIGNMENT 64

static inline idx ceil_div(idx a, idx b)
{
    return (a + b - 1) / b;
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

/* Terms that one accumulator sums before it is added to the others. A sum of k terms in blocks of b errs by at most
 * b + k/b roundings; 5.5 sqrt(k) + 8 keeps that within the promised 6 sqrt(k) + 12, with room for blocks that are cut short, and
 * so does 512 where that is less. */
static inline idx accumulation_block(idx k)
{
    idx root = 0;
    if (k <= 53)
        return k;
    while ((root + 1) * (root + 1) <= k && root < 92)
        root++;
    return min_idx(11 * root / 2 + 8, 512);
}

/* Cut `total` into pieces of at most `most`, all about equally long. */
static inline idx even(idx total, idx most)
{
    return ceil_div(total, ceil_div(total, max_idx(1, min_idx(most, total))));
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

/* How many rows of weights a tile may read at once: those that fall into one set of the first-level cache, whose ways repeat
 * every 4096 bytes, push each other out (14 rows 1024 floats apart: 42 % of the peak). */
static inline int rows_together(idx bytes_apart, int mr)
{
    const idx apart = bytes_apart % 1024;
    return apart < 64 || apart > 960 ? (mr < 7 ? mr : 7) : mr;
}

/* Rows of a block of weights that stay in the second-level cache while the columns pass, in even blocks. Cores with half
 * the registers have half of that cache, too. */
static inline idx row_block(idx rows, idx k, idx mr, idx element)
{
    const idx bytes = mr >= 14 ? 393216 : 131072;
    return even(rows, max_idx(mr, bytes / (k * element) / mr * mr));
}

/* Source index of position i of a padded axis, or -1 for a zero. |padding| has been checked against the mode. */
static inline idx pad_index(conv_pad_mode mode, idx i, idx size)
{
    if (i >= 0 && i < size)
        return i;
    switch (mode) {
    case CONV_REFLECT:
        return i < 0 ? -i : 2 * (size - 1) - i;
    case CONV_REPLICATE:
        return i < 0 ? 0 : size - 1;
    case CONV_CIRCULAR:
        return i < 0 ? i + size : i - size;
    default:
        return -1;
    }
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

static inline idx tap_position(const conv_axis *axis, idx t)
{
    return axis->first + t * axis->delta;
}

static inline axis_rows axis_row_layout(const conv_axis *axis)
{
    idx a = floor_div(tap_position(axis, 0), axis->step);
    idx b = floor_div(tap_position(axis, axis->taps - 1), axis->step);
    return (axis_rows){.period = axis_phases(axis->taps, axis->step, axis->delta < 0 ? -axis->delta : axis->delta),
                       .lowest = min_idx(a, b), .span = max_idx(a, b) - min_idx(a, b)};
}

/* Elements from one packed row to the next: a multiple of the tile where few columns are lost to that, so that no tile
 * straddles two rows (the last of a row may be narrower); else the shortest. */
static inline idx direct_pitch(idx width, idx span, idx nr, idx lanes)
{
    idx dense = width + span;
    return round_up(width, lanes) * 20 <= dense * 21 ? round_up(dense, nr) : dense;
}

/* Accumulators of the dot kernel: they, a row of dy and a row of x fit 16 registers. */
#define DOT_ROWS 12

/* Rows of the outer kernel's tile: so many positions of the source stay in general registers. */
#define OUTER_ROWS 10

/* Rows of dy that are packed at a time in bwd_weights. */
#define WEIGHTS_ROWS 112

/* The lattice of a plan's phase (ph, pw); {0} grids are possible. */
typedef struct {
    conv_axis h, w;
    idx source_channels; /* reduced over, of one group */
    idx result_channels; /* of one group */
} lattice;

static inline lattice plan_lattice(const conv_plan *plan, idx phase_h, idx phase_w)
{
    const conv_problem *p = &plan->p;
    if (p->pass != CONV_BWD_DATA)
        return (lattice){axis_fwd(p->ih, p->oh, p->kh, p->stride_h, p->dil_h, p->pad_top),
                         axis_fwd(p->iw, p->ow, p->kw, p->stride_w, p->dil_w, p->pad_left), p->ic, p->oc};
    int folded = p->pad_mode != CONV_ZEROS;
    return (lattice){axis_bwd_data(p->ih, p->oh, p->kh, p->stride_h, p->dil_h, p->pad_top, p->pad_bottom, folded, phase_h),
                     axis_bwd_data(p->iw, p->ow, p->kw, p->stride_w, p->dil_w, p->pad_left, p->pad_right, folded, phase_w),
                     p->oc, p->ic};
}

/* From one row of a lattice's weights to the next: laid out by prepare or conv_pack, or as the caller has them. */
static inline idx weights_pitch(const conv_plan *plan, idx k)
{
    return plan->laid_out ? line_pitch(k, plan->p.dtype == CONV_F32 ? 4 : 8) : k;
}

/* Elements of the weights of a group that are laid out, before those of lattice (phase_h, phase_w). */
static inline idx weights_before(const conv_plan *plan, idx phase_h, idx phase_w)
{
    idx sum = 0;
    for (idx i = 0; i <= phase_h; i++)
        for (idx j = 0; j < (i < phase_h ? plan->phases_w : phase_w); j++) {
            const lattice lat = plan_lattice(plan, i, j);
            sum += lat.result_channels * weights_pitch(plan, lat.source_channels * lat.h.taps * lat.w.taps);
        }
    return sum;
}

/* Of a whole group. */
static inline idx weights_laid_out(const conv_plan *plan)
{
    return weights_before(plan, plan->phases_h - 1, plan->phases_w);
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

/* The lattice that a task of `channels` packs: that of the plan, or for a gradient the envelope of all. */
static inline lattice plan_envelope(const conv_plan *plan)
{
    lattice all = plan_lattice(plan, 0, 0);
    if (plan->p.pass == CONV_BWD_DATA) {
        all.h = axis_envelope(&plan->p, 1, plan->phases_h);
        all.w = axis_envelope(&plan->p, 0, plan->phases_w);
    }
    return all;
}

/* Elements from one row of a padded copy to the next: short rows are a vector each, which is moved at once. */
static inline idx view_pitch(idx width, idx lanes)
{
    return width <= lanes && 2 * width > lanes ? lanes : width;
}

/* ---- channels: units of images, and the tables of one ---- */

#define CHANNELS_ROWS 10 /* of a tile: so many positions of the source stay in general registers */

/* Outputs of a unit: plan->depth images of a task, all of their points or those of its chunk. */
static inline idx channels_unit_points(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx image = p->pass == CONV_BWD_DATA ? p->ih * p->iw : plan->chunk_h * plan->chunk_w;
    return plan->depth * image;
}

/* Scratch of a task, but for the padded source. */
static inline idx channels_table_bytes(const conv_plan *plan, idx element)
{
    const idx lanes = plan->kernels->set[plan->p.dtype]->lanes, parts = plan->phases_h * plan->phases_w;
    const idx k = plan->channels * plan->p.kh * plan->p.kw, points = channels_unit_points(plan) + lanes;
    const idx part = (idx)(sizeof(lattice) + 10 * sizeof(idx));
    return round_up((k + parts * lanes + points) * plan->nv * lanes * element + parts * part +
                        points * (idx)(4 * sizeof(idx) + sizeof(int)) + k * (idx)sizeof(int32_t), ALIGNMENT);
}

/* ---- stencil: where the copy of a plane lies in a task's scratch ---- */

typedef struct {
    idx low, reach;          /* first source row of result row 0; source rows that a result row spans */
    idx pitch, plane;        /* of a row, and of all rows of a residue */
    idx packed, weights, at, total; /* offsets in elements; a tile's results come first */
} stencil_box;

static inline stencil_box stencil_box_of(const conv_plan *plan, idx lanes)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const axis_rows fw = axis_row_layout(&lat.w);
    const idx a = tap_position(&lat.h, 0), b = tap_position(&lat.h, lat.h.taps - 1), taps = lat.h.taps * lat.w.taps;
    stencil_box box = {.low = min_idx(a, b), .reach = max_idx(a, b) - min_idx(a, b) + 1, .pitch = lat.w.grid + fw.span};
    box.plane = ((min_idx(plan->chunk_h, lat.h.grid) - 1) * lat.h.step + box.reach) * box.pitch;
    box.weights = 8 * lanes;
    box.at = box.weights + round_up(taps, lanes);
    box.packed = box.at + round_up((lat.h.taps + (plan->depth - 1) * lat.h.step) * lat.w.taps, lanes);
    box.total = box.packed + round_up(fw.period * box.plane + 9 * lanes, lanes); /* a tile may read past the last row */
    return box;
}

/* ---- slide: how a window of accumulators moves down a plane, and where a task keeps what it needs ---- */

#define SLIDE_MOST 7 /* results that a source row may meet */

/* Vectors of a strip where a source row meets `across` results: they, the source and a weight are registers. */
static inline int slide_vectors(const kernel_table *k, idx across)
{
    static const int few[] = {4, 4, 3, 3, 2, 2, 1}, many[] = {4, 4, 4, 4, 4, 3, 3};
    return (k->mr >= 14 ? many : few)[across - 1];
}

/* Tap rows whose gradients are registers at a time; with a stride of 2 all of them. */
static inline idx slide_tap_rows(const kernel_table *k, idx stride, idx taps)
{
    return stride == 2 ? taps : k->mr >= 14 || taps == 3 ? 3 : 1;
}

typedef struct {
    idx across;            /* results that a source row meets */
    idx step, apart, unit; /* rows r, r + apart, ... of the result are a correlation of their own; step and distance
                              of its taps, in source rows: step * unit, unit */
    idx depth, full;       /* source rows of a step, and those of them that meet all of `across` */
    idx low, table;        /* first source row of result row 0; rows from there that a band reads */
    idx lowest, highest;   /* columns of point 0 that its taps reach */
    idx period, pitch;     /* of a copied row: residues, elements of one */
    idx vectors, strips, edges; /* vectors of a strip at most; strips; those that reach padding at most */
    idx slots;             /* rows copied at a time */
    int in_place;          /* rows are read where they lie, all but a few */
    idx rows, at, weights, keep, copies, total; /* offsets in bytes */
} slide_shape;

static inline slide_shape slide_shape_of(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const lattice lat = plan_lattice(plan, 0, 0);
    const conv_axis *h = &lat.h, *w = &lat.w;
    const idx element = p->dtype == CONV_F32 ? 4 : 8, lanes = plan->kernels->set[p->dtype]->lanes;
    const idx dil = h->delta < 0 ? -h->delta : h->delta, common = gcd_idx(h->step, dil);
    const idx rows = max_idx(1, min_idx(plan->chunk_h, h->grid)), columns = max_idx(1, min_idx(plan->chunk_w, w->grid));
    const axis_rows fw = axis_row_layout(w);
    const idx a = tap_position(w, 0), b = tap_position(w, w->taps - 1), first = tap_position(h, 0), last = tap_position(h, h->taps - 1);
    slide_shape s = {.step = h->step / common, .apart = dil / common, .unit = dil, .low = min_idx(first, last),
                     .lowest = min_idx(a, b), .highest = max_idx(a, b), .period = fw.period,
                     .in_place = w->step <= 2 && (p->pass == CONV_BWD_DATA || p->pad_mode == CONV_ZEROS)};
    s.across = ceil_div(h->taps, s.step);
    s.depth = min_idx(s.step, h->taps);
    s.full = h->taps - (s.across - 1) * s.step;
    s.table = (rows - 1) * h->step + s.apart * h->step * (s.across - 1) + s.unit * (s.depth - 1) + 1;
    s.vectors = p->pass == CONV_BWD_WEIGHTS ? 1 : slide_vectors(plan->kernels, min_idx(s.across, SLIDE_MOST));
    s.strips = ceil_div(ceil_div(columns, lanes), s.vectors);
    const idx end = (max_idx(columns, lanes) + (w->step == 2 ? lanes / 2 : 0)) * w->step + s.highest; /* one past what is read of a row */
    const idx reach = round_up(w->grid, columns) * w->step - columns * w->step + end - w->size; /* beyond a row */
    if (s.in_place) {
        s.period = 1;
        s.pitch = end - s.lowest;
        s.slots = min_idx(s.table, ceil_div(max_idx(0, -s.lowest), w->size) + ceil_div(max_idx(0, reach), w->size));
        /* strips of one vector at least, of which the last overlaps the one before */
        const idx left = max_idx(0, -s.lowest), right = max_idx(0, (w->grid - 1) * w->step + s.highest - w->size + 1);
        s.edges = min_idx(s.strips, 3 + left / (w->step * lanes) + right / (w->step * lanes));
    } else {
        s.pitch = max_idx(columns, lanes) + fw.span;
        s.slots = s.table;
    }
    s.at = s.table * (idx)sizeof(void *);
    s.weights = s.at + w->taps * (idx)sizeof(idx);
    s.keep = round_up(s.weights + s.depth * s.across * w->taps * element, ALIGNMENT);
    s.copies = s.keep + s.edges * max_idx(3, w->taps) * s.vectors * lanes * element;
    s.total = s.copies + (1 + s.slots) * s.period * s.pitch * element; /* a row of zeros, and the copied ones */
    return s;
}

/* ---- Winograd: a cut into tiles and groups of three taps, and where its pieces lie in a task's scratch ---- */

#define WINOGRAD_LEAST 16 /* terms, for each axis transformed, from which on tiles of four keep the error bound: fewer
                             do not average. F(4, 3) on normal data: 8 u S with 16 terms, F(4x4, 3x3) 10 with 32. */

typedef struct {
    idx tile_h, tile_w, frequencies;
    idx groups_h, groups_w, spare_h, spare_w; /* groups of three taps; those that the last group lacks */
    idx tiles_h, tiles_w;                     /* of an image */
    idx k;                                    /* terms: groups * channels */
} winograd_shape;

static inline winograd_shape winograd_shape_of(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    winograd_shape s = {.tile_h = plan->tile_h, .tile_w = plan->tile_w, .groups_h = 1, .groups_w = 1};
    if (s.tile_h > 1)
        s.groups_h = ceil_div(lat.h.taps, 3);
    if (s.tile_w > 1)
        s.groups_w = ceil_div(lat.w.taps, 3);
    s.spare_h = s.tile_h > 1 ? 3 * s.groups_h - lat.h.taps : 0;
    s.spare_w = s.tile_w > 1 ? 3 * s.groups_w - lat.w.taps : 0;
    s.frequencies = (s.tile_h > 1 ? s.tile_h + 2 : 1) * (s.tile_w > 1 ? s.tile_w + 2 : 1);
    s.tiles_h = ceil_div(lat.h.grid, s.tile_h);
    s.tiles_w = ceil_div(lat.w.grid, s.tile_w);
    s.k = lat.source_channels * s.groups_h * s.groups_w;
    return s;
}

/* Terms that are summed before they are added to the others: tiles of four multiply the roundings of these sums by ten. */
static inline idx winograd_terms(idx k)
{
    return max_idx(8, min_idx(32, k / 4));
}

#define WINOGRAD_KEPT 3145728 /* bytes: more transformed weights come slower from memory than they are made anew */

/* Whether a plan's packed weights are transformed ones. */
static inline int winograd_keeps(const conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    return plan->p.packed && s.frequencies * s.k * plan->p.oc * (plan->p.dtype == CONV_F32 ? 4 : 8) <= WINOGRAD_KEPT;
}

/* Offsets in elements. */
typedef struct {
    idx ldv, ldu;          /* columns of all strips; of a row of u */
    idx next_v, next_u, next_m, strip; /* from one frequency to the next, and from one strip */
    idx buffer, v, u, m, rows, zeros, pixels, suspect, taps, panel, again, at, total;
} winograd_scratch;

static inline winograd_scratch winograd_layout(const conv_plan *plan, idx lanes)
{
    const idx nr = plan->nv * lanes;
    const winograd_shape s = winograd_shape_of(plan);
    const lattice lat = plan_lattice(plan, 0, 0);
    const idx rows = plan->block_rows, taps = lat.h.taps * lat.w.taps, depth = lat.source_channels * taps;
    const idx width = min_idx(plan->chunk_h, s.tiles_w) * s.tile_w + 2 + 3 * s.groups_w;
    winograd_scratch at = {.ldv = round_up(plan->chunk_h, nr), .ldu = odd_pitch(s.k, lanes)};
    at.v = BUFFER_ROWS * plan->kernels->nv * lanes;
    at.next_v = odd_pitch(s.k * nr, lanes);
    at.next_u = odd_pitch((winograd_keeps(plan) ? lat.result_channels : rows) * at.ldu, lanes);
    at.next_m = odd_pitch(rows * nr, lanes);
    at.strip = s.frequencies * at.next_v;
    at.u = at.v + ceil_div(plan->chunk_h, nr) * at.strip + lanes;
    at.m = at.u + (winograd_keeps(plan) ? 0 : s.frequencies * at.next_u);
    at.rows = at.m + s.frequencies * at.next_m;
    at.zeros = at.rows + 6 * (round_up(width, lanes) + 5 * lanes);
    at.pixels = at.zeros + round_up(width, lanes) + lanes;
    at.suspect = at.pixels + 16 * nr;
    at.taps = at.suspect + rows * at.ldv;
    at.panel = at.taps + round_up(taps, lanes) * lanes;
    at.again = at.panel + depth * lanes;
    at.at = at.again + round_up(plan->kernels->mr * depth, lanes);
    at.total = at.at + round_up(max_idx(s.k, depth), lanes);
    return at;
}

/* Elements of all groups' transformed weights, and of a row's taps, which are regrouped behind them. */
static inline idx winograd_packed(const conv_plan *plan)
{
    const idx lanes = plan->kernels->set[plan->p.dtype]->lanes;
    return plan->p.groups * winograd_shape_of(plan).frequencies * winograd_layout(plan, lanes).next_u +
           round_up(plan->p.kh * plan->p.kw, lanes) * lanes;
}

#define ACTIVATION_UNIT 1024 /* elements */

/* How resample makes a block of outputs; UNIFORM: SHUFFLED, and all counts are taps. */
enum { ONE_BY_ONE, SHUFFLED, UNIFORM };

/* Elements of the row between the two steps of resample: a vector beyond the last tap of the last run may be read. */
static inline idx resample_row(const resample *r, idx lanes)
{
    return round_up(r->w.size + r->w.taps, lanes) + 2 * lanes;
}

/* Whether no tap of any point reads padding. */
static inline int axis_inside(const conv_axis *axis)
{
    idx a = tap_position(axis, 0), b = tap_position(axis, axis->taps - 1);
    return min_idx(a, b) >= 0 && max_idx(a, b) + (axis->grid - 1) * axis->step < axis->size;
}

static inline int lattice_inside(const lattice *lat)
{
    return axis_inside(&lat->h) && axis_inside(&lat->w);
}

#endif
