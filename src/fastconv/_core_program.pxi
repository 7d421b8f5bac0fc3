# Part of _core.pyx: what inference by layers does at every call: see that they are as they were, and make the calls.

cimport cython
from cpython.dict cimport PyDict_Next


cdef class Watch:
    """Whether objects are as they were: ``attributes``, of the dictionary of each with its own and their values; ``slots``, of those without."""

    cdef tuple attributes, slots
    cdef frozenset ignored

    def __init__(self, tuple attributes not None, tuple slots not None, frozenset ignored not None):
        self.attributes, self.slots, self.ignored = attributes, slots, ignored

    def unchanged(self) -> bool:
        cdef tuple one
        for one in self.attributes:
            if not self.alike(one[0], one[1]):
                return False
        for one in self.slots:
            if getattr(one[0], one[1]) is not one[2]:
                return False
        return True

    cdef bint alike(self, dict now, tuple before):
        """One after another, as they lie in memory: this is asked when nothing of it is in the caches."""
        cdef PyObject *name
        cdef PyObject *value
        cdef Py_ssize_t position = 0, i = 0, size = len(before)
        with cython.critical_section(now):
            while PyDict_Next(now, &position, &name, &value):
                if i < size and name == <PyObject *>before[i]:
                    if value != <PyObject *>before[i + 1]:
                        return False
                    i += 2
                elif <object>name not in self.ignored:
                    return False
        return i == size


cdef class Pass:
    """Calls in a row on arrays that have numbers: the first argument's, those of others, the result's, and of those that nobody reads any more;
    and the plan whose result may take the place of the other array."""

    cdef tuple calls
    cdef Py_ssize_t arrays, result

    def __init__(self, tuple calls not None, Py_ssize_t arrays, Py_ssize_t result):
        self.calls, self.arrays, self.result = calls, arrays, result

    def __call__(self, x):
        cdef list arrays = [None] * self.arrays
        cdef Py_ssize_t first, to, other
        cdef tuple call, others, done
        arrays[0] = x
        for call in self.calls:
            first, others, to, done = call[1], call[2], call[3], call[4]
            if call[5] is not None and HELD_ONCE(PyList_GET_ITEM(arrays, others[0])):
                arrays[to] = (<Plan>call[5]).added(arrays[first], arrays[others[0]], True)
            elif others:
                arrays[to] = call[0](arrays[first], *[arrays[other] for other in others])
            else:
                arrays[to] = call[0](arrays[first])
            for other in done:  # the memory of those to come
                arrays[other] = None
        return arrays[self.result]
