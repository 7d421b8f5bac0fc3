/* operators -- tasks of the operators handed to the pool, denormals flushed meanwhile. */
#include "operators.h"

#include "cpu.h"
#include "layouts.h"
#include "threads.h"

#define CYCLES_PER_THREAD 1.5e5 /* with less, waking a thread costs more than it saves */

typedef struct {
    operator_kernel *kernel;
    const void *call;
    idx units, chunk;
    char *scratch;
    idx scratch_bytes; /* of each worker */
} region;

static void region_task(const void *context, idx task, int worker)
{
    const region *r = context;
    r->kernel(r->call, task * r->chunk, min_idx(r->units, (task + 1) * r->chunk), r->scratch + worker * r->scratch_bytes);
}

static int threads_for(double cycles, int max_threads)
{
    const double worth = cycles / CYCLES_PER_THREAD;
    return worth < 1 ? 1 : worth < max_threads ? (int)worth : max_threads;
}

/* The units in runs, four for each thread. */
static void run(region r, double cycles, int max_threads)
{
    const int threads = threads_for(cycles, max_threads);
    const unsigned mode = cpu_flush_denormals();
    r.chunk = max_idx(1, threads == 1 ? r.units : ceil_div(r.units, 4 * threads));
    threads_run(threads, ceil_div(r.units, r.chunk), region_task, &r);
    cpu_restore(mode);
}

static const kernel_set *set(conv_dtype dtype)
{
    return cpu_kernels()->set[dtype];
}

void max_pool_run(const max_pool *p, int max_threads)
{
    const double taps = (double)min_idx(p->kh, p->ih) * (double)min_idx(p->kw, p->iw);
    const idx rows = p->planes * p->oh;
    run((region){set(p->dtype)->max_pool, p, rows}, (double)rows * (double)p->ow * taps, max_threads);
}

static int map_run(operator_kernel *kernel, const plane_map *m, int max_threads)
{
    int bad = 0;
    plane_map call = *m;
    call.bad = &bad;
    run((region){kernel, &call, m->planes}, (double)m->planes * 2 * (double)(m->from + m->to), max_threads);
    return bad ? -1 : 0;
}

int scatter_run(const plane_map *m, int max_threads)
{
    return map_run(set(m->dtype)->scatter, m, max_threads);
}

int gather_run(const plane_map *m, int max_threads)
{
    return map_run(set(m->dtype)->gather, m, max_threads);
}

static double resample_cycles(const resample *r)
{
    return (double)r->planes * (double)r->h.out * ((double)r->w.size * (double)r->h.taps + (double)r->w.out * (double)r->w.taps);
}

static idx resample_task_bytes(const resample *r)
{
    const idx lanes = set(r->dtype)->lanes, width = round_up(r->w.out, lanes), element = dtype_bytes(r->dtype);
    const idx tables = (r->w.weights ? r->w.taps : 0) + 3; /* shift, count and divisor beside the weights */
    return round_up((width * tables + resample_row(r, lanes)) * element + width / lanes * ((idx)sizeof(idx) + 1), ALIGNMENT);
}

idx resample_scratch_bytes(const resample *r, int max_threads)
{
    return threads_for(resample_cycles(r), max_threads) * resample_task_bytes(r);
}

void resample_run(const resample *r, int max_threads, void *scratch)
{
    run((region){set(r->dtype)->resample, r, r->planes * r->h.out, .scratch = scratch,
                 .scratch_bytes = resample_task_bytes(r)},
        resample_cycles(r), max_threads);
}

static double norm_cycles(const batch_norm *b)
{
    return (double)b->n * (double)b->channels * (double)b->points / 4;
}

void batch_norm_run(const batch_norm *b, int max_threads)
{
    run((region){set(b->dtype)->batch_norm, b, b->channels}, norm_cycles(b), max_threads);
}

void batch_norm_grad_run(const batch_norm *b, int max_threads)
{
    run((region){set(b->dtype)->batch_norm_grad, b, b->channels}, 2 * norm_cycles(b), max_threads);
}

static void elementwise(operator_kernel *kernel, const void *call, idx count, double cycles, int max_threads)
{
    run((region){kernel, call, ceil_div(count, ACTIVATION_UNIT)}, cycles * (double)count, max_threads);
}

void leaky_relu_run(const activation *a, int max_threads)
{
    elementwise(set(a->dtype)->leaky_relu, a, a->count, 0.5, max_threads);
}

void gelu_run(const activation *a, int max_threads)
{
    elementwise(set(a->dtype)->gelu, a, a->count, 20, max_threads);
}

void softmax_run(const softmax *s, int max_threads)
{
    const idx units = s->inner == 1 ? s->outer : s->outer * ceil_div(s->inner, SOFTMAX_VECTORS * set(s->dtype)->lanes);
    run((region){set(s->dtype)->softmax, s, units}, 4 * (double)s->outer * (double)s->size * (double)s->inner, max_threads);
}

void add_run(const addition *a, int max_threads)
{
    elementwise(set(a->dtype)->add, a, a->count, 0.5, max_threads);
}
