# The C API of csrc/operators.h as Cython sees it.

from libc.stdint cimport int64_t

from fastconv._core cimport conv_dtype, idx

cdef extern from "operators.h" nogil:
    ctypedef struct max_pool:
        idx planes, ih, iw, oh, ow, kh, kw
        idx stride_h, stride_w, pad_h, pad_w, dil_h, dil_w
        conv_dtype dtype
        const void *x
        void *y
        int64_t *indices

    ctypedef struct plane_map:
        idx planes, from_ "from", to
        conv_dtype dtype
        const void *x
        const int64_t *indices
        void *y
        int add

    ctypedef struct band:
        idx size, out, taps
        idx *first
        idx *count
        double *weights
        double *divisor

    void band_window(band *b, idx kernel, idx stride, idx pad, int count_include_pad)
    void band_adaptive(band *b)
    void band_nearest(band *b, double scale)
    void band_linear(band *b, double scale, int align_corners)
    void band_transpose_runs(band *t, const band *b)
    void band_transpose_weights(band *t, const band *b)

    ctypedef struct resample:
        idx planes
        band h, w
        conv_dtype dtype
        const void *x
        void *y

    ctypedef struct batch_norm:
        idx n, channels, points
        conv_dtype dtype
        const void *x
        const void *weight
        const void *bias
        const void *dy
        void *mean
        void *var
        void *y
        void *dweight
        void *dbias
        double eps
        int batch_stats

    ctypedef struct activation:
        idx count
        conv_dtype dtype
        const void *x
        const void *dy
        void *y
        double slope
        int approximate

    ctypedef struct addition:
        idx count
        conv_dtype dtype
        const void *a
        const void *b
        void *y
        int relu

    ctypedef struct softmax_call "softmax":
        idx outer, size, inner
        conv_dtype dtype
        const void *x
        void *y
        int logarithm

    void softmax_run(const softmax_call *s, int max_threads)
    void leaky_relu_run(const activation *a, int max_threads)
    void gelu_run(const activation *a, int max_threads)
    void add_run(const addition *a, int max_threads)
    void max_pool_run(const max_pool *p, int max_threads)
    int scatter_run(const plane_map *m, int max_threads)
    int gather_run(const plane_map *m, int max_threads)
    idx resample_scratch_bytes(const resample *r, int max_threads)
    void resample_run(const resample *r, int max_threads, void *scratch)
    void batch_norm_run(const batch_norm *b, int max_threads)
    void batch_norm_grad_run(const batch_norm *b, int max_threads)
