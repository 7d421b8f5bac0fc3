# Part of _core.pyx: what a layer keeps between calls.

from cpython.object cimport PyObject

cdef extern from "Python.h":
    PyObject *PyList_GET_ITEM(object list, Py_ssize_t i)

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
        if self.memory == NULL or self.size < size:
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
        if OWNS_THREAD and self.planned[i] and self.plans[i].max_threads == max_threads and conv_plan_serves(&self.plans[i], p):
            plan[0] = self.plans[i]
            return CONV_OK
        status = conv_plan_init(plan, p, max_threads)
        if OWNS_THREAD:
            self.plans[i], self.planned[i] = plan[0], status == CONV_OK
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
