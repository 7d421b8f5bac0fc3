"""Pooling: the largest or the mean of each window, the way back by indices, and the gradients of all of them.

Names, arguments, defaults and the sizes of results are PyTorch's. Arrays are float32 or float64 of any layout, ``(N, C, L)``
or ``(C, L)`` in 1-D and ``(N, C, H, W)`` or ``(C, H, W)`` in 2-D. Argument handling only; the work is done in C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import _arguments, _core, _plane_arguments
from fastconv._separable import PlaneMap

Array = NDArray[Any]
Ints = int | Sequence[int]


# ---- max pooling -----------------------------------------------------------------------------------------


@overload
def max_pool1d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = ..., padding: Ints = ..., dilation: Ints = ...,
               ceil_mode: bool = ..., return_indices: Literal[False] = ...) -> Array: ...
@overload
def max_pool1d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = ..., padding: Ints = ..., dilation: Ints = ...,
               ceil_mode: bool = ..., *, return_indices: Literal[True]) -> tuple[Array, Array]: ...
@overload
def max_pool1d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = ..., padding: Ints = ..., dilation: Ints = ...,
               ceil_mode: bool = ..., return_indices: bool = ...) -> Array | Any: ...
def max_pool1d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, dilation: Ints = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Array | tuple[Array, Array]:
    """Return the largest element of each window of signals; a NaN wins over everything.

    Parameters
    ----------
    x : array_like, shape (N, C, L) or (C, L)
        float32 or float64, any strides.
    kernel_size : int
        Elements of a window.
    stride : int, optional
        From one window to the next; `kernel_size` if not given.
    padding : int
        Elements of minus infinity on both sides, at most half of `kernel_size`.
    dilation : int
        From one element of a window to the next.
    ceil_mode : bool
        Whether a last window that begins inside the input, or its padding before, counts though it ends beyond.
    return_indices : bool
        Whether to return, too, where each largest element lies.

    Returns
    -------
    y : ndarray, shape (N, C, L_out) or (C, L_out)
        ``L_out = (L + 2 padding - dilation (kernel_size - 1) - 1) / stride + 1``, rounded down (up with `ceil_mode`).
    indices : ndarray of int64, of the same shape
        If `return_indices`: positions in the plane of each channel, flat; of equals the first.

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    ValueError
        For arguments that do not fit, naming the argument and what is accepted.
    """
    return _max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


@overload
def max_pool2d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = ..., padding: Ints = ..., dilation: Ints = ...,
               ceil_mode: bool = ..., return_indices: Literal[False] = ...) -> Array: ...
@overload
def max_pool2d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = ..., padding: Ints = ..., dilation: Ints = ...,
               ceil_mode: bool = ..., *, return_indices: Literal[True]) -> tuple[Array, Array]: ...
@overload
def max_pool2d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = ..., padding: Ints = ..., dilation: Ints = ...,
               ceil_mode: bool = ..., return_indices: bool = ...) -> Array | Any: ...
def max_pool2d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, dilation: Ints = 1,
               ceil_mode: bool = False, return_indices: bool = False) -> Array | tuple[Array, Array]:
    """Return the largest element of each window of images; see `max_pool1d`.

    ``x`` has shape (N, C, H, W) or (C, H, W); sizes take one value for both dimensions or one for each. Indices count the
    elements of a plane row by row, ``row * W + column``.
    """
    return _max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_backward(grad_output: ArrayLike, indices: ArrayLike, input_size: Sequence[int]) -> Array:
    """Gradient of `max_pool1d` with respect to x.

    Parameters
    ----------
    grad_output : array_like, shape (N, C, L_out) or (C, L_out)
    indices : array_like of int, of the same shape
        As returned with ``return_indices=True``.
    input_size : sequence of int
        The shape of x.

    Returns
    -------
    ndarray of shape `input_size`
        Each element is the sum of the gradients of the windows that it won.

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, an index outside the plane among them.
    """
    return _max_pool_backward(1, grad_output, indices, input_size)


def max_pool2d_backward(grad_output: ArrayLike, indices: ArrayLike, input_size: Sequence[int]) -> Array:
    """Gradient of `max_pool2d` with respect to x of shape `input_size`; see `max_pool1d_backward`."""
    return _max_pool_backward(2, grad_output, indices, input_size)


def _max_pool(ndim: int, x: ArrayLike, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
              return_indices: bool) -> Array | tuple[Array, Array]:
    array = _arguments.as_array(x, "x")
    wanted = _arguments.flag(return_indices, "return_indices")
    a = _plane_arguments.pool_arguments(ndim, array.shape, kernel_size, stride, padding, dilation, ceil_mode)
    y, indices = _core.max_pool_forward(
        array, array.shape[:-ndim] + a.output, array.shape[-ndim:], a, wanted)
    return (y, indices) if wanted else y


def _max_pool_backward(ndim: int, grad_output: ArrayLike, indices: ArrayLike, input_size: Sequence[int]) -> Array:
    dy = _arguments.as_array(grad_output, "grad_output")
    shape = _arguments.shape_tuple(input_size, "input_size")
    _plane_arguments.check_planes(ndim, dy.shape, "grad_output")
    _plane_arguments.check_same_planes(ndim, shape, dy.shape)
    _plane_arguments.check_indices(indices, dy.shape, "grad_output")
    return _core.scatter(dy, "grad_output", indices, shape, math.prod(dy.shape[-ndim:]), math.prod(shape[-ndim:]), True)


# ---- max unpooling ---------------------------------------------------------------------------------------


def max_unpool1d(x: ArrayLike, indices: ArrayLike, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0,
                 output_size: Sequence[int] | None = None) -> Array:
    """Put each element of `x` where `max_pool1d` found it, among zeros.

    Parameters
    ----------
    x : array_like, shape (N, C, L) or (C, L)
    indices : array_like of int, of the shape of x
        Positions in the plane of the result; where two are the same, the later element stays.
    kernel_size, stride, padding : int
        Those of the pooling; ``(L - 1) stride - 2 padding + kernel_size`` elements is what it came from, or some more.
    output_size : sequence of int, optional
        The size of the result, spatial or of all axes, where pooling had rounded it: less than one stride from the above.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, an index outside the result among them.
    """
    return _max_unpool(1, x, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(x: ArrayLike, indices: ArrayLike, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0,
                 output_size: Sequence[int] | None = None) -> Array:
    """Put each element of `x`, (N, C, H, W) or (C, H, W), where `max_pool2d` found it; see `max_unpool1d`."""
    return _max_unpool(2, x, indices, kernel_size, stride, padding, output_size)


def max_unpool1d_backward(grad_output: ArrayLike, indices: ArrayLike) -> Array:
    """Gradient of `max_unpool1d` with respect to x: the elements of `grad_output` at `indices`.

    Parameters
    ----------
    grad_output : array_like, shape (N, C, L_out) or (C, L_out)
    indices : array_like of int, shape (N, C, L) or (C, L)
        As in the call of `max_unpool1d`; those that occur twice count twice, as in PyTorch.

    Returns
    -------
    ndarray of the shape of `indices`

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, an index outside the plane among them.
    """
    return _max_unpool_backward(1, grad_output, indices)


def max_unpool2d_backward(grad_output: ArrayLike, indices: ArrayLike) -> Array:
    """Gradient of `max_unpool2d` with respect to x; see `max_unpool1d_backward`."""
    return _max_unpool_backward(2, grad_output, indices)


def _max_unpool(ndim: int, x: ArrayLike, indices: ArrayLike, kernel_size: Any, stride: Any, padding: Any,
                output_size: Any) -> Array:
    array = _arguments.as_array(x, "x")
    size = _plane_arguments.unpool_size(ndim, array.shape, kernel_size, stride, padding, output_size)
    _plane_arguments.check_indices(indices, array.shape, "x")
    return _core.scatter(array, "x", indices, array.shape[:-ndim] + size, math.prod(array.shape[-ndim:]), math.prod(size),
                         False)


def _max_unpool_backward(ndim: int, grad_output: ArrayLike, indices: ArrayLike) -> Array:
    dy, where = _arguments.as_array(grad_output, "grad_output"), np.asarray(indices)
    _plane_arguments.check_planes(ndim, dy.shape, "grad_output")
    _plane_arguments.check_planes(ndim, where.shape, "indices")
    _plane_arguments.check_same_planes(ndim, where.shape, dy.shape, "indices")
    return _core.gather(dy, "grad_output", where, where.shape, math.prod(dy.shape[-ndim:]), math.prod(where.shape[-ndim:]))


# ---- average pooling -------------------------------------------------------------------------------------


def avg_pool1d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Array:
    """Return the mean of each window of signals.

    Parameters
    ----------
    x, kernel_size, stride, ceil_mode
        As in `max_pool1d`.
    padding : int
        Zeros on both sides, at most half of `kernel_size`.
    count_include_pad : bool
        Whether the zeros of the padding count as elements in the mean.

    Returns
    -------
    ndarray, shape (N, C, L_out) or (C, L_out)

    Raises
    ------
    TypeError, ValueError
        As `max_pool1d`.
    """
    return _avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(x: ArrayLike, kernel_size: Ints, stride: Ints | None = None, padding: Ints = 0, ceil_mode: bool = False,
               count_include_pad: bool = True) -> Array:
    """Return the mean of each window of images, (N, C, H, W) or (C, H, W); see `avg_pool1d`."""
    return _avg_pool(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool1d_backward(grad_output: ArrayLike, input_size: Sequence[int], kernel_size: Ints, stride: Ints | None = None,
                        padding: Ints = 0, ceil_mode: bool = False, count_include_pad: bool = True) -> Array:
    """Gradient of `avg_pool1d` with respect to x, given that of its output.

    Parameters
    ----------
    grad_output : array_like, shape (N, C, L_out) or (C, L_out)
    input_size : sequence of int
        The shape of x.
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in the call of `avg_pool1d`.

    Returns
    -------
    ndarray of shape `input_size`

    Raises
    ------
    TypeError, ValueError
        As `avg_pool1d`; and for a `grad_output` that has not the shape of its output.
    """
    return _avg_pool_backward(1, grad_output, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d_backward(grad_output: ArrayLike, input_size: Sequence[int], kernel_size: Ints, stride: Ints | None = None,
                        padding: Ints = 0, ceil_mode: bool = False, count_include_pad: bool = True) -> Array:
    """Gradient of `avg_pool2d` with respect to x of shape `input_size`; see `avg_pool1d_backward`."""
    return _avg_pool_backward(2, grad_output, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad)


def adaptive_avg_pool1d(x: ArrayLike, output_size: Ints) -> Array:
    """Return the means of windows that cover the signals evenly.

    Parameters
    ----------
    x : array_like, shape (N, C, L) or (C, L)
        float32 or float64, any strides.
    output_size : int
        How many windows, 1 or more; 1 is global average pooling. Window i goes from ``floor(i L / output_size)`` to before
        ``ceil((i + 1) L / output_size)``.

    Returns
    -------
    ndarray, shape (N, C, output_size) or (C, output_size)

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    ValueError
        For arguments that do not fit, naming the argument and what is accepted.
    """
    return _adaptive_avg_pool(1, x, output_size)


def adaptive_avg_pool2d(x: ArrayLike, output_size: Ints) -> Array:
    """Return the means of windows that cover the images, (N, C, H, W) or (C, H, W), evenly; see `adaptive_avg_pool1d`.

    `output_size` takes one value for both dimensions or one for each.
    """
    return _adaptive_avg_pool(2, x, output_size)


def adaptive_avg_pool1d_backward(grad_output: ArrayLike, input_size: Sequence[int]) -> Array:
    """Gradient of `adaptive_avg_pool1d` with respect to x, given that of its output.

    Parameters
    ----------
    grad_output : array_like, shape (N, C, L_out) or (C, L_out)
        Its last axis says what `output_size` was.
    input_size : sequence of int
        The shape of x.

    Returns
    -------
    ndarray of shape `input_size`

    Raises
    ------
    TypeError, ValueError
        As `adaptive_avg_pool1d`; and for a `grad_output` of other planes than `input_size` has.
    """
    return _adaptive_avg_pool_backward(1, grad_output, input_size)


def adaptive_avg_pool2d_backward(grad_output: ArrayLike, input_size: Sequence[int]) -> Array:
    """Gradient of `adaptive_avg_pool2d` with respect to x of shape `input_size`; see `adaptive_avg_pool1d_backward`."""
    return _adaptive_avg_pool_backward(2, grad_output, input_size)


def _windows(ndim: int, shape: Sequence[int], name: str, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
             count_include_pad: bool) -> PlaneMap:
    a = _plane_arguments.pool_arguments(ndim, shape, kernel_size, stride, padding, 1, ceil_mode, name)
    sizes = zip(shape[-ndim:], a.output, a.kernel, a.stride, a.padding, strict=True)
    include = _arguments.flag(count_include_pad, "count_include_pad")
    return PlaneMap(shape, a.output, [_core.window_band(*axis, include) for axis in sizes])


def _avg_pool(ndim: int, x: ArrayLike, *arguments: Any) -> Array:
    array = _arguments.as_array(x, "x")
    return _windows(ndim, array.shape, "x", *arguments).forward(array)


def _avg_pool_backward(ndim: int, grad_output: ArrayLike, input_size: Sequence[int], *arguments: Any) -> Array:
    shape = _arguments.shape_tuple(input_size, "input_size")
    return _windows(ndim, shape, "input_size", *arguments).backward(grad_output)


def _even_windows(ndim: int, shape: Sequence[int], output_size: Any, name: str) -> PlaneMap:
    _plane_arguments.check_planes(ndim, shape, name)
    output = _arguments.int_tuple(output_size, "output_size", ndim, 1)
    _plane_arguments.check_result((*shape[:-ndim], *output), f"output_size={output_size!r}")
    return PlaneMap(shape, output, list(map(_core.adaptive_band, shape[-ndim:], output)))


def _adaptive_avg_pool(ndim: int, x: ArrayLike, output_size: Any) -> Array:
    array = _arguments.as_array(x, "x")
    return _even_windows(ndim, array.shape, output_size, "x").forward(array)


def _adaptive_avg_pool_backward(ndim: int, grad_output: ArrayLike, input_size: Sequence[int]) -> Array:
    dy, shape = _arguments.as_array(grad_output, "grad_output"), _arguments.shape_tuple(input_size, "input_size")
    _plane_arguments.check_planes(ndim, dy.shape, "grad_output")
    return _even_windows(ndim, shape, dy.shape[-ndim:], "input_size").backward(dy)
