/* windows -- fwd of few points: every result is the dot product of a window and a kernel, both as they lie, as in a linear layer.
 */
#include "algorithm.h"

#define WINDOWS_MOST 4      /* points of an image: rows of a tile */
#define WINDOWS_LEAST 64    /* terms */
#define WINDOWS_CALL 300    /* cycles to begin */
#define WINDOWS_TILE 40     /* cycles to begin with a tile and to end it, */
#define WINDOWS_SUM 6       /* and for each of its sums over lanes */
#define WINDOWS_REST 8      /* cycles for each row and column whose last vector is not whole */
#define WINDOWS_RUN 4       /* cycles to lay down a row of a window's elements */
#define WINDOWS_LINE 2      /* cycles of a line of weights from the second-level cache, */
#define WINDOWS_FAR 5       /* and from beyond it: measured */

/* Fewer weights on several points are the layers of small networks, which train faster batch-last: there is no such order of a sum. */
static int windows_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return p->pass == CONV_FWD && p->layout == CONV_IMAGES && p->oh * p->ow <= WINDOWS_MOST &&
           p->ic * p->kh * p->kw >= WINDOWS_LEAST && (p->oh * p->ow == 1 || p->oc * p->ic * p->kh * p->kw * element_bytes(plan) >= CACHE_BYTES);
}

static void windows_block(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx images = max_idx(1, p->n);
    plan->nv = plan->kernels->nv;
    plan->depth = p->oc;
    plan->chunk_n = windows_in_place(plan) ? images : min_idx(images, max_idx(1, WINDOWS_ROWS / (p->oh * p->ow)));
}

static double windows_task_bytes(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    if (windows_in_place(plan))
        return 0;
    const double rows = (double)(plan->chunk_n * p->oh * p->ow + 1) * (double)windows_pitch(plan);
    return (rows + view_box(plan, &plan->largest, plan->chunk_n, p->oh, p->ow) * (double)p->ic + 64) * (double)element_bytes(plan) + ALIGNMENT;
}

/* Cycles of a tile of dots_tpl.h: so many rows by as many columns as its registers hold. */
static double windows_tile(const conv_plan *plan, double rows, double columns)
{
    const idx k = plan->p.ic * plan->p.kh * plan->p.kw, lanes = lanes_of(plan);
    const double crossing = k % lanes ? 2 : 1, whole = (double)ceil_div(k, lanes);
    const double term = max_double(rows * columns / 2, (rows + columns * crossing) / 2);
    return whole * max_double(LATENCY, term) + WINDOWS_TILE + WINDOWS_SUM * rows * columns + (k % lanes ? WINDOWS_REST * (rows + columns) : 0);
}

static double windows_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const idx points = p->oh * p->ow, columns = min_idx(8, min_idx(24, plan->kernels->mr * plan->kernels->nv) / points);
    const double weights = (double)(p->ic * p->kh * p->kw) * (double)p->oc * (double)element_bytes(plan);
    const double products = (double)p->oc / (double)columns * windows_tile(plan, (double)points, (double)columns);
    const double lines = weights / ALIGNMENT * (weights > FAR_WEIGHTS ? WINDOWS_FAR : weights > FIRST_CACHE ? WINDOWS_LINE : 0);
    const double runs = (double)(points * p->ic * p->kh) * WINDOWS_RUN * (double)ceil_div(p->kw, lanes_of(plan));
    return WINDOWS_CALL + products + lines + (windows_in_place(plan) ? 0 : runs + view_cycles(plan, &plan->largest, p->oh, p->ow));
}

static idx windows_chunks(const conv_plan *plan)
{
    return plan->p.groups * ceil_div(plan->p.n, plan->chunk_n) * ceil_div(plan->p.oc, plan->depth);
}

/* Fewer columns for each, where images do not suffice. */
static void windows_share(conv_plan *plan)
{
    const idx parts = ceil_div(4 * plan->threads, plan->p.groups * ceil_div(max_idx(1, plan->p.n), plan->chunk_n));
    plan->depth = min_idx(plan->p.oc, round_up(ceil_div(plan->p.oc, parts), lanes_of(plan)));
}

const conv_algorithm windows_algorithm = {
    .id = CONV_DOT, .kernel = KERNEL_WINDOWS, .reason = "few points: dot products of windows and kernels as they lie",
    .applicable = windows_applies, .block = windows_block, .cost = windows_cost, .chunks = windows_chunks, .task_bytes = windows_task_bytes,
    .limit = 32 * CACHE_BYTES, .share = windows_share, .spans = 1, .task = EVERY_LATTICE,
};
