# Part of _core.pyx: from the arguments of a call to a conv_problem.

cdef inline bint small(object value):
    """Whether `value` is an int, and no bool, that a Py_ssize_t holds with room to spare."""
    return type(value) is int and -1 <= value < 2**31


cdef bint plain_ints(object value, int ndim, idx *h, idx *w):
    """Reads an int, or a tuple of `ndim` of them; False, with h and w undefined, for anything else. 1-D leaves h."""
    if small(value):
        w[0] = value
        if ndim == 2:
            h[0] = value
        return True
    if type(value) is not tuple or len(<tuple>value) != ndim or not small((<tuple>value)[ndim - 1]):
        return False
    w[0] = (<tuple>value)[ndim - 1]
    if ndim == 2:
        if not small((<tuple>value)[0]):
            return False
        h[0] = (<tuple>value)[0]
    return True


cdef conv_problem parse(int ndim, tuple x_shape, tuple w_shape, tuple b_shape, object stride, object padding,
                        object dilation, object groups, object padding_mode) except *:
    """Fills a conv_problem that conv_problem_check has passed, or raises what `_arguments` has to say of it."""
    cdef conv_problem p
    cdef conv_status status = CONV_OK
    cdef int batched = len(x_shape) == ndim + 2
    cdef Py_ssize_t channels
    cdef bint plain
    p.n = p.groups = p.ih = p.kh = p.stride_h = p.dil_h = 1
    p.pad_top = p.pad_bottom = 0
    p.activation = CONV_LINEAR
    p.algorithm = CONV_AUTO
    p.strict = strict
    p.packed = 0
    p.pad_mode = CONV_ZEROS
    plain = (small(groups) and type(padding_mode) is str and padding_mode == "zeros"
             and (batched or len(x_shape) == ndim + 1) and len(w_shape) == ndim + 2
             and plain_ints(stride, ndim, &p.stride_h, &p.stride_w) and plain_ints(dilation, ndim, &p.dil_h, &p.dil_w)
             and plain_ints(padding, 1 if ndim == 1 else 2, &p.pad_top, &p.pad_left))
    if plain:
        p.pad_bottom, p.pad_right = p.pad_top, p.pad_left
        p.groups = groups
    else:
        p.pad_top = p.pad_bottom = 0
        p.stride_h = p.dil_h = 1
        a = _arguments.conv_arguments(ndim, x_shape, w_shape, b_shape, stride, padding, dilation, groups, padding_mode)
        p.groups = a.groups
        p.pad_mode = PAD_MODES[padding_mode]
        p.stride_w, p.dil_w = a.stride[ndim - 1], a.dilation[ndim - 1]
        p.pad_left, p.pad_right = a.padding[ndim - 1]
        if ndim == 2:
            p.stride_h, p.dil_h = a.stride[0], a.dilation[0]
            p.pad_top, p.pad_bottom = a.padding[0]
    if batched:
        p.n = x_shape[0]
    channels = x_shape[batched]
    p.iw, p.kw = x_shape[batched + ndim], w_shape[ndim + 1]
    if ndim == 2:
        p.ih, p.kh = x_shape[batched + 1], w_shape[2]
    p.ic = w_shape[1]
    p.oc = w_shape[0] // p.groups if p.groups > 0 else 0
    if p.groups > 0 and p.ic * p.groups == channels and p.oc * p.groups == w_shape[0] and \
            (b_shape is None or (len(b_shape) == 1 and b_shape[0] == w_shape[0])):
        status = conv_problem_check(&p)
        if status == CONV_OK:
            return p
    _arguments.conv_arguments(ndim, x_shape, w_shape, b_shape, stride, padding, dilation, groups, padding_mode)
    raise ValueError(f"fastconv: {conv_status_string(status).decode()}")


cdef conv_problem problem_of(int ndim, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, object stride, object padding,
                             object dilation, object groups, object padding_mode, Workspace workspace) except *:
    """What `parse` makes of a call's arrays, or made of the layer's latest."""
    cdef conv_problem p
    if workspace is not None and workspace.recall(&p, x, w, b, stride, padding, dilation, groups, padding_mode):
        return p
    p = parse(ndim, shape_of(x), shape_of(w), None if b is None else shape_of(b), stride, padding, dilation, groups,
              padding_mode)
    if workspace is not None:
        workspace.remember(&p, x, w, (stride, padding, dilation, groups, padding_mode))
    return p


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


cdef inline bint has_shape(cnp.ndarray a, int ndim, cnp.npy_intp *shape):
    return cnp.PyArray_NDIM(a) == ndim and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(a), shape, ndim)
