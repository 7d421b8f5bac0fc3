/* operators -- what surrounds convolutions in a network: max pooling, resampling (average pooling and interpolation),
 * batch normalization, activations, softmax, sums. The API beside conv.h.
 *
 * Arrays are dense, C-ordered, aligned for their dtype, and made of planes: a plane is one channel of one image, of
 * height 1 in 1-D. Sizes are those of arrays that exist, so no product of them overflows; strides, padding and dilation
 * have been checked so that every window meets its plane. `max_threads` never changes a bit of a result: tasks are runs of
 * outputs. Scratch is 64-byte aligned.
 */
#ifndef FASTCONV_OPERATORS_H
#define FASTCONV_OPERATORS_H

#include "conv.h"

/* y[o] = the largest x of window o; a NaN wins over all. indices (NULL: not wanted): where it lies in the plane, the
 * first of equals, the last of NaNs. */
typedef struct {
    idx planes, ih, iw, oh, ow, kh, kw;
    idx stride_h, stride_w, pad_h, pad_w, dil_h, dil_w;
    conv_dtype dtype;
    const void *x;
    void *y;
    int64_t *indices;
} max_pool;

void max_pool_run(const max_pool *p, int max_threads);

/* Plane by plane: scatter writes y[indices[i]] = x[i], or adds it, to a y of zeros in the order of i; gather reads
 * y[i] = x[indices[i]]. -1 where an index is outside its plane. */
typedef struct {
    idx planes, from, to;   /* elements of a plane of x and of y */
    conv_dtype dtype;
    const void *x;
    const int64_t *indices;
    void *y;
    int add;                /* scatter */
    int *bad;               /* set by the run functions */
} plane_map;

int scatter_run(const plane_map *m, int max_threads);
int gather_run(const plane_map *m, int max_threads);

/* A linear map along one axis: output o is the sum of source elements first[o] to first[o] + count[o] - 1, each times its
 * weight, over divisor[o]. Runs begin and end in ascending order. */
typedef struct {
    idx size, out, taps;    /* of the source, of the result; the largest count */
    idx *first, *count;     /* (out) */
    double *weights;        /* (taps, out); NULL: all 1 */
    double *divisor;        /* (out); NULL: all 1 */
} band;

/* Each fills the tables of a band whose sizes are set and whose arrays have room (band.c). */
void band_window(band *b, idx kernel, idx stride, idx pad, int count_include_pad); /* means; no weights */
void band_adaptive(band *b);                                                       /* likewise */
void band_nearest(band *b, double scale);               /* neither; scale: outputs to an input, 0: out / size */
void band_linear(band *b, double scale, int align_corners); /* 2 taps; no divisor */
/* The map of the gradient: first and count, and taps; then its weights, which there must be room for. */
void band_transpose_runs(band *t, const band *b);
void band_transpose_weights(band *t, const band *b);

/* y = the map of both axes of every plane of x. */
typedef struct {
    idx planes;
    band h, w;
    conv_dtype dtype;
    const void *x;
    void *y;
} resample;

idx resample_scratch_bytes(const resample *r, int max_threads);
void resample_run(const resample *r, int max_threads, void *scratch);

/* Batch normalization of x (n, channels, points) by channel: y = (x - mean) / sqrt(var + eps) * weight + bias. */
typedef struct {
    idx n, channels, points;
    conv_dtype dtype;
    const void *x, *weight, *bias;  /* weight and bias (channels), or NULL */
    const void *dy;                 /* backward alone */
    void *mean, *var;               /* (channels): read, or with batch_stats written: those of x, var biased */
    void *y;                        /* backward: dx, or NULL */
    void *dweight, *dbias;          /* (channels), or NULL: backward alone */
    double eps;
    int batch_stats;                /* mean and var are x's, and the gradient knows it */
} batch_norm;

void batch_norm_run(const batch_norm *b, int max_threads);
void batch_norm_grad_run(const batch_norm *b, int max_threads);

/* y = f(x), or dy * f'(x) where dy is given, of `count` elements. */
typedef struct {
    idx count;
    conv_dtype dtype;
    const void *x, *dy;
    void *y;
    double slope;           /* leaky ReLU */
    int approximate;        /* GELU: by tanh */
} activation;

void leaky_relu_run(const activation *a, int max_threads);
void gelu_run(const activation *a, int max_threads);

#define SOFTMAX_VECTORS 16 /* of sums that lie beside each other, at a time */

/* y = exp(x) / sum(exp(x)), or its logarithm, of x (outer, size, inner), the sum along size. */
typedef struct {
    idx outer, size, inner;
    conv_dtype dtype;
    const void *x;
    void *y;
    int logarithm;
} softmax;

void softmax_run(const softmax *s, int max_threads);

/* y = a + b, with `relu` its positive part, of `count` elements. */
typedef struct {
    idx count;
    conv_dtype dtype;
    const void *a, *b;
    void *y;
    int relu;
} addition;

void add_run(const addition *a, int max_threads);

#endif
