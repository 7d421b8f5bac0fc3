# The C API of csrc/conv.h, cpu.h and threads.h as Cython sees it.

from libc.stdint cimport int64_t

cdef extern from "conv.h" nogil:
    ctypedef Py_ssize_t idx

    ctypedef enum conv_dtype:
        CONV_F32
        CONV_F64

    ctypedef enum conv_pass:
        CONV_FWD
        CONV_BWD_DATA
        CONV_BWD_WEIGHTS

    ctypedef enum conv_pad_mode:
        CONV_ZEROS
        CONV_REFLECT
        CONV_REPLICATE
        CONV_CIRCULAR

    ctypedef enum conv_activation:
        CONV_LINEAR
        CONV_RELU

    ctypedef enum conv_layout:
        CONV_IMAGES
        CONV_BATCH_LAST
        CONV_BATCH_RESULT

    ctypedef enum conv_algorithm_id:
        CONV_AUTO
        CONV_ALGORITHMS

    ctypedef enum conv_status:
        CONV_OK
        CONV_NOT_APPLICABLE

    ctypedef struct conv_problem:
        idx n, groups, ic, oc, ih, iw, kh, kw
        idx stride_h, stride_w, dil_h, dil_w
        idx pad_top, pad_bottom, pad_left, pad_right
        idx oh, ow
        conv_pass pass_ "pass"
        conv_dtype dtype
        conv_pad_mode pad_mode
        conv_activation activation
        conv_algorithm_id algorithm
        int strict
        int packed
        conv_layout layout

    ctypedef struct conv_trim:
        conv_problem p
        idx top, left

    ctypedef struct conv_regions:
        int rows, columns

    ctypedef struct conv_span:
        idx to, to_end, source "from", source_end "from_end", tap, tap_end

    ctypedef struct conv_plan:
        conv_problem p
        idx scratch_bytes
        idx packed_bytes
        int threads, max_threads

    ctypedef struct matrix_product:
        idx m, n, k
        const void *a
        const void *b
        const void *bias
        void *c
        idx a_row, a_col, b_row, b_col, c_row, points
        int relu
        conv_dtype dtype
        char *scratch

    conv_status conv_problem_check(conv_problem *p)
    const char *conv_status_string(conv_status status)
    double conv_flops(const conv_problem *p)
    bint conv_problem_trim(const conv_problem *p, conv_trim *trim)
    idx conv_trim_bytes(const conv_trim *trim)
    void conv_trim_move(const conv_problem *p, const conv_trim *trim, const void *src, void *dst, bint spread)
    bint conv_problem_regions(const conv_problem *p, conv_regions *r)
    void conv_region(const conv_problem *p, const conv_regions *r, int row, int column, conv_problem *small, conv_span *h,
                     conv_span *w)
    void conv_part_move(const void *src, idx src_plane, idx src_row, void *dst, idx dst_plane, idx dst_row, idx planes, idx rows,
                        idx bytes)
    bint conv_finite(conv_dtype dtype, idx count, const void *values)
    conv_status conv_plan_init(conv_plan *plan, const conv_problem *p, int max_threads)
    bint conv_plan_serves(const conv_plan *plan, const conv_problem *p)
    double conv_plan_cycles(const conv_plan *plan)
    bint conv_batch_pays(const conv_problem *p)
    bint conv_batch_linear(const conv_problem *p)
    void conv_plan_threads(conv_plan *plan, int max_threads)
    void conv_pack(const conv_plan *plan, const void *w, void *packed)
    const char *conv_algorithm_name(conv_algorithm_id id)
    conv_algorithm_id conv_plan_algorithm(const conv_plan *plan)
    const char *conv_plan_reason(const conv_plan *plan)
    int conv_plan_adds(const conv_plan *plan)
    void conv_run(const conv_plan *plan, const void *x, const void *w, const void *b, const void *other, void *y, void *scratch)
    idx conv_batch_row(idx images, idx element)
    void conv_batch_to_images(conv_dtype dtype, idx images, idx rows, const void *src, void *dst)
    void conv_images_to_batch(conv_dtype dtype, idx images, idx rows, const void *src, void *dst)
    void conv_bias_grad(const conv_problem *p, const void *dy, void *db)
    idx matmul_scratch_bytes(const matrix_product *p, int max_threads)
    void matmul_run(matrix_product *p, int max_threads)
    double cross_entropy_run(conv_dtype dtype, idx n, idx classes, const void *logits, const int64_t *labels, double divisor,
                             void *grad)
    double peak_run(conv_dtype dtype, idx count)

    ctypedef struct sgd_settings:
        double lr, momentum, dampening, weight_decay
        int nesterov, first

    ctypedef struct adam_settings:
        double rate, root, beta1, beta2, eps, weight_decay

    void adam_run(conv_dtype dtype, idx n, void *data, const void *grad, void *mean, void *square,
                  const adam_settings *settings)
    void sgd_run(conv_dtype dtype, idx n, void *data, const void *grad, void *velocity, const sgd_settings *settings)
    void relu_run(conv_dtype dtype, idx n, const void *x, void *y)
    void relu_grad_run(conv_dtype dtype, idx n, const void *dy, const void *y, void *dx)

cdef extern from "cpu.h" nogil:
    const char *cpu_isa_name(int i)
    bint cpu_isa_built(int i)
    bint cpu_isa_supported(int i)
    int cpu_select_isa(int i)
    int cpu_active_isa()

cdef extern from "threads.h" nogil:
    int threads_available()
    int THREADS_MAX
