# Part of _core.pyx: convolutions and their gradients, and what `explain` tells.

cdef void run(conv_problem *p, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, Workspace workspace=None,
              cnp.ndarray gate=None) except *:
    cdef conv_trim trim
    cdef conv_regions regions
    cdef bint trims = conv_problem_trim(p, &trim)
    if conv_problem_regions(&trim.p if trims else p, &regions) and padding_shows_nowhere(p, w):
        if not trims:
            trim.p, trim.top, trim.left = p[0], 0, 0
        solve(regions_of(&trim.p, &regions), &trim.p, x, kernels_of(p, &trim, w), b, y, gate)
    elif trims and padding_shows_nowhere(p, w):
        run_trimmed(p, &trim, x, w, b, y, workspace, gate)
    else:
        run_whole(p, cnp.PyArray_DATA(x), cnp.PyArray_DATA(w), b, cnp.PyArray_DATA(y), workspace, gate)


cdef void run_whole(conv_problem *p, const void *x, const void *w, cnp.ndarray b, void *y, Workspace workspace,
                    cnp.ndarray gate) except *:
    cdef conv_plan plan
    init_plan(&plan, p, workspace)
    execute(&plan, x, w, b, y, workspace, gate)


cdef enum:
    RECENT = 64  # plans that are kept, of a kilobyte each
    QUICK = 10000  # cycles, of which letting another thread have the interpreter and taking it back would be some percent

cdef conv_plan recent[RECENT]


cdef conv_status recent_plan(conv_plan *plan, conv_problem *p):
    """conv_plan_init, or what it gave of late for the same problem: of a tiny call it is a quarter."""
    cdef size_t mixed = p.n
    for size in (p.groups, p.ic, p.oc, p.ih, p.iw, p.kh, p.kw, p.stride_w, p.pad_left, <idx>p.pass_, <idx>p.dtype, <idx>p.activation):
        mixed = mixed * 31 + <size_t>size
    cdef conv_plan *kept = &recent[(mixed ^ mixed >> 6) & (RECENT - 1)]
    if OWNS_THREAD and kept.max_threads == max_threads and conv_plan_serves(kept, p):
        plan[0] = kept[0]
        return CONV_OK
    cdef conv_status status = conv_plan_init(plan, p, max_threads)
    if OWNS_THREAD and status == CONV_OK:
        kept[0] = plan[0]
    return status


cdef void init_plan(conv_plan *plan, conv_problem *p, Workspace workspace=None) except *:
    cdef conv_status status = recent_plan(plan, p) if workspace is None else workspace.plan(plan, p)
    if status != CONV_OK:
        raise ValueError(f"algorithm {conv_algorithm_name(p.algorithm).decode()!r} is not applicable to this problem; "
                         "'auto' always is")


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


cdef void execute(conv_plan *plan, const void *x, const void *w, cnp.ndarray b, void *py,
                  Workspace workspace=None, cnp.ndarray other=None) except *:
    cdef const void *bias = NULL if b is None else cnp.PyArray_DATA(b)
    cdef const void *besides = NULL if other is None else cnp.PyArray_DATA(other)
    cdef void *memory = scratch(plan.scratch_bytes, workspace)
    started = perf_counter() if report is not None else 0.0
    if conv_plan_cycles(plan) < QUICK:
        conv_run(plan, x, w, bias, besides, py, align(memory))
    else:
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


cpdef object conv(int ndim, x, weight, bias, stride, padding, dilation, groups, padding_mode, activation, out, algorithm,
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
        chosen = ALGORITHMS[_arguments.choice(algorithm, "algorithm", _conv_arguments.ALGORITHMS["fwd"])]
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


cpdef tuple conv_backward(int ndim, grad_output, x, weight, stride, padding, dilation, groups, padding_mode, need,
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


def plan_info(int ndim, tuple x_shape, tuple w_shape, stride, padding, dilation, groups, padding_mode, str dtype,
              str pass_, algorithm) -> dict:
    """What `explain` tells: the plan of a call, without its arrays."""
    cdef conv_plan plan
    cdef conv_problem p, solved
    cdef conv_trim trim
    cdef conv_regions regions
    cdef Region longest
    elaborate(&p, ndim, x_shape, w_shape, None, stride, padding, dilation, groups, padding_mode)
    p.dtype = CONV_F64 if dtype == "float64" else CONV_F32
    p.pass_ = {"fwd": CONV_FWD, "bwd_data": CONV_BWD_DATA, "bwd_weights": CONV_BWD_WEIGHTS}[pass_]
    p.algorithm = ALGORITHMS[algorithm]
    solved = trim.p if conv_problem_trim(&p, &trim) else p
    init_plan(&plan, &solved)
    cycles = conv_plan_cycles(&plan)
    if conv_problem_regions(&solved, &regions):
        parts = regions_of(&solved, &regions)
        longest, cycles = longest_of(parts), sum([(<Region>part).cycles() for part in parts])
        if longest is not None:
            init_plan(&plan, &longest.p)
    return {"algorithm": conv_algorithm_name(conv_plan_algorithm(&plan)).decode(),
            "reason": conv_plan_reason(&plan).decode(), "flops": int(conv_flops(&p)),
            "cycles": cycles, "scratch_bytes": plan.scratch_bytes, "threads": plan.threads,
            "output_shape": result_shape(&p, ndim, len(x_shape) == ndim + 2)}
