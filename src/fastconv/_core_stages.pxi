# Part of _core.pyx: layers in a row in training, called without the interpreter. Between two of them it finds the caches full of activations, and
# asking a small network's layers what is to be done takes a fifth of a step.

cdef object data_of(parameter):
    return None if parameter is None else parameter._data


cdef void accumulate(parameter, cnp.ndarray grad) except *:
    """Parameter.accumulate, of a parameter that the layer has."""
    cdef cnp.ndarray data
    if parameter is None:
        return
    data = parameter._data
    if parameter.grad is None and grad is not None and cnp.PyArray_TYPE(grad) == cnp.PyArray_TYPE(data):
        parameter.grad = grad
    else:
        parameter.accumulate(grad)


cdef class Stage:
    """A layer; and the ReLU behind it that it applies along the way, and the chain that its output may lie batch-last in, if any. This one
    calls the layer's methods; the others do what they do, with the attributes that the layer has by then."""

    cdef object layer, relu
    cdef dict own  # attributes
    cdef BatchChain chain

    def __init__(self, layer, relu=None, BatchChain chain=None):
        self.layer, self.relu, self.chain, self.own = layer, relu, chain, layer.__dict__

    def __reduce__(self):
        return type(self), (self.layer, self.relu, self.chain)

    cdef bint as_written(self):
        """Whether the layer is in training, and its methods are those of its class."""
        return self.own.get("training", True) and "forward" not in self.own and "backward" not in self.own

    cdef object saved(self):
        found = self.own.get("_saved")
        return self.layer._recall() if found is None else found

    cdef object forward(self, x):
        activation = None if self.relu is None else "relu"
        if self.chain is not None:
            return self.layer.forward(x, activation, None, self.chain)
        return self.layer.forward(x) if activation is None else self.layer.forward(x, activation)

    cdef object backward(self, dy, bint needed, bint through_relu):
        return self.layer.backward(dy, True, True) if through_relu else self.layer.backward(dy, needed)


cdef class ConvStage(Stage):
    """Conv1d.forward and backward, or Conv2d's."""

    cdef int rank

    def __init__(self, layer, relu, BatchChain chain, int rank):
        Stage.__init__(self, layer, relu, chain)
        self.rank = rank

    def __reduce__(self):
        return type(self), (self.layer, self.relu, self.chain, self.rank)

    cdef object forward(self, x):
        cdef dict own = self.own
        if not self.as_written():
            return Stage.forward(self, x)
        activation = own["activation"]
        y = conv(self.rank, x, data_of(own["weight"]), data_of(own["bias"]), own["stride"], own["padding"], own["dilation"], own["groups"],
                 own["padding_mode"], activation if self.relu is None else "relu", None, "auto", own["_workspace"], self.chain)
        own["_saved"] = x, None if activation is None else y
        return y

    cdef object backward(self, dy, bint needed, bint through_relu):
        cdef dict own = self.own
        if not self.as_written():
            return Stage.backward(self, dy, needed, through_relu)
        x, y = self.saved()
        if own["activation"] is not None:
            dy = relu_backward(dy, y, own["_workspace"])
        weight, bias = own["weight"], own["bias"]
        dx, dw, db = conv_backward(self.rank, dy, x, data_of(weight), own["stride"], own["padding"], own["dilation"], own["groups"],
                                   own["padding_mode"], (needed, True, bias is not None), "auto", "auto", through_relu, own["_workspace"])
        accumulate(weight, dw)
        accumulate(bias, db)
        return dx


cdef class LinearStage(Stage):
    """Linear.forward and backward."""

    cdef object forward(self, x):
        cdef dict own = self.own
        if not self.as_written():
            return Stage.forward(self, x)
        own["_saved"] = x
        return linear(x, data_of(own["weight"]), data_of(own["bias"]), self.relu is not None, own["_workspace"])

    cdef object backward(self, dy, bint needed, bint through_relu):
        cdef dict own = self.own
        if not self.as_written():
            return Stage.backward(self, dy, needed, through_relu)
        weight, bias = own["weight"], own["bias"]
        dx, dw, db = linear_backward(dy, self.saved(), data_of(weight), (needed, True, bias is not None), through_relu, own["_workspace"])
        accumulate(weight, dw)
        accumulate(bias, db)
        return dx


cdef inline bint of_floats(object x):
    """Whether it is an array as layers give and take them."""
    return type(x) is cnp.ndarray and (cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT32 or cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT64) and \
        cnp.PyArray_ISNOTSWAPPED(x)


cdef class FlattenStage(Stage):
    """Flatten.forward and backward of all axes but the first."""

    cdef object forward(self, x):
        if not (self.as_written() and of_floats(x) and x.ndim > 1 and x.size > 0 and self.own["start_dim"] == 1 and self.own["end_dim"] == -1):
            return Stage.forward(self, x)
        y = x.reshape(x.shape[0], -1)
        self.own["_saved"] = x.shape, y.shape
        return y

    cdef object backward(self, dy, bint needed, bint through_relu):
        if not (self.as_written() and of_floats(dy)):
            return Stage.backward(self, dy, needed, through_relu)
        shape, flat = self.saved()
        if dy.shape != flat:
            return Stage.backward(self, dy, needed, through_relu)
        return dy.reshape(shape) if needed else None


cdef class Stages:
    """A Sequential in training: all its layers, those that forward calls, and for backward the index of each, from the last on, and of the ReLU
    that it goes back through, -1 for none."""

    cdef list layers, ahead, back

    def __init__(self, list layers not None, list ahead not None, list back not None):
        self.layers, self.ahead, self.back = layers, ahead, back

    def __reduce__(self):
        return Stages, (self.layers, self.ahead, self.back)

    def forward(self, x):
        cdef Stage stage
        for stage in self.layers:  # what the pass before left is the memory of this one, and in the cache
            stage.layer._saved = None
        for stage in self.ahead:
            x = stage.forward(x)
            if stage.relu is not None:
                stage.relu._saved = x
        return x

    def backward(self, grad, bint need_input, Py_ssize_t first):
        """The gradient of the input, where it is needed; layers before the one of index `first` have nothing to learn."""
        cdef Py_ssize_t index, relu, passed = -1
        cdef bint needed, through
        for index, relu in self.back:
            if index < first:
                break
            if index == passed:  # the layer behind has gone back through this ReLU
                continue
            needed = need_input or index > first
            through = relu >= first and needed
            if through:
                passed = relu
            grad = (<Stage>self.layers[index]).backward(grad, needed, through)
        return grad if need_input else None
