/* batch -- lanes over the images of a batch, in arrays that lie batch-last: all three passes of small images.
 */
#include "algorithm.h"

#define BATCH_LEAST 16 /* images: fewer leave the vectors empty */

/* Images whose turned source stays in the second-level cache, in whole lines; of a source that lies batch-last, all. */
static idx batch_images(const conv_plan *plan, const lattice *lat, idx most)
{
    const idx line = ALIGNMENT / element_bytes(plan), rows = lat->source_channels * lat->h.size * lat->w.size;
    const idx cached = plan->p.layout == CONV_BATCH_RESULT ? CACHE_BYTES / (rows * element_bytes(plan)) : most;
    return max_idx(line, min_idx(most, cached) / line * line);
}

/* A few images of all source channels stay in the second-level cache, and offsets in 32 bits. */
static int batch_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const lattice lat = plan_lattice(plan, 0, 0);
    const double source = (double)lat.source_channels * (double)(lat.h.size * lat.w.size);
    return p->pad_mode == CONV_ZEROS && source * ALIGNMENT < CACHE_BYTES && source * (double)batch_pitch(plan, p->n) < INT32_MAX &&
           (p->pass != CONV_BWD_DATA || (p->layout == CONV_BATCH_LAST && plan->phases_h == p->stride_h && plan->phases_w == p->stride_w));
}

/* Whether sums have the same order in every layout: those of one block, or the blocks of `channels`. */
static int same_order(const conv_plan *images)
{
    const conv_algorithm_id id = images->algorithm->id;
    const lattice lat = plan_lattice(images, 0, 0); /* of the most taps */
    const idx taps = lat.h.taps * lat.w.taps, k = lat.source_channels * taps;
    return id == CONV_CHANNELS ? lattice_block(&lat) >= taps : id != CONV_WINOGRAD && id != CONV_FFT && id != CONV_COL2IM && id != CONV_DOT && accumulation_block(k) == k;
}

/* Whether the gradients can follow y, and with the same bits as in small batches, which do not lie batch-last. */
static int gradient_follows(conv_problem p)
{
    conv_plan images, batch;
    p.pass = CONV_BWD_DATA;
    p.activation = CONV_LINEAR;
    p.layout = CONV_IMAGES;
    if (conv_plan_init(&images, &p, 1) != CONV_OK || !same_order(&images))
        return 0;
    p.layout = CONV_BATCH_LAST;
    return conv_plan_init(&batch, &p, 1) == CONV_OK;
}

int conv_batch_pays(const conv_problem *p)
{
    conv_plan images, batch;
    conv_problem q = *p;
    q.layout = CONV_IMAGES;
    return p->n >= BATCH_LEAST && conv_plan_init(&batch, p, 1) == CONV_OK && conv_plan_init(&images, &q, 1) == CONV_OK &&
           batch.cycles <= images.cycles && same_order(&images) &&
           (p->layout == CONV_BATCH_RESULT || gradient_follows(q));
}

#define LINEAR_BYTES 65536 /* of the source, which every tile passes through: an estimate, between the first two caches */

int conv_batch_linear(const conv_problem *p)
{
    return p->n >= BATCH_LEAST && p->ic < DOTS_LEAST && p->oc < DOTS_LEAST && p->ic * conv_batch_row(p->n, dtype_bytes(p->dtype)) <= LINEAR_BYTES;
}

/* ---- fwd and bwd_data ---- */

#define BATCH_TILE 50 /* cycles in which a tile begins and ends */

static void batch_block(conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    plan->nv = vectors_for_rows(plan->kernels, lat.result_channels);
    plan->m_rows = lat.result_channels;
    plan->chunk_n = min_idx(max_idx(1, plan->p.n), batch_images(plan, &lat, round_up(plan->p.n, ALIGNMENT)));
    if (plan->p.layout == CONV_BATCH_LAST)
        plan->chunk_n = max_idx(1, plan->p.n);
}

static double batch_cost(const conv_plan *plan)
{
    const double lanes = (double)lanes_of(plan), columns = (double)tile_columns(plan);
    double cycles = 0;
    for (idx q = 0; q < plan->phases_h * plan->phases_w; q++) {
        const lattice lat = plan_lattice(plan, q / plan->phases_w, q % plan->phases_w);
        const double points = (double)(lat.h.grid * lat.w.grid), rows = (double)lat.result_channels;
        const double k = (double)(lat.source_channels * lat.h.taps * lat.w.taps);
        const double tiles = (double)ceil_div(lat.result_channels, plan->kernels->mr * plan->kernels->nv / plan->nv);
        cycles += points * (rows * k / lanes / 2 + tiles * BATCH_TILE / columns);
    }
    return cycles;
}

static idx batch_chunks(const conv_plan *plan)
{
    return ceil_div(plan->p.n, plan->chunk_n);
}

/* The same images for all points, so that threads share no line. */
static void batch_share(conv_plan *plan)
{
    const idx columns = max_idx(tile_columns(plan), ALIGNMENT / element_bytes(plan)), wanted = 4 * plan->threads;
    plan->chunk_n = min_idx(plan->chunk_n, round_up(ceil_div(plan->p.n, ceil_div(wanted, plan->p.groups)), columns));
}

static double batch_task_bytes(const conv_plan *plan)
{
    const lattice lat = plan_lattice(plan, 0, 0);
    const idx terms = lat.source_channels * lat.h.taps * lat.w.taps;
    return (double)(batch_packed(plan, &lat) + round_up(plan->m_rows * terms, lanes_of(plan))) * (double)element_bytes(plan) +
           (double)terms * sizeof(int32_t) + ALIGNMENT;
}

const conv_algorithm batch_algorithm = {
    .id = CONV_BATCH, .kernel = KERNEL_BATCH, .reason = "small images that lie batch-last: lanes over the images of a batch",
    .applicable = batch_applies, .block = batch_block, .cost = batch_cost, .chunks = batch_chunks, .task_bytes = batch_task_bytes,
    .regroups = 1, .share = batch_share, .task = EVERY_LATTICE,
};

/* ---- bwd_weights ---- */

static void batch_weights_block(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const lattice lat = plan_lattice(plan, 0, 0);
    plan->nv = 1;
    plan->m_rows = p->ic;
    /* a lane adds no more than a block of accumulation before its sum is added to the others */
    plan->chunk_n = batch_images(plan, &lat, accumulation_block(max_idx(1, p->n * p->oh * p->ow)) * lanes_of(plan));
}

static double batch_weights_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return (double)(p->oc * p->ic * p->kh * p->kw) * (double)(p->oh * p->ow) / (double)lanes_of(plan) * 0.6;
}

static idx batch_weights_chunks(const conv_plan *plan)
{
    (void)plan;
    return 1;
}

static double batch_weights_bytes(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const lattice lat = plan_lattice(plan, 0, 0);
    return (double)batch_packed(plan, &lat) * (double)element_bytes(plan) + (double)(p->ic * p->kh * p->kw) * sizeof(idx) + ALIGNMENT;
}

const conv_algorithm batch_weights_algorithm = {
    .id = CONV_BATCH, .kernel = KERNEL_BATCH_WEIGHTS,
    .reason = "small images that lie batch-last: dot products along the images of a batch",
    .applicable = batch_applies, .block = batch_weights_block, .cost = batch_weights_cost, .chunks = batch_weights_chunks,
    .task_bytes = batch_weights_bytes,
};
