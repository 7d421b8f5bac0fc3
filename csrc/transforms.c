/* transforms -- the algorithms of fwd and bwd_data that multiply less than the definition does.
 */
#include "algorithm.h"

/* ---- winograd: chunks of tiles, blocks of rows ---- */

#define WINOGRAD_BYTES 1572864 /* of transformed source and weights in a task, where one block has all rows */
#define WINOGRAD_SOURCE 5242880 /* of transformed source, where weights come block by block for all of it */
#define WINOGRAD_APART 2.0     /* cycles to gather an element, or to put one */
#define WINOGRAD_LINE 80       /* cycles to write a line of transforms to memory and to read it */
#define WINOGRAD_TILES 1024    /* of a task whose weights are transformed once */

/* Weights in one block where that leaves room for two strips of source; else blocks of a tile's rows or a few, which
 * every strip of the task shares. */
static void winograd_tile(conv_plan *plan, const lattice *lat, idx tile)
{
    const idx mr = plan->kernels->mr, rows = lat->result_channels;
    plan->tile_h = lat->h.taps == 1 ? 1 : tile;
    plan->tile_w = lat->w.taps == 1 ? 1 : tile;
    const winograd_shape s = winograd_shape_of(plan);
    const idx tiles = max_idx(1, plan->p.n * s.tiles_h * s.tiles_w);
    const idx each = s.frequencies * s.k * element_bytes(plan), most = WINOGRAD_BYTES / each; /* columns and rows together */
    plan->nv = tiles <= lanes_of(plan) ? 1 : plan->kernels->nv;
    const idx nr = tile_columns(plan);
    const int resident = rows + 2 * nr <= most;
    plan->block_rows = resident ? rows : even(rows, max_idx(mr, min_idx(5 * mr, most / 3)));
    plan->chunk_h = max_idx(2 * nr, (resident ? most - rows : WINOGRAD_SOURCE / each) / nr * nr);
    plan->chunk_h = tiles <= plan->chunk_h ? tiles : round_up(even(tiles, plan->chunk_h), nr);
    plan->chunk_w = resident ? min_idx(tiles, WINOGRAD_TILES) : plan->chunk_h;
}

#define SOURCE_FAR 4194304 /* bytes of a source, beyond which it comes from memory */

/* Cycles in which its lines come, a tile's worth of each row at a time: measured. */
static double far_source(const conv_plan *plan, const lattice *lat)
{
    const double bytes = (double)lat->source_channels * (double)lat->h.size * (double)lat->w.size * (double)element_bytes(plan);
    return bytes > SOURCE_FAR ? bytes / ALIGNMENT * 30 : 0;
}

static double winograd_cost(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const winograd_shape s = winograd_shape_of(plan);
    const double lanes = (double)lanes_of(plan);
    const double f = (double)s.frequencies, rows = (double)lat.result_channels, k = (double)s.k;
    const double strips = (double)round_up(s.tiles_h * s.tiles_w, lanes_of(plan));
    /* cycles of a vector of a frequency, of the source's first group of taps and of each other, and of the result: measured */
    const int both = s.tile_h > 1 && s.tile_w > 1;
    const double first = both ? 13 : s.tile_w > 1 ? 15 : 28, other = both ? first : 5, channels = (double)lat.source_channels;
    const double vectors = (double)(s.tiles_h * (s.tiles_w / s.each_w)) * (double)ceil_div(s.each_w, lanes_of(plan));
    /* a dilated row is gathered and its results are put one by one: measured */
    const double apart = s.apart_w == 1 ? 0 : WINOGRAD_APART * (double)(s.tiles_h * s.tiles_w * s.tile_w) *
        (k * (double)(s.tile_h > 1 ? s.tile_h + 2 : 1) + rows * (double)s.tile_h);
    /* where not even a tile's rows and columns stay in the second-level cache, transforms go to memory and come from there: measured */
    const double spilled = f * k * (double)(plan->kernels->mr + 2 * tile_columns(plan)) * (double)element_bytes(plan) > 2 * WINOGRAD_BYTES;
    return far_source(plan, &lat) + apart
           + spilled * f * k * (rows + strips) * (double)element_bytes(plan) / ALIGNMENT * WINOGRAD_LINE
           + (both && s.tiles_h * s.tiles_w > tile_columns(plan) ? 1.5 : 1.3) * f * strips * rows * k / lanes / 2 /* products */
           + f * vectors * (first * channels + other * (k - channels)) + first * f * strips / lanes * rows
           /* weights: made, even where a plan has kept them, so that it chooses as the function does */
           + (channels * ((both ? 40 : 20) + 3 * (double)(lat.h.taps * lat.w.taps)) + 2 * f * k) * rows / lanes;
}

static void winograd_block(conv_plan *plan)
{
    const lattice lat = plan->largest;
    plan->m_rows = lat.result_channels;
    plan->channels = lat.source_channels;
    plan->chunk_n = plan->chunk_h = 1;
    double two = 1e300;
    if (lat.h.taps > 1 && lat.w.taps > 1) {
        winograd_tile(plan, &lat, 2);
        if (lat.source_channels < WINOGRAD_LEAST || winograd_shape_of(plan).k < 2 * WINOGRAD_LEAST)
            return;
        two = winograd_cost(plan);
    }
    winograd_tile(plan, &lat, 4);
    if (two < winograd_cost(plan))
        winograd_tile(plan, &lat, 2);
}

/* Tasks that split the rows transform the source again, those that split the tiles the weights: whichever is less. Few tasks are as many for
 * each thread, or most would wait for the last. */
static void winograd_share(conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    const idx lanes = lanes_of(plan), tiles = plan->p.n * s.tiles_h * s.tiles_w, others = plan->p.groups;
    const idx each = ceil_div(plan->threads, others), tasks = ceil_div(tiles, plan->chunk_w);
    if (others * tasks >= 4 * plan->threads)
        return;
    if (!winograd_keeps(plan) && plan->m_rows > tiles)
        plan->m_chunks = min_idx(each, ceil_div(plan->m_rows, plan->kernels->mr));
    else
        plan->chunk_w = min_idx(plan->chunk_w, max_idx(lanes, round_up(ceil_div(tiles, round_up(tasks, each)), lanes)));
}

static double winograd_task_bytes(const conv_plan *plan)
{
    return (double)(winograd_layout(plan, lanes_of(plan)).total * element_bytes(plan) + 2 * ALIGNMENT);
}

static idx winograd_chunks(const conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    return ceil_div(plan->p.n * s.tiles_h * s.tiles_w, plan->chunk_w);
}

/* Points of stride 1, a reduction long enough to average the transform's errors, and transforms
 * allowed. */
static int winograd_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int allowed = p->algorithm == CONV_WINOGRAD || !p->strict;
    return allowed && p->kh * p->kw > 1 && p->stride_h == 1 && p->stride_w == 1 &&
           (p->pass == CONV_FWD || p->pad_mode == CONV_ZEROS) &&
           ((p->kh > 1 && p->kw > 1) || (p->pass == CONV_FWD ? p->ic : p->oc) >= WINOGRAD_LEAST);
}

const conv_algorithm winograd_algorithm = {
    .id = CONV_WINOGRAD, .kernel = KERNEL_WINOGRAD, .reason = "stride 1: transforms of short tiles multiply less than the definition does",
    .applicable = winograd_applies, .block = winograd_block, .cost = winograd_cost, .chunks = winograd_chunks,
    .task_bytes = winograd_task_bytes, .limit = PANEL_LIMIT, .regroups = 1, .share = winograd_share,
};

/* ---- fft: pairs of tiles of an image ---- */

#define FFT_LEAST 24       /* taps: the noise of fewer is too much for the bound, and they never pay */
#define FFT_LONGEST 16384  /* transform of a row */
#define FFT_WIDEST 1024    /* transform of a plane, along an axis */
#define FFT_SHARE 8        /* pairs for each kernel in a task, so that its transform is a small part of it */

/* Cycles to transform a vector of a pair, either way: for each of its levels; to move, to turn and to measure it, more for rows, where the pair
 * has left the first-level cache, three times that where the second, or elements move one by one; to multiply it, kernels from the second-level cache or from beyond;
 * and to begin a row. Measured. */
#define FFT_LEVEL 1.9
#define FFT_MOVE 20.0
#define FFT_LINES 6.0
#define FFT_FAR 12.0
#define FFT_APART 15.0
#define FFT_PRODUCT 8.0
#define FFT_FAR_PRODUCT 20.0
#define FFT_ROW 120.0

static double fft_cost(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const fft_shape s = fft_shape_of(plan);
    const double c = (double)lat.source_channels, m = (double)lat.result_channels;
    const double vectors = (double)s.rows * (double)s.strips_w;
    const double levels = __builtin_log2((double)s.w.length) + (s.plane ? __builtin_log2((double)s.rows) : 0);
    const idx bytes = s.bundle * element_bytes(plan);
    const double far = bytes > CACHE_BYTES ? 3 * FFT_FAR : bytes > FIRST_CACHE ? FFT_FAR : 0;
    const double apart = s.w.step > 1 || s.w.apart > 1 ? FFT_APART : 0;
    const double move = s.plane ? FFT_MOVE : FFT_MOVE + FFT_LINES;
    const double transform = vectors * (FFT_LEVEL * levels + move + far) + FFT_ROW * (double)s.rows;
    const double product = c * m * (double)(s.spectrum * element_bytes(plan)) > CACHE_BYTES ? FFT_FAR_PRODUCT : FFT_PRODUCT;
    return (double)s.units * ((c + m) * (transform + apart * vectors) + product * c * m * vectors) + c * m * transform;
}

/* The lengths that cost least. */
static void fft_block(conv_plan *plan)
{
    const lattice lat = plan->largest;
    const idx lanes = lanes_of(plan), kernels = lat.source_channels * lat.result_channels;
    const int plane = lat.h.taps > 1;
    double least = 1e300;
    idx best_h = 0, best_w = 0;
    for (plan->tile_h = plane ? max_idx(16, lanes) : 1; plan->tile_h <= (plane ? FFT_WIDEST : 1); plan->tile_h *= 2)
        for (plan->tile_w = max_idx(16, lanes); plan->tile_w <= (plane ? FFT_WIDEST : FFT_LONGEST); plan->tile_w *= 2) {
            if (plan->tile_h < lat.h.taps || plan->tile_w < lat.w.taps)
                continue;
            const double cycles = fft_cost(plan);
            if (cycles < least) {
                least = cycles;
                best_h = plan->tile_h;
                best_w = plan->tile_w;
            }
        }
    plan->tile_h = best_h;
    plan->tile_w = best_w;
    plan->m_rows = lat.result_channels;
    plan->chunk_n = plan->chunk_h = 1;
    const idx units = fft_shape_of(plan).units, wanted = FFT_SHARE * ceil_div(2 * kernels, lat.source_channels + lat.result_channels);
    plan->chunk_h = even(max_idx(1, units), wanted);
    if (plan->chunk_h >= units)
        plan->chunk_n = max_idx(1, min_idx(plan->p.n, ceil_div(wanted, max_idx(1, units))));
}

static idx fft_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.n, plan->chunk_n) * ceil_div(max_idx(1, fft_shape_of(plan).units), plan->chunk_h);
}

static double fft_task_bytes(const conv_plan *plan)
{
    return (double)fft_shape_of(plan).total * (double)element_bytes(plan) + ALIGNMENT;
}

/* A kernel of some size that is wider than a column and no longer than a transform, and transforms allowed. */
static int fft_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int asked = p->algorithm == CONV_FFT;
    return (asked || (!p->strict && p->kh * p->kw >= FFT_LEAST)) && p->kw > 1 && p->kh <= FFT_WIDEST &&
           p->kw <= (p->kh > 1 ? FFT_WIDEST : FFT_LONGEST) &&
           (p->pass == CONV_FWD || (p->pad_mode == CONV_ZEROS && p->stride_h == 1 && p->stride_w == 1));
}

/* Every result in a vector of some pair, and the smallest of transforms. */
static double fft_at_least(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const idx shortest = max_idx(16, lanes_of(plan));
    const int plane = lat.h.taps > 1;
    const double c = (double)lat.source_channels, m = (double)lat.result_channels, lanes = (double)lanes_of(plan);
    const double rows = plane ? (double)max_idx(shortest, lat.h.taps) : lanes;
    const double transform = FFT_MOVE + FFT_LEVEL * (plane ? 8 : 4);
    return (double)lat.h.grid * (double)lat.w.grid / lanes / 2 * ((c + m) * transform + c * m * FFT_PRODUCT) +
           c * m * rows * (double)max_idx(shortest, lat.w.taps) / lanes * transform;
}

const conv_algorithm fft_algorithm = {
    .id = CONV_FFT, .kernel = KERNEL_FFT, .reason = "a large kernel on few channels: products of spectra multiply less than sums of products",
    .applicable = fft_applies, .block = fft_block, .cost = fft_cost, .chunks = fft_chunks, .task_bytes = fft_task_bytes,
    .limit = DIRECT_LIMIT, .regroups = 1, .at_least = fft_at_least,
};
