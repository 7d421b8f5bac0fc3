# Part of _core.pyx: arrays that lie batch-last, (image, channel, ...) in the memory of (channel, ..., image), between layers.

from cpython.object cimport PyTypeObject

cdef extern from "numpy/arrayobject.h":
    object PyArray_New(PyTypeObject *subtype, int ndim, cnp.npy_intp *shape, int type_num, cnp.npy_intp *strides, void *data,
                       int itemsize, int flags, PyObject *of)

cdef int forced_layout = -1  # see set_batch_last


def set_batch_last(int flag) -> None:
    """Layers that may give batch-last results: 1, do so where it is possible; 0, do not; -1, where it pays. For tests."""
    global forced_layout
    forced_layout = flag


cdef class BatchMemory:
    """The memory of an array that lies batch-last: rows of images, each of whole lines (conv_batch_row)."""

    cdef void *memory
    cdef char *first
    cdef idx size

    def __dealloc__(self):
        PyMem_RawFree(self.memory)


cdef cnp.ndarray batch_last_array(int ndim, cnp.npy_intp *shape, int type_num):
    cdef BatchMemory owner = BatchMemory.__new__(BatchMemory)
    cdef cnp.npy_intp strides[NPY_MAXDIMS]
    cdef idx element = 4 if type_num == cnp.NPY_FLOAT32 else 8
    cdef cnp.npy_intp apart = conv_batch_row(shape[0], element)
    cdef int i
    for i in range(ndim - 1, 0, -1):
        strides[i] = apart
        apart *= shape[i]
    strides[0] = element
    owner.memory = allocate(apart)
    owner.first, owner.size = align(owner.memory), apart
    array = PyArray_New(<PyTypeObject *>np.ndarray, ndim, shape, type_num, strides, owner.first, 0,
                        cnp.NPY_ARRAY_ALIGNED | cnp.NPY_ARRAY_WRITEABLE, NULL)
    cnp.set_array_base(array, owner)
    return array


cdef bint lies_batch_last(cnp.ndarray a):
    """Whether `a` is an array of `batch_last_array`, whole or reshaped."""
    cdef int i, ndim = cnp.PyArray_NDIM(a)
    cdef idx element = cnp.PyArray_ITEMSIZE(a), row
    cdef object owner = a
    cdef BatchMemory memory
    if ndim < 2 or cnp.PyArray_STRIDE(a, 0) != element or cnp.PyArray_DIM(a, 0) < 2:
        return False
    row = conv_batch_row(cnp.PyArray_DIM(a, 0), element)
    for i in range(ndim - 1, 0, -1):
        if cnp.PyArray_STRIDE(a, i) != row and cnp.PyArray_DIM(a, i) != 1:
            return False
        row *= cnp.PyArray_DIM(a, i)
    while cnp.PyArray_Check(owner):
        owner = cnp.get_array_base(owner)
    if type(owner) is not BatchMemory:
        return False
    memory = owner
    return memory.first == <char *>cnp.PyArray_DATA(a) and memory.size == row


cdef class BatchChain:
    """Layers that hand one another activations that lie batch-last: begun by the layer of workspace `first` alone, and closed for
    good where one of them cannot follow, or the gradient of the first one's input, which lies as images, is wanted."""

    cdef Workspace first
    cdef bint open

    def __init__(self, Workspace first not None):
        self.first = first
        self.open = True

    def __reduce__(self):
        return BatchChain, (self.first,)


cdef object as_images(object value, Workspace workspace):
    """`value`, as dense images where it lies batch-last."""
    cdef cnp.ndarray a, dense
    if type(value) is not cnp.ndarray or not lies_batch_last(value):
        return value
    a = value
    dense = empty(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), workspace)
    conv_batch_to_images(dtype_of(cnp.PyArray_TYPE(a)), cnp.PyArray_DIM(a, 0), cnp.PyArray_SIZE(a) // cnp.PyArray_DIM(a, 0),
                         cnp.PyArray_DATA(a), cnp.PyArray_DATA(dense))
    return dense


cdef cnp.ndarray conv_batch_last(int ndim, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, object stride, object padding,
                                 object dilation, object groups, object padding_mode, object activation, Workspace workspace,
                                 BatchChain chain):
    """The convolution into an array that lies batch-last, where that pays, as x may, too; None elsewhere."""
    cdef conv_problem p
    cdef cnp.npy_intp shape[4]
    cdef bint last = lies_batch_last(x)
    if not (last or (chain.open and chain.first is workspace)):
        return None
    if cnp.PyArray_NDIM(x) != ndim + 2 or not (last or cnp.PyArray_ISCARRAY_RO(x)) or not of_type(x, w, b):
        return None
    problem_of(&p, ndim, x, w, b, stride, padding, dilation, groups, padding_mode, workspace)
    p.pass_ = CONV_FWD
    p.dtype = dtype_of(cnp.PyArray_TYPE(x))
    p.layout = CONV_BATCH_LAST if last else CONV_BATCH_RESULT
    p.activation = CONV_LINEAR if activation is None else ACTIVATIONS[activation]
    if not workspace.pays(&p):
        chain.open = not last or forced_layout >= 0
        return None
    workspace.chain = chain
    y = workspace.batch_last(result_dims(&p, ndim, True, shape), shape, cnp.PyArray_TYPE(x))
    run(&p, x, w, b, y, workspace)
    return y


cdef inline bint of_type(cnp.ndarray x, cnp.ndarray w, cnp.ndarray b):
    """Whether parameters are dense and all three of one float type."""
    cdef int type_num = cnp.PyArray_TYPE(x)
    return (type_num == cnp.NPY_FLOAT32 or type_num == cnp.NPY_FLOAT64) and cnp.PyArray_TYPE(w) == type_num and \
        cnp.PyArray_ISCARRAY_RO(w) and (b is None or (cnp.PyArray_TYPE(b) == type_num and cnp.PyArray_ISCARRAY_RO(b)))


cdef tuple backward_batch_last(int ndim, cnp.ndarray dy, cnp.ndarray x, cnp.ndarray w, object stride, object padding,
                               object dilation, object groups, object padding_mode, tuple need, bint through_relu,
                               Workspace workspace):
    """The gradients from one that lies batch-last, as x does where its gradient is wanted; else, and in odd cases, None."""
    cdef conv_problem p
    cdef cnp.npy_intp shape[4]
    cdef cnp.npy_intp channels
    cdef int type_num = cnp.PyArray_TYPE(x)
    cdef bint last = lies_batch_last(x)
    need_input, need_weight, need_bias = need
    if cnp.PyArray_NDIM(x) != ndim + 2 or not (last or (cnp.PyArray_ISCARRAY_RO(x) and not need_input)) or \
            cnp.PyArray_TYPE(dy) != type_num or not of_type(x, w, None):
        return None
    problem_of(&p, ndim, x, w, None, stride, padding, dilation, groups, padding_mode, workspace)
    p.dtype, p.layout = dtype_of(type_num), CONV_BATCH_LAST if last else CONV_BATCH_RESULT
    p.pass_ = CONV_FWD
    if not has_shape(dy, result_dims(&p, ndim, True, shape), shape) or not workspace.pays(&p):
        return None
    dx = dw = db = None
    if need_input:
        dx = workspace.batch_last(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), type_num)
        p.pass_ = CONV_BWD_DATA
        run(&p, dy, w, None, dx, workspace, x if through_relu else None)
    if need_weight:
        dw = workspace.empty(cnp.PyArray_NDIM(w), cnp.PyArray_DIMS(w), type_num)
        p.pass_ = CONV_BWD_WEIGHTS
        run(&p, x, dy, None, dw, workspace)
    if need_bias:
        channels = p.oc * p.groups
        db = workspace.empty(1, &channels, type_num)
        conv_bias_grad(&p, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(<cnp.ndarray>db))
    return dx, dw, db
