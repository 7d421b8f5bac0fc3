# cython: boundscheck=False, wraparound=False, freethreading_compatible=True
"""The seam between NumPy arrays and the C core: arrays to a conv_problem, conv_run without the GIL, arrays back.

Calls whose arguments are plain ints are parsed here, without a detour; anything more elaborate, and every error, goes
through `_arguments`, which is the authority on what is accepted.
"""

from libc.stdint cimport int64_t
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject, PyTypeObject
cimport numpy as cnp

cdef extern from "Python.h":
    PyObject *PyList_GET_ITEM(object list, Py_ssize_t i)

cdef extern from "numpy/arrayobject.h":
    object PyArray_New(PyTypeObject *subtype, int ndim, cnp.npy_intp *shape, int type_num, cnp.npy_intp *strides, void *data,
                       int itemsize, int flags, PyObject *of)

from time import perf_counter

import numpy as np

from fastconv import _arguments, _plane_arguments

cnp.import_array()

cdef int max_threads = 1
cdef int strict = 0
cdef int forced_layout = -1  # see set_batch_last
cdef object report = None  # called after every convolution, see set_report
cdef dict PAD_MODES = {"zeros": CONV_ZEROS, "reflect": CONV_REFLECT, "replicate": CONV_REPLICATE,
                       "circular": CONV_CIRCULAR}
cdef dict ACTIVATIONS = {"relu": CONV_RELU}
cdef dict ALGORITHMS = {"auto": CONV_AUTO, "direct": CONV_DIRECT, "channels": CONV_CHANNELS, "winograd": CONV_WINOGRAD, "slide": CONV_SLIDE, "stencil": CONV_STENCIL, "gemm": CONV_GEMM, "fft": CONV_FFT,
                        "outer": CONV_OUTER, "dot": CONV_DOT, "ref": CONV_REF}


# ---- settings ----

def get_threads() -> int:
    return max_threads


def set_threads(int n) -> None:
    global max_threads
    max_threads = min(n, THREADS_MAX)


def set_report(function) -> None:
    """Call ``function(numbers, threads, algorithm, seconds)`` after every convolution; None: don't."""
    global report
    report = function


def multiply_adds(Py_ssize_t count, bint double_precision=False) -> float:
    """Keep one core's multipliers busy `count` times round the registers; returns the FLOPs done."""
    cdef double flops
    with nogil:
        flops = peak_run(CONV_F64 if double_precision else CONV_F32, count)
    return flops


def get_strict() -> bool:
    return bool(strict)


def set_strict(bint flag) -> None:
    global strict
    strict = flag


def set_batch_last(int flag) -> None:
    """Layers that may give batch-last results: 1, do so where it is possible; 0, do not; -1, where it pays. For tests."""
    global forced_layout
    forced_layout = flag


def available_threads() -> int:
    return threads_available()


def isa_table() -> dict:
    """Name to (built, supported by this CPU), best first."""
    cdef int i = 0
    table = {}
    while cpu_isa_name(i) != NULL:
        table[cpu_isa_name(i).decode()] = (bool(cpu_isa_built(i)), bool(cpu_isa_supported(i)))
        i += 1
    return table


def active_isa() -> str:
    return cpu_isa_name(cpu_active_isa()).decode()


def select_isa(str name) -> bool:
    """Makes `name` the active ISA; False when it is unknown, was not built, or this CPU lacks it."""
    cdef int i = 0
    while cpu_isa_name(i) != NULL:
        if cpu_isa_name(i).decode() == name:
            return cpu_select_isa(i) == 0
        i += 1
    return False


# ---- arrays ----

cdef cnp.ndarray as_dense(object value, str name, int type_num):
    """`value` as a C-contiguous, aligned, native array; of `type_num`, or (-1) of the float type that it has."""
    cdef cnp.ndarray array
    if type(value) is not cnp.ndarray or (cnp.PyArray_TYPE(value) != cnp.NPY_FLOAT32 and
                                          cnp.PyArray_TYPE(value) != cnp.NPY_FLOAT64):
        value = _arguments.as_array(value, name)
    array = value
    if cnp.PyArray_ISCARRAY_RO(array) and (type_num < 0 or cnp.PyArray_TYPE(array) == type_num):
        return array
    if type_num < 0:
        type_num = cnp.PyArray_TYPE(array)
    return cnp.PyArray_FROM_OTF(array, type_num, cnp.NPY_ARRAY_CARRAY_RO | cnp.NPY_ARRAY_NOTSWAPPED)


cdef inline cnp.ndarray fresh(int ndim, cnp.npy_intp *shape, int type_num):
    return cnp.PyArray_EMPTY(ndim, shape, type_num, 0)


cdef inline cnp.ndarray empty(int ndim, cnp.npy_intp *shape, int type_num, Workspace workspace=None):
    return fresh(ndim, shape, type_num) if workspace is None else workspace.empty(ndim, shape, type_num)


cdef inline int wider(cnp.ndarray a, cnp.ndarray b):
    return cnp.NPY_FLOAT64 if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT64 or cnp.PyArray_TYPE(b) == cnp.NPY_FLOAT64 \
        else cnp.NPY_FLOAT32


cdef inline conv_dtype dtype_of(int type_num):
    return CONV_F64 if type_num == cnp.NPY_FLOAT64 else CONV_F32


cdef inline char *align(void *memory) noexcept nogil:
    return <char *>(((<size_t>memory) + 63) & ~<size_t>63)


cdef void *allocate(idx size) except NULL:
    cdef void *memory = PyMem_RawMalloc(size + 64)
    if memory == NULL:
        raise MemoryError(f"fastconv: {size} bytes of scratch could not be allocated")
    return memory


cdef tuple shape_of(cnp.ndarray a):
    return (<object>a).shape


cdef cnp.ndarray output_array(object out, int ndim, cnp.npy_intp *shape, int type_num, tuple inputs):
    """A new array, or `out` once it has been shown to fit and to overlap no input."""
    if out is None:
        return empty(ndim, shape, type_num)
    dtype = np.dtype(np.float64 if type_num == cnp.NPY_FLOAT64 else np.float32)
    _arguments.check_out(out, tuple([shape[i] for i in range(ndim)]), dtype, inputs)
    return out


# ---- batch-last: (image, channel, ...) in the memory of (channel, ..., image) ----

cdef class BatchMemory:
    """The memory of an array that lies batch-last: rows of images, each of whole lines (batch_pitch)."""

    cdef void *memory
    cdef char *first
    cdef idx size

    def __dealloc__(self):
        PyMem_RawFree(self.memory)


cdef inline idx batch_row(cnp.npy_intp images, idx element) noexcept nogil:
    """Bytes from one row of images to the next: an odd number of lines, as batch_pitch has it."""
    return (((images * element + 63) // 64) | 1) * 64


cdef cnp.ndarray batch_last_array(int ndim, cnp.npy_intp *shape, int type_num):
    cdef BatchMemory owner = BatchMemory.__new__(BatchMemory)
    cdef cnp.npy_intp strides[NPY_MAXDIMS]
    cdef idx element = 4 if type_num == cnp.NPY_FLOAT32 else 8
    cdef cnp.npy_intp apart = batch_row(shape[0], element)
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
    row = batch_row(cnp.PyArray_DIM(a, 0), element)
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


# ---- what a layer keeps ----

cdef extern from *:
    """
    /* Whether a container holds the only reference to an object. Without the GIL a count says nothing. */
    #ifdef Py_GIL_DISABLED
    #define HELD_ONCE(object) 0
    #define OWNS_THREAD 0
    #else
    #define HELD_ONCE(object) (Py_REFCNT(object) == 1)
    #define OWNS_THREAD 1
    #endif
    """
    bint HELD_ONCE(PyObject *object) nogil
    bint OWNS_THREAD

cdef enum:
    NPY_MAXDIMS = 64
    ARRAYS = 8  # kept by a workspace: two of each result, because the next layer holds one until it is called again


cdef class Workspace:
    """What a layer keeps between calls, so that a training step after the first neither plans nor allocates.

    Results come from `empty`, which hands an array out again only when nobody else holds it or a view of it: a result
    that the caller has kept is never written to. Safe to use from several threads: what one of them is using, another finds
    taken and does without.
    """

    cdef conv_problem problem  # of the latest call, with the arguments that it was parsed from
    cdef tuple settings
    cdef int x_ndim, w_ndim
    cdef cnp.npy_intp x_shape[NPY_MAXDIMS]
    cdef cnp.npy_intp w_shape[NPY_MAXDIMS]
    cdef conv_plan plans[3]
    cdef int planned[3]
    cdef int threads[3]
    cdef void *memory
    cdef idx size
    cdef bint taken
    cdef list arrays
    cdef int oldest
    cdef BatchChain chain
    cdef conv_problem asked  # by `pays`
    cdef tuple asked_of
    cdef bint weighed, pay
    cdef int isa

    def __cinit__(self):
        self.arrays = []

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    def __reduce__(self):
        return Workspace, ()  # a copy begins anew

    cdef cnp.ndarray empty(self, int ndim, cnp.npy_intp *shape, int type_num):
        cdef PyObject *item
        cdef Py_ssize_t i
        for i in range(len(self.arrays)):
            item = PyList_GET_ITEM(self.arrays, i)
            if HELD_ONCE(item) and cnp.PyArray_TYPE(<cnp.ndarray>item) == type_num and \
                    cnp.PyArray_NDIM(<cnp.ndarray>item) == ndim and \
                    cnp.PyArray_CompareLists(cnp.PyArray_DIMS(<cnp.ndarray>item), shape, ndim) and \
                    cnp.PyArray_ISCARRAY(<cnp.ndarray>item):
                return <cnp.ndarray>item
        array = fresh(ndim, shape, type_num)
        self.keep(array)
        return array

    def copy(self, cnp.ndarray array not None):
        """A copy of a dense array."""
        cdef cnp.ndarray result = self.empty(cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), cnp.PyArray_TYPE(array))
        cnp.PyArray_CopyInto(result, array)
        return result

    cdef cnp.ndarray batch_last(self, int ndim, cnp.npy_intp *shape, int type_num):
        """An array like `empty`'s that lies batch-last."""
        cdef PyObject *item
        cdef Py_ssize_t i
        for i in range(len(self.arrays)):
            item = PyList_GET_ITEM(self.arrays, i)
            if HELD_ONCE(item) and cnp.PyArray_TYPE(<cnp.ndarray>item) == type_num and \
                    cnp.PyArray_NDIM(<cnp.ndarray>item) == ndim and \
                    cnp.PyArray_CompareLists(cnp.PyArray_DIMS(<cnp.ndarray>item), shape, ndim) and \
                    lies_batch_last(<cnp.ndarray>item):
                return <cnp.ndarray>item
        array = batch_last_array(ndim, shape, type_num)
        self.keep(array)
        return array

    cdef void keep(self, cnp.ndarray array):
        if not OWNS_THREAD:
            return
        if len(self.arrays) < ARRAYS:
            self.arrays.append(array)
        else:
            self.arrays[self.oldest] = array
            self.oldest = (self.oldest + 1) % ARRAYS

    cdef bint pays(self, conv_problem *p):
        """conv_batch_pays, or what it said of the same problem."""
        cdef conv_plan plan
        if forced_layout >= 0:
            return forced_layout and conv_plan_init(&plan, p, 1) == CONV_OK
        if not (OWNS_THREAD and self.weighed and self.asked.n == p.n and self.asked.layout == p.layout and
                self.asked.dtype == p.dtype and self.isa == cpu_active_isa() and self.asked_of is self.settings):
            self.pay = conv_batch_pays(p)
            self.asked, self.asked_of, self.isa, self.weighed = p[0], self.settings, cpu_active_isa(), True
        return self.pay

    cdef void *take(self, idx size) except NULL:
        cdef void *memory
        if self.taken or not OWNS_THREAD:
            return allocate(size)
        if self.size < size:
            memory = allocate(size)
            PyMem_RawFree(self.memory)
            self.memory, self.size = memory, size
        self.taken = True
        return self.memory

    cdef void give_back(self, void *memory) noexcept:
        if memory == self.memory:
            self.taken = False
        else:
            PyMem_RawFree(memory)

    cdef bint recall(self, conv_problem *p, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, object stride, object padding,
                     object dilation, object groups, object padding_mode):
        """Whether the latest call was one of the same shapes and settings; its problem then."""
        cdef tuple kept = self.settings
        if kept is None or cnp.PyArray_NDIM(x) != self.x_ndim or cnp.PyArray_NDIM(w) != self.w_ndim or \
                not cnp.PyArray_CompareLists(cnp.PyArray_DIMS(x), self.x_shape, self.x_ndim) or \
                not cnp.PyArray_CompareLists(cnp.PyArray_DIMS(w), self.w_shape, self.w_ndim) or \
                kept[0] is not stride or kept[1] is not padding or kept[2] is not dilation or kept[3] is not groups or \
                kept[4] is not padding_mode or self.problem.strict != strict or \
                not (b is None or (cnp.PyArray_NDIM(b) == 1 and cnp.PyArray_DIM(b, 0) == cnp.PyArray_DIM(w, 0))):
            return False
        p[0] = self.problem
        return True

    cdef void remember(self, conv_problem *p, cnp.ndarray x, cnp.ndarray w, tuple settings):
        cdef int i
        if not OWNS_THREAD or not unchanging(settings):
            return
        self.problem, self.settings = p[0], settings
        self.x_ndim, self.w_ndim = cnp.PyArray_NDIM(x), cnp.PyArray_NDIM(w)
        for i in range(self.x_ndim):
            self.x_shape[i] = cnp.PyArray_DIM(x, i)
        for i in range(self.w_ndim):
            self.w_shape[i] = cnp.PyArray_DIM(w, i)

    cdef conv_status plan(self, conv_plan *plan, conv_problem *p):
        """conv_plan_init, or what it gave for the same problem."""
        cdef int i = p.pass_
        cdef conv_status status
        if OWNS_THREAD and self.planned[i] and self.threads[i] == max_threads and conv_plan_serves(&self.plans[i], p):
            plan[0] = self.plans[i]
            return CONV_OK
        status = conv_plan_init(plan, p, max_threads)
        if OWNS_THREAD:
            self.plans[i], self.threads[i], self.planned[i] = plan[0], max_threads, status == CONV_OK
        return status


cdef bint unchanging(object value):
    """Whether the same object will always have the same value."""
    if type(value) is tuple:
        return all([unchanging(item) for item in <tuple>value])
    return value is None or type(value) is int or type(value) is str


cdef inline void *scratch(idx size, Workspace workspace) except NULL:
    return allocate(size) if workspace is None else workspace.take(size)


cdef inline void release(void *memory, Workspace workspace) noexcept:
    if workspace is None:
        PyMem_RawFree(memory)
    else:
        workspace.give_back(memory)


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


# ---- the problem ----

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
    p.layout = CONV_IMAGES
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


cdef void run(conv_problem *p, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, Workspace workspace=None,
              cnp.ndarray gate=None) except *:
    cdef conv_plan plan
    cdef conv_status status = conv_plan_init(&plan, p, max_threads) if workspace is None else workspace.plan(&plan, p)
    if status != CONV_OK:
        raise ValueError(f"algorithm {conv_algorithm_name(p.algorithm).decode()!r} is not applicable to this problem; "
                         "'auto' always is")
    if conv_plan_algorithm(&plan) == CONV_FFT:
        transform(&plan, x, w, b, y)
    else:
        execute(&plan, cnp.PyArray_DATA(x), cnp.PyArray_DATA(w), b, y, workspace, gate)


cdef void execute(conv_plan *plan, const void *x, const void *w, cnp.ndarray b, cnp.ndarray y,
                  Workspace workspace=None, cnp.ndarray gate=None) except *:
    cdef const void *bias = NULL if b is None else cnp.PyArray_DATA(b)
    cdef const void *mask = NULL if gate is None else cnp.PyArray_DATA(gate)
    cdef void *py = cnp.PyArray_DATA(y)
    cdef void *memory = scratch(plan.scratch_bytes, workspace)
    started = perf_counter() if report is not None else 0.0
    with nogil:
        conv_run(plan, x, w, bias, mask, py, align(memory))
    release(memory, workspace)
    if report is not None:
        report(problem_numbers(&plan.p), plan.threads, conv_algorithm_name(conv_plan_algorithm(plan)).decode(),
               perf_counter() - started)


cdef void transform(conv_plan *plan, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y) except *:
    """The one algorithm that is not C: `fastconv.fft`, on four axes."""
    from fastconv import fft
    cdef conv_problem *p = &plan.p
    started = perf_counter()
    fft.conv(np.reshape(x, (p.n, p.groups * p.ic, p.ih, p.iw)), np.reshape(w, (p.groups * p.oc, p.ic, p.kh, p.kw)), b,
             np.reshape(y, (p.n, p.groups * p.oc, p.oh, p.ow)), (p.stride_h, p.stride_w),
             ((p.pad_top, p.pad_bottom), (p.pad_left, p.pad_right)), (p.dil_h, p.dil_w), p.groups,
             list(PAD_MODES)[p.pad_mode], "relu" if p.activation == CONV_RELU else None)
    if report is not None:
        report(problem_numbers(p), 1, "fft", perf_counter() - started)


cdef dict problem_numbers(conv_problem *p):
    return {"n": p.n, "g": p.groups, "ic": p.ic * p.groups, "oc": p.oc * p.groups, "size": (p.ih, p.iw),
            "kernel": (p.kh, p.kw), "stride": (p.stride_h, p.stride_w), "dilation": (p.dil_h, p.dil_w),
            "padding": ((p.pad_top, p.pad_bottom), (p.pad_left, p.pad_right)),
            "padding_mode": list(PAD_MODES)[p.pad_mode], "pass": ("fwd", "bwd_data", "bwd_weights")[p.pass_],
            "dtype": "f64" if p.dtype == CONV_F64 else "f32"}


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
    p = problem_of(ndim, x, w, b, stride, padding, dilation, groups, padding_mode, workspace)
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


def conv(int ndim, x, weight, bias, stride, padding, dilation, groups, padding_mode, activation, out, algorithm,
         Workspace workspace=None, BatchChain chain=None):
    """`chain`: the caller, a layer with a workspace, may give a result that lies batch-last."""
    if chain is not None and type(x) is cnp.ndarray:
        y = conv_batch_last(ndim, x, weight, bias, stride, padding, dilation, groups, padding_mode, activation, workspace,
                            chain)
        if y is not None:
            return y
    return conv_images(ndim, x, weight, bias, stride, padding, dilation, groups, padding_mode, activation, out, algorithm,
                       workspace)


cdef object conv_images(int ndim, x, weight, bias, stride, padding, dilation, groups, padding_mode, activation, out,
                        algorithm, Workspace workspace):
    cdef cnp.ndarray xa = as_dense(as_images(x, workspace), "x", -1), wa = as_dense(weight, "weight", -1), ba = None, y
    cdef conv_problem p
    cdef cnp.npy_intp shape[4]
    cdef int type_num = wider(xa, wa), rank
    if bias is not None:
        ba = as_dense(bias, "bias", -1)
        type_num = wider(ba, wa) if type_num == cnp.NPY_FLOAT32 else type_num
        ba = as_dense(ba, "bias", type_num)
    if activation is not None and (type(activation) is not str or activation not in ACTIVATIONS):
        _arguments.choice(activation, "activation", ACTIVATIONS)
    if algorithm != "auto":
        _arguments.choice(algorithm, "algorithm", _arguments.ALGORITHMS["fwd"])
    p = problem_of(ndim, xa, wa, ba, stride, padding, dilation, groups, padding_mode, workspace)
    p.pass_ = CONV_FWD
    p.dtype = dtype_of(type_num)
    p.activation = CONV_LINEAR if activation is None else ACTIVATIONS[activation]
    p.algorithm = ALGORITHMS[algorithm]
    xa, wa = as_dense(xa, "x", type_num), as_dense(wa, "weight", type_num)
    rank = result_dims(&p, ndim, cnp.PyArray_NDIM(xa) == ndim + 2, shape)
    if out is None:
        y = empty(rank, shape, type_num, workspace)
    else:
        y = output_array(out, rank, shape, type_num, (x, weight, bias, xa, wa, ba))
    if cnp.PyArray_ISCARRAY(y):
        run(&p, xa, wa, ba, y, workspace)
        return y
    dense = empty(rank, shape, type_num)
    run(&p, xa, wa, ba, dense)
    out[...] = dense
    return out


cdef tuple backward_batch_last(int ndim, cnp.ndarray dy, cnp.ndarray x, cnp.ndarray w, object stride, object padding,
                               object dilation, object groups, object padding_mode, tuple need, bint through_relu,
                               Workspace workspace):
    """The gradients from one that lies batch-last, as x does where its gradient is wanted; else, and in odd cases, None."""
    cdef conv_problem p
    cdef cnp.npy_intp shape[4], channels
    cdef int type_num = cnp.PyArray_TYPE(x)
    cdef bint last = lies_batch_last(x)
    need_input, need_weight, need_bias = need
    if cnp.PyArray_NDIM(x) != ndim + 2 or not (last or (cnp.PyArray_ISCARRAY_RO(x) and not need_input)) or \
            cnp.PyArray_TYPE(dy) != type_num or not of_type(x, w, None):
        return None
    p = problem_of(ndim, x, w, None, stride, padding, dilation, groups, padding_mode, workspace)
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


def conv_backward(int ndim, grad_output, x, weight, stride, padding, dilation, groups, padding_mode, need,
                  data_algorithm="auto", weights_algorithm="auto", bint through_relu=False, Workspace workspace=None):
    """(grad_input, grad_weight, grad_bias), None where `need` says so; `through_relu`: x is the output of a ReLU, and
    grad_input is to be the gradient of its input."""
    if workspace is not None and type(grad_output) is cnp.ndarray and type(x) is cnp.ndarray and lies_batch_last(grad_output):
        gradients = backward_batch_last(ndim, grad_output, x, weight, stride, padding, dilation, groups, padding_mode, need,
                                        through_relu, workspace)
        if gradients is not None:
            return gradients
        if workspace.chain is not None and forced_layout < 0:
            workspace.chain.open = False
    cdef cnp.ndarray dy = as_dense(as_images(grad_output, workspace), "grad_output", -1)
    cdef cnp.ndarray xa = as_dense(as_images(x, workspace), "x", -1), wa = as_dense(weight, "weight", -1), dx = None, dw = None, db = None
    cdef conv_problem p
    cdef cnp.npy_intp channels
    cdef cnp.npy_intp shape[4]
    cdef int type_num = cnp.NPY_FLOAT64 if wider(xa, wa) == cnp.NPY_FLOAT64 else wider(dy, wa)
    cdef bint batched = cnp.PyArray_NDIM(xa) == ndim + 2
    if type(need) is not tuple or len(<tuple>need) != 3:
        need = _arguments.check_need(need)
    need_input, need_weight, need_bias = need
    p = problem_of(ndim, xa, wa, None, stride, padding, dilation, groups, padding_mode, workspace)
    if not has_shape(dy, result_dims(&p, ndim, batched, shape), shape):
        raise ValueError(f"grad_output has shape {shape_of(dy)}; the output of this convolution has shape "
                         f"{result_shape(&p, ndim, batched)}")
    p.dtype = dtype_of(type_num)
    dy = as_dense(dy, "grad_output", type_num)
    if need_input:
        wa = as_dense(wa, "weight", type_num)
        dx = empty(cnp.PyArray_NDIM(xa), cnp.PyArray_DIMS(xa), type_num, workspace)
        p.pass_ = CONV_BWD_DATA
        p.algorithm = ALGORITHMS[data_algorithm]
        xa = as_dense(xa, "x", type_num)
        run(&p, dy, wa, None, dx, workspace, xa if through_relu else None)
    if need_weight:
        xa = as_dense(xa, "x", type_num)
        dw = empty(cnp.PyArray_NDIM(wa), cnp.PyArray_DIMS(wa), type_num, workspace)
        p.pass_ = CONV_BWD_WEIGHTS
        p.algorithm = ALGORITHMS[weights_algorithm]
        run(&p, xa, dy, None, dw, workspace)
    if need_bias:
        channels = p.oc * p.groups
        db = empty(1, &channels, type_num, workspace)
        conv_bias_grad(&p, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(db))
    return dx, dw, db


def plan_info(int ndim, tuple x_shape, tuple w_shape, stride, padding, dilation, groups, padding_mode, str dtype,
              str pass_, algorithm) -> dict:
    """What `explain` tells: the plan of a call, without its arrays."""
    cdef conv_plan plan
    cdef conv_problem p = parse(ndim, x_shape, w_shape, None, stride, padding, dilation, groups, padding_mode)
    p.dtype = CONV_F64 if dtype == "float64" else CONV_F32
    p.pass_ = {"fwd": CONV_FWD, "bwd_data": CONV_BWD_DATA, "bwd_weights": CONV_BWD_WEIGHTS}[pass_]
    p.algorithm = ALGORITHMS[algorithm]
    if conv_plan_init(&plan, &p, max_threads) != CONV_OK:
        raise ValueError(f"algorithm {algorithm!r} is not applicable to this problem; 'auto' always is")
    return {"algorithm": conv_algorithm_name(conv_plan_algorithm(&plan)).decode(),
            "reason": conv_plan_reason(&plan).decode(), "flops": int(conv_flops(&p)),
            "cycles": conv_plan_cycles(&plan), "scratch_bytes": plan.scratch_bytes, "threads": plan.threads,
            "output_shape": result_shape(&p, ndim, len(x_shape) == ndim + 2)}


cdef class Plan:
    """A convolution with everything decided and its weights packed: `fastconv.plan_conv1d` and `plan_conv2d` make them.

    Immutable, and safe to call from many threads at once: a call reads the plan and writes its own output and scratch.
    """

    cdef conv_plan plan
    cdef void *memory
    cdef char *packed
    cdef cnp.ndarray bias, weight
    cdef int ndim, type_num
    cdef readonly tuple x_shape
    cdef readonly tuple output_shape

    def __cinit__(self, int ndim, x_shape, weight, bias, stride, padding, dilation, groups, padding_mode, activation,
                  algorithm):
        cdef cnp.ndarray wa = as_dense(weight, "weight", -1), ba = None
        cdef conv_problem p
        self.ndim, self.type_num = ndim, cnp.PyArray_TYPE(wa)
        self.x_shape = _arguments.shape_tuple(x_shape, "x_shape")
        if bias is not None:
            ba = as_dense(bias, "bias", -1)
            self.type_num = wider(ba, wa)
            ba = np.array(as_dense(ba, "bias", self.type_num))  # of its own, like the weights
        if activation is not None:
            _arguments.choice(activation, "activation", ACTIVATIONS)
        _arguments.choice(algorithm, "algorithm", _arguments.ALGORITHMS["fwd"])
        p = parse(ndim, self.x_shape, shape_of(wa), None if ba is None else shape_of(ba), stride, padding, dilation,
                  groups, padding_mode)
        p.pass_ = CONV_FWD
        p.dtype = dtype_of(self.type_num)
        p.activation = CONV_LINEAR if activation is None else ACTIVATIONS[activation]
        p.algorithm = ALGORITHMS[algorithm]
        p.packed = 1
        if conv_plan_init(&self.plan, &p, max_threads) != CONV_OK:
            raise ValueError(f"algorithm {algorithm!r} is not applicable to this problem; 'auto' always is")
        wa = as_dense(wa, "weight", self.type_num)
        self.bias = ba
        self.weight = np.array(wa) if conv_plan_algorithm(&self.plan) == CONV_FFT else None
        self.output_shape = result_shape(&p, ndim, len(self.x_shape) == ndim + 2)
        self.memory = allocate(self.plan.packed_bytes)
        self.packed = align(self.memory)
        conv_pack(&self.plan, cnp.PyArray_DATA(wa), self.packed)

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    @property
    def algorithm(self) -> str:
        return conv_algorithm_name(conv_plan_algorithm(&self.plan)).decode()

    @property
    def dtype(self):
        return np.dtype(np.float64 if self.type_num == cnp.NPY_FLOAT64 else np.float32)

    @property
    def packed_bytes(self) -> int:
        return self.plan.packed_bytes

    @property
    def scratch_bytes(self) -> int:
        return self.plan.scratch_bytes

    def __call__(self, x, out=None):
        cdef cnp.ndarray xa = as_dense(x, "x", -1), y
        cdef conv_plan plan = self.plan
        cdef cnp.npy_intp shape[4]
        cdef int i, rank = len(self.output_shape)
        if shape_of(xa) != self.x_shape:
            raise ValueError(f"x must have the shape {self.x_shape} that was planned for, got {shape_of(xa)}")
        if cnp.PyArray_TYPE(xa) == cnp.NPY_FLOAT64 and self.type_num == cnp.NPY_FLOAT32:
            raise TypeError("x must have dtype float32, as weight had when this was planned, got float64: convert it, or "
                            "plan with float64 weights")
        xa = as_dense(xa, "x", self.type_num)
        for i in range(rank):
            shape[i] = self.output_shape[i]
        y = output_array(out, rank, shape, self.type_num, (x, xa))
        if not cnp.PyArray_ISCARRAY(y):
            y = empty(rank, shape, self.type_num)
        if self.weight is not None:
            transform(&plan, xa, self.weight, self.bias, y)
        else:
            conv_plan_threads(&plan, max_threads)
            execute(&plan, cnp.PyArray_DATA(xa), self.packed, self.bias, y)
        if out is not None and y is not out:
            out[...] = y
            return out
        return y

    def __repr__(self) -> str:
        return (f"Plan(conv{self.ndim}d, {self.x_shape} -> {self.output_shape}, {self.dtype}, {self.algorithm}, "
                f"{self.packed_bytes} bytes packed)")

    def __reduce__(self):
        raise TypeError("a plan belongs to this machine and process and cannot be pickled; make it again from its weights")


# ---- matrices ----

cdef void product(idx m, idx n, idx k, cnp.ndarray a, idx a_row, idx a_col, cnp.ndarray b, idx b_row, idx b_col,
                  cnp.ndarray bias, bint relu, cnp.ndarray c, idx c_row, Workspace workspace) except *:
    cdef matrix_product p
    cdef void *memory
    p.m, p.n, p.k = m, n, k
    p.a, p.a_row, p.a_col = cnp.PyArray_DATA(a), a_row, a_col
    p.b, p.b_row, p.b_col = cnp.PyArray_DATA(b), b_row, b_col
    p.bias = NULL if bias is None else cnp.PyArray_DATA(bias)
    p.relu = relu
    p.c, p.c_row = cnp.PyArray_DATA(c), c_row
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
    return batch_row(cnp.PyArray_DIM(x, 0), cnp.PyArray_ITEMSIZE(x)) // cnp.PyArray_ITEMSIZE(x)


def linear(x, weight, bias, bint relu=False, Workspace workspace=None):
    """x (..., in) times weight (out, in) transposed, plus bias (out); `relu`: its positive part."""
    cdef bint last = lies_so(x, weight, bias)
    cdef cnp.ndarray xa = x if last else as_dense(x, "x", -1), wa = as_dense(weight, "weight", -1), ba = None, y
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


def linear_backward(grad_output, x, weight, need, bint through_relu=False, Workspace workspace=None):
    """(grad_input, grad_weight, grad_bias) of `linear`, None where `need` says so; `through_relu` as in conv_backward."""
    cdef cnp.ndarray dy = as_dense(grad_output, "grad_output", -1)
    cdef bint last = workspace is not None and lies_so(x, weight, dy)
    cdef cnp.ndarray xa = x if last else as_dense(x, "x", -1), wa = as_dense(weight, "weight", -1), dx = None, dw = None, db = None
    cdef int type_num = cnp.NPY_FLOAT64 if wider(xa, wa) == cnp.NPY_FLOAT64 else wider(dy, wa)
    cdef conv_problem p
    cdef idx row
    if type(need) is not tuple or len(<tuple>need) != 3:
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


# ---- elementwise ----

def relu(x, Workspace workspace=None):
    cdef cnp.ndarray xa = as_dense(x, "x", -1)
    cdef cnp.ndarray y = empty(cnp.PyArray_NDIM(xa), cnp.PyArray_DIMS(xa), cnp.PyArray_TYPE(xa), workspace)
    relu_run(dtype_of(cnp.PyArray_TYPE(xa)), cnp.PyArray_SIZE(xa), cnp.PyArray_DATA(xa), cnp.PyArray_DATA(y))
    return y


def relu_backward(grad_output, y, Workspace workspace=None):
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
    cdef cnp.ndarray a = as_dense(array, "grad", cnp.PyArray_TYPE(data))
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


include "_operators.pxi"
