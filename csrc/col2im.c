/* col2im -- bwd_data of few channels from many: a product for each position and tap, then the sum of those that meet.
 */
#include "algorithm.h"

#define COL2IM_BYTES 131072 /* of products that wait in the second-level cache */
#define COL2IM_ROWS 256     /* of them at most */
#define COL2IM_TERM 8       /* cycles of a term's line of the gradient, which lies a plane from the one before: measured */
#define COL2IM_NEAR 2048    /* bytes of a plane, to which the prefetcher goes on by itself: a quarter of that */
#define COL2IM_ADD 4        /* cycles to add a vector of products; one by one where the stride puts them apart */
#define COL2IM_APART 2.5
#define COL2IM_RUN 12       /* cycles to begin with a row of it */
#define COL2IM_TAIL 20      /* cycles of a row, of dy and of products, where a band's last tile is not whole: measured */

/* Rows of the product of a task: a tap of a channel each. */
static double col2im_rows(const conv_plan *plan)
{
    return (double)plan->channels * (double)(plan->p.kh * plan->p.kw);
}

/* So many channels that rows of products are long, and bands of so many positions that all of them stay near. */
static void col2im_block(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    plan->nv = plan->kernels->nv;
    plan->channels = even(p->ic, COL2IM_ROWS / (p->kh * p->kw));
    plan->chunk_n = 1;
    const idx positions = max_idx(tile_columns(plan), (idx)(COL2IM_BYTES / (double)element_bytes(plan) / col2im_rows(plan)));
    plan->chunk_w = p->ow <= positions ? p->ow : min_idx(p->ow, round_up(even(p->ow, positions), tile_columns(plan)));
    plan->chunk_h = plan->chunk_w < p->ow ? 1 : even(p->oh, positions / p->ow);
}

static idx col2im_chunks(const conv_plan *plan)
{
    return plan->p.n * plan->p.groups * ceil_div(plan->p.ic, plan->channels);
}

/* Fewer channels at a time where there are not enough images and groups. */
static void col2im_share(conv_plan *plan)
{
    plan->channels = even(plan->p.ic, min_idx(plan->channels, plan->p.ic * plan->p.n * plan->p.groups / plan->threads));
}

static double col2im_task_bytes(const conv_plan *plan)
{
    return col2im_rows(plan) * (double)(plan->chunk_h * plan->chunk_w) * (double)element_bytes(plan) + 2 * ALIGNMENT +
           (double)matmul_task_bytes(tile_columns(plan), element_bytes(plan));
}

static double col2im_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const double rows = col2im_rows(plan), positions = (double)p->oh * (double)p->ow, lanes = (double)lanes_of(plan);
    const double bands = (double)ceil_div(p->oh, plan->chunk_h) * (double)ceil_div(p->ow, plan->chunk_w);
    const double tiles = bands * (double)ceil_div(plan->chunk_h * plan->chunk_w, tile_columns(plan));
    const double term = positions * (double)element_bytes(plan) < COL2IM_NEAR ? COL2IM_TERM / 4.0 : COL2IM_TERM;
    const double product = 1.1 * tile_cycles(plan, (idx)rows, plan->nv, 0.8) + term * plan->nv;
    const double ends = __builtin_ceil(rows / (double)highest_tile(plan)) * TILE_CYCLES + 2 * rows * plan->nv;
    const double add = p->stride_w == 1 ? COL2IM_ADD / lanes : COL2IM_APART, runs = rows * bands * (double)plan->chunk_h * COL2IM_RUN;
    const double tails = plan->chunk_h * plan->chunk_w % tile_columns(plan) == 0 ? 0 : bands * COL2IM_TAIL * ((double)p->oc + 2 * rows);
    return (double)ceil_div(p->ic, plan->channels) * (tiles * ((double)p->oc * product + ends) + rows * positions * add + runs + tails) +
           (double)(p->ic * p->ih) * (double)p->iw / lanes + COPIED_LINE * far_lines(plan, &plan->envelope);
}

/* Layers of small images, but for the first, lie batch-last in training, if nothing sums in another order there; and a few positions fill no vector,
 * while the weights of lattices serve other images. */
static int col2im_leaves(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const double bytes = (double)p->oc * (double)(p->oh * p->ow) * ALIGNMENT;
    return (p->ic > 3 && p->oc <= 64 && bytes < CACHE_BYTES) || (plan->phases_h * plan->phases_w > 1 && p->oh * p->ow < lanes_of(plan));
}

/* What is added after the sums over channels keeps the bound: their blocks and the taps are no more than accumulation_block allows. */
static int col2im_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const double taps = (double)(p->kh * p->kw), channels = (double)p->oc;
    return p->pass == CONV_BWD_DATA && p->pad_mode == CONV_ZEROS && !col2im_leaves(plan) &&
           (taps == 1 || taps <= 5.5 * (__builtin_sqrt(channels * taps) - __builtin_sqrt(channels)));
}

const conv_algorithm col2im_algorithm = {
    .id = CONV_COL2IM, .kernel = KERNEL_COL2IM, .reason = "gradient of few channels from many: products of all positions, added where they meet",
    .applicable = col2im_applies, .block = col2im_block, .cost = col2im_cost, .chunks = col2im_chunks, .task_bytes = col2im_task_bytes,
    .limit = DIRECT_LIMIT, .regroups = 1, .share = col2im_share, .spans = 1, .task = EVERY_LATTICE,
};
