# Part of _core.pyx: from the arguments of a call to a conv_problem.

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow)

cdef enum:
    LARGEST = 0x7fffffff  # of the ints and sizes that are read here: no sum or product of two overflows


cdef inline bint plain_int(object value, idx *number) noexcept:
    """Reads an int of Python or NumPy, and no bool, from 0 to LARGEST."""
    cdef int overflow
    if type(value) is not int:
        if not isinstance(value, np.integer):
            return False
        value = int(value)
    number[0] = PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0 and 0 <= number[0] <= LARGEST


cdef inline bint three_bools(object need) noexcept:
    return type(need) is tuple and len(<tuple>need) == 3 and type((<tuple>need)[0]) is bool and \
        type((<tuple>need)[1]) is bool and type((<tuple>need)[2]) is bool


cdef bint plain_ints(object value, int ndim, idx *h, idx *w) noexcept:
    """Reads an int, or a tuple or a list of `ndim` of them; False, with h and w undefined, for anything else. 1-D leaves h."""
    if type(value) is list:
        value = tuple(value)
    if type(value) is tuple:
        return len(<tuple>value) == ndim and plain_int((<tuple>value)[ndim - 1], w) and \
            (ndim == 1 or plain_int((<tuple>value)[0], h))
    if not plain_int(value, w):
        return False
    if ndim == 2:
        h[0] = w[0]
    return True


cdef bint plain_pair(object value, idx *before, idx *after) noexcept:
    """Reads the padding of one dimension: an int, or a tuple or a list of two."""
    if type(value) is list:
        value = tuple(value)
    if type(value) is tuple:
        return len(<tuple>value) == 2 and plain_int((<tuple>value)[0], before) and plain_int((<tuple>value)[1], after)
    if not plain_int(value, before):
        return False
    after[0] = before[0]
    return True


cdef bint word_pair(str word, int ndim, idx size, idx kernel, idx stride, idx dilation, idx *before, idx *after) noexcept:
    """Reads the padding of one dimension from a word."""
    cdef idx extent, total
    if size > LARGEST or kernel > LARGEST or stride < 1:
        return False
    extent = (kernel - 1) * dilation + 1
    total = max((size - 1) // stride * stride + extent - size, 0)  # the output has ceil(size / stride)
    if word == "same":
        before[0] = total // 2
    elif word == "same_lower":
        before[0] = total - total // 2
    elif word == "valid":
        before[0] = total = 0
    elif word == "causal" and ndim == 1:
        before[0] = total = extent - 1
    else:
        return False
    after[0] = total - before[0]
    return True


cdef bint plain_padding(object value, int ndim, conv_problem *p) noexcept:
    """Reads padding for the sizes, strides and dilations of p."""
    if type(value) is str:
        return word_pair(value, ndim, p.iw, p.kw, p.stride_w, p.dil_w, &p.pad_left, &p.pad_right) and \
            (ndim == 1 or word_pair(value, ndim, p.ih, p.kh, p.stride_h, p.dil_h, &p.pad_top, &p.pad_bottom))
    if type(value) is list:
        value = tuple(value)
    if ndim == 1:
        return plain_pair(value[0] if type(value) is tuple and len(<tuple>value) == 1 else value, &p.pad_left, &p.pad_right)
    if type(value) is tuple:
        return len(<tuple>value) == 2 and plain_pair((<tuple>value)[0], &p.pad_top, &p.pad_bottom) and \
            plain_pair((<tuple>value)[1], &p.pad_left, &p.pad_right)
    if not plain_pair(value, &p.pad_left, &p.pad_right):
        return False
    p.pad_top, p.pad_bottom = p.pad_left, p.pad_right
    return True


cdef void begin(conv_problem *p, int ndim, bint batched, const cnp.npy_intp *x, const cnp.npy_intp *w) noexcept:
    """A problem of these shapes, and of the settings that a call has if it says nothing."""
    p.n = x[0] if batched else 1
    p.ih = x[batched + 1] if ndim == 2 else 1
    p.kh = w[2] if ndim == 2 else 1
    p.iw, p.kw = x[batched + ndim], w[ndim + 1]
    p.groups, p.ic, p.oc = 1, w[1], w[0]
    p.stride_h = p.stride_w = p.dil_h = p.dil_w = 1
    p.pad_top = p.pad_bottom = p.pad_left = p.pad_right = 0
    p.layout = CONV_IMAGES
    p.pad_mode, p.activation, p.algorithm, p.strict, p.packed = CONV_ZEROS, CONV_LINEAR, CONV_AUTO, strict, 0


cdef bint plain(conv_problem *p, int ndim, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, object stride, object padding,
                object dilation, object groups, object padding_mode):
    """Whether the arguments are of ints, tuples and words, and make a convolution: p then."""
    cdef bint batched = cnp.PyArray_NDIM(x) == ndim + 2
    cdef const cnp.npy_intp *shape = cnp.PyArray_DIMS(x)
    mode = PAD_MODES.get(padding_mode) if type(padding_mode) is str else None
    if not (batched or cnp.PyArray_NDIM(x) == ndim + 1) or cnp.PyArray_NDIM(w) != ndim + 2:
        return False
    begin(p, ndim, batched, shape, cnp.PyArray_DIMS(w))
    if not plain_int(groups, &p.groups) or p.groups < 1 or mode is None or \
            not plain_ints(stride, ndim, &p.stride_h, &p.stride_w) or \
            not plain_ints(dilation, ndim, &p.dil_h, &p.dil_w) or not plain_padding(padding, ndim, p):
        return False
    p.pad_mode = mode
    p.oc //= p.groups
    return p.ic * p.groups == shape[batched] and p.oc * p.groups == cnp.PyArray_DIM(w, 0) and \
        (b is None or (cnp.PyArray_NDIM(b) == 1 and cnp.PyArray_DIM(b, 0) == cnp.PyArray_DIM(w, 0))) and \
        conv_problem_check(p) == CONV_OK


cdef int elaborate(conv_problem *p, int ndim, tuple x_shape, tuple w_shape, tuple b_shape, object stride,
                   object padding, object dilation, object groups, object padding_mode) except -1:
    """What `_arguments` makes of a call, or has to say of it."""
    cdef cnp.npy_intp x[4]
    cdef cnp.npy_intp w[4]
    cdef conv_status status
    cdef int i
    a = _conv_arguments.conv_arguments(ndim, x_shape, w_shape, b_shape, stride, padding, dilation, groups, padding_mode)
    for i in range(len(x_shape)):
        x[i] = x_shape[i]
    for i in range(ndim + 2):
        w[i] = w_shape[i]
    begin(p, ndim, len(x_shape) == ndim + 2, x, w)
    p.groups = a.groups
    p.oc //= p.groups
    p.pad_mode = PAD_MODES[padding_mode]
    p.stride_w, p.dil_w = a.stride[ndim - 1], a.dilation[ndim - 1]
    p.pad_left, p.pad_right = a.padding[ndim - 1]
    if ndim == 2:
        p.stride_h, p.dil_h = a.stride[0], a.dilation[0]
        p.pad_top, p.pad_bottom = a.padding[0]
    status = conv_problem_check(p)
    if status != CONV_OK:
        raise ValueError(f"fastconv: {conv_status_string(status).decode()}")
    return 0


cdef int problem_of(conv_problem *p, int ndim, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, object stride,
                    object padding, object dilation, object groups, object padding_mode,
                    Workspace workspace) except -1:
    """The problem of a call, which conv_problem_check has passed; or that of the layer's latest call, if it is the same."""
    if workspace is not None and workspace.recall(p, x, w, b, stride, padding, dilation, groups, padding_mode):
        return 0
    if not plain(p, ndim, x, w, b, stride, padding, dilation, groups, padding_mode):
        elaborate(p, ndim, shape_of(x), shape_of(w), None if b is None else shape_of(b), stride, padding, dilation,
                  groups, padding_mode)
    if workspace is not None:
        workspace.remember(p, x, w, (stride, padding, dilation, groups, padding_mode))
    return 0


cdef int result_dims(conv_problem *p, int ndim, bint batched, cnp.npy_intp *shape):
    """Writes the shape of the output, and returns its rank."""
    cdef int i = batched
    if batched:
        shape[0] = p.n
    shape[i] = p.oc * p.groups
    if ndim == 2:
        shape[i + 1] = p.oh
    shape[i + ndim] = p.ow
    return i + ndim + 1


cdef tuple result_shape(conv_problem *p, int ndim, bint batched):
    cdef cnp.npy_intp shape[4]
    cdef int rank = result_dims(p, ndim, batched, shape)
    return tuple([shape[i] for i in range(rank)])
