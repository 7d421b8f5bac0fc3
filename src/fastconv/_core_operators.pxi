# Part of _core.pyx: the operators of csrc/operators.h.
#
# Arguments come checked from `fastconv.pooling`, `resampling` and `normalization`; sizes are (h, w), 1-D has height 1.

from fastconv._operators cimport (activation, add_run, addition, band, band_adaptive, band_linear, band_nearest, band_transpose_runs,
                                  band_transpose_weights, band_window, batch_norm, batch_norm_grad_run, batch_norm_run,
                                  gather_run, gelu_run, leaky_relu_run, max_pool, max_pool_run, plane_map, resample, resample_run,
                                  resample_scratch_bytes, scatter_run, softmax_call, softmax_run)


cdef void *data_or_null(cnp.ndarray a) noexcept:
    return NULL if a is None else cnp.PyArray_DATA(a)


cdef cnp.ndarray as_int64(object value, str name):
    """`value` as a dense array of int64."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an array of integers, got dtype {array.dtype}")
    return np.ascontiguousarray(array, np.int64)


cdef tuple two(tuple values, idx absent):
    """One value for height and one for width; 1-D has height 1."""
    return values if len(values) == 2 else (absent, values[0])


def max_pool_forward(x, tuple out_shape, tuple size, a, bint want_indices):
    """(y, indices or None) of x, whose last axes make up planes of `size`; `a` holds checked PoolArguments."""
    cdef cnp.ndarray xa = as_dense(x, "x", -1)
    cdef cnp.ndarray y = np.empty(out_shape, xa.dtype), indices = np.empty(out_shape, np.int64) if want_indices else None
    cdef max_pool p
    p.ih, p.iw = two(size, 1)
    p.oh, p.ow = two(a.output, 1)
    p.kh, p.kw = two(a.kernel, 1)
    p.stride_h, p.stride_w = two(a.stride, 1)
    p.pad_h, p.pad_w = two(a.padding, 0)
    p.dil_h, p.dil_w = two(a.dilation, 1)
    p.planes = cnp.PyArray_SIZE(xa) // (p.ih * p.iw)
    p.dtype = dtype_of(cnp.PyArray_TYPE(xa))
    p.x, p.y, p.indices = cnp.PyArray_DATA(xa), cnp.PyArray_DATA(y), <int64_t *>data_or_null(indices)
    with nogil:
        max_pool_run(&p, max_threads)
    return y, indices


cdef cnp.ndarray map_planes(cnp.ndarray xa, cnp.ndarray indices, tuple out_shape, idx source, idx target, bint scatter,
                            bint add):
    cdef cnp.ndarray y = np.empty(out_shape, xa.dtype)
    cdef plane_map m
    cdef int status
    m.from_, m.to, m.add = source, target, add
    m.planes = cnp.PyArray_SIZE(xa) // source
    m.dtype = dtype_of(cnp.PyArray_TYPE(xa))
    m.x, m.indices, m.y = cnp.PyArray_DATA(xa), <const int64_t *>cnp.PyArray_DATA(indices), cnp.PyArray_DATA(y)
    with nogil:
        status = scatter_run(&m, max_threads) if scatter else gather_run(&m, max_threads)
    if status != 0:
        raise ValueError(f"indices must lie in [0, {target if scatter else source}), the elements of a plane; got "
                         f"{np.min(indices)} to {np.max(indices)}")
    return y


def scatter(x, str name, indices, tuple out_shape, idx source, idx target, bint add):
    """Planes of `target` zeros, x written (or added) where `indices` says; planes of x have `source` elements."""
    return map_planes(as_dense(x, name, -1), as_int64(indices, "indices"), out_shape, source, target, True, add)


def gather(x, str name, indices, tuple out_shape, idx source, idx target):
    """Planes of `target` elements, each that of x's plane of `source` which `indices` names."""
    return map_planes(as_dense(x, name, -1), as_int64(indices, "indices"), out_shape, source, target, False, False)


cdef class Band:
    """The map of one axis, as csrc/operators.h's `band`, with its memory."""

    cdef band b
    cdef void *memory
    cdef void *weights

    def __dealloc__(self):
        PyMem_RawFree(self.memory)
        PyMem_RawFree(self.weights)


cdef Band new_band(idx size, idx out, bint divided):
    """Of `size` elements to `out`, with room for runs (and divisors)."""
    cdef Band band = Band()
    band.memory = allocate(3 * out * 8)
    band.b.size, band.b.out = size, out
    band.b.first = <idx *>band.memory
    band.b.count = band.b.first + out
    band.b.divisor = <double *>(band.b.count + out) if divided else NULL
    return band


cdef double *new_weights(Band band, idx taps) except NULL:
    band.weights = allocate(taps * band.b.out * 8)
    band.b.weights = <double *>band.weights
    return band.b.weights


def window_band(idx size, idx out, idx kernel, idx stride, idx padding, bint count_include_pad) -> Band:
    """Means over windows that have been checked to meet the axis."""
    cdef Band band = new_band(size, out, True)
    band_window(&band.b, kernel, stride, padding, count_include_pad)
    return band


def adaptive_band(idx size, idx out) -> Band:
    """Means over `out` windows that cover the axis evenly."""
    cdef Band band = new_band(size, out, True)
    band_adaptive(&band.b)
    return band


def interpolation_band(idx size, idx out, scale, bint linear, bint align_corners) -> Band:
    """Nearest or linear interpolation; `scale` is None unless the caller gave it."""
    cdef Band band = new_band(size, out, False)
    cdef double outputs_to_an_input = 0 if scale is None else scale
    if linear:
        new_weights(band, 2)
        band_linear(&band.b, outputs_to_an_input, align_corners)
    else:
        band_nearest(&band.b, outputs_to_an_input)
    return band


cdef Band transposed(Band source):
    cdef Band band = new_band(source.b.out, source.b.size, False)
    band_transpose_runs(&band.b, &source.b)
    new_weights(band, band.b.taps)
    band_transpose_weights(&band.b, &source.b)
    return band


cdef Band UNIT = window_band(1, 1, 1, 1, 0, True)  # the axis that 1-D lacks


def resample_planes(x, str name, tuple out_shape, tuple bands, bint backward=False):
    """Every plane of x through the bands of its axes, or (backward) through those of the gradient."""
    cdef cnp.ndarray xa = as_dense(x, name, -1)
    cdef cnp.ndarray y = np.empty(out_shape, xa.dtype)
    cdef Band height = UNIT if len(bands) == 1 else bands[0], width = bands[len(bands) - 1]
    cdef resample r
    cdef void *memory
    if backward:
        height, width = transposed(height), transposed(width)
    r.h, r.w = height.b, width.b
    r.planes = cnp.PyArray_SIZE(xa) // (r.h.size * r.w.size)
    r.dtype = dtype_of(cnp.PyArray_TYPE(xa))
    r.x, r.y = cnp.PyArray_DATA(xa), cnp.PyArray_DATA(y)
    memory = allocate(resample_scratch_bytes(&r, max_threads))
    with nogil:
        resample_run(&r, max_threads, align(memory))
    PyMem_RawFree(memory)
    return y


cdef void fill_norm(batch_norm *b, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray mean, cnp.ndarray var, bint batch_stats,
                    double eps):
    b.n, b.channels = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1)
    b.points = cnp.PyArray_SIZE(x) // max(b.n * b.channels, 1)
    b.dtype = dtype_of(cnp.PyArray_TYPE(x))
    b.x, b.weight, b.mean, b.var = cnp.PyArray_DATA(x), data_or_null(weight), cnp.PyArray_DATA(mean), cnp.PyArray_DATA(var)
    b.eps, b.batch_stats = eps, batch_stats
    b.bias = b.dy = b.dweight = b.dbias = NULL


def normalize(cnp.ndarray x not None, cnp.ndarray mean not None, cnp.ndarray var not None, cnp.ndarray weight,
              cnp.ndarray bias, bint batch_stats, double eps):
    """y of dense arrays of one dtype; with `batch_stats`, mean and var are written."""
    cdef cnp.ndarray y = np.empty_like(x)
    cdef batch_norm b
    fill_norm(&b, x, weight, mean, var, batch_stats, eps)
    b.bias, b.y = data_or_null(bias), cnp.PyArray_DATA(y)
    with nogil:
        batch_norm_run(&b, max_threads)
    return y


def normalize_backward(cnp.ndarray dy not None, cnp.ndarray x not None, cnp.ndarray mean not None, cnp.ndarray var not None,
                       cnp.ndarray weight, bint batch_stats, double eps, tuple need):
    """(grad_input, grad_weight, grad_bias), None where `need` says so; arrays as in `normalize`."""
    cdef cnp.ndarray dx = np.empty_like(x) if need[0] else None
    cdef cnp.ndarray dweight = np.empty_like(mean) if need[1] else None, dbias = np.empty_like(mean) if need[2] else None
    cdef batch_norm b
    fill_norm(&b, x, weight, mean, var, batch_stats, eps)
    b.dy, b.y = cnp.PyArray_DATA(dy), data_or_null(dx)
    b.dweight, b.dbias = data_or_null(dweight), data_or_null(dbias)
    with nogil:
        batch_norm_grad_run(&b, max_threads)
    return dx, dweight, dbias


# ---- activations ----

cdef cnp.ndarray activate(x, dy, double slope, bint approximate, void (*function)(const activation *, int) noexcept nogil):
    """f(x), or dy * f'(x): x and dy of one shape and dtype."""
    cdef cnp.ndarray xa = as_dense(x, "x", -1), dya = None if dy is None else as_dense(dy, "grad_output", -1)
    cdef cnp.ndarray y = empty(cnp.PyArray_NDIM(xa), cnp.PyArray_DIMS(xa), cnp.PyArray_TYPE(xa))
    cdef activation a
    a.count, a.dtype = cnp.PyArray_SIZE(xa), dtype_of(cnp.PyArray_TYPE(xa))
    a.x, a.dy, a.y = cnp.PyArray_DATA(xa), data_or_null(dya), cnp.PyArray_DATA(y)
    a.slope, a.approximate = slope, approximate
    with nogil:
        function(&a, max_threads)
    return y


def leaky_relu(x, double negative_slope):
    return activate(x, None, negative_slope, False, leaky_relu_run)


def leaky_relu_backward(grad_output, x, double negative_slope):
    return activate(x, grad_output, negative_slope, False, leaky_relu_run)


def gelu(x, bint approximate):
    return activate(x, None, 0, approximate, gelu_run)


def gelu_backward(grad_output, x, bint approximate):
    return activate(x, grad_output, 0, approximate, gelu_run)


def softmax(x, int axis, bint logarithm):
    """Softmax of x along an axis that is not empty, counted from 0, or its logarithm."""
    cdef cnp.ndarray xa = as_dense(x, "x", -1)
    cdef cnp.ndarray y = empty(cnp.PyArray_NDIM(xa), cnp.PyArray_DIMS(xa), cnp.PyArray_TYPE(xa))
    cdef softmax_call s
    cdef int i
    s.outer = s.inner = 1
    for i in range(axis):
        s.outer *= cnp.PyArray_DIM(xa, i)
    for i in range(axis + 1, cnp.PyArray_NDIM(xa)):
        s.inner *= cnp.PyArray_DIM(xa, i)
    s.size, s.logarithm, s.dtype = cnp.PyArray_DIM(xa, axis), logarithm, dtype_of(cnp.PyArray_TYPE(xa))
    s.x, s.y = cnp.PyArray_DATA(xa), cnp.PyArray_DATA(y)
    with nogil:
        softmax_run(&s, max_threads)
    return y


def add(a, b, bint relu=False, Workspace workspace=None):
    """a + b, with `relu` its positive part: arrays of one shape."""
    cdef cnp.ndarray aa = as_dense(a, "a", -1), ba = as_dense(b, "b", -1), y
    cdef int type_num = wider(aa, ba)
    cdef addition s
    if shape_of(aa) != shape_of(ba):
        raise ValueError(f"a and b must have one shape, got {shape_of(aa)} and {shape_of(ba)}")
    aa, ba = as_dense(aa, "a", type_num), as_dense(ba, "b", type_num)
    y = empty(cnp.PyArray_NDIM(aa), cnp.PyArray_DIMS(aa), type_num, workspace)
    s.count, s.dtype, s.relu = cnp.PyArray_SIZE(aa), dtype_of(type_num), relu
    s.a, s.b, s.y = cnp.PyArray_DATA(aa), cnp.PyArray_DATA(ba), cnp.PyArray_DATA(y)
    with nogil:
        add_run(&s, max_threads)
    return y


# ---- transposed convolutions: the gradients of convolutions, with the roles of input and output exchanged ----

cdef conv_problem transposed_problem(int ndim, cnp.ndarray x, cnp.ndarray weight, object a) except *:
    """The convolution whose bwd_data is a transposed convolution of x; `a` holds checked TransposeArguments."""
    cdef conv_problem p
    cdef conv_status status
    cdef idx height = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 2) if ndim == 2 else 1
    p.n = cnp.PyArray_DIM(x, 0) if cnp.PyArray_NDIM(x) == ndim + 2 else 1
    p.groups = a.groups
    p.oc, p.ic = cnp.PyArray_DIM(weight, 0) // p.groups, cnp.PyArray_DIM(weight, 1)
    p.ih, p.iw = two(a.output, 1)
    p.kh, p.kw = two(shape_of(weight)[2:], 1)
    p.stride_h, p.stride_w = two(a.stride, 1)
    p.dil_h, p.dil_w = two(a.dilation, 1)
    p.pad_top, p.pad_left = two(a.padding, 0)
    p.pad_bottom, p.pad_right = p.pad_top, p.pad_left
    p.pad_mode, p.activation, p.layout = CONV_ZEROS, CONV_LINEAR, CONV_IMAGES
    p.algorithm, p.strict, p.packed = CONV_AUTO, strict, 0
    status = conv_problem_check(&p)
    if status != CONV_OK:
        raise ValueError(f"fastconv: {conv_status_string(status).decode()}")
    # With output_padding the convolution could have taken further steps than x has elements: it does not take them.
    p.oh, p.ow = height, cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    return p


cdef tuple transposed_shape(cnp.ndarray x, int ndim, idx channels, object a):
    x_shape = shape_of(x)
    return (*x_shape[:len(x_shape) - ndim - 1], channels, *a.output)


def conv_transpose(int ndim, x, weight, bias, stride, padding, output_padding, groups, dilation, algorithm="auto"):
    cdef cnp.ndarray xa = as_dense(x, "x", -1), wa = as_dense(weight, "weight", -1), ba = None, y
    cdef conv_problem p
    cdef int type_num = wider(xa, wa)
    if bias is not None:
        ba = as_dense(bias, "bias", -1)
        type_num = wider(ba, wa) if type_num == cnp.NPY_FLOAT32 else type_num
        ba = as_dense(ba, "bias", type_num)
    a = _plane_arguments.transpose_arguments(ndim, shape_of(xa), shape_of(wa), None if ba is None else shape_of(ba), stride,
                                             padding, output_padding, groups, dilation)
    p = transposed_problem(ndim, xa, wa, a)
    p.pass_, p.dtype, p.algorithm = CONV_BWD_DATA, dtype_of(type_num), ALGORITHMS[algorithm]
    xa, wa = as_dense(xa, "x", type_num), as_dense(wa, "weight", type_num)
    y = np.empty(transposed_shape(xa, ndim, p.groups * p.ic, a), xa.dtype)
    run(&p, xa, wa, ba, y)
    return y


def conv_transpose_backward(int ndim, grad_output, x, weight, stride, padding, output_padding, groups, dilation, need):
    """(grad_input, grad_weight, grad_bias), None where `need` says so."""
    cdef cnp.ndarray dy = as_dense(grad_output, "grad_output", -1)
    cdef cnp.ndarray xa = as_dense(x, "x", -1), wa = as_dense(weight, "weight", -1), dx = None, dw = None, db = None
    cdef conv_problem p
    cdef cnp.npy_intp channels
    cdef int type_num = cnp.NPY_FLOAT64 if wider(xa, wa) == cnp.NPY_FLOAT64 else wider(dy, wa)
    need_input, need_weight, need_bias = _arguments.check_need(need)
    a = _plane_arguments.transpose_arguments(ndim, shape_of(xa), shape_of(wa), None, stride, padding, output_padding, groups,
                                             dilation)
    p = transposed_problem(ndim, xa, wa, a)
    channels = p.groups * p.ic
    _plane_arguments.check_gradient(shape_of(dy), transposed_shape(xa, ndim, channels, a))
    p.dtype = dtype_of(type_num)
    dy, xa, wa = as_dense(dy, "grad_output", type_num), as_dense(xa, "x", type_num), as_dense(wa, "weight", type_num)
    if need_input:
        dx = empty(cnp.PyArray_NDIM(xa), cnp.PyArray_DIMS(xa), type_num)
        p.pass_ = CONV_FWD
        run(&p, dy, wa, None, dx)
    if need_weight:
        dw = empty(cnp.PyArray_NDIM(wa), cnp.PyArray_DIMS(wa), type_num)
        p.pass_ = CONV_BWD_WEIGHTS
        run(&p, dy, xa, None, dw)
    if need_bias:  # dy is the output of p turned round
        db = empty(1, &channels, type_num)
        p.oc, p.oh, p.ow = p.ic, p.ih, p.iw
        conv_bias_grad(&p, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(db))
    return dx, dw, db
