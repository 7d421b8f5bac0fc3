/* plan -- the choice of an algorithm, and how the work is shared out.
 *
 * The cheapest row of the table that applies wins; `auto` looks at one example's shape, the dtype and the ISA, never at the
 * batch or the threads, because bits must not depend on those. Blocking may depend on both: every output is the same sum
 * in the same order however the outputs are cut.
 */
#include "algorithm.h"
#include "cpu.h"
#include "threads.h"

#define CYCLES_PER_THREAD 1e5  /* of the cost below: with less, waking a thread costs more than it saves, where it slept for a millisecond; measured */

/* The plan as a row of the table would have it. */
static void take(conv_plan *plan, const conv_algorithm *a)
{
    plan->algorithm = a;
    const int tiled = a->kernel == KERNEL_DIRECT || a->kernel == KERNEL_GEMM;
    if (plan->p.pass == CONV_BWD_DATA)
        plan->weights = a->regroups ? WEIGHTS_GIVEN : tiled ? WEIGHTS_BY_TILES : WEIGHTS_BY_ROWS;
    else
        plan->weights = plan->p.packed && tiled ? WEIGHTS_BY_TILES : WEIGHTS_GIVEN;
    a->block(plan);
}

/* Leaves the plan blocked for the cheapest row that applies; 0 where none does. */
static int choose(conv_plan *plan)
{
    const int weights = plan->p.pass == CONV_BWD_WEIGHTS;
    const conv_algorithm *best = NULL;
    double least = 0;
    for (const conv_algorithm *const *row = weights ? backward_algorithms : forward_algorithms; *row; row++) {
        const conv_algorithm *const a = *row;
        if (plan->p.algorithm != CONV_AUTO && a->id != plan->p.algorithm)
            continue;
        if ((a->id == CONV_BATCH) != (plan->p.layout != CONV_IMAGES))
            continue;
        if (a->applicable && !a->applicable(plan))
            continue;
        if (best && a->at_least && a->at_least(plan) >= least)
            continue;
        take(plan, a);
        plan->cycles = a->cost(plan);
        if ((!best || plan->cycles < least) && (a->limit == 0 || a->task_bytes(plan) < a->limit)) {
            best = a;
            least = plan->cycles;
        }
    }
    if (best && best != plan->algorithm)
        take(plan, best);
    plan->cycles = least;
    return best != NULL;
}

/* Smaller pieces where the threads would otherwise wait for each other: of the rows where the weights are the larger
 * operand, else of the images and rows of the box. A matter of speed alone: where padding
 * folds back, results are added to in the order of boxes, which stay as they are, one after the other. */
static void share(conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int folded = p->pass == CONV_BWD_DATA && p->pad_mode != CONV_ZEROS;
    /* Some for each thread, so that they end together; but a task of bwd_weights reads both of its arrays whole. */
    const idx wanted = (p->pass == CONV_BWD_WEIGHTS ? 1 : 4) * plan->threads, others = (folded ? 1 : plan->phases_h * plan->phases_w) * p->groups;
    const int kernel = plan->algorithm->kernel;
    plan->m_chunks = 1;
    plan->rows_first = 0;
    if (plan->algorithm->share && plan->threads > 1)
        plan->algorithm->share(plan);
    if (plan->threads == 1 || plan->algorithm->share || kernel == KERNEL_REF || plan->algorithm->spans)
        return;
    if (!folded && p->pass != CONV_BWD_WEIGHTS && (p->oc * p->kh * p->kw < p->n * p->ih * p->iw || kernel == KERNEL_CHANNELS)) {
        while (plan->chunk_n > 1 && others * plan->algorithm->chunks(plan) < wanted)
            plan->chunk_n = ceil_div(plan->chunk_n, 2);
        if (kernel == KERNEL_DIRECT)
            while (plan->chunk_h > 4 && others * plan->algorithm->chunks(plan) < wanted)
                plan->chunk_h = ceil_div(plan->chunk_h, 2);
    }
    if (!folded && plan->chunk_n == 1 && plan->algorithm->cut) {
        plan->algorithm->cut(plan, others * p->n);
        return;
    }
    const idx tasks = others * (folded ? 1 : plan->algorithm->chunks(plan));
    if (tasks < wanted) /* each packs the source again: not for a few tiles of rows, but for a thread's sake */
        plan->m_chunks = max_idx(min_idx(ceil_div(wanted, max_idx(1, tasks)), plan->m_rows / (2 * plan->kernels->mr)),
                                 tasks < plan->threads ? min_idx(plan->threads, plan->m_rows) : 1);
}

/* Of a blocked plan: how many threads are worth it, and the tasks for them. */
static void cut(conv_plan *plan, int max_threads)
{
    const conv_problem *p = &plan->p;
    const double cycles = min_double(plan->cycles, 1e15) * (double)p->groups * (double)p->n;
    plan->max_threads = max_threads;
    plan->threads = (int)max_idx(1, min_idx(max_threads, (idx)min_double(cycles / CYCLES_PER_THREAD, THREADS_MAX)));
    share(plan);
    plan->chunks = plan->algorithm->chunks(plan);
    plan->task_bytes = round_up((idx)plan->algorithm->task_bytes(plan), ALIGNMENT);
    plan->tasks = (plan->algorithm->spans ? 1 : p->groups * plan->m_chunks) * plan->chunks;
    plan->tasks *= plan->algorithm->task == EVERY_LATTICE ? 1 : plan->phases_h;
    plan->tasks *= plan->algorithm->task == ONE_LATTICE ? plan->phases_w : 1;
    plan->scratch_bytes = plan->prepared_bytes + plan->threads * plan->task_bytes;
}

/* A signal that stands upright lies down; and a kernel of one point that moves over all of the image sees one: no rows to begin and end. */
static void flatten(conv_problem *p)
{
    if (p->iw == 1 && p->kw == 1 && p->ow == 1 && p->pad_left == 0 && p->ih > 1) {
        p->iw = p->ih;
        p->ow = p->oh;
        p->kw = p->kh;
        p->stride_w = p->stride_h;
        p->dil_w = p->dil_h;
        p->pad_left = p->pad_top;
        p->pad_right = p->pad_bottom;
        p->ih = p->oh = p->kh = p->stride_h = p->dil_h = 1;
        p->pad_top = p->pad_bottom = 0;
    }
    if (p->kh * p->kw == 1 && p->stride_h == 1 && p->stride_w == 1 && p->oh == p->ih && p->ow == p->iw &&
        p->pad_top + p->pad_left == 0) {
        p->iw = p->ow = p->ih * p->iw;
        p->ih = p->oh = 1;
    }
}

/* Whether a call lays out the weights tile by tile, as a plan that is kept does. A matter of speed alone, as blocking is. */
static int packs_at_once(const conv_plan *plan)
{
    const conv_problem *p = &plan->p;
    const int points = plan->algorithm->kernel == KERNEL_DIRECT && plan->in_place && direct_points(&plan->largest);
    const idx least = points ? POINTS_PACKED : plan->algorithm->kernel == KERNEL_GEMM ? COLUMNS_PACKED : PTRDIFF_MAX;
    return p->pass == CONV_FWD && !p->packed && p->n * p->oh * p->ow >= least;
}

conv_status conv_plan_init(conv_plan *plan, const conv_problem *p, int max_threads)
{
    const idx element = dtype_bytes(p->dtype);
    *plan = (conv_plan){.asked = *p, .p = *p, .kernels = cpu_kernels(), .phases_h = 1, .phases_w = 1, .depth = 1};
    flatten(&plan->p);
    if (p->pass == CONV_BWD_DATA) {
        plan->phases_h = axis_phases(plan->p.kh, plan->p.stride_h, plan->p.dil_h);
        plan->phases_w = axis_phases(plan->p.kw, plan->p.stride_w, plan->p.dil_w);
    }
    plan->largest = largest_lattice(plan);
    plan->envelope = plan_envelope(plan);
    if (!choose(plan))
        return CONV_NOT_APPLICABLE;
    if (packs_at_once(plan))
        plan->weights = WEIGHTS_BY_TILES;
    if (prepares_weights(plan)) {
        plan->prepare_tasks = p->groups * ceil_div(p->pass == CONV_BWD_DATA ? p->ic : p->oc, prepared_together(plan));
        plan->prepared_bytes = round_up(p->groups * weights_laid_out(plan) * element + PACKED_BEYOND, ALIGNMENT);
    }
    cut(plan, max_threads);
    if (plan->weights == WEIGHTS_BY_TILES && p->packed) {
        plan->packed_bytes = round_up(p->groups * weights_laid_out(plan) * element + PACKED_BEYOND, ALIGNMENT);
    } else if (p->packed) {
        plan->packed_offset = round_up(p->groups * p->oc * p->ic * p->kh * p->kw * element, ALIGNMENT);
        plan->packed_bytes = plan->packed_offset;
        if (plan->algorithm->kernel == KERNEL_WINOGRAD && winograd_keeps(plan))
            plan->packed_bytes += winograd_packed(plan) * element;
    }
    return CONV_OK;
}

int conv_plan_serves(const conv_plan *plan, const conv_problem *p)
{
    const conv_problem *q = &plan->asked;
    return plan->kernels == cpu_kernels() && p->n == q->n && p->groups == q->groups && p->ic == q->ic && p->oc == q->oc &&
           p->ih == q->ih && p->iw == q->iw && p->kh == q->kh && p->kw == q->kw && p->stride_h == q->stride_h &&
           p->stride_w == q->stride_w && p->dil_h == q->dil_h && p->dil_w == q->dil_w && p->pad_top == q->pad_top &&
           p->pad_bottom == q->pad_bottom && p->pad_left == q->pad_left && p->pad_right == q->pad_right &&
           p->pass == q->pass && p->dtype == q->dtype && p->pad_mode == q->pad_mode && p->activation == q->activation &&
           p->algorithm == q->algorithm && p->packed == q->packed && p->strict == q->strict &&
           p->layout == q->layout && p->oh == q->oh && p->ow == q->ow;
}

void conv_plan_threads(conv_plan *plan, int max_threads)
{
    plan->algorithm->block(plan);
    cut(plan, max_threads);
}

static const char *const names[CONV_ALGORITHMS] = {
    [CONV_AUTO] = "auto", [CONV_DIRECT] = "direct", [CONV_CHANNELS] = "channels", [CONV_BATCH] = "batch", [CONV_WINOGRAD] = "winograd",
    [CONV_PLANES] = "planes", [CONV_SLIDE] = "slide", [CONV_STENCIL] = "stencil", [CONV_GEMM] = "gemm", [CONV_COL2IM] = "col2im",
    [CONV_FFT] = "fft", [CONV_OUTER] = "outer", [CONV_DOT] = "dot", [CONV_REF] = "ref",
};

const char *conv_algorithm_name(conv_algorithm_id id)
{
    return names[id];
}

conv_algorithm_id conv_plan_algorithm(const conv_plan *plan)
{
    return plan->algorithm->id;
}

const char *conv_plan_reason(const conv_plan *plan)
{
    return plan->algorithm->reason;
}

double conv_plan_cycles(const conv_plan *plan)
{
    return plan->cycles * (double)plan->p.n * (double)plan->p.groups;
}

int conv_plan_kernel(const conv_plan *plan)
{
    return plan->algorithm->kernel;
}
