# Part of _core.pyx: convolutions whose weights are packed once.

cdef enum:
    LARGE_RESULT = 33554432  # bytes: the C library gives more back to the system as soon as it is free, and the next call pays for every page
    RESULTS = 2  # such, kept by a plan: the caller often holds one until the next is there

cdef class Plan:
    """A convolution with everything decided and its weights packed: `fastconv.plan_conv1d` and `plan_conv2d` make them.

    Immutable, and safe to call from many threads at once: a call reads the plan and writes its own output and scratch. The memory of
    large results is kept, and serves again when nobody else holds it or a view of it.
    """

    cdef conv_problem p  # as it is solved: without taps that meet nothing but padding
    cdef Packed whole    # or of the region that takes longest,
    cdef list regions    # None if there are none
    cdef cnp.ndarray bias
    cdef int ndim, type_num, x_rank, y_rank
    cdef cnp.npy_intp x_size[4]
    cdef cnp.npy_intp y_size[4]
    cdef readonly tuple x_shape
    cdef readonly tuple output_shape
    cdef list results    # the latest large ones

    def __cinit__(self, int ndim, x_shape, weight, bias, stride, padding, dilation, groups, padding_mode, activation,
                  algorithm):
        cdef cnp.ndarray wa = as_dense(weight, "weight", -1), ba = None
        cdef conv_problem p
        cdef int i
        self.ndim, self.type_num = ndim, cnp.PyArray_TYPE(wa)
        self.x_shape = _arguments.shape_tuple(x_shape, "x_shape")
        if bias is not None:
            ba = as_dense(bias, "bias", -1)
            self.type_num = wider(ba, wa)
            ba = np.array(as_dense(ba, "bias", self.type_num))  # of its own, like the weights
        if activation is not None:
            _arguments.choice(activation, "activation", ACTIVATIONS)
        _arguments.choice(algorithm, "algorithm", _conv_arguments.ALGORITHMS["fwd"])
        elaborate(&p, ndim, self.x_shape, shape_of(wa), None if ba is None else shape_of(ba), stride, padding, dilation,
                  groups, padding_mode)
        p.pass_ = CONV_FWD
        p.dtype = dtype_of(self.type_num)
        p.activation = CONV_LINEAR if activation is None else ACTIVATIONS[activation]
        p.algorithm = ALGORITHMS[algorithm]
        p.packed = 1
        wa = as_dense(wa, "weight", self.type_num)
        self.pack(&p, wa)
        self.bias = ba
        self.x_rank = len(self.x_shape)
        for i in range(self.x_rank):
            self.x_size[i] = self.x_shape[i]
        self.y_rank = result_dims(&p, ndim, self.x_rank == ndim + 2, self.y_size)
        self.output_shape = result_shape(&p, ndim, self.x_rank == ndim + 2)
        self.results = []

    cdef void pack(self, conv_problem *p, cnp.ndarray w) except *:
        cdef conv_trim trim
        cdef conv_regions found
        cdef Region region, longest
        cdef cnp.ndarray kernel, kernels
        cdef bint spared = padding_shows_nowhere(p, w)
        if not (spared and conv_problem_trim(p, &trim)):
            trim.p, trim.top, trim.left = p[0], 0, 0
        self.p = trim.p
        kernels = kernels_of(p, &trim, w)
        parts = regions_of(&self.p, &found) if spared and conv_problem_regions(&self.p, &found) else []
        longest = longest_of(parts)
        for region in parts:
            if not region.empty():
                kernel = region.kernel(kernels)
                region.packed = packed_for(&region.p, cnp.PyArray_DATA(kernel))
        self.regions = parts or None
        if longest is None:
            kernel = np.ascontiguousarray(kernels)
            self.whole = packed_for(&self.p, cnp.PyArray_DATA(kernel))
        else:
            self.whole = longest.packed

    cdef list packs(self):
        parts = [] if self.regions is None else [(<Region>part).packed for part in self.regions]
        return [one for one in parts if one is not None] or [self.whole]

    @property
    def algorithm(self) -> str:
        return conv_algorithm_name(conv_plan_algorithm(&self.whole.plan)).decode()

    @property
    def dtype(self):
        return np.dtype(np.float64 if self.type_num == cnp.NPY_FLOAT64 else np.float32)

    @property
    def packed_bytes(self) -> int:
        return sum([(<Packed>one).plan.packed_bytes for one in self.packs()])

    @property
    def scratch_bytes(self) -> int:
        return max([(<Packed>one).plan.scratch_bytes for one in self.packs()])

    def __call__(self, x, out=None):
        return self.calculate(x, out, None, True)

    def added(self, x, beside=None, bint over=False):
        """The activation of the convolution of x and `beside` added, an array like the output or None: for layers, of which many are
        called in turn. Nothing of the result is kept. `over`: where it may be, it is written over `beside`, which nobody else holds."""
        cdef cnp.ndarray other
        if beside is None:
            return self.calculate(x, None, None, False)
        if over and self.writes_over(x, beside):
            self.whole.run(cnp.PyArray_DATA(<cnp.ndarray>x), self.bias, cnp.PyArray_DATA(<cnp.ndarray>beside), beside)
            return beside
        other = as_dense(beside, "beside", -1)
        if not has_shape(other, self.y_rank, self.y_size):
            raise ValueError(f"arrays that are added must have one shape, got {self.output_shape} and {shape_of(other)}")
        return self.calculate(x, None, as_dense(other, "beside", self.type_num), False)

    cdef bint writes_over(self, x, beside):
        """Whether the kernel reads each element of `beside` before it writes the result's there, which is memory of its own."""
        return self.regions is None and conv_plan_adds(&self.whole.plan) and fits(x, self.x_rank, self.x_size, self.type_num) and \
            fits(beside, self.y_rank, self.y_size, self.type_num) and cnp.PyArray_CHKFLAGS(beside, cnp.NPY_ARRAY_OWNDATA) and \
            apart(beside, x, x)

    cdef object calculate(self, x, out, cnp.ndarray beside, bint keep):
        cdef cnp.ndarray xa = as_dense(x, "x", -1), y
        if not has_shape(xa, self.x_rank, self.x_size):
            raise ValueError(f"x must have the shape {self.x_shape} that was planned for, got {shape_of(xa)}")
        if cnp.PyArray_TYPE(xa) == cnp.NPY_FLOAT64 and self.type_num == cnp.NPY_FLOAT32:
            raise TypeError("x must have dtype float32, as weight had when this was planned, got float64: convert it, or "
                            "plan with float64 weights")
        xa = as_dense(xa, "x", self.type_num)
        if out is not None and fits(out, self.y_rank, self.y_size, self.type_num) and apart(out, x, xa):
            y = out
        elif out is None and keep:
            y = self.result()
        else:
            y = output_array(out, self.y_rank, self.y_size, self.type_num, (x, xa))
        if not cnp.PyArray_ISCARRAY(y):
            y = empty(self.y_rank, self.y_size, self.type_num)
        if self.regions is None:
            self.whole.run(cnp.PyArray_DATA(xa), self.bias, cnp.PyArray_DATA(y), beside)
        else:
            solve(self.regions, &self.p, xa, None, self.bias, y, beside)
        if out is not None and y is not out:
            out[...] = y
            return out
        return y

    cdef cnp.ndarray result(self):
        """An array for a result: a new one, or where it is large one that this plan gave before and nobody holds."""
        cdef PyObject *item
        cdef Py_ssize_t i
        cdef cnp.ndarray array
        for i in range(len(self.results)):
            item = PyList_GET_ITEM(self.results, i)
            if HELD_ONCE(item) and fits(<object>item, self.y_rank, self.y_size, self.type_num):
                return <cnp.ndarray>item
        array = empty(self.y_rank, self.y_size, self.type_num)
        if OWNS_THREAD and cnp.PyArray_NBYTES(array) > LARGE_RESULT:
            self.results = [*self.results[1 - RESULTS:], array]
        return array

    def __repr__(self) -> str:
        return (f"Plan(conv{self.ndim}d, {self.x_shape} -> {self.output_shape}, {self.dtype}, {self.algorithm}, "
                f"{self.packed_bytes} bytes packed)")

    def __reduce__(self):
        raise TypeError("a plan belongs to this machine and process and cannot be pickled; make it again from its weights")
