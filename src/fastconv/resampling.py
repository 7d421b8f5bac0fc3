"""Interpolation of signals and images, and its gradient, as PyTorch defines them. Argument handling only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastconv import _arguments, _core, _plane_arguments
from fastconv._separable import PlaneMap

Array = NDArray[Any]
Ints = int | Sequence[int]
Floats = float | Sequence[float]

MODES = {"nearest": (1, 2), "linear": (1,), "bilinear": (2,)}
"""Which numbers of spatial dimensions a mode is for."""


def interpolate(x: ArrayLike, size: Ints | None = None, scale_factor: Floats | None = None, mode: str = "nearest",
                align_corners: bool | None = False) -> Array:
    """Resize signals or images.

    Parameters
    ----------
    x : array_like, shape (N, C, L), (C, L) or (N, C, H, W); or (C, H, W) for "bilinear"
        float32 or float64, any strides. An array of three axes is (N, C, L) unless the mode is "bilinear".
    size : int or sequence of int, optional
        The spatial size of the result.
    scale_factor : float or sequence of float, optional
        What to multiply the size by, instead of `size`; rounded down.
    mode : {"nearest", "linear", "bilinear"}
        ``"linear"`` for signals, ``"bilinear"`` for images.
    align_corners : bool or None
        Linear modes: whether the centres of the first and last elements stay where they are, rather than the outer edges. None,
        PyTorch's default, is False.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit, naming the argument and what is accepted.
    """
    array = _arguments.as_array(x, "x")
    return _map_of(array.shape, "x", size, scale_factor, mode, align_corners).forward(array)


def interpolate_backward(grad_output: ArrayLike, input_size: Sequence[int], size: Ints | None = None,
                         scale_factor: Floats | None = None, mode: str = "nearest", align_corners: bool | None = False) -> Array:
    """Gradient of `interpolate` with respect to x, given that of its output.

    Parameters
    ----------
    grad_output : array_like of the shape of the output
    input_size : sequence of int
        The shape of x.
    size, scale_factor, mode, align_corners
        As in the call of `interpolate`.

    Returns
    -------
    ndarray of shape `input_size`

    Raises
    ------
    TypeError, ValueError
        As `interpolate`; and for a `grad_output` that has not the shape of its output.
    """
    shape = _arguments.shape_tuple(input_size, "input_size")
    return _map_of(shape, "input_size", size, scale_factor, mode, align_corners).backward(grad_output)


def _map_of(shape: Sequence[int], name: str, size: Any, scale_factor: Any, mode: str, align_corners: bool | None) -> PlaneMap:
    ndim = _spatial_dimensions(shape, name, mode)
    _plane_arguments.check_planes(ndim, shape, name)
    align = _plane_arguments.check_align_corners(align_corners, mode)
    output, scales = _plane_arguments.interpolate_arguments(ndim, shape, size, scale_factor, name)
    axes = zip(shape[-ndim:], output, scales, strict=True)
    bands = [_core.interpolation_band(*axis, mode != "nearest", align) for axis in axes]
    return PlaneMap(shape, output, bands)


def _spatial_dimensions(shape: Sequence[int], name: str, mode: str) -> int:
    dimensions = MODES[_arguments.choice(mode, "mode", MODES)]
    ndim = dimensions[0] if len(dimensions) == 1 else max(len(shape) - 2, 1)
    if ndim not in dimensions:
        raise ValueError(f'{name} must have shape (N, C, L), (C, L) or (N, C, H, W) for mode "{mode}", got {tuple(shape)}')
    return ndim
