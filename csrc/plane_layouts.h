/* plane_layouts -- where the kernels of one channel to each result keep their pieces: planes, stencil, slide.
 */
#ifndef FASTCONV_PLANE_LAYOUTS_H
#define FASTCONV_PLANE_LAYOUTS_H

#include "kernels.h"
#include "lattices.h"

/* ---- planes: bands of blocks, what one takes of a task's scratch, and how many there are ---- */

/* Results along an axis that a point stands for: of a gradient, one of each lattice. */
static inline idx planes_stride(const conv_plan *plan, idx stride)
{
    return plan->p.pass == CONV_BWD_DATA ? stride : 1;
}

/* Source positions that so many points in turn read. Of a gradient's lattices some have a point less than others: for a part of
 * their points the envelope may end one position early. */
static inline idx planes_extent(const conv_axis *axis, idx points, idx phases)
{
    return (points - 1) * axis->step + (axis->taps - 1) * axis->delta + 1 + (phases > 1);
}

typedef struct {
    idx down, across;     /* bands of a block, and of a row of it */
    idx rows, first, row; /* of the source, no padding of zeros among them; vectors of a padded row, which begins at that position */
    idx source, weights;  /* elements of turned planes, and of turned kernels */
    idx sums, total;      /* bytes of turned results; of all, the rows that a result reads among them */
} planes_box;

static inline planes_box planes_box_of(const conv_plan *plan, idx lanes)
{
    const conv_problem *p = &plan->p;
    const conv_axis *h = &plan->envelope.h, *w = &plan->envelope.w;
    const idx element = dtype_bytes(p->dtype);
    const idx results_h = plan->chunk_h * planes_stride(plan, p->stride_h), results_w = plan->chunk_w * planes_stride(plan, p->stride_w);
    planes_box box = {.down = ceil_div(h->out_size, results_h), .across = ceil_div(w->out_size, results_w)};
    box.rows = planes_extent(h, plan->chunk_h, plan->phases_h);
    if (p->pad_mode == CONV_ZEROS)
        box.rows = min_idx(box.rows, h->size);
    box.first = box.across > 1 ? w->first : min_idx(0, w->first); /* of the first band */
    const idx extent = planes_extent(w, plan->chunk_w, plan->phases_w);
    box.row = box.across > 1 ? extent : max_idx(w->size, w->first + extent) - box.first;
    box.source = box.rows * box.row * lanes;
    box.weights = p->kh * p->kw * lanes;
    box.sums = (min_idx(h->out_size, results_h) * min_idx(w->out_size, results_w) + lanes) * lanes * element;
    box.total = (box.source + box.weights + lanes) * element + box.sums + round_up(p->kh * (idx)sizeof(void *), ALIGNMENT);
    return box;
}

#define PLANES_TAPS 7 /* with the sums of eight results and an element they are sixteen registers */

/* Taps of a row that a tile takes all at once, where neighbours share what they read: the usual sizes; else 0. */
static inline int planes_together(const lattice *lat)
{
    const idx taps = lat->w.taps;
    return lat->w.step == 1 && axis_distance(&lat->w) == 1 && (taps == 3 || taps == 5 || taps == PLANES_TAPS) ? (int)taps : 0;
}

/* Rows of a kernel that are summed before they are added to the others; 0 where a row alone is too long a sum. */
static inline idx planes_cut(idx taps, idx row)
{
    return accumulation_block(taps) / row;
}

typedef struct {
    idx images, steps, count; /* of one block; so many blocks of the same results; all blocks */
} planes_blocks;

static inline planes_blocks planes_blocks_of(const conv_plan *plan, idx lanes)
{
    const idx results = plan->p.groups * plan->envelope.result_channels;
    planes_blocks blocks = {.images = max_idx(1, lanes / results)};
    blocks.steps = ceil_div(plan->p.n, blocks.images);
    blocks.count = ceil_div(results, lanes) * blocks.steps;
    return blocks;
}

/* ---- stencil: where the copy of a plane lies in a task's scratch ---- */

#define STENCIL_TILE 16 /* vectors of the largest tile */

typedef struct {
    axis_rows h, w;          /* both axes are split by residue modulo the stride */
    idx low;                 /* the lowest row that result row 0 reads */
    idx pitch, part, plane;  /* of a row, of the rows of a residue, and of all rows of a residue of the columns */
    idx packed, weights, at, total; /* offsets in elements; a tile's results come first */
} stencil_box;

static inline stencil_box stencil_box_of(const conv_plan *plan, const lattice *lat, idx lanes)
{
    const idx taps = lat->h.taps * lat->w.taps;
    stencil_box box = {.h = axis_row_layout(&lat->h), .w = axis_row_layout(&lat->w), .low = axis_lowest(&lat->h)};
    box.pitch = lat->w.grid + box.w.span;
    box.part = (min_idx(plan->chunk_h, lat->h.grid) + box.h.span) * box.pitch;
    box.plane = box.h.period * box.part;
    box.weights = STENCIL_TILE * lanes;
    box.at = box.weights + round_up(taps, lanes);
    box.packed = box.at + round_up((lat->h.taps + (plan->depth - 1) * lat->h.step) * lat->w.taps, lanes);
    box.total = box.packed + round_up(box.w.period * box.plane + 9 * lanes, lanes); /* a tile may read past the last row */
    return box;
}

/* ---- slide: how a window of accumulators moves down a plane, and where a task keeps what it needs ---- */

#define SLIDE_MOST 7 /* results that a source row may meet in one walk down the plane */

/* Vectors of a strip where a source row meets `across` results: they, the source and a weight are registers. A constant to the
 * templates. */
__attribute__((always_inline)) static inline int slide_vectors(int mr, idx across)
{
    static const int vectors[2][SLIDE_MOST] = {{4, 4, 3, 3, 2, 0, 0}, {4, 4, 4, 4, 4, 3, 3}};
    return vectors[mr >= 14][across - 1];
}

/* Of how many that walk is: a source row that meets more than there are registers for is read again. Few vectors side by side would
 * load a weight for each product. */
static inline idx slide_part(int mr, idx across)
{
    return across <= (mr >= 14 ? SLIDE_MOST : 5) ? across : even(across, mr >= 14 ? 5 : 4);
}

/* Tap rows whose gradients are registers at a time; with a stride of 2 all of them. */
static inline idx slide_tap_rows(const kernel_table *k, idx stride, idx taps)
{
    return stride == 2 ? taps : k->mr >= 14 || taps == 3 ? 3 : 1;
}

typedef struct {
    idx across, part;      /* results that a source row meets, and in one walk */
    idx step, apart, unit; /* rows r, r + apart, ... of the result are a correlation of their own; step and distance
                              of its taps, in source rows: step * unit, unit */
    idx depth, full;       /* source rows of a step, and those of them that meet all of `across` */
    idx low, table;        /* first source row of result row 0; rows from there that a band reads */
    idx lowest, highest;   /* columns of point 0 that its taps reach */
    idx period, pitch;     /* of a copied row: residues, elements of one */
    idx vectors, strips, edges; /* vectors of a strip at most; strips; those that reach padding at most */
    idx slots;             /* rows copied at a time */
    int in_place;          /* rows are read where they lie, all but a few */
    idx rows, at, weights, keep, sums, copies, total; /* offsets in bytes */
} slide_shape;

static inline slide_shape slide_shape_of(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const lattice lat = plan->largest;
    const conv_axis *h = &lat.h, *w = &lat.w;
    const idx element = dtype_bytes(p->dtype), lanes = plan->kernels->set[p->dtype]->lanes;
    const idx dil = axis_distance(h), common = gcd_idx(h->step, dil);
    const idx rows = max_idx(1, min_idx(plan->chunk_h, h->grid)), columns = max_idx(1, min_idx(plan->chunk_w, w->grid));
    const axis_rows fw = axis_row_layout(w);
    const idx lowest = axis_lowest(w);
    slide_shape s = {.step = h->step / common, .apart = dil / common, .unit = dil, .low = axis_lowest(h),
                     .lowest = lowest, .highest = lowest + (w->taps - 1) * axis_distance(w), .period = fw.period,
                     .in_place = w->step <= 2 && (p->pass == CONV_BWD_DATA || p->pad_mode == CONV_ZEROS)};
    s.across = ceil_div(h->taps, s.step);
    s.depth = min_idx(s.step, h->taps);
    s.full = h->taps - (s.across - 1) * s.step;
    s.table = (rows - 1) * h->step + s.apart * h->step * (s.across - 1) + s.unit * (s.depth - 1) + 1;
    s.part = slide_part(plan->kernels->mr, max_idx(1, s.across)); /* no taps: no lattice for this */
    s.vectors = p->pass == CONV_BWD_WEIGHTS ? 1 : slide_vectors(plan->kernels->mr, s.part);
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
    s.sums = s.keep + s.edges * max_idx(3, w->taps) * s.vectors * lanes * element;
    s.copies = s.sums + (s.part < s.across ? ceil_div(rows, s.apart) * s.vectors * lanes * element : 0);
    s.total = s.copies + (1 + s.slots) * s.period * s.pitch * element; /* a row of zeros, and the copied ones */
    return s;
}

#endif
