# cython: boundscheck=False, wraparound=False, freethreading_compatible=True
"""The seam between NumPy arrays and the C core: arrays to a conv_problem, conv_run without the GIL, arrays back.

Ints, tuples of them and words are parsed here, without a detour; anything more elaborate, and every error, goes through
`_arguments`, which is the authority on what is accepted.

One extension, because it holds the one thread pool and the one active ISA: here settings and arrays, and a part for each
subject, included at the end.
"""

from libc.stdint cimport int64_t
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
cimport numpy as cnp

from time import perf_counter

import numpy as np

from fastconv import _arguments, _conv_arguments, _plane_arguments

cnp.import_array()

cdef int max_threads = 1
cdef int strict = 0
cdef object report = None  # called after every convolution, see set_report
cdef dict PAD_MODES = {"zeros": CONV_ZEROS, "reflect": CONV_REFLECT, "replicate": CONV_REPLICATE,
                       "circular": CONV_CIRCULAR}
cdef dict ACTIVATIONS = {"relu": CONV_RELU}
cdef dict ALGORITHMS = {conv_algorithm_name(<conv_algorithm_id>i).decode(): i for i in range(CONV_ALGORITHMS)}


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


cdef inline bint has_shape(cnp.ndarray a, int ndim, const cnp.npy_intp *shape) noexcept:
    return cnp.PyArray_NDIM(a) == ndim and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(a), shape, ndim)


cdef inline bint fits(object out, int ndim, const cnp.npy_intp *shape, int type_num) noexcept:
    """Whether a result can be written to `out` as it is."""
    return type(out) is cnp.ndarray and cnp.PyArray_ISCARRAY(<cnp.ndarray>out) and \
        cnp.PyArray_TYPE(<cnp.ndarray>out) == type_num and has_shape(out, ndim, shape)


cdef inline bint apart(cnp.ndarray out, object given, cnp.ndarray dense) noexcept:
    """Whether an argument was dense already, and ends before `out` begins or begins after it."""
    return given is dense and (dense is None or
                               cnp.PyArray_BYTES(dense) + cnp.PyArray_NBYTES(dense) <= cnp.PyArray_BYTES(out) or
                               cnp.PyArray_BYTES(out) + cnp.PyArray_NBYTES(out) <= cnp.PyArray_BYTES(dense))


cdef cnp.ndarray output_array(object out, int ndim, cnp.npy_intp *shape, int type_num, tuple inputs):
    """A new array, or `out` once it has been shown to fit and to overlap no input."""
    if out is None:
        return empty(ndim, shape, type_num)
    dtype = np.dtype(np.float64 if type_num == cnp.NPY_FLOAT64 else np.float32)
    _arguments.check_out(out, tuple([shape[i] for i in range(ndim)]), dtype, inputs)
    return out


include "_core_workspace.pxi"
include "_core_batch.pxi"
include "_core_problem.pxi"
include "_core_regions.pxi"
include "_core_convolution.pxi"
include "_core_plan.pxi"
include "_core_linear.pxi"
include "_core_elementwise.pxi"
include "_core_operators.pxi"
include "_core_program.pxi"
include "_core_stages.pxi"
