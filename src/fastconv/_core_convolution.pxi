# Part of _core.pyx: convolutions and their gradients, plans that are kept, and what `explain` tells.

cdef void run(conv_problem *p, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, Workspace workspace=None,
              cnp.ndarray gate=None) except *:
    cdef conv_trim trim
    cdef conv_regions regions
    cdef bint trims = conv_problem_trim(p, &trim)
    if conv_problem_regions(&trim.p if trims else p, &regions) and padding_shows_nowhere(p, w):
        if not trims:
            trim.p, trim.top, trim.left = p[0], 0, 0
        run_regions(p, &trim, &regions, x, w, b, y, gate)
    elif trims and padding_shows_nowhere(p, w):
        run_trimmed(p, &trim, x, w, b, y, workspace, gate)
    else:
        run_whole(p, cnp.PyArray_DATA(x), cnp.PyArray_DATA(w), b, cnp.PyArray_DATA(y), workspace, gate)


cdef void run_whole(conv_problem *p, const void *x, const void *w, cnp.ndarray b, void *y, Workspace workspace,
                    cnp.ndarray gate) except *:
    cdef conv_plan plan
    cdef conv_status status = conv_plan_init(&plan, p, max_threads) if workspace is None else workspace.plan(&plan, p)
    if status != CONV_OK:
        raise ValueError(f"algorithm {conv_algorithm_name(p.algorithm).decode()!r} is not applicable to this problem; "
                         "'auto' always is")
    execute(&plan, x, w, b, y, workspace, gate)


cdef bint padding_shows_nowhere(conv_problem *p, cnp.ndarray w):
    """Whether the products of zero padding are zero: of weights, or of the gradient in their place, that are finite."""
    return p.pass_ == CONV_BWD_DATA or conv_finite(p.dtype, cnp.PyArray_SIZE(w), cnp.PyArray_DATA(w))


cdef void run_trimmed(conv_problem *p, conv_trim *trim, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y,
                      Workspace workspace, cnp.ndarray gate) except *:
    """Without the taps that meet nothing but padding, whose gradients are zero."""
    cdef void *small = allocate(conv_trim_bytes(trim))
    try:
        if p.pass_ == CONV_BWD_WEIGHTS:
            run_whole(&trim.p, cnp.PyArray_DATA(x), cnp.PyArray_DATA(w), b, small, workspace, gate)
            conv_trim_move(p, trim, small, cnp.PyArray_DATA(y), True)
        else:
            conv_trim_move(p, trim, cnp.PyArray_DATA(w), small, False)
            run_whole(&trim.p, cnp.PyArray_DATA(x), small, b, cnp.PyArray_DATA(y), workspace, gate)
    finally:
        PyMem_RawFree(small)


cdef void run_regions(conv_problem *whole, conv_trim *trim, conv_regions *regions, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b,
                      cnp.ndarray y, cnp.ndarray gate) except *:
    """Region by region, each a problem of its own: parts of x and of w are copied, and the result to its place."""
    cdef conv_problem *p = &trim.p
    cdef bint forward = p.pass_ == CONV_FWD
    cdef conv_problem small
    cdef conv_span h, v
    cdef cnp.ndarray source, kernel, result, kept
    sources = x.reshape((p.n, -1, p.ih if forward else p.oh, p.iw if forward else p.ow))
    kernels = w.reshape((p.groups * p.oc, p.ic, whole.kh, whole.kw))[:, :, trim.top :, trim.left :]
    shape = (p.n, p.groups * (p.oc if forward else p.ic), p.oh if forward else p.ih, p.ow if forward else p.iw)
    results, gates = y.reshape(shape), None if gate is None else gate.reshape(shape)
    nothing = 0 if b is None else b.reshape((-1, 1, 1))
    if forward and p.activation == CONV_RELU:
        nothing = np.maximum(nothing, 0)
    for row in range(regions.rows):
        for column in range(regions.columns):
            conv_region(p, regions, row, column, &small, &h, &v)
            part = results[:, :, h.to:h.to_end, v.to:v.to_end]
            if small.kh <= 0 or small.kw <= 0:
                part[...] = nothing
                continue
            source = np.ascontiguousarray(sources[:, :, h.source:h.source_end, v.source:v.source_end])
            kernel = np.ascontiguousarray(kernels[:, :, h.tap:h.tap_end, v.tap:v.tap_end])
            kept = None if gates is None else np.ascontiguousarray(gates[:, :, h.to:h.to_end, v.to:v.to_end])
            result = np.empty_like(part, order="C")
            run_whole(&small, cnp.PyArray_DATA(source), cnp.PyArray_DATA(kernel), b, cnp.PyArray_DATA(result), None, kept)
            part[...] = result


cdef void execute(conv_plan *plan, const void *x, const void *w, cnp.ndarray b, void *py,
                  Workspace workspace=None, cnp.ndarray other=None) except *:
    cdef const void *bias = NULL if b is None else cnp.PyArray_DATA(b)
    cdef const void *besides = NULL if other is None else cnp.PyArray_DATA(other)
    cdef void *memory = scratch(plan.scratch_bytes, workspace)
    started = perf_counter() if report is not None else 0.0
    with nogil:
        conv_run(plan, x, w, bias, besides, py, align(memory))
    release(memory, workspace)
    if report is not None:
        report(problem_numbers(&plan.p), plan.threads, conv_algorithm_name(conv_plan_algorithm(plan)).decode(),
               perf_counter() - started)


cdef dict problem_numbers(conv_problem *p):
    return {"n": p.n, "g": p.groups, "ic": p.ic * p.groups, "oc": p.oc * p.groups, "size": (p.ih, p.iw),
            "kernel": (p.kh, p.kw), "stride": (p.stride_h, p.stride_w), "dilation": (p.dil_h, p.dil_w),
            "padding": ((p.pad_top, p.pad_bottom), (p.pad_left, p.pad_right)),
            "padding_mode": list(PAD_MODES)[p.pad_mode], "pass": ("fwd", "bwd_data", "bwd_weights")[p.pass_],
            "dtype": "f64" if p.dtype == CONV_F64 else "f32"}


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
    cdef conv_algorithm_id chosen = CONV_AUTO
    cdef cnp.npy_intp shape[4]
    cdef int type_num = wider(xa, wa), rank
    if bias is not None:
        ba = as_dense(bias, "bias", -1)
        type_num = wider(ba, wa) if type_num == cnp.NPY_FLOAT32 else type_num
        ba = as_dense(ba, "bias", type_num)
    if activation is not None and (type(activation) is not str or activation not in ACTIVATIONS):
        _arguments.choice(activation, "activation", ACTIVATIONS)
    if algorithm != "auto":
        chosen = ALGORITHMS[_arguments.choice(algorithm, "algorithm", _arguments.ALGORITHMS["fwd"])]
    problem_of(&p, ndim, xa, wa, ba, stride, padding, dilation, groups, padding_mode, workspace)
    p.pass_ = CONV_FWD
    p.dtype = dtype_of(type_num)
    p.activation = CONV_LINEAR if activation is None else ACTIVATIONS[activation]
    p.algorithm = chosen
    xa, wa = as_dense(xa, "x", type_num), as_dense(wa, "weight", type_num)
    rank = result_dims(&p, ndim, cnp.PyArray_NDIM(xa) == ndim + 2, shape)
    if out is None:
        y = empty(rank, shape, type_num, workspace)
    elif fits(out, rank, shape, type_num) and apart(out, x, xa) and apart(out, weight, wa) and apart(out, bias, ba):
        y = out
    else:
        y = output_array(out, rank, shape, type_num, (x, weight, bias, xa, wa, ba))
    if cnp.PyArray_ISCARRAY(y):
        run(&p, xa, wa, ba, y, workspace)
        return y
    dense = empty(rank, shape, type_num)
    run(&p, xa, wa, ba, dense)
    out[...] = dense
    return out


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
    if not three_bools(need):
        need = _arguments.check_need(need)
    need_input, need_weight, need_bias = need
    problem_of(&p, ndim, xa, wa, None, stride, padding, dilation, groups, padding_mode, workspace)
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


cdef double plan_regions(conv_plan *longest, conv_problem *p, conv_regions *regions):
    """Leaves the plan of the region that takes longest; the cycles of all."""
    cdef conv_plan plan
    cdef conv_problem small
    cdef conv_span h, v
    cdef double total = 0, most = -1, cycles
    conv_plan_init(longest, p, max_threads)  # what is told where no region has taps
    for row in range(regions.rows):
        for column in range(regions.columns):
            conv_region(p, regions, row, column, &small, &h, &v)
            if small.kh <= 0 or small.kw <= 0:
                continue
            conv_plan_init(&plan, &small, max_threads)
            cycles = conv_plan_cycles(&plan)
            total += cycles
            if cycles > most:
                most = cycles
                longest[0] = plan
    return total


def plan_info(int ndim, tuple x_shape, tuple w_shape, stride, padding, dilation, groups, padding_mode, str dtype,
              str pass_, algorithm) -> dict:
    """What `explain` tells: the plan of a call, without its arrays."""
    cdef conv_plan plan
    cdef conv_problem p, solved
    cdef conv_trim trim
    cdef conv_regions regions
    elaborate(&p, ndim, x_shape, w_shape, None, stride, padding, dilation, groups, padding_mode)
    p.dtype = CONV_F64 if dtype == "float64" else CONV_F32
    p.pass_ = {"fwd": CONV_FWD, "bwd_data": CONV_BWD_DATA, "bwd_weights": CONV_BWD_WEIGHTS}[pass_]
    p.algorithm = ALGORITHMS[algorithm]
    solved = trim.p if conv_problem_trim(&p, &trim) else p
    if conv_problem_regions(&solved, &regions):
        cycles = plan_regions(&plan, &solved, &regions)
    elif conv_plan_init(&plan, &solved, max_threads) == CONV_OK:
        cycles = conv_plan_cycles(&plan)
    else:
        raise ValueError(f"algorithm {algorithm!r} is not applicable to this problem; 'auto' always is")
    return {"algorithm": conv_algorithm_name(conv_plan_algorithm(&plan)).decode(),
            "reason": conv_plan_reason(&plan).decode(), "flops": int(conv_flops(&p)),
            "cycles": cycles, "scratch_bytes": plan.scratch_bytes, "threads": plan.threads,
            "output_shape": result_shape(&p, ndim, len(x_shape) == ndim + 2)}


cdef class Plan:
    """A convolution with everything decided and its weights packed: `fastconv.plan_conv1d` and `plan_conv2d` make them.

    Immutable, and safe to call from many threads at once: a call reads the plan and writes its own output and scratch.
    """

    cdef conv_plan plan
    cdef void *memory
    cdef char *packed
    cdef cnp.ndarray bias
    cdef int ndim, type_num, x_rank, y_rank
    cdef cnp.npy_intp x_size[4]
    cdef cnp.npy_intp y_size[4]
    cdef readonly tuple x_shape
    cdef readonly tuple output_shape

    def __cinit__(self, int ndim, x_shape, weight, bias, stride, padding, dilation, groups, padding_mode, activation,
                  algorithm):
        cdef cnp.ndarray wa = as_dense(weight, "weight", -1), ba = None
        cdef conv_problem p
        cdef conv_trim trim
        cdef void *small
        cdef bint trims
        cdef int i
        self.ndim, self.type_num = ndim, cnp.PyArray_TYPE(wa)
        self.x_shape = _arguments.shape_tuple(x_shape, "x_shape")
        if bias is not None:
            ba = as_dense(bias, "bias", -1)
            self.type_num = wider(ba, wa)
            ba = np.array(as_dense(ba, "bias", self.type_num))  # of its own, like the weights
        if activation is not None:
            _arguments.choice(activation, "activation", ACTIVATIONS)
        _arguments.choice(algorithm, "algorithm", _arguments.ALGORITHMS["fwd"])
        elaborate(&p, ndim, self.x_shape, shape_of(wa), None if ba is None else shape_of(ba), stride, padding, dilation,
                  groups, padding_mode)
        p.pass_ = CONV_FWD
        p.dtype = dtype_of(self.type_num)
        p.activation = CONV_LINEAR if activation is None else ACTIVATIONS[activation]
        p.algorithm = ALGORITHMS[algorithm]
        p.packed = 1
        wa = as_dense(wa, "weight", self.type_num)
        trims = conv_problem_trim(&p, &trim) and padding_shows_nowhere(&p, wa)
        if conv_plan_init(&self.plan, &trim.p if trims else &p, max_threads) != CONV_OK:
            raise ValueError(f"algorithm {algorithm!r} is not applicable to this problem; 'auto' always is")
        self.bias = ba
        self.x_rank = len(self.x_shape)
        for i in range(self.x_rank):
            self.x_size[i] = self.x_shape[i]
        self.y_rank = result_dims(&p, ndim, self.x_rank == ndim + 2, self.y_size)
        self.output_shape = result_shape(&p, ndim, self.x_rank == ndim + 2)
        self.memory = allocate(self.plan.packed_bytes)
        self.packed = align(self.memory)
        if trims:
            small = allocate(conv_trim_bytes(&trim))
            conv_trim_move(&p, &trim, cnp.PyArray_DATA(wa), small, False)
            conv_pack(&self.plan, small, self.packed)
            PyMem_RawFree(small)
        else:
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
        return self.calculate(x, out, None)

    def added(self, x, beside):
        """The activation of the convolution of x and `beside` added, an array like the output."""
        cdef cnp.ndarray other = as_dense(beside, "beside", -1)
        if not has_shape(other, self.y_rank, self.y_size):
            raise ValueError(f"arrays that are added must have one shape, got {self.output_shape} and {shape_of(other)}")
        return self.calculate(x, None, as_dense(other, "beside", self.type_num))

    cdef object calculate(self, x, out, cnp.ndarray beside):
        cdef cnp.ndarray xa = as_dense(x, "x", -1), y
        cdef conv_plan shared
        cdef conv_plan *plan = &self.plan
        if not has_shape(xa, self.x_rank, self.x_size):
            raise ValueError(f"x must have the shape {self.x_shape} that was planned for, got {shape_of(xa)}")
        if cnp.PyArray_TYPE(xa) == cnp.NPY_FLOAT64 and self.type_num == cnp.NPY_FLOAT32:
            raise TypeError("x must have dtype float32, as weight had when this was planned, got float64: convert it, or "
                            "plan with float64 weights")
        xa = as_dense(xa, "x", self.type_num)
        if out is not None and fits(out, self.y_rank, self.y_size, self.type_num) and apart(out, x, xa):
            y = out
        else:
            y = output_array(out, self.y_rank, self.y_size, self.type_num, (x, xa))
        if not cnp.PyArray_ISCARRAY(y):
            y = empty(self.y_rank, self.y_size, self.type_num)
        if plan.max_threads != max_threads:
            shared = self.plan
            conv_plan_threads(&shared, max_threads)
            plan = &shared
        execute(plan, cnp.PyArray_DATA(xa), self.packed, self.bias, cnp.PyArray_DATA(y), None, beside)
        if out is not None and y is not out:
            out[...] = y
            return out
        return y

    def __repr__(self) -> str:
        return (f"Plan(conv{self.ndim}d, {self.x_shape} -> {self.output_shape}, {self.dtype}, {self.algorithm}, "
                f"{self.packed_bytes} bytes packed)")

    def __reduce__(self):
        raise TypeError("a plan belongs to this machine and process and cannot be pickled; make it again from its weights")
