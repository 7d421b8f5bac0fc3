"""Transposed convolutions, batch normalization, activations and their gradients, by their definitions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .._arguments import (
    SIGNAL_MODES,
    as_array,
    check_need,
    check_statistics,
    check_summed_axis,
    choice,
    common_dtype,
    flag,
    signal_axes,
)
from .._plane_arguments import check_gradient, transpose_arguments
from .convolution import Gradients

# ---- transposed convolutions -----------------------------------------------------------------------------


def conv_transpose1d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                     groups: int = 1, dilation: Any = 1) -> np.ndarray:
    """Convolve signals, transposed; see `fastconv.conv_transpose1d`."""
    return _conv_transpose(1, x, weight, bias, (stride, padding, output_padding, groups, dilation))


def conv_transpose2d(x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                     groups: int = 1, dilation: Any = 1) -> np.ndarray:
    """Convolve images, transposed; see `fastconv.conv_transpose2d`."""
    return _conv_transpose(2, x, weight, bias, (stride, padding, output_padding, groups, dilation))


def conv_transpose1d_backward(grad_output: Any, x: Any, weight: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                              groups: int = 1, dilation: Any = 1, need: Sequence[bool] = (True, True, True)) -> Gradients:
    """Return the gradients of `conv_transpose1d` with respect to x, weight and bias; None for those not in `need`."""
    return _conv_transpose_backward(1, grad_output, x, weight, (stride, padding, output_padding, groups, dilation), need)


def conv_transpose2d_backward(grad_output: Any, x: Any, weight: Any, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
                              groups: int = 1, dilation: Any = 1, need: Sequence[bool] = (True, True, True)) -> Gradients:
    """Return the gradients of `conv_transpose2d` with respect to x, weight and bias; None for those not in `need`."""
    return _conv_transpose_backward(2, grad_output, x, weight, (stride, padding, output_padding, groups, dilation), need)


def _conv_transpose(ndim: int, x: Any, weight: Any, bias: Any, options: tuple[Any, ...]) -> np.ndarray:
    x, weight = as_array(x, "x"), as_array(weight, "weight")
    bias = None if bias is None else as_array(bias, "bias")
    a = transpose_arguments(ndim, x.shape, weight.shape, None if bias is None else bias.shape, *options)
    dtype = common_dtype(x, weight, bias)
    batch = (x if x.ndim == ndim + 2 else x[np.newaxis]).astype(dtype)
    grouped = weight.reshape(a.groups, weight.shape[0] // a.groups, *weight.shape[1:]).astype(dtype)
    rows = batch.reshape(len(batch), a.groups, grouped.shape[1], *batch.shape[2:])
    room = np.zeros((len(batch), a.groups, weight.shape[1], *(o + 2 * p for o, p in zip(a.output, a.padding, strict=True))), dtype)
    for tap in np.ndindex(*weight.shape[2:]):
        share = np.einsum("ngc...,gco->ngo...", rows, grouped[(..., *tap)])
        room[_last(_places(tap, a, batch.shape[2:]))] += share
    inside = tuple(slice(p, p + o) for o, p in zip(a.output, a.padding, strict=True))
    y = room[_last(inside)].reshape(len(batch), weight.shape[1] * a.groups, *a.output)
    if bias is not None:
        y = y + bias.reshape(-1, *(1,) * ndim)
    return y if x.ndim == ndim + 2 else y[0]


def _conv_transpose_backward(ndim: int, grad_output: Any, x: Any, weight: Any, options: tuple[Any, ...], need: Sequence[bool]) -> Gradients:
    dy, x, weight = as_array(grad_output, "grad_output"), as_array(x, "x"), as_array(weight, "weight")
    need_x, need_weight, need_bias = check_need(need)
    a = transpose_arguments(ndim, x.shape, weight.shape, None, *options)
    check_gradient(dy.shape, (*x.shape[: -ndim - 1], weight.shape[1] * a.groups, *a.output))
    dtype = common_dtype(dy, x, weight)
    batch = (x if x.ndim == ndim + 2 else x[np.newaxis]).astype(dtype)
    dy = dy.reshape(len(batch), a.groups, weight.shape[1], *a.output).astype(dtype)
    padded = np.pad(dy, [(0, 0)] * 3 + [(p, p) for p in a.padding])
    grouped = weight.reshape(a.groups, weight.shape[0] // a.groups, *weight.shape[1:]).astype(dtype)
    rows = batch.reshape(len(batch), a.groups, grouped.shape[1], *batch.shape[2:])
    dx, dweight = np.zeros_like(rows), np.zeros_like(grouped)
    for tap in np.ndindex(*weight.shape[2:]):
        seen = padded[_last(_places(tap, a, batch.shape[2:]))]
        dx += np.einsum("ngo...,gco->ngc...", seen, grouped[(..., *tap)])
        axes = tuple(range(3, 3 + ndim))
        dweight[(..., *tap)] = (rows[:, :, :, np.newaxis] * seen[:, :, np.newaxis]).sum(axis=(0, *(i + 1 for i in axes)))
    dbias = dy.sum(axis=(0, *range(3, 3 + ndim))).ravel() if need_bias else None
    return dx.reshape(x.shape) if need_x else None, dweight.reshape(weight.shape) if need_weight else None, dbias


def _last(places: Iterable[slice]) -> Any:
    """The index of these places along the last axes."""
    return (..., *places)


def _places(tap: tuple[int, ...], a: Any, size: Sequence[int]) -> tuple[slice, ...]:
    """Where along the padded output the elements of x meet a tap."""
    return tuple(
        slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, a.dilation, size, a.stride, strict=True)
    )


# ---- batch normalization ---------------------------------------------------------------------------------


def batch_norm(x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False,
               momentum: float = 0.1, eps: float = 1e-5) -> np.ndarray:
    """Normalize each channel; moves running statistics in training, as `fastconv.batch_norm` does."""
    x = as_array(x, "x")
    mean, var = _statistics(x, running_mean, running_var, training)
    if training and x.size:
        count = x.size // x.shape[1]
        for running, batch in ((running_mean, mean), (running_var, var * count / max(count - 1, 1))):
            if running is not None:
                running += momentum * (batch - running)
    y = (x - _wide(mean, x)) / np.sqrt(_wide(var, x) + eps)
    y = y if weight is None else y * _wide(weight, x)
    return y if bias is None else y + _wide(bias, x)


def batch_norm_backward(grad_output: Any, x: Any, running_mean: Any, running_var: Any, weight: Any = None, training: bool = False,
                        eps: float = 1e-5, need: Sequence[bool] = (True, True, True)) -> Gradients:
    """Return the gradients of `batch_norm` with respect to x, weight and bias; None for those not in `need`."""
    need_x, need_weight, need_bias = check_need(need)
    dy, x = as_array(grad_output, "grad_output"), as_array(x, "x")
    check_gradient(dy.shape, x.shape)
    axes = (0, *range(2, x.ndim))
    mean, var = _statistics(x, running_mean, running_var, training)
    deviation = 1 / np.sqrt(_wide(var, x) + eps)
    normal = (x - _wide(mean, x)) * deviation
    g = dy if weight is None else dy * _wide(weight, x)
    dx = g * deviation
    if training and x.size:
        centred = g - g.mean(axis=axes, keepdims=True) - normal * (g * normal).mean(axis=axes, keepdims=True)
        dx = centred * deviation
    return dx if need_x else None, (dy * normal).sum(axis=axes) if need_weight else None, dy.sum(axis=axes) if need_bias else None


def _statistics(x: np.ndarray, running_mean: Any, running_var: Any, training: bool) -> tuple[np.ndarray, np.ndarray]:
    check_statistics(running_mean, running_var, flag(training, "training"))
    if not training:
        return np.asarray(running_mean), np.asarray(running_var)
    if x.size == 0:
        return np.zeros(x.shape[1]), np.zeros(x.shape[1])
    axes = (0, *range(2, x.ndim))
    return x.mean(axis=axes), x.var(axis=axes)


def _wide(values: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(values).reshape(-1, *(1,) * (x.ndim - 2))


# ---- activations -----------------------------------------------------------------------------------------


def leaky_relu(x: Any, negative_slope: float = 0.01) -> np.ndarray:
    """Return `x` where it is positive, `negative_slope` times it elsewhere."""
    x = as_array(x, "x")
    return np.where(x > 0, x, x * x.dtype.type(negative_slope))


def leaky_relu_backward(grad_output: Any, x: Any, negative_slope: float = 0.01) -> np.ndarray:
    """Return the gradient of `leaky_relu` given its input."""
    dy = as_array(grad_output, "grad_output")
    return np.where(as_array(x, "x") > 0, dy, dy * dy.dtype.type(negative_slope))


def gelu(x: Any, approximate: str = "none") -> np.ndarray:
    """Return ``x * Phi(x)``."""
    x = as_array(x, "x")
    return x * _gelu_share(x, approximate)[0]


def gelu_backward(grad_output: Any, x: Any, approximate: str = "none") -> np.ndarray:
    """Return the gradient of `gelu` given its input."""
    x = as_array(x, "x")
    share, slope = _gelu_share(x, approximate)
    return as_array(grad_output, "grad_output") * (share + x * slope)


def _gelu_share(x: np.ndarray, approximate: str) -> tuple[np.ndarray, np.ndarray]:
    """Phi or its approximation, and its derivative."""
    if approximate == "none":
        erf = np.vectorize(math.erf, otypes=[x.dtype])
        return (1 + erf(x / np.sqrt(2).astype(x.dtype))) / 2, np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    root = math.sqrt(2 / math.pi)
    t = np.tanh(root * (x + 0.044715 * x**3))
    return (1 + t) / 2, (1 - t * t) * root * (1 + 3 * 0.044715 * x * x) / 2


def sigmoid(x: Any) -> np.ndarray:
    """Return ``1 / (1 + exp(-x))``."""
    return (1 + np.tanh(as_array(x, "x") / 2)) / 2


def sigmoid_backward(grad_output: Any, y: Any) -> np.ndarray:
    """Return the gradient of `sigmoid` given its output."""
    y = as_array(y, "y")
    return as_array(grad_output, "grad_output") * y * (1 - y)


def tanh(x: Any) -> np.ndarray:
    """Return the hyperbolic tangent."""
    return np.tanh(as_array(x, "x"))


def tanh_backward(grad_output: Any, y: Any) -> np.ndarray:
    """Return the gradient of `tanh` given its output."""
    y = as_array(y, "y")
    return as_array(grad_output, "grad_output") * (1 - y * y)


def softmax_backward(grad_output: Any, y: Any, axis: int = -1) -> np.ndarray:
    """Return the gradient of `softmax` given its output."""
    dy, y = as_array(grad_output, "grad_output"), as_array(y, "y")
    check_summed_axis(axis, y.shape)
    return y * dy - y * (y * dy).sum(axis=axis, keepdims=True)


def log_softmax_backward(grad_output: Any, y: Any, axis: int = -1) -> np.ndarray:
    """Return the gradient of `log_softmax` given its output."""
    dy = as_array(grad_output, "grad_output")
    check_summed_axis(axis, dy.shape)
    return dy - np.exp(as_array(y, "y")) * dy.sum(axis=axis, keepdims=True)


# ---- signals ---------------------------------------------------------------------------------------------


def convolve(x: Any, kernel: Any, mode: str = "full", axis: Any = None) -> np.ndarray:
    """Convolve along one axis or two, each of the others being a batch; see `fastconv.convolve`."""
    x, kernel = as_array(x, "x"), as_array(kernel, "kernel")
    choice(mode, "mode", SIGNAL_MODES)
    axes = signal_axes(x.shape, kernel.shape, axis)
    last = tuple(range(-len(axes), 0))
    moved = np.moveaxis(x, axes, last)
    full = np.zeros((*moved.shape[: -len(axes)], *(n + k - 1 for n, k in zip(moved.shape[-len(axes) :], kernel.shape, strict=True))),
                    common_dtype(x, kernel))  # fmt: skip
    size = moved.shape[-len(axes) :]
    for tap in np.ndindex(*kernel.shape):
        full[_last(slice(t, t + n) for t, n in zip(tap, size, strict=True))] += kernel[tap] * moved
    kept = []
    for n, k in zip(size, kernel.shape, strict=True):
        length = {"full": n + k - 1, "same": max(n, k) if len(axes) == 1 else n, "valid": abs(n - k) + 1}[mode]
        start = {"full": 0, "same": (min(n, k) - 1 if len(axes) == 1 else k - 1) // 2, "valid": min(n, k) - 1}[mode]
        kept.append(slice(start, start + length))
    return np.moveaxis(full[_last(kept)], last, axes)


def correlate(x: Any, kernel: Any, mode: str = "full", axis: Any = None) -> np.ndarray:
    """Correlate along one axis or two: convolve with the kernel reversed; see `fastconv.correlate`."""
    x, kernel = as_array(x, "x"), as_array(kernel, "kernel")
    axes = signal_axes(x.shape, kernel.shape, axis)
    if len(axes) == 1 and mode == "same" and len(kernel) > x.shape[axes[0]]:  # NumPy exchanges them, and turns the result
        def one(signal: np.ndarray) -> np.ndarray:
            return convolve(kernel, signal[::-1], mode)[::-1]

        return np.apply_along_axis(one, axes[0], x)
    return convolve(x, np.flip(kernel), mode, axis)
