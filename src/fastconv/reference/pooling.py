"""Pooling, unpooling and interpolation: one window, one output at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._arguments import as_array, flag, int_tuple, shape_tuple
from .._plane_arguments import (
    check_align_corners,
    check_gradient,
    check_indices,
    check_planes,
    interpolate_arguments,
    pool_arguments,
    unpool_size,
)

Window = tuple[tuple[int, ...], tuple[list[int], ...]]  # an output's position, and the elements it reads along each axis


# ---- max pooling -----------------------------------------------------------------------------------------


def max_pool1d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:
    """Return the largest element of each window of signals, (N, C, L) or (C, L); see `fastconv.max_pool1d`."""
    return _max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
               return_indices: bool = False) -> Any:
    """Return the largest element of each window of images, (N, C, H, W) or (C, H, W); see `fastconv.max_pool2d`."""
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_pool(ndim: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
              return_indices: bool) -> Any:
    x = as_array(x, "x")
    flag(return_indices, "return_indices")
    a = pool_arguments(ndim, x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    size = x.shape[-ndim:]
    planes: np.ndarray = np.arange(math.prod(size)).reshape(size)
    y = np.empty((*x.shape[:-ndim], *a.output), x.dtype)
    indices = np.empty(y.shape, np.int64)
    for position, rows in _windows(a.output, size, a.kernel, a.stride, a.padding, a.dilation):
        inside: Any = np.ix_(*rows)
        output: Any = (..., *position)
        window = x[(..., *inside)].reshape(*x.shape[:-ndim], math.prod(map(len, rows)))
        # A NaN wins, and the last of them; else the first of the largest.
        nan = np.isnan(window)
        last = window.shape[-1] - 1 - nan[..., ::-1].argmax(axis=-1)
        won = np.where(nan.any(axis=-1), last, window.argmax(axis=-1))
        y[output] = np.take_along_axis(window, won[..., np.newaxis], axis=-1)[..., 0]
        indices[output] = planes[inside].ravel()[won]
    return (y, indices) if return_indices else y


def _windows(output: Sequence[int], size: Sequence[int], *numbers: Sequence[int]) -> Iterator[Window]:
    """Each output with the elements inside the input that its window covers."""
    for position in np.ndindex(*output):
        yield position, tuple(
            [i for i in (o * s - p + t * d for t in range(k)) if 0 <= i < n]
            for o, n, k, s, p, d in zip(position, size, *numbers, strict=True)
        )


def max_pool1d_backward(grad_output: Any, indices: Any, input_size: Sequence[int]) -> np.ndarray:
    """Return the gradient of `max_pool1d` with respect to x of shape `input_size`."""
    return _scattered(1, as_array(grad_output, "grad_output"), indices, shape_tuple(input_size, "input_size")[-1:], add=True)


def max_pool2d_backward(grad_output: Any, indices: Any, input_size: Sequence[int]) -> np.ndarray:
    """Return the gradient of `max_pool2d` with respect to x of shape `input_size`."""
    return _scattered(2, as_array(grad_output, "grad_output"), indices, shape_tuple(input_size, "input_size")[-2:], add=True)


# ---- max unpooling ---------------------------------------------------------------------------------------


def max_unpool1d(x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> np.ndarray:
    """Put each element of `x` at its index among zeros; see `fastconv.max_unpool1d`."""
    x = as_array(x, "x")
    return _scattered(1, x, indices, unpool_size(1, x.shape, kernel_size, stride, padding, output_size), add=False)


def max_unpool2d(x: Any, indices: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> np.ndarray:
    """Put each element of `x` at its index among zeros; see `fastconv.max_unpool2d`."""
    x = as_array(x, "x")
    return _scattered(2, x, indices, unpool_size(2, x.shape, kernel_size, stride, padding, output_size), add=False)


def max_unpool1d_backward(grad_output: Any, indices: Any) -> np.ndarray:
    """Return the gradient of `max_unpool1d` with respect to x."""
    return _gathered(1, as_array(grad_output, "grad_output"), np.asarray(indices))


def max_unpool2d_backward(grad_output: Any, indices: Any) -> np.ndarray:
    """Return the gradient of `max_unpool2d` with respect to x."""
    return _gathered(2, as_array(grad_output, "grad_output"), np.asarray(indices))


def _scattered(ndim: int, x: np.ndarray, indices: Any, size: tuple[int, ...], add: bool) -> np.ndarray:
    check_indices(indices, x.shape, "x")
    indices = np.asarray(indices)
    y = np.zeros((*x.shape[:-ndim], math.prod(size)), x.dtype)
    if indices.size and not 0 <= indices.min() <= indices.max() < y.shape[-1]:
        raise ValueError(f"indices must lie in [0, {y.shape[-1]})")
    for plane in np.ndindex(*x.shape[:-ndim]):
        for index, value in zip(indices[plane].ravel(), x[plane].ravel(), strict=True):
            y[plane][index] = value + (y[plane][index] if add else 0)
    return y.reshape(*x.shape[:-ndim], *size)


def _gathered(ndim: int, dy: np.ndarray, indices: np.ndarray) -> np.ndarray:
    flat = indices.reshape(*indices.shape[:-ndim], math.prod(indices.shape[-ndim:]))
    if indices.size and not 0 <= indices.min() <= indices.max() < math.prod(dy.shape[-ndim:]):
        raise ValueError(f"indices must lie in [0, {math.prod(dy.shape[-ndim:])})")
    return np.take_along_axis(dy.reshape(*dy.shape[:-ndim], math.prod(dy.shape[-ndim:])), flat, axis=-1).reshape(indices.shape)


# ---- separable linear maps: average pooling, interpolation -----------------------------------------------


def avg_pool1d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> np.ndarray:
    """Return the mean of each window of signals; see `fastconv.avg_pool1d`."""
    return _mapped(x, _mean_matrices(1, np.shape(x), "x", kernel_size, stride, padding, ceil_mode, count_include_pad))


def avg_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> np.ndarray:
    """Return the mean of each window of images; see `fastconv.avg_pool2d`."""
    return _mapped(x, _mean_matrices(2, np.shape(x), "x", kernel_size, stride, padding, ceil_mode, count_include_pad))


def avg_pool1d_backward(grad_output: Any, input_size: Sequence[int], *args: Any, **kwargs: Any) -> np.ndarray:
    """Return the gradient of `avg_pool1d` with respect to x of shape `input_size`."""
    return _mapped_back(grad_output, input_size, _mean_matrices(1, input_size, "input_size", *args, **kwargs))


def avg_pool2d_backward(grad_output: Any, input_size: Sequence[int], *args: Any, **kwargs: Any) -> np.ndarray:
    """Return the gradient of `avg_pool2d` with respect to x of shape `input_size`."""
    return _mapped_back(grad_output, input_size, _mean_matrices(2, input_size, "input_size", *args, **kwargs))


def adaptive_avg_pool1d(x: Any, output_size: Any) -> np.ndarray:
    """Return the means of windows that cover the signals evenly."""
    return _mapped(x, _even_matrices(1, np.shape(x), output_size))


def adaptive_avg_pool2d(x: Any, output_size: Any) -> np.ndarray:
    """Return the means of windows that cover the images evenly."""
    return _mapped(x, _even_matrices(2, np.shape(x), output_size))


def adaptive_avg_pool1d_backward(grad_output: Any, input_size: Sequence[int]) -> np.ndarray:
    """Return the gradient of `adaptive_avg_pool1d` with respect to x of shape `input_size`."""
    return _mapped_back(grad_output, input_size, _even_matrices(1, input_size, np.shape(grad_output)[-1:]))


def adaptive_avg_pool2d_backward(grad_output: Any, input_size: Sequence[int]) -> np.ndarray:
    """Return the gradient of `adaptive_avg_pool2d` with respect to x of shape `input_size`."""
    return _mapped_back(grad_output, input_size, _even_matrices(2, input_size, np.shape(grad_output)[-2:]))


def interpolate(x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = False) -> np.ndarray:
    """Resize signals or images; see `fastconv.interpolate`."""
    return _mapped(x, _interpolation_matrices(np.shape(x), size, scale_factor, mode, align_corners))


def interpolate_backward(grad_output: Any, input_size: Sequence[int], size: Any = None, scale_factor: Any = None,
                         mode: str = "nearest", align_corners: bool | None = False) -> np.ndarray:
    """Return the gradient of `interpolate` with respect to x of shape `input_size`."""
    return _mapped_back(grad_output, input_size, _interpolation_matrices(input_size, size, scale_factor, mode, align_corners))


def _mean_matrices(ndim: int, shape: Sequence[int], name: str, kernel_size: Any, stride: Any = None, padding: Any = 0,
                   ceil_mode: bool = False, count_include_pad: bool = True) -> list[np.ndarray]:
    a = pool_arguments(ndim, shape, kernel_size, stride, padding, 1, ceil_mode, name)
    flag(count_include_pad, "count_include_pad")
    matrices = []
    for n, out, k, s, p in zip(shape[-ndim:], a.output, a.kernel, a.stride, a.padding, strict=True):
        matrix = np.zeros((out, n))
        for o in range(out):
            inside = [i for i in range(o * s - p, o * s - p + k) if 0 <= i < n]
            padded = [i for i in range(o * s - p, o * s - p + k) if i < n + p]
            matrix[o, inside] = 1 / len(padded if count_include_pad else inside)
        matrices.append(matrix)
    return matrices


def _even_matrices(ndim: int, shape: Sequence[int], output_size: Any) -> list[np.ndarray]:
    check_planes(ndim, shape, "x")
    matrices = []
    for n, out in zip(shape[-ndim:], int_tuple(output_size, "output_size", ndim, 1), strict=True):
        matrix = np.zeros((out, n))
        for o in range(out):
            first, end = math.floor(o * n / out), math.ceil((o + 1) * n / out)
            matrix[o, first:end] = 1 / (end - first)
        matrices.append(matrix)
    return matrices


def _interpolation_matrices(shape: Sequence[int], size: Any, scale_factor: Any, mode: str, align_corners: bool | None) -> list[np.ndarray]:
    ndim = {"linear": 1, "bilinear": 2, "nearest": max(len(shape) - 2, 1)}[mode]
    check_align_corners(align_corners, mode)
    check_planes(ndim, shape, "x")
    output, scales = interpolate_arguments(ndim, shape, size, scale_factor)
    matrices = []
    for n, out, scale in zip(shape[-ndim:], output, scales, strict=True):
        matrix = np.zeros((out, n))
        for o in range(out):
            if mode == "nearest":
                ratio = np.float32(n) / np.float32(out) if scale is None else np.float32(1 / scale)
                matrix[o, o if n == out else min(int(np.float32(o) * ratio), n - 1)] = 1
                continue
            if align_corners:
                place = o * (n - 1) / (out - 1) if out > 1 else 0.0
            else:
                place = max((o + 0.5) * (n / out if scale is None else 1 / scale) - 0.5, 0.0)
            place = float(o) if n == out else min(place, n - 1.0)
            first = int(place)
            matrix[o, first] += 1 - (place - first)
            matrix[o, min(first + 1, n - 1)] += place - first
        matrices.append(matrix)
    return matrices


def _mapped(x: Any, matrices: list[np.ndarray]) -> np.ndarray:
    x = as_array(x, "x")
    for axis, matrix in enumerate(matrices, start=x.ndim - len(matrices)):
        x = np.moveaxis(np.tensordot(x, matrix.astype(x.dtype), axes=(axis, 1)), -1, axis)
    return x


def _mapped_back(grad_output: Any, input_size: Sequence[int], matrices: list[np.ndarray]) -> np.ndarray:
    dy = as_array(grad_output, "grad_output")
    check_gradient(dy.shape, (*input_size[: -len(matrices)], *(len(matrix) for matrix in matrices)))
    return _mapped(dy, [matrix.T for matrix in matrices])
