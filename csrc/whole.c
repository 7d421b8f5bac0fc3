/* whole -- fwd by a kernel as large as its image: every result is one dot product, as in a linear layer.
 */
#include "algorithm.h"

#define WHOLE_CALL 300   /* cycles to begin */
#define WHOLE_VECTOR 0.6 /* cycles of a vector of one image: loads of both of its factors */
#define WHOLE_RESULT 10  /* cycles of a sum over lanes */
#define WHOLE_FAR 4      /* cycles of a line of weights that the second-level cache does not keep: measured */

/* No tap meets padding; shorter sums would end before lanes along them pay, and a batch-last layer has another order. */
static int whole_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return p->pass == CONV_FWD && p->layout == CONV_IMAGES && p->oh * p->ow == 1 && p->kh == p->ih && p->kw == p->iw &&
           lattice_inside(&plan->envelope) && p->ic * p->kh * p->kw >= DOTS_LEAST;
}

static void whole_block(conv_plan *plan)
{
    plan->nv = plan->kernels->nv;
    plan->depth = plan->p.oc;
}

static double whole_cost(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const double weights = (double)(p->ic * p->kh * p->kw) * (double)p->oc, bytes = weights * (double)element_bytes(plan);
    return WHOLE_CALL + weights / (double)lanes_of(plan) * WHOLE_VECTOR + (double)p->oc * WHOLE_RESULT +
           (bytes > CACHE_BYTES ? bytes / ALIGNMENT * WHOLE_FAR : 0);
}

static idx whole_chunks(const conv_plan *plan)
{
    return plan->p.groups * ceil_div(plan->p.oc, plan->depth);
}

static void whole_share(conv_plan *plan)
{
    const idx parts = ceil_div(4 * plan->threads, plan->p.groups);
    plan->depth = min_idx(plan->p.oc, round_up(ceil_div(plan->p.oc, parts), lanes_of(plan)));
}

const conv_algorithm whole_algorithm = {
    .id = CONV_DOT, .kernel = KERNEL_WHOLE, .reason = "a kernel as large as its image: dot products of both as they lie",
    .applicable = whole_applies, .block = whole_block, .cost = whole_cost, .chunks = whole_chunks, .task_bytes = no_scratch,
    .share = whole_share, .spans = 1, .task = EVERY_LATTICE,
};
