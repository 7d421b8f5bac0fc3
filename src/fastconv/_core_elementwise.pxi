# Part of _core.pyx: what goes element by element: ReLU, cross-entropy, the optimizers.

# ---- activations and losses ----

def relu(x, Workspace workspace=None):
    cdef cnp.ndarray xa = as_dense(x, "x", -1)
    cdef cnp.ndarray y = empty(cnp.PyArray_NDIM(xa), cnp.PyArray_DIMS(xa), cnp.PyArray_TYPE(xa), workspace)
    relu_run(dtype_of(cnp.PyArray_TYPE(xa)), cnp.PyArray_SIZE(xa), cnp.PyArray_DATA(xa), cnp.PyArray_DATA(y))
    return y


cpdef object relu_backward(grad_output, y, Workspace workspace=None):
    cdef cnp.ndarray dy, ya, dx
    cdef int type_num
    if workspace is not None and type(grad_output) is cnp.ndarray and type(y) is cnp.ndarray:
        dy, ya = grad_output, y
        if has_shape(dy, cnp.PyArray_NDIM(ya), cnp.PyArray_DIMS(ya)) and cnp.PyArray_TYPE(dy) == cnp.PyArray_TYPE(ya) and \
                lies_batch_last(dy) and lies_batch_last(ya):
            dx = workspace.batch_last(cnp.PyArray_NDIM(ya), cnp.PyArray_DIMS(ya), cnp.PyArray_TYPE(ya))
            relu_grad_run(dtype_of(cnp.PyArray_TYPE(ya)), cnp.PyArray_SIZE(ya) // cnp.PyArray_DIM(ya, 0) * row_of(ya),
                          cnp.PyArray_DATA(dy), cnp.PyArray_DATA(ya), cnp.PyArray_DATA(dx))
            return dx
    dy, ya = as_dense(grad_output, "grad_output", -1), as_dense(y, "y", -1)
    type_num = wider(dy, ya)
    if shape_of(dy) != shape_of(ya):
        raise ValueError(f"grad_output has shape {shape_of(dy)}; y has shape {shape_of(ya)}")
    dy, ya = as_dense(dy, "grad_output", type_num), as_dense(ya, "y", type_num)
    dx = empty(cnp.PyArray_NDIM(ya), cnp.PyArray_DIMS(ya), type_num, workspace)
    relu_grad_run(dtype_of(type_num), cnp.PyArray_SIZE(ya), cnp.PyArray_DATA(dy), cnp.PyArray_DATA(ya),
                  cnp.PyArray_DATA(dx))
    return dx


def cross_entropy(logits, labels, double divisor, Workspace workspace=None) -> tuple:
    """(sum of the losses, gradient of that sum over `divisor`) of logits (N, classes) for integer labels (N,); a sum of
    None says that a label is out of range."""
    cdef cnp.ndarray xa = as_dense(logits, "logits", -1), dx
    cdef cnp.ndarray la = cnp.PyArray_FROM_OTF(labels, cnp.NPY_INT64, cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_FORCECAST)
    cdef double total
    dx = empty(2, cnp.PyArray_DIMS(xa), cnp.PyArray_TYPE(xa), workspace)
    total = cross_entropy_run(dtype_of(cnp.PyArray_TYPE(xa)), cnp.PyArray_DIM(xa, 0), cnp.PyArray_DIM(xa, 1),
                              cnp.PyArray_DATA(xa), <const int64_t *>cnp.PyArray_DATA(la), divisor,
                              cnp.PyArray_DATA(dx))
    return (None if total == -1 else total), dx


# ---- optimizers: lists of arrays, one of each for every parameter ----

def with_gradients(list parameters) -> tuple:
    """The data and gradients of those parameters that have one, and the first of them that is read-only, or None."""
    cdef list data = [], grads = []
    frozen = None
    for parameter in parameters:
        grad = parameter.grad
        if grad is None:
            continue
        array = parameter._data
        if frozen is None and not cnp.PyArray_ISWRITEABLE(<cnp.ndarray?>array):
            frozen = parameter
        data.append(array)
        grads.append(grad)
    return data, grads, frozen


cdef cnp.ndarray updated(object array, cnp.ndarray data, str name):
    """An array that an update reads and writes: dense, of the type and size of `data`."""
    cdef cnp.ndarray a = array
    if not cnp.PyArray_ISCARRAY(a) or cnp.PyArray_TYPE(a) != cnp.PyArray_TYPE(data) or \
            cnp.PyArray_SIZE(a) != cnp.PyArray_SIZE(data):
        raise ValueError(f"{name} must be dense, writable arrays of the dtype and size of the data")
    return a


cdef cnp.ndarray gradient(object array, cnp.ndarray data):
    cdef cnp.ndarray a = as_dense(array, "grad", -1)
    if cnp.PyArray_TYPE(data) == cnp.NPY_FLOAT32 and cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT64:
        raise TypeError("grad must have dtype float32, as the data of its parameter has, got float64: convert it, as in "
                        "grad.astype(numpy.float32)")
    a = as_dense(a, "grad", cnp.PyArray_TYPE(data))
    if cnp.PyArray_SIZE(a) != cnp.PyArray_SIZE(data):
        raise ValueError(f"grad has shape {shape_of(a)}, data has shape {shape_of(data)}")
    return a


def sgd(list data, list grads, list velocities, list first, double lr, double momentum, double dampening,
        double weight_decay, bint nesterov) -> None:
    """One step in place; `velocities` None: without momentum; `first`: where the velocity begins as the gradient."""
    cdef sgd_settings s
    cdef cnp.ndarray d, g, v = None
    cdef Py_ssize_t i
    s.lr, s.momentum, s.dampening, s.weight_decay = lr, momentum, dampening, weight_decay
    s.nesterov = nesterov
    for i in range(len(data)):
        d = updated(data[i], data[i], "data")
        g = gradient(grads[i], d)
        if velocities is not None:
            v = updated(velocities[i], d, "velocities")
            s.first = first[i]
        sgd_run(dtype_of(cnp.PyArray_TYPE(d)), cnp.PyArray_SIZE(d), cnp.PyArray_DATA(d), cnp.PyArray_DATA(g),
                NULL if velocities is None else cnp.PyArray_DATA(v), &s)


def adam(list data, list grads, list means, list squares, list steps, double lr, double beta1, double beta2, double eps,
         double weight_decay) -> None:
    """One step in place; `steps`: of each parameter, this one included."""
    cdef adam_settings s
    cdef cnp.ndarray d, g, m, q
    cdef double step
    cdef Py_ssize_t i
    s.beta1, s.beta2, s.eps, s.weight_decay = beta1, beta2, eps, weight_decay
    for i in range(len(data)):
        d = updated(data[i], data[i], "data")
        g, m, q = gradient(grads[i], d), updated(means[i], d, "means"), updated(squares[i], d, "squares")
        step = steps[i]
        s.rate, s.root = lr / (1 - beta1**step), (1 - beta2**step) ** 0.5
        adam_run(dtype_of(cnp.PyArray_TYPE(d)), cnp.PyArray_SIZE(d), cnp.PyArray_DATA(d), cnp.PyArray_DATA(g),
                 cnp.PyArray_DATA(m), cnp.PyArray_DATA(q), &s)
