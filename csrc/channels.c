/* channels -- the box of direct, read element by element; the weights are the panel.
 */
#include "algorithm.h"

#define CHANNELS_LEAST 32    /* points of a task, below which packing all the weights for it weighs */
#define CHANNELS_PACK 5        /* cycles to pack a vector of weights, */
#define CHANNELS_PACK_LARGE 10 /* of many or for a single point, */
#define CHANNELS_PACK_FAR 14   /* and of those from the third-level cache: measured */
#define CHANNELS_SHARE 0.2   /* of that at least: with 0.2 or less one image of 1 to 20 points takes 1.21 times the best choice's time, 64 1.12; with 1 1.10, 1.28 */
#define CHANNELS_TILE 50     /* cycles to begin with a tile and to end it */
#define CHANNELS_FAR 8       /* cycles for a line of a source that is larger than the second-level cache */
#define CHANNELS_PLANE 150   /* cycles to begin with a plane of long rows that is copied */
#define CHANNELS_CALL 5      /* cycles for a line that is called before the tiles meet it */
#define CHANNELS_PANEL 15    /* cycles for a line of a panel that no tile finds in the second-level cache: 4 to 40 */
#define CHANNELS_LINE 6      /* cycles for a line of a tile's source that the first-level cache has lost */
#define CHANNELS_SET 11      /* cycles for one that it has lost to those of other planes in the same sets, where each serves one term */
#define CHANNELS_POINTS 1024 /* of a unit: its rows stay in cache until they are turned round */

static void channels_block(conv_plan *plan)
{
    const lattice lat = plan->largest, all = plan->envelope;
    const double budget = CACHE_BYTES / (double)element_bytes(plan);
    const int whole = plan->p.pass == CONV_BWD_DATA;
    plan->nv = vectors_for_channels(plan, lat.result_channels);
    plan->m_rows = lat.result_channels;
    plan->channels = lat.source_channels;
    plan->chunk_w = whole ? max_idx(1, lat.w.grid) : even(lat.w.grid, CHANNELS_POINTS);
    plan->chunk_h = whole ? max_idx(1, lat.h.grid)
                          : plan->chunk_w < lat.w.grid ? 1 : even(lat.h.grid, CHANNELS_POINTS / plan->chunk_w);
    plan->chunk_n = plan->depth = 1;
    while (!whole && plan->chunk_h > 1 &&
           view_box(plan, &all, 1, plan->chunk_h, plan->chunk_w) * (double)plan->channels > budget)
        plan->chunk_h = ceil_div(plan->chunk_h, 2);
    if (whole || (plan->chunk_h >= lat.h.grid && plan->chunk_w >= lat.w.grid)) {
        const idx points = channels_unit_points(plan);
        plan->chunk_n = max_idx(1, plan->p.n);
        /* images whose points do not fill four tiles of each lattice go several at a time */
        plan->depth = min_idx(plan->chunk_n, max_idx(1, 4 * CHANNELS_ROWS * plan->phases_h * plan->phases_w / points));
    }
}

static double channels_task_bytes(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0), all = plan->envelope;
    const int whole = plan->p.pass == CONV_BWD_DATA;
    const double box = view_box(plan, &all, plan->depth, whole ? all.h.grid : plan->chunk_h, whole ? all.w.grid : plan->chunk_w);
    if ((double)lat.source_channels * (double)plan->p.kh * (double)plan->p.kw + (double)plan->p.ih * (double)plan->p.iw > DIRECT_LIMIT)
        return DIRECT_LIMIT * 64.0;
    return (double)channels_table_bytes(plan, element_bytes(plan)) + 2 * ALIGNMENT +
           (box * (double)plan->channels + 64) * (double)element_bytes(plan);
}

/* The axis with the points of one task alone. */
static conv_axis axis_of_task(conv_axis axis, idx points)
{
    axis.grid = min_idx(axis.grid, points);
    return axis;
}

/* Cycles in which lines of the source come one by one from afar, for every tile again: those of an image that no cache keeps, and those of a
 * task's part of it that the second-level cache has lost when the next columns of the panel read it again: measured (of the gradient of a
 * stride, whose lattices read it many times over, the others' costs say too little as well). */
static double channels_misses(const conv_plan *plan, const lattice *lat, double points)
{
    const lattice all = plan->envelope;
    const double element = (double)element_bytes(plan), tile = CHANNELS_ROWS * (double)lat->w.step * element / ALIGNMENT;
    const double together = 1 + tile + (double)(lat->w.taps - 1) * (double)axis_distance(&lat->w) * element / ALIGNMENT;
    const double rows = (double)(ceil_div(CHANNELS_ROWS, max_idx(1, lat->w.grid)) * lat->h.step + (lat->h.taps - 1) * axis_distance(&lat->h));
    const double apart = (double)lat->h.taps * min_double(together, (double)lat->w.taps * (1 + tile)); /* of a channel, where rows are long */
    const double lines = (double)lat->source_channels * min_double(apart, 1 + rows * (double)lat->w.size * element / ALIGNMENT);
    const double copied = view_box(plan, &all, 1, plan->chunk_h, plan->chunk_w);
    const double bytes = (double)lat->source_channels * element * (copied > 0 ? copied : (double)lat->h.size * (double)lat->w.size);
    const conv_axis h = axis_of_task(all.h, plan->chunk_h), w = axis_of_task(all.w, plan->chunk_w);
    const double read = (double)lat->source_channels * element * (double)axis_reach(&h) * (double)axis_reach(&w);
    const double again = read > CACHE_BYTES && plan->phases_h * plan->phases_w == 1 ? (double)ceil_div(lat->result_channels, plan->nv * lanes_of(plan)) - 1 : 0;
    return points / CHANNELS_ROWS * lines * CHANNELS_FAR * ((bytes > 8 * CACHE_BYTES) + again);
}

/* Cycles of a term in which a tile waits for its source, where planes lie so far from each other that all have the same sets: measured. */
static double channels_sets(const conv_plan *plan, const lattice *lat)
{
    const int lost = (lat->h.size * lat->w.size * element_bytes(plan)) % SETS_REPEAT == 0 && lat->source_channels > CACHE_WAYS;
    const double lines = (double)(CHANNELS_ROWS * lat->w.step * element_bytes(plan)) / ALIGNMENT;
    return lost && lat->h.taps * lat->w.taps == 1 && lattice_inside(&plan->envelope) ? lines * CHANNELS_SET : 0;
}

static double channels_cost(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0), all = plan->envelope;
    const double lanes = (double)lanes_of(plan);
    const double points = (double)(channels_unit_points(plan) / plan->depth); /* of one image: the choice knows no batch */
    const double columns = (double)lanes_for_channels(plan, lat.result_channels);
    /* every lattice of a gradient has its own taps: together those of the kernel */
    const double lattices = (double)(plan->phases_h * plan->phases_w);
    const double k = (double)lat.source_channels * (double)(plan->p.kh * plan->p.kw) / lattices;
    const double boxes = (double)ceil_div(lat.w.grid, plan->chunk_w) * (double)ceil_div(lat.h.grid, plan->chunk_h);
    /* of the weights, for an image: a share of it where they are small and other images follow, most likely; large ones come from further away */
    const double weights = columns * k * lattices * (double)element_bytes(plan);
    const int near = weights <= CACHE_BYTES, shared = near && points > 1 && points < CHANNELS_LEAST;
    const double share = shared ? max_double(CHANNELS_SHARE, points / CHANNELS_LEAST) : 1;
    const double packs = share * (weights > 16 * CACHE_BYTES ? CHANNELS_PACK_FAR : near && points > 1 ? CHANNELS_PACK : CHANNELS_PACK_LARGE);
    const double few = lat.source_channels > 1 ? 1 : machine_of(plan)->channels_few;
    /* a small tile takes terms faster than they come where panel and lines of the source fill the first-level cache, and one of a single
     * vector always: measured */
    const double panel = k * (double)(tile_columns(plan) * element_bytes(plan));
    const double row = 1 + (double)((lat.w.taps - 1) * axis_distance(&lat.w) * element_bytes(plan)) / ALIGNMENT;
    const double lines = (double)(lat.source_channels * lat.h.taps) * min_double(row, (double)lat.w.taps) * ALIGNMENT;
    const int spread = lines > FIRST_CACHE && axis_reach(&all.w) * element_bytes(plan) > 2 * ALIGNMENT;
    const double lost = channels_sets(plan, &lat) + (spread ? CHANNELS_LINE * lines / ALIGNMENT / k : 0);
    const int low = plan->nv == 3 && lat.h.taps * lat.w.taps == 1; /* a line of the source for four points of a tile, not for six: measured */
    const double tight = plan->nv == 1 ? 0.85 : low || panel + lines > FIRST_CACHE ? 0.62 : 0.55;
    const double step = (small_tiles(plan) ? tight : 0.66) + lost / CHANNELS_ROWS / (double)plan->nv;
    const double tiles = boxes * points / CHANNELS_ROWS * columns / lanes / (double)min_idx(plan->nv, plan->kernels->nv);
    const double wanted = max_double(1, boxes * points / CHANNELS_ROWS) * columns * k * (double)element_bytes(plan) / ALIGNMENT; /* lines of panels, by all tiles */
    const double far_panels = panel > 8 * CACHE_BYTES ? CHANNELS_PANEL * wanted : 0;
    /* lines of long rows that are read in place are called before the tiles meet them */
    const double source = lattice_inside(&all) ? (double)(lat.source_channels * lat.h.size * lat.w.size * element_bytes(plan)) : 0;
    const double called = lat.h.size * lat.w.size * element_bytes(plan) < CALLED_LINES * ALIGNMENT ? 0 : CHANNELS_CALL * source / ALIGNMENT;
    /* every box is copied: what it shares with its neighbours again */
    const int whole = plan->p.pass == CONV_BWD_DATA;
    const idx h = whole ? all.h.grid : plan->chunk_h, w = whole ? all.w.grid : plan->chunk_w;
    const double begins = view_positions(&all.w, w) > (double)(VIEW_VECTORS * lanes_of(plan)) ? CHANNELS_PLANE : 0;
    const double copies = boxes * (begins * (double)lat.source_channels + view_cycles(plan, &all, h, w));
    /* whole planes are turned and stored at once; a chunk's rows end anywhere, and each is a copy */
    const double store = boxes > 1 ? 0.6 + 16 / lanes : 0.6;
    return machine_of(plan)->channels_task + called + laid_out(plan) + COPIED_LINE * far_lines(plan, &lat) + channels_misses(plan, &lat, boxes * points) + far_panels +
           few * ((columns > (double)tile_columns(plan) ? boxes : 1) * packs * columns / lanes * k * lattices + boxes * points * columns / lanes * k * step + tiles * CHANNELS_TILE +
                  boxes * points * columns * store + (lattice_inside(&all) ? 0 : copies));
}

/* Every output belongs to exactly one point. */
static int channels_apply(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return p->pass == CONV_FWD || (p->pad_mode == CONV_ZEROS && plan->phases_h == p->stride_h && plan->phases_w == p->stride_w);
}

const conv_algorithm channels_algorithm = {
    .id = CONV_CHANNELS, .kernel = KERNEL_CHANNELS, .reason = "short rows: lanes over channels, the source broadcast from where it lies",
    .applicable = channels_apply, .block = channels_block, .cost = channels_cost, .chunks = box_chunks,
    .task_bytes = channels_task_bytes, .limit = 32 * CACHE_BYTES, .task = EVERY_LATTICE,
};
