/* transforms -- the algorithms of fwd and bwd_data that multiply less than the definition does.
 */
#include "algorithm.h"

/* ---- winograd: chunks of tiles, blocks of rows ---- */

#define WINOGRAD_BYTES 1572864 /* of transformed source and weights in a task: they share the second-level cache */
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
    const idx most = WINOGRAD_BYTES / (s.frequencies * s.k * element_bytes(plan)); /* columns and rows together */
    plan->nv = tiles <= lanes_of(plan) ? 1 : plan->kernels->nv;
    const idx nr = tile_columns(plan);
    const int resident = !winograd_keeps(plan) && rows + 2 * nr <= most;
    plan->block_rows = resident ? rows : even(rows, max_idx(mr, min_idx(5 * mr, most / 3)));
    plan->chunk_h = max_idx(2 * nr, (most - plan->block_rows) / nr * nr);
    plan->chunk_h = tiles <= plan->chunk_h ? tiles : round_up(even(tiles, plan->chunk_h), nr);
    plan->chunk_w = resident ? min_idx(tiles, WINOGRAD_TILES) : plan->chunk_h;
}

static double winograd_cost(const conv_plan *plan)
{
    const lattice lat = plan->largest;
    const winograd_shape s = winograd_shape_of(plan);
    const double lanes = (double)lanes_of(plan);
    const double f = (double)s.frequencies, rows = (double)lat.result_channels, k = (double)s.k;
    const double strips = (double)round_up(s.tiles_h * s.tiles_w, lanes_of(plan));
    const double vectors = (double)s.tiles_h * (double)ceil_div(s.tiles_w, lanes_of(plan));
    return 1.3 * f * strips * rows * k / lanes / 2    /* products */
           + 11 * f * vectors * k                     /* source */
           + 11 * f * strips / lanes * rows           /* result */
           + (winograd_keeps(plan) ? 2 : 10) * f * rows * k / lanes; /* weights: read, or made */
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

/* Tasks that split the rows transform the source again, those that split the tiles the weights: whichever is less. */
static void winograd_share(conv_plan *plan)
{
    const winograd_shape s = winograd_shape_of(plan);
    const idx lanes = lanes_of(plan), tiles = plan->p.n * s.tiles_h * s.tiles_w, others = plan->p.groups;
    const idx each = ceil_div(plan->threads, others);
    if (others * ceil_div(tiles, plan->chunk_w) >= 4 * plan->threads)
        return;
    if (!winograd_keeps(plan) && plan->m_rows > tiles)
        plan->m_chunks = min_idx(each, ceil_div(plan->m_rows, plan->kernels->mr));
    else
        plan->chunk_w = min_idx(plan->chunk_w, max_idx(lanes, round_up(ceil_div(tiles, each), lanes)));
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

/* Neighbouring taps and points of stride 1, a reduction long enough to average the transform's errors, and transforms
 * allowed. */
static int winograd_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int allowed = p->algorithm == CONV_WINOGRAD || !p->strict;
    const int taps = p->kh * p->kw > 1 && (p->kh == 1 || p->dil_h == 1) && (p->kw == 1 || p->dil_w == 1);
    return allowed && taps && p->stride_h == 1 && p->stride_w == 1 &&
           (p->pass == CONV_FWD || p->pad_mode == CONV_ZEROS) &&
           ((p->kh > 1 && p->kw > 1) || (p->pass == CONV_FWD ? p->ic : p->oc) >= WINOGRAD_LEAST);
}

static int winograd_fits(const conv_plan *plan)
{
    return winograd_task_bytes(plan) < PANEL_LIMIT;
}

const conv_algorithm winograd_algorithm = {
    CONV_WINOGRAD, KERNEL_WINOGRAD, "stride 1: transforms of short tiles multiply less than the definition does",
    winograd_applies, winograd_block, winograd_cost, winograd_fits, winograd_chunks, winograd_task_bytes, .regroups = 1, .share = winograd_share,
};
