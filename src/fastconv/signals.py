"""Convolution and correlation in the meaning of NumPy and SciPy: signals and images along any axes.

In signal processing a convolution turns its kernel round, and a correlation does not; what neural networks call a
convolution, `fastconv.conv1d`, is a correlation. These functions are calls of it, with its speed and its error bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._arguments import SIGNAL_MODES, as_array, choice, common_dtype, signal_axes
from fastconv.functional import conv1d, conv2d

Array = NDArray[Any]


def convolve(x: ArrayLike, kernel: ArrayLike, mode: str = "full", axis: int | Sequence[int] | None = None) -> Array:
    """Convolve a signal or an image with a kernel, which is turned round.

    ``y[i] = sum over k of kernel[k] * x[i - k]``

    Parameters
    ----------
    x : array_like
        float32 or float64. One or two axes; any number where `axis` is given.
    kernel : array_like
        float32 or float64, with as many axes as x, or as `axis` names.
    mode : {"full", "same", "valid"}
        All places where the two overlap; as many as x has, in the middle of those; where one lies inside the other.
    axis : int, one or two ints, optional
        The axes to convolve along, each of the others being a batch; all by default.

    Returns
    -------
    ndarray
        What `numpy.convolve` gives along one axis (``"same"`` is as long as the longer of the two), `scipy.signal.convolve`
        along two (``"same"`` has the size of x).

    Raises
    ------
    TypeError
        For another dtype: integers are to be converted, the parts of complex arrays to be convolved one by one.
    ValueError
        For a kernel that does not fit, naming the argument and what is accepted.
    """
    return _along(_real(x, "x"), _real(kernel, "kernel"), mode, axis, turned=True)


def correlate(x: ArrayLike, kernel: ArrayLike, mode: str = "full", axis: int | Sequence[int] | None = None) -> Array:
    """Correlate a signal or an image with a kernel.

    ``y[i] = sum over k of kernel[k] * x[i + k]``, from ``i = 1 - len(kernel)`` on for ``mode="full"``

    Arguments and sizes are those of `convolve`, of which this is the same with the kernel reversed: what `numpy.correlate`
    gives along one axis (whose default mode is "valid"), `scipy.signal.correlate` along two.
    """
    return _along(_real(x, "x"), _real(kernel, "kernel"), mode, axis, turned=False)


def _real(value: ArrayLike, name: str) -> Array:
    if np.iscomplexobj(value):
        raise TypeError(
            f"{name} must have dtype float32 or float64, got {np.asarray(value).dtype}: convolve its real and its imaginary "
            "part one by one"
        )
    return as_array(value, name)


def _along(x: Array, kernel: Array, mode: str, axis: Any, turned: bool) -> Array:
    choice(mode, "mode", SIGNAL_MODES)
    axes = signal_axes(x.shape, kernel.shape, axis)
    size = tuple(x.shape[a] for a in axes)
    if min(size) < 1 or kernel.size < 1:
        raise ValueError(f"x and kernel must not be empty, got shapes {x.shape} and {kernel.shape}")
    if _exchanged(size, kernel.shape, mode):
        return _along_exchanged(x, kernel, mode, axes, turned)
    pads = tuple(_padding(k, mode) for k in kernel.shape)
    taps = np.flip(kernel) if turned else kernel
    return _correlated_along_axis(x, taps, pads, axes[0]) if len(axes) == 1 else _correlated_in_planes(x, taps, pads, axes)


def _exchanged(size: tuple[int, ...], kernel: tuple[int, ...], mode: str) -> bool:
    """Whether the kernel takes the place of x: where it is longer, as NumPy and SciPy have it."""
    if len(size) == 1:
        return mode != "full" and kernel[0] > size[0]
    if mode != "valid" or all(k <= n for k, n in zip(kernel, size, strict=True)):
        return False
    if any(k < n for k, n in zip(kernel, size, strict=True)):
        raise ValueError(f"kernel must fit inside x along all axes, or x inside kernel, got sizes {kernel} and {size}")
    return True


def _along_exchanged(x: Array, kernel: Array, mode: str, axes: tuple[int, ...], turned: bool) -> Array:
    """One signal with many kernels: all of x's, as output channels. A correlation comes out reversed."""
    ndim = len(axes)
    last = tuple(range(-ndim, 0))
    taps = np.moveaxis(x, axes, last)
    batch, size = taps.shape[:-ndim], taps.shape[-ndim:]
    taps = taps.reshape(math.prod(batch), 1, *size)
    pads = tuple(_padding(k, mode) for k in size)
    output = tuple(n + sum(pad) - k + 1 for n, pad, k in zip(kernel.shape, pads, size, strict=True))
    if len(taps) == 0:
        y = np.empty((*batch, *output), common_dtype(x, kernel))
    else:
        conv = conv1d if ndim == 1 else conv2d
        weight = np.flip(taps, last) if turned else taps
        y = conv(kernel[np.newaxis], weight, padding=pads).reshape(*batch, *output)
    return np.moveaxis(y if turned else np.ascontiguousarray(np.flip(y, last)), last, axes)


def _padding(kernel: int, mode: str) -> tuple[int, int]:
    return {"full": (kernel - 1, kernel - 1), "same": (kernel // 2, (kernel - 1) // 2), "valid": (0, 0)}[mode]


def _correlated_along_axis(x: Array, taps: Array, pads: tuple[tuple[int, int], ...], axis: int) -> Array:
    """In place whatever the axis: signals that do not lie along the last are columns of images."""
    before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    output = x.shape[axis] + sum(pads[0]) - len(taps) + 1
    shape = (*x.shape[:axis], output, *x.shape[axis + 1 :])
    if before * after == 0:
        return np.empty(shape, common_dtype(x, taps))
    if after == 1:
        return conv1d(x.reshape(before, 1, x.shape[axis]), taps[np.newaxis, np.newaxis], padding=pads).reshape(shape)
    columns = x.reshape(before, 1, x.shape[axis], after)
    return conv2d(columns, taps[np.newaxis, np.newaxis, :, np.newaxis], padding=(*pads, (0, 0))).reshape(shape)


def _correlated_in_planes(x: Array, taps: Array, pads: tuple[tuple[int, int], ...], axes: tuple[int, ...]) -> Array:
    planes = np.moveaxis(x, axes, (-2, -1))
    batch = planes.shape[:-2]
    y = conv2d(planes.reshape(math.prod(batch), 1, *planes.shape[-2:]), taps[np.newaxis, np.newaxis], padding=pads)
    return np.moveaxis(y.reshape(*batch, *y.shape[-2:]), (-2, -1), axes)
