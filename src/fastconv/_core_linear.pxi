# Part of _core.pyx: matrices: the linear layer and its gradients.

cdef void product(idx m, idx n, idx k, cnp.ndarray a, idx a_row, idx a_col, cnp.ndarray b, idx b_row, idx b_col,
                  cnp.ndarray bias, bint relu, cnp.ndarray c, idx c_row, Workspace workspace) except *:
    cdef matrix_product p
    cdef void *memory
    p.m, p.n, p.k = m, n, k
    p.a, p.a_row, p.a_col = cnp.PyArray_DATA(a), a_row, a_col
    p.b, p.b_row, p.b_col = cnp.PyArray_DATA(b), b_row, b_col
    p.bias = NULL if bias is None else cnp.PyArray_DATA(bias)
    p.relu = relu
    p.c, p.c_row, p.points = cnp.PyArray_DATA(c), c_row, 0
    p.dtype = dtype_of(cnp.PyArray_TYPE(c))
    memory = scratch(matmul_scratch_bytes(&p, max_threads), workspace)
    p.scratch = align(memory)
    with nogil:
        matmul_run(&p, max_threads)
    release(memory, workspace)


cdef inline bint fits_linear(cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias):
    """Whether the shapes are the usual ones and right; what is not goes through `_arguments`."""
    return cnp.PyArray_NDIM(x) == 2 and cnp.PyArray_NDIM(weight) == 2 and \
        cnp.PyArray_DIM(x, 1) == cnp.PyArray_DIM(weight, 1) and cnp.PyArray_SIZE(weight) > 0 and \
        (bias is None or (cnp.PyArray_NDIM(bias) == 1 and cnp.PyArray_DIM(bias, 0) == cnp.PyArray_DIM(weight, 0)))


cdef inline bint lies_so(object x, object weight, object bias):
    """Whether x is a matrix that lies batch-last, of the type of the parameters."""
    return type(x) is cnp.ndarray and type(weight) is cnp.ndarray and cnp.PyArray_NDIM(<cnp.ndarray>x) == 2 and \
        lies_batch_last(x) and of_type(x, weight, bias)


cdef inline idx row_of(cnp.ndarray x):
    return conv_batch_row(cnp.PyArray_DIM(x, 0), cnp.PyArray_ITEMSIZE(x)) // cnp.PyArray_ITEMSIZE(x)


cdef bint as_points(conv_problem *p, cnp.ndarray x, cnp.ndarray weight):
    """Whether matrices that lie batch-last are better read as images of one point: the convolution of them then."""
    cdef cnp.npy_intp[3] images = [cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), 1]
    cdef cnp.npy_intp[3] kernels = [cnp.PyArray_DIM(weight, 0), cnp.PyArray_DIM(weight, 1), 1]
    begin(p, 1, True, images, kernels)
    p.oh = p.ow = 1
    p.pass_, p.dtype, p.layout = CONV_FWD, dtype_of(cnp.PyArray_TYPE(x)), CONV_BATCH_LAST
    return conv_batch_linear(p)


cdef cnp.ndarray as_batch(cnp.ndarray images, Workspace workspace):
    """A dense matrix, batch-last."""
    cdef cnp.ndarray a = workspace.batch_last(2, cnp.PyArray_DIMS(images), cnp.PyArray_TYPE(images))
    conv_images_to_batch(dtype_of(cnp.PyArray_TYPE(a)), cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1), cnp.PyArray_DATA(images),
                         cnp.PyArray_DATA(a))
    return a


cdef cnp.ndarray linear_points(conv_problem *p, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias, bint relu, Workspace workspace):
    """`linear` as the convolution p (as_points)."""
    cdef cnp.npy_intp[2] shape = [p.n, p.oc]
    cdef cnp.ndarray y = workspace.batch_last(2, shape, cnp.PyArray_TYPE(x))
    p.activation = CONV_RELU if relu else CONV_LINEAR
    run_whole(p, cnp.PyArray_DATA(x), cnp.PyArray_DATA(weight), bias, cnp.PyArray_DATA(y), workspace, None)
    return as_images(y, workspace)


cdef tuple linear_points_backward(conv_problem *p, cnp.ndarray dy, cnp.ndarray x, cnp.ndarray weight, tuple need, bint through_relu,
                                  Workspace workspace):
    """`linear_backward` as the gradients of the convolution p (as_points)."""
    cdef cnp.ndarray turned = as_batch(dy, workspace), dx = None, dw = None, db = None
    cdef int type_num = cnp.PyArray_TYPE(x)
    need_input, need_weight, need_bias = need
    if need_input:
        dx = workspace.batch_last(2, cnp.PyArray_DIMS(x), type_num)
        p.pass_ = CONV_BWD_DATA
        run_whole(p, cnp.PyArray_DATA(turned), cnp.PyArray_DATA(weight), None, cnp.PyArray_DATA(dx), workspace, x if through_relu else None)
    if need_weight:
        dw = workspace.empty(2, cnp.PyArray_DIMS(weight), type_num)
        p.pass_ = CONV_BWD_WEIGHTS
        run_whole(p, cnp.PyArray_DATA(x), cnp.PyArray_DATA(turned), None, cnp.PyArray_DATA(dw), workspace, None)
    if need_bias:
        db = workspace.empty(1, cnp.PyArray_DIMS(weight), type_num)
        conv_bias_grad(p, cnp.PyArray_DATA(turned), cnp.PyArray_DATA(db))
    return dx, dw, db


cpdef object linear(x, weight, bias, bint relu=False, Workspace workspace=None):
    """x (..., in) times weight (out, in) transposed, plus bias (out); `relu`: its positive part."""
    cdef bint last = lies_so(x, weight, bias)
    cdef cnp.ndarray xa = x if last else as_dense(x, "x", -1), wa = as_dense(weight, "weight", -1), ba = None, y
    cdef conv_problem p
    cdef cnp.npy_intp shape[NPY_MAXDIMS]
    cdef int type_num = wider(xa, wa), i, ndim = cnp.PyArray_NDIM(xa)
    if bias is not None:
        ba = as_dense(bias, "bias", -1)
        type_num = wider(ba, wa) if type_num == cnp.NPY_FLOAT32 else type_num
        ba = as_dense(ba, "bias", type_num)
    if not fits_linear(xa, wa, ba):
        _arguments.check_linear(shape_of(xa), shape_of(wa), None if ba is None else shape_of(ba))
    if not last:
        xa = as_dense(xa, "x", type_num)
    wa = as_dense(wa, "weight", type_num)
    if last and workspace is not None and as_points(&p, xa, wa):
        return linear_points(&p, xa, wa, ba, relu, workspace)
    for i in range(ndim - 1):
        shape[i] = cnp.PyArray_DIM(xa, i)
    shape[ndim - 1] = cnp.PyArray_DIM(wa, 0)
    y = empty(ndim, shape, type_num, workspace)
    cdef idx k = cnp.PyArray_DIM(wa, 1), n = cnp.PyArray_DIM(wa, 0), m = cnp.PyArray_SIZE(xa) // k
    if last:
        product(m, n, k, xa, 1, row_of(xa), wa, 1, k, ba, relu, y, n, workspace)
    else:
        product(m, n, k, xa, k, 1, wa, 1, k, ba, relu, y, n, workspace)
    return y


cpdef tuple linear_backward(grad_output, x, weight, need, bint through_relu=False, Workspace workspace=None):
    """(grad_input, grad_weight, grad_bias) of `linear`, None where `need` says so; `through_relu` as in conv_backward."""
    cdef cnp.ndarray dy = as_dense(grad_output, "grad_output", -1)
    cdef bint last = workspace is not None and lies_so(x, weight, dy)
    cdef cnp.ndarray xa = x if last else as_dense(x, "x", -1), wa = as_dense(weight, "weight", -1), dx = None, dw = None, db = None
    cdef int type_num = cnp.NPY_FLOAT64 if wider(xa, wa) == cnp.NPY_FLOAT64 else wider(dy, wa)
    cdef conv_problem p
    cdef idx row
    if not three_bools(need):
        need = _arguments.check_need(need)
    need_input, need_weight, need_bias = need
    if not fits_linear(xa, wa, None):
        _arguments.check_linear(shape_of(xa), shape_of(wa), None)
    cdef cnp.npy_intp n = cnp.PyArray_DIM(wa, 0)
    cdef idx k = cnp.PyArray_DIM(wa, 1), m = cnp.PyArray_SIZE(xa) // k
    cdef int rank = cnp.PyArray_NDIM(xa)
    if cnp.PyArray_NDIM(dy) != rank or cnp.PyArray_DIM(dy, rank - 1) != n or \
            not cnp.PyArray_CompareLists(cnp.PyArray_DIMS(dy), cnp.PyArray_DIMS(xa), rank - 1):
        expected = (*shape_of(xa)[:rank - 1], n)
        raise ValueError(f"grad_output has shape {shape_of(dy)}; the output of this layer has shape {expected}")
    dy, wa = as_dense(dy, "grad_output", type_num), as_dense(wa, "weight", type_num)
    if last and as_points(&p, xa, wa):
        return linear_points_backward(&p, dy, xa, wa, need, through_relu, workspace)
    if not last:
        xa = as_dense(xa, "x", type_num)
    row = row_of(xa) if last else k
    if need_input:
        if last:
            dx = workspace.batch_last(2, cnp.PyArray_DIMS(xa), type_num)
            product(k, m, n, wa, 1, k, dy, 1, n, None, False, dx, row, workspace)
        else:
            dx = empty(cnp.PyArray_NDIM(xa), cnp.PyArray_DIMS(xa), type_num, workspace)
            product(m, k, n, dy, n, 1, wa, k, 1, None, False, dx, k, workspace)
        if through_relu:
            relu_grad_run(dtype_of(type_num), k * row if last else m * k, cnp.PyArray_DATA(dx), cnp.PyArray_DATA(xa),
                          cnp.PyArray_DATA(dx))
    if need_weight:
        dw = empty(2, cnp.PyArray_DIMS(wa), type_num, workspace)
        product(n, k, m, dy, 1, n, xa, 1 if last else k, row if last else 1, None, False, dw, k, workspace)
    if need_bias: # the gradient of a bias is that of a convolution with one position
        db = empty(1, &n, type_num, workspace)
        p.n, p.groups, p.oc, p.oh, p.ow, p.dtype = m, 1, n, 1, 1, dtype_of(type_num)
        p.layout = CONV_IMAGES
        conv_bias_grad(&p, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(db))
    return dx, dw, db
