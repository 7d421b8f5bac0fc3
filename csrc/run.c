/* run -- from a plan to the kernels: tasks handed to the pool, denormals flushed meanwhile. */
#include <string.h>

#include "cpu.h"
#include "layouts.h"
#include "threads.h"

/* One region of the pool: the kernel, and for folded gradients the tasks that must follow one another. */
typedef struct {
    const conv_call *call;
    conv_task *kernel;
    idx outer, groups, inner, m_chunks;
} serial_region;

static void forward_task(const void *context, idx task, int worker)
{
    const serial_region *r = context;
    r->kernel(r->call, task, worker);
}

/* Several points of a padded plane may fold into one input: the lattices and chunks of a (group, rows) pair go one after
 * the other, in an order that does not depend on the threads. */
static void folded_task(const void *context, idx task, int worker)
{
    const serial_region *r = context;
    const idx group = task / r->m_chunks, m_chunk = task % r->m_chunks;
    for (idx o = 0; o < r->outer; o++)
        for (idx i = 0; i < r->inner; i++)
            r->kernel(r->call, ((o * r->groups + group) * r->inner + i) * r->m_chunks + m_chunk, worker);
}

static const kernel_set *set_of(const conv_plan *plan)
{
    return plan->kernels->set[plan->p.dtype];
}

/* A result of bwd_data as no tap has met it: zeros, or the bias of its channel. */
static void blank(const conv_problem *p, const char *b, char *y)
{
    const size_t element = (size_t)dtype_bytes(p->dtype), plane = (size_t)(p->ih * p->iw) * element;
    const idx channels = p->groups * p->ic;
    if (!b)
        memset(y, 0, plane * (size_t)(p->n * channels));
    else
        for (idx i = 0; i < p->n * channels; i++)
            for (size_t at = 0; at < plane; at += element)
                memcpy(y + (size_t)i * plane + at, b + (size_t)(i % channels) * element, element);
}

int conv_plan_adds(const conv_plan *plan)
{
    return conv_plan_kernel(plan) == KERNEL_DIRECT || conv_plan_kernel(plan) == KERNEL_GEMM;
}

/* Forward by a kernel that adds nothing: the activation waits for the sum. */
static void run_and_add(const conv_plan *plan, const void *x, const void *w, const void *b, const void *other, void *y, void *scratch)
{
    const conv_problem *p = &plan->p;
    conv_plan linear = *plan;
    linear.p.activation = CONV_LINEAR;
    conv_run(&linear, x, w, b, NULL, y, scratch);
    const addition sum = {.count = p->n * p->groups * p->oc * p->oh * p->ow, .dtype = p->dtype, .relu = p->activation == CONV_RELU,
                          .a = y, .b = other, .y = y};
    add_run(&sum, plan->max_threads);
}

void conv_run(const conv_plan *plan, const void *x, const void *w, const void *b, const void *other, void *y, void *scratch)
{
    if (other && plan->p.pass == CONV_FWD && !conv_plan_adds(plan)) {
        run_and_add(plan, x, w, b, other, y, scratch);
        return;
    }
    const conv_problem *p = &plan->p;
    const unsigned mode = cpu_flush_denormals();
    const int folded = p->pass == CONV_BWD_DATA && p->pad_mode != CONV_ZEROS;
    const void *const gate = p->pass == CONV_BWD_DATA ? other : NULL;
    conv_call call = {.plan = plan, .src = x, .weights = w, .bias = b, .gate = gate, .dst = y,
                      .beside = p->pass == CONV_FWD ? other : NULL, .prepared = scratch,
                      .scratch = (char *)scratch + plan->prepared_bytes};
    serial_region r = {&call, plan->shares_source ? set_of(plan)->share_source : set_of(plan)->prepare, plan->phases_h * plan->phases_w, p->groups, plan->chunks,
                       plan->m_chunks};
    const size_t element = (size_t)dtype_bytes(p->dtype);

    if (p->pass == CONV_BWD_DATA) {
        if (folded || plan->phases_h < p->stride_h || plan->phases_w < p->stride_w)
            blank(p, b, y);
    } else if (p->pass == CONV_BWD_WEIGHTS && p->n == 0) {
        memset(y, 0, element * (size_t)(p->groups * p->oc * p->ic * p->kh * p->kw));
    }
    if (plan->prepare_tasks > 0 && p->n > 0)
        threads_run(plan->threads, plan->prepare_tasks, forward_task, &r);
    if (prepares_weights(plan))
        call.weights = call.prepared;
    r.kernel = set_of(plan)->conv[conv_plan_kernel(plan)];
    const int kernel = conv_plan_kernel(plan);
    for (int i = 0; i < plan->threads && (kernel == KERNEL_GEMM || kernel == KERNEL_CHANNELS); i++)
        *(idx *)(call.scratch + i * plan->task_bytes) = PANELS_NONE;
    if (p->n > 0)
        threads_run(plan->threads, folded ? p->groups * plan->m_chunks : plan->tasks,
                    folded ? folded_task : forward_task, &r);
    if (gate && p->layout == CONV_IMAGES)
        relu_grad_run(p->dtype, p->n * p->groups * p->ic * p->ih * p->iw, y, gate, y);
    cpu_restore(mode);
}

void conv_pack(const conv_plan *plan, const void *w, void *packed)
{
    const unsigned mode = cpu_flush_denormals();
    set_of(plan)->pack(plan, w, packed);
    cpu_restore(mode);
}

void conv_bias_grad(const conv_problem *p, const void *dy, void *db)
{
    const unsigned mode = cpu_flush_denormals();
    cpu_kernels()->set[p->dtype]->bias_grad(p, dy, db);
    cpu_restore(mode);
}

idx conv_batch_row(idx images, idx element)
{
    return line_pitch(images, element) * element;
}

void conv_batch_to_images(conv_dtype dtype, idx images, idx rows, const void *src, void *dst)
{
    cpu_kernels()->set[dtype]->batch_to_images(images, rows, src, dst);
}

void conv_images_to_batch(conv_dtype dtype, idx images, idx rows, const void *src, void *dst)
{
    cpu_kernels()->set[dtype]->images_to_batch(images, rows, src, dst);
}

static int matmul_threads(const matrix_product *p, int max_threads)
{
    return 2.0 * (double)p->m * (double)p->n * (double)p->k < 4e6 ? 1 : max_threads;
}

/* Long rows of both are read as they lie. */
static int matmul_by_dots(const matrix_product *p)
{
    return p->a_col == 1 && p->b_row == 1 && p->k >= DOTS_LEAST;
}

idx matmul_scratch_bytes(const matrix_product *p, int max_threads)
{
    const idx nr = (idx)cpu_kernels()->nv * cpu_kernels()->set[p->dtype]->lanes;
    return matmul_by_dots(p) ? 0 : matmul_threads(p, max_threads) * matmul_task_bytes(p, nr, dtype_bytes(p->dtype));
}

/* An empty sum: rows of the bias. */
static void matmul_bias(const matrix_product *p)
{
    const size_t row = (size_t)(p->n * dtype_bytes(p->dtype));
    for (idx i = 0; i < p->m; i++) {
        char *const c = (char *)p->c + (size_t)i * row;
        if (p->bias)
            memcpy(c, p->bias, row);
        else
            memset(c, 0, row);
        if (p->relu)
            relu_run(p->dtype, p->n, c, c);
    }
}

void matmul_run(matrix_product *p, int max_threads)
{
    const unsigned mode = cpu_flush_denormals();
    const int threads = matmul_threads(p, max_threads), dots = matmul_by_dots(p);
    const kernel_set *set = cpu_kernels()->set[p->dtype];
    p->rows = p->m;
    p->columns = p->n;
    if (p->k == 0 || p->m == 0)
        matmul_bias(p);
    else {
        if (threads > 1)
            p->columns = round_up(even(p->n, ceil_div(p->n, 4 * threads)), dots ? set->lanes : 2 * (idx)cpu_kernels()->nv * set->lanes);
        const idx tiles = ceil_div(p->n, p->columns);
        if (threads > 1 && tiles < 4 * threads)
            p->rows = ceil_div(p->m, min_idx(ceil_div(p->m, 32), ceil_div(4 * threads, tiles)));
        threads_run(threads, tiles * ceil_div(p->m, p->rows), dots ? set->dots : set->matmul, p);
    }
    cpu_restore(mode);
}

void relu_run(conv_dtype dtype, idx n, const void *x, void *y)
{
    cpu_kernels()->set[dtype]->relu(n, x, y);
}

void relu_grad_run(conv_dtype dtype, idx n, const void *dy, const void *y, void *dx)
{
    cpu_kernels()->set[dtype]->relu_grad(n, dy, y, dx);
}

double cross_entropy_run(conv_dtype dtype, idx n, idx classes, const void *logits, const int64_t *labels, double divisor,
                         void *grad)
{
    for (idx i = 0; i < n; i++)
        if (labels[i] < 0 || labels[i] >= classes)
            return -1;
    return cpu_kernels()->set[dtype]->cross_entropy(n, classes, logits, labels, divisor, grad);
}

void sgd_run(conv_dtype dtype, idx n, void *data, const void *grad, void *velocity, const sgd_settings *settings)
{
    cpu_kernels()->set[dtype]->sgd(n, data, grad, velocity, settings);
}

void adam_run(conv_dtype dtype, idx n, void *data, const void *grad, void *mean, void *square, const adam_settings *settings)
{
    cpu_kernels()->set[dtype]->adam(n, data, grad, mean, square, settings);
}

double peak_run(conv_dtype dtype, idx count)
{
    return cpu_kernels()->set[dtype]->peak(count);
}
