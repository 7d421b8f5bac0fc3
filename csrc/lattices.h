/* lattices.h -- arithmetic on shapes that planning and the templates share: small sums, axes, the lattices of a plan and where
 * their weights lie. Below conv_problem_check nothing here overflows.
 */
#ifndef FASTCONV_LATTICES_H
#define FASTCONV_LATTICES_H

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

/* Terms that one accumulator sums before it is added to the others. A sum of k terms in blocks of b errs by at most
 * b + k/b roundings; 5.5 sqrt(k) + 8 keeps that within the promised 6 sqrt(k) + 12, with room for blocks that are cut short, and
 * so does 512 where that is less. */
static inline idx accumulation_block(idx k)
{
    if (k <= 53)
        return k;
    const idx root = (idx)__builtin_sqrt((double)min_idx(k, 92 * 92));
    return min_idx(11 * root / 2 + 8, 512);
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

/* Rows cut into tiles as even as can be: the first `higher` of them have a row more than the others. */
typedef struct {
    idx height, higher;
} even_tiles;

static inline even_tiles tiles_of(idx rows, idx tiles)
{
    return (even_tiles){rows / tiles, rows % tiles};
}

static inline idx tile_start(even_tiles e, idx tile)
{
    return tile * e.height + min_idx(tile, e.higher);
}

/* The tile that holds a row. */
static inline idx tile_holding(even_tiles e, idx row)
{
    return row < e.higher * (e.height + 1) ? row / (e.height + 1) : (row - e.higher) / e.height;
}

/* The first tile that begins at a row or after it. */
static inline idx tile_from(even_tiles e, idx row)
{
    return row <= e.higher * (e.height + 1) ? ceil_div(row, e.height + 1) : e.higher + ceil_div(row - e.higher * (e.height + 1), e.height);
}

/* How many rows of weights a tile may read at once: those that fall into one set of the first-level cache, whose ways repeat
 * every 4096 bytes, push each other out (14 rows 1024 floats apart: 42 % of the peak). */
static inline int rows_together(idx bytes_apart, int mr)
{
    const idx apart = bytes_apart % 1024;
    return apart < 64 || apart > 960 ? (mr < 7 ? mr : 7) : mr;
}

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

#define BLOCK_ROWS 96      /* lines of results that the first-level cache keeps from one column tile to the next */
#define FAR_ROWS 12        /* of large tiles whose result goes to memory, whose pages are few: twice as many take twice the time */
#define RESULT_FAR 8388608 /* bytes of such a result */
#define CALLED_LINES 4     /* of a channel at least, to be called before tiles meet them: shorter ones follow each other as the prefetcher expects */
#define CACHE_WAYS 8       /* of the first-level cache */
#define SETS_REPEAT 4096   /* bytes after which its sets repeat */
#define COLUMN_BYTES 16384 /* of columns that pass together for one tile of rows: half of the first-level cache */

/* Sets of the first-level cache that lines `apart` bytes from each other use. */
static inline idx cache_sets(idx apart)
{
    const idx power = apart & -apart; /* of two, the greatest that divides it */
    return power == 0 || power >= SETS_REPEAT ? 1 : SETS_REPEAT / max_idx(ALIGNMENT, power);
}

/* Rows of a block of weights that stay in the second-level cache while the columns pass, in even blocks: cores with half the
 * registers have half of that cache, too. No more than have their lines of the result, `apart` bytes from row to row in each of n
 * images, in half of the ways of the first-level cache; but two tiles. */
static inline idx row_block(idx rows, idx k, idx mr, idx element, idx apart, idx n)
{
    const idx bytes = mr >= 14 ? 393216 : 131072, sets = cache_sets(apart);
    const int far = mr >= 14 && k <= 256 && n * rows * apart > RESULT_FAR;
    const idx most = min_idx(bytes / (k * element), far ? FAR_ROWS : max_idx(FAR_ROWS, min_idx(BLOCK_ROWS, CACHE_WAYS / 2 * sets)));
    return even(rows, max_idx(mr, most / mr * mr));
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

/* Elements from one packed row to the next: a multiple of the tile where few columns are lost to that, so that no tile
 * straddles two rows (the last of a row may be narrower); else the shortest. */
static inline idx direct_pitch(idx width, idx span, idx nr, idx lanes)
{
    const idx dense = width + span;
    return span > 0 && round_up(width, lanes) * 20 <= dense * 21 ? round_up(dense, nr) : dense;
}

/* The fewest vectors that hold these columns, of the widths that there are for tiles of nv, where those of many rows have `many`. */
static inline int narrowest_tile(int nv, int many, idx columns, idx lanes)
{
    static const int widths[][5] = {{1, 2, 3, 4, 8}, {1, 3, 4, 8, 16}}; /* where many are two, or four */
    const int *width = widths[many == 4];
    while (*width < nv && *width * lanes < columns)
        width++;
    return *width;
}

#define NARROW 4 /* columns at most that need no vector of their own: narrow_tpl.h */

/* How many of so many columns those are, behind a tile of whole vectors. */
static inline idx columns_alone(const conv_plan *plan, int many, idx columns, idx lanes)
{
    const idx after = columns % lanes, before = columns - after;
    const int filled = before > 0 && narrowest_tile(plan->nv, many, before, lanes) * lanes == before;
    return plan->weights == WEIGHTS_BY_TILES && filled && after <= NARROW ? after : 0;
}

/* Accumulators of the dot kernel for tiles of mr rows: they, a row of dy and the rows of x fit the registers. No more taps than DOT_TAPS. */
#define DOT_PRODUCTS(mr) ((mr) >= 14 ? 24 : 12)
#define DOT_TAPS 12

/* Taps at once beside so many output channels. */
static inline idx dot_taps(int mr, idx wide)
{
    return min_idx(DOT_TAPS, DOT_PRODUCTS(mr) / wide);
}

/* Rows of the outer kernel's tile: so many positions of the source stay in general registers. */
#define OUTER_ROWS 10

/* Rows of dy that are packed at a time in bwd_weights. */
#define WEIGHTS_ROWS 112

/* The lattice of a plan's phase (ph, pw); {0} grids are possible. */
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

/* Terms of a block of its sums: whole channels, so that they are cut alike where some taps meet padding and are left out. */
static inline idx lattice_block(const lattice *lat)
{
    const idx taps = lat->h.taps * lat->w.taps, k = lat->source_channels * taps, block = even(k, accumulation_block(k));
    return block >= taps ? block / max_idx(1, taps) * taps : block;
}

/* From one row of a lattice's weights to the next: laid out by prepare, or without gaps. */
static inline idx weights_pitch(const conv_plan *plan, idx k)
{
    return plan->weights == WEIGHTS_BY_ROWS ? line_pitch(k, dtype_bytes(plan->p.dtype)) : k;
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

/* Whether its points follow each other in the result, row after row. */
static inline int lattice_dense(const lattice *lat)
{
    return lat->h.out_step == 1 && lat->w.out_step == 1 && lat->w.grid == lat->w.out_size;
}

/* The points of which no tap reads padding: [p0, p1), with all taps. */
static inline axis_run axis_inner(const conv_axis *axis)
{
    const axis_run first = axis_points(axis, axis->delta < 0 ? axis->taps - 1 : 0), last = axis_points(axis, axis->delta < 0 ? 0 : axis->taps - 1);
    const idx p0 = min_idx(first.p0, axis->grid);
    return (axis_run){p0, max_idx(p0, last.p1), 0, axis->taps};
}

static inline int lattice_inside(const lattice *lat)
{
    return axis_inside(&lat->h) && axis_inside(&lat->w);
}

#endif
