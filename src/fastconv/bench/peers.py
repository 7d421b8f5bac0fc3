"""The rivals: for each library, a convolution as its users would write it when they want it fast.

``PEERS[name](problem, arrays, pass_)`` prepares everything that a user would prepare once and returns a callable
without arguments that does the work and returns its results: (y,) for "fwd", (dx, dw, db) for "bwd". It raises
`Unsupported` where the library cannot express the problem, and ImportError where it is not installed. Every library
gets as many threads as `fastconv.set_num_threads` has given to this one.

Arrays are (x, w, b, dy). Bias is passed wherever the library can add it; where it cannot, it is left out in the
library's favour.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

import fastconv as fc
from fastconv.bench.timing import Call, seconds
from fastconv.problem import Problem

Arrays = tuple[np.ndarray, ...]
Factory = Callable[[Problem, Arrays, str], Call]

REFERENCE_LIMIT = 2e7  # FLOPs; the reference is for reading


class Unsupported(Exception):
    """The library cannot express this problem."""


def _require(condition: bool) -> None:
    if not condition:
        raise Unsupported


def _scalars(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """One int where all are equal, as one would write it."""
    return values[0] if len(set(values)) == 1 else values


def _symmetric(problem: Problem) -> tuple[int, ...]:
    _require(problem.padding_mode == "zeros" and all(before == after for before, after in problem.padding))
    return tuple(before for before, _ in problem.padding)


def functions(module: Any, problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """The functions of this library, or of another module that has them."""
    x, w, b, dy = arrays
    arguments = problem.arguments() | {
        "stride": _scalars(problem.stride),
        "dilation": _scalars(problem.dilation),
    }
    if all(before == after for before, after in problem.padding):
        arguments["padding"] = _scalars(tuple(before for before, _ in problem.padding))
    if pass_ == "fwd":
        forward = getattr(module, f"conv{problem.ndim}d")
        return lambda: forward(x, w, b, **arguments)
    backward = getattr(module, f"conv{problem.ndim}d_backward")
    return lambda: backward(dy, x, w, **arguments)


def fastconv(problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """The functional API, weights as they are."""
    return functions(fc, problem, arrays, pass_)


def plan(problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """A plan made once, its weights packed."""
    _require(pass_ == "fwd")
    x, w, b, _ = arrays
    made = getattr(fc, f"plan_conv{problem.ndim}d")(x.shape, w, b, **problem.arguments())
    return lambda: made(x)


def reference(problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """The plain NumPy of `fastconv.reference`, on small problems."""
    _require(problem.flops <= REFERENCE_LIMIT)
    return functions(fc.reference, problem, arrays, pass_)


def torch(problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """The functional API, and for gradients the operator that autograd itself would call."""
    torch = import_module("torch")
    torch.set_num_threads(fc.get_num_threads())
    padding = _symmetric(problem)
    x, w, b, dy = map(torch.from_numpy, arrays)
    if pass_ == "fwd":
        forward = getattr(torch.nn.functional, f"conv{problem.ndim}d")
        return lambda: forward(x, w, b, problem.stride, padding, problem.dilation, problem.g)
    backward = torch.ops.aten.convolution_backward
    arguments = (
        [problem.oc],
        problem.stride,
        padding,
        problem.dilation,
        False,
        [0] * problem.ndim,
        problem.g,
    )
    return lambda: backward(dy, x, w, *arguments, [True] * 3)


def onnxruntime(problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """A session of one Conv node, its weights packed at load."""
    x = arrays[0]
    _require(pass_ == "fwd" and problem.padding_mode == "zeros" and x.dtype == np.float32)
    ort, model = import_module("onnxruntime"), _onnx_model(problem, arrays)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = fc.get_num_threads(), 1
    options.add_session_config_entry("session.force_spinning_stop", "1")  # not into the next library's turn
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def _onnx_model(problem: Problem, arrays: Arrays) -> Any:
    onnx = import_module("onnx")
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    x, w, b, _ = arrays
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    pads = [before for before, _ in problem.padding] + [after for _, after in problem.padding]
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=problem.stride, pads=pads, group=problem.g,
                            dilations=problem.dilation, kernel_shape=problem.kernel)  # fmt: skip
    graph = helper.make_graph(
        [node],
        "conv",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info("y", kind, problem.output_shape)],
        [from_array(w, "w"), from_array(b, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def jax(problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """A jitted convolution; its weights are arguments, as in training."""
    _require(problem.padding_mode == "zeros")
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", arrays[0].dtype == np.float64)
    x, w, b, dy = map(jax.numpy.asarray, arrays)

    def forward(x: Any, w: Any, b: Any) -> Any:
        y = jax.lax.conv_general_dilated(
            x,
            w,
            problem.stride,
            problem.padding,
            rhs_dilation=problem.dilation,
            feature_group_count=problem.g,
        )
        return y + b.reshape(-1, *[1] * problem.ndim)

    if pass_ == "fwd":
        compiled = jax.jit(forward)
        return lambda: compiled(x, w, b).block_until_ready()
    gradients = jax.jit(lambda x, w, b, dy: jax.vjp(forward, x, w, b)[1](dy))
    return lambda: jax.block_until_ready(gradients(x, w, b, dy))


def _one_signal(problem: Problem, arrays: Arrays, pass_: str) -> tuple[np.ndarray, np.ndarray, Any]:
    """Signal, kernel and NumPy's word for the padding, where the problem is one channel of one example."""
    _require(pass_ == "fwd" and problem.n == problem.ic == problem.oc == 1)
    _require(set(problem.stride) == set(problem.dilation) == {1})
    _require(all(k <= i for k, i in zip(problem.kernel, problem.size, strict=True)))
    padding = _symmetric(problem)
    words = {
        tuple(0 for k in problem.kernel): "valid",
        tuple(k - 1 for k in problem.kernel): "full",
        tuple((k - 1) // 2 for k in problem.kernel if k % 2): "same",  # last: a single tap is all three
    }
    _require(padding in words)
    return arrays[0][0, 0], arrays[1][0, 0], words[padding]


def _quickest(calls: list[Call]) -> Call:
    """The best of a library's several functions for the same thing."""
    for call in calls:
        call()
    return min(calls, key=seconds)


def numpy(problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """``numpy.correlate``, for one signal."""
    _require(problem.ndim == 1)
    x, w, mode = _one_signal(problem, arrays, pass_)
    return lambda: np.correlate(x, w, mode)[None, None]


def scipy(problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """The quickest of scipy's correlations, for one signal or image."""
    x, w, mode = _one_signal(problem, arrays, pass_)
    signal, ndimage = import_module("scipy.signal"), import_module("scipy.ndimage")
    mirrored = w[(slice(None, None, -1),) * problem.ndim]
    calls: list[Call] = [
        lambda: signal.fftconvolve(x, mirrored, mode)[None, None],
        lambda: signal.oaconvolve(x, mirrored, mode)[None, None],
    ]
    if problem.flops < 1e9:  # direct methods; beyond this the others have long won
        calls.append(lambda: signal.correlate(x, w, mode, "direct")[None, None])
        if mode == "same":
            calls.append(lambda: ndimage.correlate(x, w, mode="constant")[None, None])
    return _quickest(calls)


def opencv(problem: Problem, arrays: Arrays, pass_: str) -> Call:
    """``filter2D``, for one image, or one signal as an image of one row."""
    x, w, mode = _one_signal(problem, arrays, pass_)
    _require(mode == "same")
    cv2 = import_module("cv2")
    cv2.setNumThreads(fc.get_num_threads())
    image, kernel, delta = np.atleast_2d(x), np.atleast_2d(w), float(arrays[2][0])
    shape = problem.output_shape
    return lambda: cv2.filter2D(image, -1, kernel, delta=delta, borderType=cv2.BORDER_CONSTANT).reshape(shape)


PEERS: dict[str, Factory] = {
    "fastconv": fastconv,
    "plan": plan,
    "reference": reference,
    "torch": torch,
    "jax": jax,
    "numpy": numpy,
    "scipy": scipy,
    "opencv": opencv,
    "onnxruntime": onnxruntime,
}

#: These are this library.
OURS = ("fastconv", "plan", "reference")
RIVALS = tuple(name for name in PEERS if name not in OURS)
#: These get their weights before the clock starts, and may lay them out as they like.
PACKED = ("plan", "onnxruntime")
#: These leave the bias out.
WITHOUT_BIAS = ("numpy", "scipy")
#: What is imported under another name, or beside the library itself.
MODULES = {"opencv": ("cv2",), "onnxruntime": ("onnxruntime", "onnx")}


def version(name: str) -> str | None:
    """The version of a rival, or None where it is not installed."""
    try:
        modules = [import_module(module) for module in MODULES.get(name, (name,))]
    except ImportError:
        return None
    return str(modules[0].__version__)


def prepare(name: str, problem: Problem, arrays: Arrays, pass_: str) -> Call | None:
    """The call of a peer, or None where it is not installed or cannot express the problem."""
    try:
        return PEERS[name](problem, arrays, pass_)
    except (ImportError, Unsupported):
        return None
