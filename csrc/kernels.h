/* kernels.h -- the function table: what every ISA target exports, and nothing else of it is visible.
 *
 * A target fills one kernel_table with one kernel_set for each dtype. The planning files know the machine through the numbers here
 * alone; run.c calls through the pointers.
 */
#ifndef FASTCONV_KERNELS_H
#define FASTCONV_KERNELS_H

#include "conv.h"
#include "operators.h"

/* What a task of a convolution sees. Which array is read and which is written depends on the pass (conv_run). */
typedef struct {
    const conv_plan *plan;
    const void *src;      /* fwd, bwd_weights: x.  bwd_data: dy */
    const void *weights;  /* fwd: w.  bwd_data, and fwd with many columns: w as the prepare step laid it out.  bwd_weights: dy */
    const void *bias;
    const void *gate;     /* bwd_data: NULL, or an array like dx, which is zero where that is not positive */
    const void *beside;   /* fwd by direct or gemm: NULL, or an array like y, which is added before the activation */
    void *dst;            /* fwd: y.  bwd_data: dx.  bwd_weights: dw */
    char *prepared;
    char *scratch;        /* task_bytes for each worker */
} conv_call;

typedef void conv_task(const void *call, idx task, int worker);

/* Units [begin, end) of an operator: rows of outputs, planes or channels. */
typedef void operator_kernel(const void *call, idx begin, idx end, char *scratch);

enum {
    KERNEL_DIRECT, KERNEL_CHANNELS, KERNEL_BATCH, KERNEL_WINOGRAD, KERNEL_FFT, KERNEL_PLANES, KERNEL_SLIDE, KERNEL_STENCIL, KERNEL_GEMM,
    KERNEL_COL2IM, KERNEL_COL2IM_ROWS, KERNEL_WINDOWS, KERNEL_SCALE,
    KERNEL_WEIGHTS, KERNEL_BATCH_WEIGHTS, KERNEL_OUTER, KERNEL_DOT, KERNEL_SLIDE_WEIGHTS,
    KERNEL_REF, KERNELS
};

typedef struct {
    int lanes; /* elements in a vector */
    conv_task *conv[KERNELS];
    conv_task *prepare; /* weights regrouped for bwd_data */
    conv_task *share_source; /* winograd's transforms of it */
    void (*pack)(const conv_plan *plan, const void *w, void *packed); /* the weights of a plan that is kept */
    void (*bias_grad)(const conv_problem *p, const void *dy, void *db);
    void (*batch_to_images)(idx images, idx rows, const void *src, void *dst);
    void (*images_to_batch)(idx images, idx rows, const void *src, void *dst);
    conv_task *matmul, *dots; /* of a matrix_product */
    double (*cross_entropy)(idx n, idx classes, const void *logits, const int64_t *labels, double divisor, void *grad);
    double (*peak)(idx count);
    void (*sgd)(idx n, void *data, const void *grad, void *velocity, const sgd_settings *settings);
    void (*adam)(idx n, void *data, const void *grad, void *mean, void *square, const adam_settings *settings);
    void (*relu)(idx n, const void *x, void *y);
    void (*relu_grad)(idx n, const void *dy, const void *y, void *dx);
    operator_kernel *max_pool, *scatter, *gather, *resample, *batch_norm, *batch_norm_grad, *leaky_relu, *gelu, *softmax, *add;
} kernel_set;

typedef struct kernel_table {
    const char *name;
    int mr;   /* rows of the widest tile: heights 1..mr with nv vectors, 1..mr/2 with 2 nv, 1..mr/4 with 4 nv */
    int nv;
    const kernel_set *set[CONV_DTYPES];
} kernel_table;

#endif
