# Part of _core.pyx: outputs that meet the same few taps, each region of them solved as a problem of its own.

cdef class Packed:
    """A plan and the weights that it packed: read by any number of threads, written by none."""

    cdef conv_plan plan
    cdef void *memory
    cdef char *weights

    def __dealloc__(self):
        PyMem_RawFree(self.memory)

    cdef void run(self, const void *x, cnp.ndarray b, void *y, cnp.ndarray beside) except *:
        cdef conv_plan shared
        cdef conv_plan *plan = &self.plan
        if plan.max_threads != max_threads:
            shared = self.plan
            conv_plan_threads(&shared, max_threads)
            plan = &shared
        execute(plan, x, self.weights, b, y, None, beside)


cdef Packed packed_for(conv_problem *p, const void *w):
    cdef Packed made = Packed.__new__(Packed)
    init_plan(&made.plan, p)
    made.memory = allocate(made.plan.packed_bytes)
    made.weights = align(made.memory)
    conv_pack(&made.plan, w, made.weights)
    return made


cdef class Region:
    """A problem of its own, or without taps none; a plan has its weights packed."""

    cdef conv_problem p
    cdef conv_span tall, wide
    cdef Packed packed

    cdef bint empty(self):
        return self.p.kh <= 0 or self.p.kw <= 0

    cdef double cycles(self) except *:
        cdef conv_plan plan
        if self.empty():
            return 0
        init_plan(&plan, &self.p)
        return conv_plan_cycles(&plan)

    cdef cnp.ndarray kernel(self, cnp.ndarray kernels):
        return part_of(kernels, self.tall.tap, self.tall.tap_end, self.wide.tap, self.wide.tap_end)

    cdef cnp.ndarray source(self, cnp.ndarray sources):
        return part_of(sources, self.tall.source, self.tall.source_end, self.wide.source, self.wide.source_end)

    cdef cnp.ndarray outputs(self, cnp.ndarray array):
        return part_of(array, self.tall.to, self.tall.to_end, self.wide.to, self.wide.to_end)


cdef void move(cnp.ndarray part, cnp.ndarray whole, idx top, idx left, bint back):
    """Rows and columns of all planes of `whole`, as many as `part` has, to `part` or back; both of four axes, rows side by side."""
    cdef idx planes = cnp.PyArray_DIM(part, 0) * cnp.PyArray_DIM(part, 1), rows = cnp.PyArray_DIM(part, 2)
    cdef idx bytes = cnp.PyArray_DIM(part, 3) * cnp.PyArray_ITEMSIZE(part)
    cdef idx row = cnp.PyArray_STRIDE(whole, 2)
    cdef idx plane = cnp.PyArray_STRIDE(whole, 1 if cnp.PyArray_DIM(whole, 1) > 1 else 0)  # that of one plane means nothing
    cdef char *there = cnp.PyArray_BYTES(whole) + top * row + left * cnp.PyArray_ITEMSIZE(whole)
    cdef char *here = cnp.PyArray_BYTES(part)
    with nogil:
        if back:
            conv_part_move(here, rows * bytes, bytes, there, plane, row, planes, rows, bytes)
        else:
            conv_part_move(there, plane, row, here, rows * bytes, bytes, planes, rows, bytes)


cdef cnp.ndarray part_of(cnp.ndarray whole, idx top, idx bottom, idx left, idx right):
    cdef cnp.npy_intp shape[4]
    shape[:] = [cnp.PyArray_DIM(whole, 0), cnp.PyArray_DIM(whole, 1), bottom - top, right - left]
    if shape[2] == cnp.PyArray_DIM(whole, 2) and shape[3] == cnp.PyArray_DIM(whole, 3) and cnp.PyArray_ISCARRAY_RO(whole):
        return whole
    cdef cnp.ndarray part = empty(4, shape, cnp.PyArray_TYPE(whole))
    move(part, whole, top, left, False)
    return part


cdef list regions_of(conv_problem *p, conv_regions *regions):
    cdef Region region
    cdef int row, column
    found = []
    for row in range(regions.rows):
        for column in range(regions.columns):
            region = Region.__new__(Region)
            conv_region(p, regions, row, column, &region.p, &region.tall, &region.wide)
            found.append(region)
    return found


cdef Region longest_of(list regions):
    """That takes longest; None where none has taps."""
    cdef Region region, longest = None
    cdef double cycles, most = 0
    for region in regions:
        cycles = region.cycles()
        if cycles > most:
            most, longest = cycles, region
    return longest


cdef cnp.ndarray kernels_of(conv_problem *p, conv_trim *trim, cnp.ndarray w):
    """The weights of p that the trimmed problem has."""
    kernels = w.reshape((p.groups * p.oc, p.ic, p.kh, p.kw))
    return kernels[:, :, trim.top : trim.top + trim.p.kh, trim.left : trim.left + trim.p.kw]


cdef void solve(list regions, conv_problem *p, cnp.ndarray x, cnp.ndarray kernels, cnp.ndarray b, cnp.ndarray y,
                cnp.ndarray other) except *:
    """Region by region: parts of x, of the weights, or of what a plan packed of them, and of `other` are copied, and the result to its place."""
    cdef bint forward = p.pass_ == CONV_FWD
    cdef Region region
    cdef cnp.npy_intp extent[4]
    extent[:] = [p.n, p.groups * (p.oc if forward else p.ic), p.oh if forward else p.ih, p.ow if forward else p.iw]
    cdef cnp.ndarray results = y.reshape((extent[0], extent[1], extent[2], extent[3]))
    cdef cnp.ndarray others = None if other is None else other.reshape((extent[0], extent[1], extent[2], extent[3]))
    cdef cnp.ndarray sources = x.reshape((p.n, -1, p.ih if forward else p.oh, p.iw if forward else p.ow))
    cdef cnp.ndarray source, kernel, result, beside = None
    for region in regions:
        if others is not None:
            beside = region.outputs(others)
        if region.empty():
            results[:, :, region.tall.to : region.tall.to_end, region.wide.to : region.wide.to_end] = no_sums(p, b, beside)
            continue
        source = region.source(sources)
        extent[2:] = [region.tall.to_end - region.tall.to, region.wide.to_end - region.wide.to]
        result = empty(4, extent, cnp.PyArray_TYPE(y))
        if region.packed is not None:
            region.packed.run(cnp.PyArray_DATA(source), b, cnp.PyArray_DATA(result), beside)
        else:
            kernel = region.kernel(kernels)
            run_whole(&region.p, cnp.PyArray_DATA(source), cnp.PyArray_DATA(kernel), b, cnp.PyArray_DATA(result), None, beside)
        move(result, results, region.tall.to, region.wide.to, True)


cdef object no_sums(conv_problem *p, cnp.ndarray b, cnp.ndarray beside):
    """Results of outputs without taps; a gradient is 0 on both sides of its gate."""
    value = 0 if b is None else b.reshape((-1, 1, 1))
    if p.pass_ == CONV_FWD and beside is not None:
        value = value + beside
    return np.maximum(value, 0) if p.pass_ == CONV_FWD and p.activation == CONV_RELU else value
