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
#define COL2IM_FAR 16       /* cycles of a line of far weights, which lies a row from the one before: measured */

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
           COL2IM_FAR * far_weights(plan) +
           (double)(p->ic * p->ih) * (double)p->iw / lanes + COPIED_LINE * far_lines(plan, &plan->envelope);
}

/* Layers of small images, but for the first, lie batch-last in training, if nothing sums in another order there. */
static int batch_layer(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return p->ic > 3 && p->oc <= 64 && (double)p->oc * (double)(p->oh * p->ow) * ALIGNMENT < CACHE_BYTES;
}

/* Whether sums over channels keep the bound when those of so many taps are added: with the blocks of those sums they are no more than
 * accumulation_block allows. */
static int keeps_bound(const conv_plan *plan, idx taps)
{
    const double added = (double)taps, channels = (double)plan->p.oc;
    return taps <= 1 || added <= 5.5 * (__builtin_sqrt(channels * added) - __builtin_sqrt(channels));
}

/* A few positions fill no vector, while the weights of lattices serve other images. */
static int col2im_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int few = plan->phases_h * plan->phases_w > 1 && p->oh * p->ow < lanes_of(plan);
    return p->pass == CONV_BWD_DATA && p->pad_mode == CONV_ZEROS && !few && !batch_layer(plan) &&
           keeps_bound(plan, plan->largest.h.taps * plan->largest.w.taps);
}

const conv_algorithm col2im_algorithm = {
    .id = CONV_COL2IM, .kernel = KERNEL_COL2IM, .reason = "gradient of few channels from many: products of all positions, added where they meet",
    .applicable = col2im_applies, .block = col2im_block, .cost = col2im_cost, .chunks = col2im_chunks, .task_bytes = col2im_task_bytes,
    .limit = DIRECT_LIMIT, .regroups = 1, .share = col2im_share, .spans = 1, .task = EVERY_LATTICE,
};

/* ---- positions are the rows of the product ---- */

#define ROWS_BAND 112    /* positions of a product, of one image or of several */
#define ROWS_TASK 5000   /* cycles to begin with channels of an image: measured, as all that follow */
#define ROWS_TURN 0.5    /* cycles to turn an element of dy, */
#define ROWS_LINE 3      /* of a line of the weights, which lie rows apart, */
#define ROWS_FAR 8       /* or of one that is far, */
#define ROWS_WINDOW 25   /* to find where a position belongs, for each product of it, */
#define ROWS_RUN 12      /* and to add a row of its taps */

/* All channels are a task's, some of them a product's: so many that products stay in the second-level cache. */
static void rows_channels(conv_plan *plan, idx channels)
{
    const conv_problem *p = &plan->p;
    plan->m_rows = even(p->ic, channels);
    plan->channels = even(plan->m_rows, COL2IM_BYTES / (plan->depth * p->kh * p->kw * element_bytes(plan)));
}

/* So many of some positions at a time that the products of one channel stay near as well. */
static idx rows_depth(const conv_plan *plan, idx positions)
{
    const idx row = plan->p.kh * plan->p.kw * element_bytes(plan);
    return even(max_idx(1, positions), max_idx(highest_tile(plan), min_idx(ROWS_BAND, COL2IM_BYTES / row)));
}

static void rows_block(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx positions = max_idx(1, p->oh * p->ow);
    plan->nv = plan->kernels->nv;
    plan->chunk_n = max_idx(1, min_idx(p->n, ROWS_BAND / positions));
    plan->chunk_h = p->oh;
    plan->chunk_w = p->ow;
    plan->depth = rows_depth(plan, plan->chunk_n * positions);
    rows_channels(plan, p->ic);
}

static idx rows_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.n, plan->chunk_n) * plan->p.groups * ceil_div(plan->p.ic, plan->m_rows);
}

/* Fewer channels at a time, then images, where there are not enough of both. */
static void rows_share(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    rows_channels(plan, p->ic * ceil_div(p->n, plan->chunk_n) * p->groups / plan->threads);
    while (plan->chunk_n > 1 && rows_chunks(plan) < plan->threads)
        plan->chunk_n = ceil_div(plan->chunk_n, 2);
}

static double rows_task_bytes(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const matrix_product product = col2im_rows_product(plan, plan->depth, plan->channels);
    const double products = (double)plan->depth * (double)plan->channels * (double)(p->kh * p->kw);
    return ((double)col2im_rows_turned(plan) + products) * (double)element_bytes(plan) + 2 * ALIGNMENT +
           (double)matmul_task_bytes(&product, tile_columns(plan), element_bytes(plan));
}

static double few_rows_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx depth = rows_depth(plan, p->oh * p->ow), taps = p->kh * p->kw;
    const double positions = (double)p->oh * (double)p->ow, bands = __builtin_ceil(positions / (double)depth), lanes = (double)lanes_of(plan);
    const double columns = (double)p->ic * (double)taps, lines = columns * (double)(p->oc * element_bytes(plan)) / ALIGNMENT;
    const double products = __builtin_ceil(columns * (double)(depth * element_bytes(plan)) / COL2IM_BYTES);
    const double tiles = bands * products * __builtin_ceil(columns / products / (double)tile_columns(plan));
    const double runs = (double)(p->ic * p->kh) * (p->dil_w == 1 ? ROWS_RUN : ROWS_RUN + COL2IM_APART * (double)p->kw);
    return ROWS_TASK + tiles * (double)p->oc * tile_cycles(plan, depth, plan->nv, 0) +
           bands * (ROWS_LINE * lines + (ROWS_FAR - ROWS_LINE) * far_weights(plan)) +
           ROWS_TURN * positions * (double)p->oc + positions * (products * ROWS_WINDOW + runs) +
           (double)(p->ic * p->ih) * (double)p->iw / lanes + COPIED_LINE * far_lines(plan, &plan->envelope);
}

/* Of a batch-last layer, the few positions of a large kernel. */
static int rows_apply(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return p->pass == CONV_BWD_DATA && p->pad_mode == CONV_ZEROS && !(batch_layer(plan) && 4 * p->oh * p->ow > p->kh * p->kw) &&
           keeps_bound(plan, min_idx(plan->largest.h.taps, p->oh) * min_idx(plan->largest.w.taps, p->ow));
}

const conv_algorithm col2im_rows_algorithm = {
    .id = CONV_COL2IM, .kernel = KERNEL_COL2IM_ROWS,
    .reason = "few positions, many taps or far weights: products whose rows are positions, added where they meet",
    .applicable = rows_apply, .block = rows_block, .cost = few_rows_cost, .chunks = rows_chunks, .task_bytes = rows_task_bytes,
    .limit = DIRECT_LIMIT, .regroups = 1, .share = rows_share, .spans = 1, .task = EVERY_LATTICE,
};
