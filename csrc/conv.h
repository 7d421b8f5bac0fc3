/* conv.h -- the whole C API of the convolution core.
 *
 * A call is conv_problem -> conv_plan_init -> conv_run:
 *
 *   conv_problem_check   shape arithmetic with checked overflow; fills oh, ow; nothing else trusts the caller
 *   conv_plan_init       pure arithmetic and a scan of the algorithm table: no allocation, nothing shared
 *   conv_run             packs, multiplies, stores; `scratch` holds conv_plan.scratch_bytes bytes, 64-byte aligned
 *
 *
 * A forward problem that says `packed` takes, instead of w, what conv_pack made of it once: conv_plan.packed_bytes bytes,
 * 64-byte aligned, read alone from then on.
 *
 * Arrays are dense, C-ordered and aligned for their dtype: x (n, groups*ic, ih, iw), w (groups*oc, ic, kh, kw),
 * b (groups*oc), y (n, groups*oc, oh, ow); dx, dw, db and dy have the shapes of x, w, b and y.
 * A 1-D convolution is a 2-D one of height 1.
 */
#ifndef FASTCONV_CONV_H
#define FASTCONV_CONV_H

#include <stddef.h>
#include <stdint.h>

typedef ptrdiff_t idx;

typedef enum { CONV_F32, CONV_F64, CONV_DTYPES } conv_dtype;
typedef enum { CONV_FWD, CONV_BWD_DATA, CONV_BWD_WEIGHTS } conv_pass;
typedef enum { CONV_ZEROS, CONV_REFLECT, CONV_REPLICATE, CONV_CIRCULAR } conv_pad_mode;
typedef enum { CONV_LINEAR, CONV_RELU } conv_activation;
/* How arrays of images lie: as above; batch-last, (channel, point, image) in rows of batch_pitch; or x as above and y batch-last. */
typedef enum { CONV_IMAGES, CONV_BATCH_LAST, CONV_BATCH_RESULT } conv_layout;
typedef enum {
    CONV_AUTO,
    CONV_DIRECT,
    CONV_CHANNELS,
    CONV_BATCH,
    CONV_WINOGRAD,
    CONV_PLANES,
    CONV_SLIDE,
    CONV_STENCIL,
    CONV_GEMM,
    CONV_COL2IM,
    CONV_FFT,
    CONV_OUTER,
    CONV_DOT,
    CONV_REF,
    CONV_ALGORITHMS
} conv_algorithm_id;

typedef enum {
    CONV_OK,
    CONV_BAD_SIZE,       /* a size, stride, dilation or group count that is not positive, or negative padding */
    CONV_BAD_KERNEL,     /* the kernel's extent exceeds the padded input, or the input is empty */
    CONV_BAD_PADDING,    /* reflect needs pad < size, circular pad <= size */
    CONV_OVERFLOW,       /* a product of sizes does not fit in memory's index type */
    CONV_NOT_APPLICABLE  /* the algorithm asked for does not apply to this problem */
} conv_status;

typedef struct {
    idx n, groups, ic, oc; /* ic and oc count the channels of one group */
    idx ih, iw, kh, kw;
    idx stride_h, stride_w, dil_h, dil_w;
    idx pad_top, pad_bottom, pad_left, pad_right;
    idx oh, ow; /* filled by conv_problem_check */
    conv_pass pass;
    conv_dtype dtype;
    conv_pad_mode pad_mode;
    conv_activation activation;
    conv_layout layout;
    conv_algorithm_id algorithm;
    int packed;  /* fwd: the weights come from conv_pack */
    int strict;  /* auto stays with sums in the order of the definition: no transforms */
} conv_problem;

/* One axis of a correlation between lattices: output point p and tap t meet at source index p*step + first + t*delta
 * and the result belongs at output index out_first + p*out_step. Forward is one such lattice; the gradient of the
 * input is one for every residue of the output index modulo the stride, so that no tap of it multiplies a zero. */
typedef struct {
    idx size;                   /* extent of the source axis */
    idx grid;                   /* output points */
    idx step, first, delta, taps;
    idx out_size, out_first, out_step;
    idx tap_first, tap_step;    /* tap t is the kernel's element tap_first + t*tap_step */
} conv_axis;

typedef struct {
    conv_axis h, w;
    idx source_channels; /* reduced over, of one group */
    idx result_channels; /* of one group */
} lattice;

/* Points [p0, p1) of an axis that the same taps [t0, t1) meet, the others padding. */
typedef struct {
    idx p0, p1, t0, t1;
} axis_run;

typedef struct conv_algorithm conv_algorithm;

typedef struct {
    conv_problem asked, p;      /* as it came, and as the kernels see it */
    const conv_algorithm *algorithm;
    const struct kernel_table *kernels;
    int nv;                     /* vectors in a row of the tile */
    idx phases_h, phases_w;     /* lattices: 1 x 1 but for bwd_data with stride */
    lattice largest, envelope;  /* of these the most points and taps; all that they read */
    idx channels;               /* channels in one block of the packed source */
    idx chunk_n, chunk_h, chunk_w; /* of one task: images, rows, columns; gemm: chunk_w counts points of an image, or
                                      columns of dw; winograd: tiles, of which chunk_h are
                                      transformed at a time; fft: chunk_h counts pairs of tiles */
    idx pitch;                  /* direct: elements from one packed row to the next */
    int in_place;               /* direct: rows are read where they lie */
    idx tile_h, tile_w;         /* winograd: points of a tile; fft: length of a transform; 1: the axis is not transformed */
    idx block_rows;             /* winograd: of the result, at a time */
    idx depth;                  /* weights: positions reduced over at a time; outer: output channels of a task;
                                      stencil: rows at a time */
    idx m_rows;                 /* what m_chunks divides: output channels; outer: input channels; dot: their taps */
    idx chunks, m_chunks, tasks; /* tasks = phases * groups * chunks * m_chunks */
    int rows_first;             /* tasks that follow one another have the same rows, and so the same weights; else the same source */
    enum { WEIGHTS_GIVEN, WEIGHTS_BY_ROWS, WEIGHTS_BY_TILES } weights; /* as the caller has them; rows apart as weights_pitch says (bwd_data by channels);
                                   the rows of a tile term by term (packed, bwd_data, or for many columns) */
    int shares_source;          /* winograd: the source's transforms are made before the tasks, by all threads, for all tasks */
    idx prepare_tasks;          /* tasks that come before the others: over the weights that a call lays out, or over the source that is shared */
    idx prepared_bytes, task_bytes; /* scratch: shared, and for each thread */
    idx packed_offset, packed_bytes; /* packed weights: w itself, then at an offset what the kernel made of it */
    idx scratch_bytes;
    int threads, max_threads;   /* of at most so many */
    double cycles; /* of one example and group, by the cost model */
} conv_plan;

conv_status conv_problem_check(conv_problem *p);
const char *conv_status_string(conv_status status);
double conv_flops(const conv_problem *p);

/* A problem of `auto` without the taps that meet nothing but zero padding, and how many of those come before the others. */
typedef struct {
    conv_problem p;
    idx top, left;
} conv_trim;

int conv_problem_trim(const conv_problem *p, conv_trim *trim); /* whether there are any */
idx conv_trim_bytes(const conv_trim *trim);                    /* of the smaller weights */
/* Weights to the smaller ones; or, where `spread`, those to weights of which the others are 0. */
void conv_trim_move(const conv_problem *p, const conv_trim *trim, const void *from, void *to, int spread);

/* Rectangles of the outputs of fwd or bwd_data by `auto` that meet the same few taps, as runs of their axes; those without taps are bias. */
#define REGIONS_MOST 24
typedef struct {
    int rows, columns;
    int tall, wide; /* whether that axis is cut */
    axis_run h[REGIONS_MOST], w[REGIONS_MOST];
} conv_regions;

/* Of an axis of a region: outputs, the part of the source that they read, taps of the kernel, and the padding that is left. */
typedef struct {
    idx to, to_end, from, from_end, tap, tap_end, before, after;
} conv_span;

int conv_problem_regions(const conv_problem *p, conv_regions *r); /* whether it pays to solve them one by one */
void conv_region(const conv_problem *p, const conv_regions *r, int row, int column, conv_problem *small, conv_span *h, conv_span *w);
/* Rows of so many bytes from planes to planes; pitches in bytes. */
void conv_part_move(const void *from, idx from_plane, idx from_row, void *to, idx to_plane, idx to_row, idx planes, idx rows, idx bytes);

/* Whether no value is infinite or NaN: times the zeros of padding those are NaN, and nothing may be left out. */
int conv_finite(conv_dtype dtype, idx count, const void *values);

/* `max_threads` bounds conv_plan.threads; it never changes a bit of the result. */
conv_status conv_plan_init(conv_plan *plan, const conv_problem *p, int max_threads);
/* Whether the plan is what conv_plan_init would make of this problem. */
int conv_plan_serves(const conv_plan *plan, const conv_problem *p);
/* Shares the work of a plan out anew: as if conv_plan_init had had this bound. */
void conv_plan_threads(conv_plan *plan, int max_threads);
void conv_pack(const conv_plan *plan, const void *w, void *packed);
const char *conv_algorithm_name(conv_algorithm_id id);
conv_algorithm_id conv_plan_algorithm(const conv_plan *plan);
const char *conv_plan_reason(const conv_plan *plan);
/* Of a forward problem that asks for a batch-last y: whether it is the faster layout, and gives the same bits. */
int conv_batch_pays(const conv_problem *p);
/* Whether matrices that lie batch-last are better multiplied as convolutions of images of one point than by matmul; the bits are the same. */
int conv_batch_linear(const conv_problem *p);
int conv_plan_kernel(const conv_plan *plan);
/* Whether its kernel adds `other` (conv_run) where it stores: `y` may be `other` itself, each element of which is read before it is written. */
int conv_plan_adds(const conv_plan *plan);
double conv_plan_cycles(const conv_plan *plan); /* of one core, by the cost model, for all examples and groups */

/* fwd: (x, w, b or NULL) -> y, to which `other`, NULL or an array like y, is added before the activation.  bwd_data: (dy, w, b or NULL) -> dx, a bias
 * for each channel of dx as transposed convolutions have it (zero padding alone), and zero where `other`, NULL or an array like dx, is
 * not positive.  bwd_weights: (x, dy, NULL) -> dw. */
void conv_run(const conv_plan *plan, const void *x, const void *w, const void *b, const void *other, void *y, void *scratch);
/* Bytes from one row of images to the next in an array that lies batch-last. */
idx conv_batch_row(idx images, idx element);
/* An array that lies batch-last, `rows` channels times points, as an array of images, and the other way. */
void conv_batch_to_images(conv_dtype dtype, idx images, idx rows, const void *src, void *dst);
void conv_images_to_batch(conv_dtype dtype, idx images, idx rows, const void *src, void *dst);
void conv_bias_grad(const conv_problem *p, const void *dy, void *db);

/* c (m, n) = act(a (m, k) b (k, n) + bias (n)); strides in elements, c's rows dense, a_row or a_col 1. */
typedef struct {
    idx m, n, k;
    const void *a, *b, *bias;
    void *c;
    idx a_row, a_col, b_row, b_col, c_row;
    idx points; /* 0, or c is images, c_row apart, of (n, points): row i is point i % points of image i / points. Of the kernel for long rows */
    int relu;
    conv_dtype dtype;
    char *scratch;
    idx rows, columns; /* of a task; set by matmul_run */
} matrix_product;

idx matmul_scratch_bytes(const matrix_product *p, int max_threads);
void matmul_run(matrix_product *p, int max_threads);

/* Sum of the losses; its gradient divided by `divisor`; -1 when a label is outside [0, classes). */
double cross_entropy_run(conv_dtype dtype, idx n, idx classes, const void *logits, const int64_t *labels, double divisor,
                         void *grad);

/* Multiply-adds on registers alone; returns how many FLOPs were done. */
double peak_run(conv_dtype dtype, idx count);

typedef struct {
    double lr, momentum, dampening, weight_decay;
    int nesterov, first; /* first: the velocity begins as the gradient */
} sgd_settings;

void sgd_run(conv_dtype dtype, idx n, void *data, const void *grad, void *velocity, const sgd_settings *settings);

typedef struct {
    double rate, root; /* lr / (1 - beta1^step), sqrt(1 - beta2^step) */
    double beta1, beta2, eps, weight_decay;
} adam_settings;

void adam_run(conv_dtype dtype, idx n, void *data, const void *grad, void *mean, void *square, const adam_settings *settings);

void relu_run(conv_dtype dtype, idx n, const void *x, void *y);
void relu_grad_run(conv_dtype dtype, idx n, const void *dy, const void *y, void *dx);

#endif
