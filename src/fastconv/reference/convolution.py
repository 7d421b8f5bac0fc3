"""Convolutions and the functions beside them.

A convolution is a sum over the taps of its kernel: each tap multiplies a strided view of the padded input by
one matrix of channels. Its backward pass is the same sum turned round. Everything is computed in the common
dtype of the arguments, so a caller that wants an oracle for float32 passes float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._arguments import (
    Ints,
    Pairs,
    as_array,
    check_linear,
    check_need,
    check_out,
    check_summed_axis,
    choice,
    common_dtype,
)
from .._conv_arguments import ALGORITHMS, ConvArguments, conv_arguments
from ..shapes import conv_matrix, conv_output_size

__all__ = [
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv_matrix",
    "conv_output_size",
    "linear",
    "linear_backward",
    "log_softmax",
    "relu",
    "relu_backward",
    "softmax",
]

Gradient = np.ndarray | Any  # None where `need` says so, and where nobody else has to ask
Gradients = tuple[Gradient, Gradient, Gradient]

_PAD_MODE = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


# ---- convolution -----------------------------------------------------------------------------------------


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: str | None = None,
    out: np.ndarray | None = None,
    algorithm: str = "auto",
) -> np.ndarray:
    """Convolve `x` of shape (N, C, L) or (C, L) with `weight` of shape (C_out, C / groups, K).

    Same arguments as `fastconv.conv1d`; `algorithm` changes nothing.
    """
    return _conv(1, x, weight, bias, (stride, padding, dilation, groups, padding_mode), activation, out, algorithm)


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    activation: str | None = None,
    out: np.ndarray | None = None,
    algorithm: str = "auto",
) -> np.ndarray:
    """Convolve `x` of shape (N, C, H, W) or (C, H, W) with `weight` of shape (C_out, C / groups, KH, KW).

    Same arguments as `fastconv.conv2d`; `algorithm` changes nothing.
    """
    return _conv(2, x, weight, bias, (stride, padding, dilation, groups, padding_mode), activation, out, algorithm)


def conv1d_backward(
    grad_output: Any,
    x: Any,
    weight: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    need: Sequence[bool] = (True, True, True),
) -> Gradients:
    """Return the gradients of `conv1d` with respect to x, weight and bias; None for those not in `need`."""
    return _conv_backward(1, grad_output, x, weight, (stride, padding, dilation, groups, padding_mode), need)


def conv2d_backward(
    grad_output: Any,
    x: Any,
    weight: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    need: Sequence[bool] = (True, True, True),
) -> Gradients:
    """Return the gradients of `conv2d` with respect to x, weight and bias; None for those not in `need`."""
    return _conv_backward(2, grad_output, x, weight, (stride, padding, dilation, groups, padding_mode), need)


def _conv(
    ndim: int,
    x: Any,
    weight: Any,
    bias: Any,
    options: tuple[Any, ...],
    activation: str | None,
    out: np.ndarray | None,
    algorithm: str,
) -> np.ndarray:
    choice(algorithm, "algorithm", ALGORITHMS["fwd"])
    x, weight = as_array(x, "x"), as_array(weight, "weight")
    bias = None if bias is None else as_array(bias, "bias")
    given = conv_arguments(ndim, x.shape, weight.shape, None if bias is None else bias.shape, *options)
    if activation is not None:
        choice(activation, "activation", ("relu",))
    dtype = common_dtype(x, weight, bias)

    padded = _padded(_batched(x, ndim).astype(dtype), given.padding, options[-1])
    grouped = _by_group(weight.astype(dtype), given.groups)
    y = np.zeros((len(padded), given.groups, grouped.shape[1], math.prod(given.output)), dtype)
    for tap, window in _taps(weight.shape[2:], given):
        y += grouped[tap] @ _columns(padded[window], given.groups)

    y = y.reshape(len(padded), weight.shape[0], *given.output)
    if bias is not None:
        y += bias.reshape(-1, *(1,) * ndim)
    if activation == "relu":
        y = np.maximum(y, 0)
    y = y if x.ndim == ndim + 2 else y[0]
    if out is None:
        return y
    check_out(out, y.shape, y.dtype, (x, weight, bias))
    out[...] = y
    return out


def _conv_backward(
    ndim: int, grad_output: Any, x: Any, weight: Any, options: tuple[Any, ...], need: Sequence[bool]
) -> Gradients:
    dy, x, weight = as_array(grad_output, "grad_output"), as_array(x, "x"), as_array(weight, "weight")
    need_x, need_weight, need_bias = check_need(need)
    given = conv_arguments(ndim, x.shape, weight.shape, None, *options)
    _check_shape("grad_output", dy, (*x.shape[: -ndim - 1], weight.shape[0], *given.output))
    dtype = common_dtype(dy, x, weight)

    padded = _padded(_batched(x, ndim).astype(dtype), given.padding, options[-1])
    grouped = _by_group(weight.astype(dtype), given.groups)
    dy = _batched(dy, ndim).astype(dtype)
    rows = _columns(dy, given.groups)  # (n, groups, out_channels / groups, positions)
    dx_padded = np.zeros_like(padded)
    dweight = np.zeros_like(grouped)
    for tap, window in _taps(weight.shape[2:], given):
        if need_x:
            share = grouped[tap].swapaxes(-1, -2) @ rows
            dx_padded[window] += share.reshape(padded[window].shape)
        if need_weight:
            dweight[tap] = (rows @ _columns(padded[window], given.groups).swapaxes(-1, -2)).sum(axis=0)

    dx = _folded(dx_padded, x.shape[-ndim:], given.padding, options[-1]).reshape(x.shape) if need_x else None
    dbias = dy.sum(axis=(0, *range(2, ndim + 2))) if need_bias else None
    return dx, dweight.reshape(weight.shape) if need_weight else None, dbias


def _batched(x: np.ndarray, ndim: int) -> np.ndarray:
    return x if x.ndim == ndim + 2 else x[np.newaxis]


def _by_group(weight: np.ndarray, groups: int) -> np.ndarray:
    """(C_out, C / groups, ...) -> (groups, C_out / groups, C / groups, ...)."""
    return weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])


def _columns(x: np.ndarray, groups: int) -> np.ndarray:
    """(N, C, ...) -> (N, groups, C / groups, positions)."""
    n, channels, *size = x.shape
    return x.reshape(n, groups, channels // groups, math.prod(size))


def _taps(kernel: Ints, given: ConvArguments) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """For each tap of the kernel, the indices of its weights and of the padded inputs they multiply."""
    for tap in np.ndindex(*kernel):
        starts = (t * d for t, d in zip(tap, given.dilation, strict=True))
        window = tuple(
            slice(start, start + (o - 1) * s + 1, s)
            for start, o, s in zip(starts, given.output, given.stride, strict=True)
        )
        yield (..., *tap), (..., *window)


# ---- padding and its adjoint -----------------------------------------------------------------------------


def _padded(x: np.ndarray, padding: Pairs, mode: str) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *padding), mode=_PAD_MODE[mode])  # type: ignore[call-overload]


def _folded(grad: np.ndarray, size: Ints, padding: Pairs, mode: str) -> np.ndarray:
    """Adjoint of `_padded`: each padded place gives its gradient to the place it was copied from."""
    for axis, (length, (before, after)) in enumerate(zip(size, padding, strict=True), start=2):
        along = np.moveaxis(grad, axis, 0)
        if mode == "zeros":
            folded = along[before : before + length]
        else:
            source = np.pad(np.arange(length), (before, after), mode=_PAD_MODE[mode])  # type: ignore[call-overload]
            folded = np.zeros((length, *along.shape[1:]), grad.dtype)
            np.add.at(folded, source, along)
        grad = np.moveaxis(folded, 0, axis)
    return np.ascontiguousarray(grad)


# ---- the other functions ---------------------------------------------------------------------------------


def linear(x: Any, weight: Any, bias: Any = None) -> np.ndarray:
    """Return ``x @ weight.T + bias``; `x` is (..., in_features), `weight` (out_features, in_features)."""
    x, weight = as_array(x, "x"), as_array(weight, "weight")
    bias = None if bias is None else as_array(bias, "bias")
    check_linear(x.shape, weight.shape, None if bias is None else bias.shape)
    dtype = common_dtype(x, weight, bias)
    y: np.ndarray = x.astype(dtype) @ weight.astype(dtype).T
    return y if bias is None else y + bias


def linear_backward(
    grad_output: Any, x: Any, weight: Any, need: Sequence[bool] = (True, True, True)
) -> Gradients:
    """Return the gradients of `linear` with respect to x, weight and bias; None for those not in `need`."""
    dy, x, weight = as_array(grad_output, "grad_output"), as_array(x, "x"), as_array(weight, "weight")
    need_x, need_weight, need_bias = check_need(need)
    check_linear(x.shape, weight.shape, None)
    _check_shape("grad_output", dy, (*x.shape[:-1], weight.shape[0]))
    dtype = common_dtype(dy, x, weight)
    dy, x, weight = dy.astype(dtype), x.astype(dtype), weight.astype(dtype)
    rows = dy.reshape(math.prod(dy.shape[:-1]), dy.shape[-1])
    dx = dy @ weight if need_x else None
    dweight = rows.T @ x.reshape(len(rows), x.shape[-1]) if need_weight else None
    return dx, dweight, rows.sum(axis=0) if need_bias else None


def relu(x: Any) -> np.ndarray:
    """Return the larger of `x` and 0, elementwise; NaN stays NaN."""
    return np.maximum(as_array(x, "x"), 0)


def relu_backward(grad_output: Any, y: Any) -> np.ndarray:
    """Return `grad_output` where `y` is above 0, else 0; `y` is the input or the output of `relu`."""
    dy, y = as_array(grad_output, "grad_output"), as_array(y, "y")
    _check_shape("grad_output", dy, y.shape)
    return np.where(y > 0, dy, 0).astype(common_dtype(dy, y))


def softmax(x: Any, axis: int = -1) -> np.ndarray:
    """Return ``exp(x) / sum(exp(x))`` along `axis`."""
    exponentials = np.exp(_below_zero(x, axis))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def log_softmax(x: Any, axis: int = -1) -> np.ndarray:
    """Return the logarithm of `softmax`, without its underflow."""
    shifted = _below_zero(x, axis)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _below_zero(x: Any, axis: int) -> np.ndarray:
    """`x` shifted so that its largest value along `axis` is 0 and no exponential overflows."""
    x = as_array(x, "x")
    check_summed_axis(axis, x.shape)
    with np.errstate(invalid="ignore"):  # inf - inf
        return x - x.max(axis=axis, keepdims=True)


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
