/* scale -- fwd and bwd_data by one tap on one channel: each plane of the results is a plane of the source times a number.
 */
#include "algorithm.h"

#define SCALE_PLANE 25   /* cycles to begin with a plane of the results */
#define SCALE_VECTOR 1.5 /* cycles of a vector: its load and its store */
#define SCALE_LINE 10    /* cycles of a line from memory or to it: measured */

/* Whether one tap moves over all of an axis, element by element. With a stride, padding can make as many outputs as there are inputs. */
static int scale_moves(idx size, idx outputs, idx stride, idx before)
{
    return outputs == size && before == 0 && (stride == 1 || size == 1);
}

/* One channel to each result, whose only tap moves over all of the source and meets no padding. */
static int scale_applies(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return one_channel(plan) && p->kh * p->kw == 1 && scale_moves(p->ih, p->oh, p->stride_h, p->pad_top) &&
           scale_moves(p->iw, p->ow, p->stride_w, p->pad_left);
}

static double scale_plane(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return SCALE_PLANE + SCALE_VECTOR * (double)ceil_div(p->ih * p->iw, lanes_of(plan));
}

/* Some planes of the source, or so many elements of one. */
static void scale_block(conv_plan *plan)
{
    const idx points = plan->p.ih * plan->p.iw;
    const double cycles = scale_plane(plan) * (double)plan->largest.result_channels, parts = __builtin_ceil(cycles / PLANES_WORK);
    plan->chunk_n = max_idx(1, (idx)(PLANES_WORK / cycles));
    plan->chunk_w = max_idx(1, round_up((idx)((double)points / parts), ALIGNMENT));
}

static double scale_cost(const conv_plan *plan)
{
    return scale_plane(plan) * (double)plan->largest.result_channels + SCALE_LINE * far_lines(plan, &plan->largest);
}

static idx scale_chunks(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    return ceil_div(p->n * p->groups, plan->chunk_n) * ceil_div(p->ih * p->iw, plan->chunk_w);
}

const conv_algorithm scale_algorithm = {
    .id = CONV_STENCIL, .kernel = KERNEL_SCALE, .reason = "one tap on one channel: planes times a number",
    .applicable = scale_applies, .block = scale_block, .cost = scale_cost, .chunks = scale_chunks, .task_bytes = no_scratch,
    .regroups = 1, .spans = 1, .task = EVERY_LATTICE,
};
