/* col2im -- bwd_data of few channels from many: a product for each position and tap, then the sum of those that meet.
 */
#include "algorithm.h"

#define COL2IM_BYTES 131072 /* of products that wait in the second-level cache */
#define COL2IM_ROWS 256     /* of them at most */
#define COL2IM_TASK 450     /* cycles to begin with some channels of an image */
#define COL2IM_TERM 8       /* cycles of a term's line of the gradient, which lies a plane from the one before: measured */
#define COL2IM_NEAR 2048    /* bytes of a plane, to which the prefetcher goes on by itself: a quarter of that */
#define COL2IM_ADD 4        /* cycles to add a vector of products, with a stride of two of two taps side by side; else one by one */
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
    const matrix_product product = col2im_product(plan, plan->channels, plan->chunk_h * plan->chunk_w);
    return col2im_rows(plan) * (double)(plan->chunk_h * plan->chunk_w) * (double)element_bytes(plan) + 2 * ALIGNMENT +
           (double)matmul_task_bytes(&product, tile_columns(plan), element_bytes(plan));
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
    const double turns = (double)ceil_div(p->kw, col2im_together(p)) / (double)p->kw; /* of a tap */
    const double add = p->stride_w > 2 ? COL2IM_APART : p->stride_w * COL2IM_ADD / lanes * turns;
    const double runs = rows * bands * (double)plan->chunk_h * COL2IM_RUN;
    const double tails = plan->chunk_h * plan->chunk_w % tile_columns(plan) == 0 ? 0 : bands * COL2IM_TAIL * ((double)p->oc + 2 * rows);
    return (double)ceil_div(p->ic, plan->channels) * (COL2IM_TASK + tiles * ((double)p->oc * product + ends) + rows * positions * add + runs + tails) +
           (double)(p->ic * p->ih) * (double)p->iw / lanes + COPIED_LINE * far_lines(plan, &plan->envelope);
}

/* Layers of small images, but for the first, lie batch-last in training, if nothing sums in another order there. */
static int batch_layer(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return p->ic > 3 && p->oc <= 64 && (double)p->oc * (double)(p->oh * p->ow) * ALIGNMENT < CACHE_BYTES;
}

/* Whether `added` sums over channels keep the bound when they are added: with the blocks of those sums they are no more than
 * accumulation_block allows. */
static int keeps_bound(const conv_problem *p, double added)
{
    const double taps = (double)(p->kh * p->kw), channels = (double)p->oc;
    return added == 1 || added <= 5.5 * (__builtin_sqrt(channels * taps) - __builtin_sqrt(channels));
}

/* A few positions fill no vector, while the weights of lattices serve other images. */
static int col2im_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int few = plan->phases_h * plan->phases_w > 1 && p->oh * p->ow < lanes_of(plan);
    return p->pass == CONV_BWD_DATA && p->pad_mode == CONV_ZEROS && !few && !batch_layer(plan) && keeps_bound(p, (double)(p->kh * p->kw));
}

const conv_algorithm col2im_algorithm = {
    .id = CONV_COL2IM, .kernel = KERNEL_COL2IM, .reason = "gradient of few channels from many: products of all positions, added where they meet",
    .applicable = col2im_applies, .block = col2im_block, .cost = col2im_cost, .chunks = col2im_chunks, .task_bytes = col2im_task_bytes,
    .limit = DIRECT_LIMIT, .regroups = 1, .share = col2im_share, .spans = 1, .task = EVERY_LATTICE,
};

/* ---- positions are the rows of the product ---- */

#define ROWS_POSITIONS 16 /* of an image, at most */
#define ROWS_TOGETHER 48  /* of some images */
#define ROWS_TURN 1.5     /* cycles to turn an element of dy */
#define ROWS_LINE 5       /* cycles of a line of the weights, which lie rows apart */

static void rows_block(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx positions = max_idx(1, p->oh * p->ow);
    plan->nv = plan->kernels->nv;
    plan->chunk_n = max_idx(1, min_idx(p->n, ROWS_TOGETHER / positions));
    plan->chunk_h = p->oh;
    plan->chunk_w = p->ow;
    const double row = (double)(plan->chunk_n * positions) * (double)(p->kh * p->kw) * (double)element_bytes(plan);
    plan->channels = even(p->ic, (idx)min_double(COL2IM_BYTES / row, (double)p->ic));
}

static idx rows_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.n, plan->chunk_n) * plan->p.groups * ceil_div(plan->p.ic, plan->channels);
}

/* Fewer channels at a time, then images, where there are not enough of both. */
static void rows_share(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx others = ceil_div(p->n, plan->chunk_n) * p->groups;
    plan->channels = even(p->ic, min_idx(plan->channels, p->ic * others / plan->threads));
    while (plan->chunk_n > 1 && rows_chunks(plan) < plan->threads)
        plan->chunk_n = ceil_div(plan->chunk_n, 2);
}

static double rows_task_bytes(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const double rows = (double)(plan->chunk_n * p->oh * p->ow), columns = (double)plan->channels * (double)(p->kh * p->kw);
    const matrix_product product = {.m = plan->chunk_n * p->oh * p->ow, .n = plan->channels * p->kh * p->kw, .k = p->oc, .a_col = 1};
    const double turned = (rows + (double)lanes_of(plan)) * (double)line_pitch(p->oc, element_bytes(plan));
    return (turned + rows * columns) * (double)element_bytes(plan) + 2 * ALIGNMENT +
           (double)matmul_task_bytes(&product, tile_columns(plan), element_bytes(plan));
}

static double few_rows_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx positions = p->oh * p->ow, taps = p->kh * p->kw;
    const double columns = (double)p->ic * (double)taps, lanes = (double)lanes_of(plan), rows = (double)positions;
    const double tiles = __builtin_ceil(columns / (double)tile_columns(plan));
    const double product = max_double(ROWS_LINE, 1.1 * tile_cycles(plan, positions, plan->nv, 0));
    const int joined = p->ow == 1 && p->kw == p->iw && p->pad_left == 0;
    const double runs = joined ? rows * (double)p->ic : rows * (double)p->ic * (double)p->kh;
    return COL2IM_TASK + tiles * ((double)p->oc * product + (double)ceil_div(positions, highest_tile(plan)) * TILE_CYCLES + 2 * rows) +
           ROWS_TURN * rows * (double)p->oc + runs * COL2IM_RUN + rows * columns * COL2IM_ADD / lanes +
           (double)(p->ic * p->ih) * (double)p->iw / lanes + COPIED_LINE * far_lines(plan, &plan->envelope);
}

/* Of a batch-last layer, the few positions of a large kernel. */
static int rows_apply(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx positions = p->oh * p->ow;
    return p->pass == CONV_BWD_DATA && p->pad_mode == CONV_ZEROS && positions <= ROWS_POSITIONS &&
           !(batch_layer(plan) && 4 * positions > p->kh * p->kw) &&
           keeps_bound(p, (double)(min_idx(p->kh, p->oh) * min_idx(p->kw, p->ow)));
}

const conv_algorithm col2im_rows_algorithm = {
    .id = CONV_COL2IM, .kernel = KERNEL_COL2IM_ROWS, .reason = "gradient from few positions: products of all taps, added where they meet",
    .applicable = rows_apply, .block = rows_block, .cost = few_rows_cost, .chunks = rows_chunks, .task_bytes = rows_task_bytes,
    .limit = DIRECT_LIMIT, .regroups = 1, .share = rows_share, .spans = 1, .task = EVERY_LATTICE,
};
