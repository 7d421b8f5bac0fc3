"""The arithmetic of shapes: how large an output is, and a convolution written out as a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from ._arguments import as_array, int_tuple
from ._conv_arguments import conv_arguments, spatial_arguments

__all__ = ["conv_matrix", "conv_output_size"]


@overload
def conv_output_size(
    size: int, kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> int: ...
@overload
def conv_output_size(
    size: Sequence[int], kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> tuple[int, ...]: ...
def conv_output_size(
    size: int | Sequence[int], kernel_size: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> int | tuple[int, ...]:
    """Return the spatial size of a convolution's output, ``floor((I + 2 P - M) / S) + 1``.

    ``M = K + (K - 1) (D - 1)`` is the extent of the dilated kernel.

    Parameters
    ----------
    size : int or sequence of int
        Spatial size ``I`` of the input; a sequence has one entry per dimension.
    kernel_size, stride, dilation : int or sequence of int
        ``K``, ``S`` and ``D``: one for all dimensions or one per dimension.
    padding : int, sequence or str
        ``P``, in any form that `conv1d` and `conv2d` take.

    Returns
    -------
    int or tuple of int
        An int if `size` is an int.

    Raises
    ------
    ValueError, TypeError
        If an argument is not acceptable, or the kernel does not fit into the padded input.

    Examples
    --------
    >>> conv_output_size(11, 3, padding=1, stride=2)
    6
    >>> conv_output_size(13, 3, stride=3)
    4
    >>> conv_output_size(11, 1, stride=2), conv_output_size(12, 1, stride=2)
    (6, 6)
    >>> conv_output_size((224, 224), 7, stride=2, padding=3)
    (112, 112)
    >>> conv_output_size(40, 3, stride=2, padding="same")
    20
    """
    sizes = _sizes(size, "size")
    kernel = int_tuple(kernel_size, "kernel_size", len(sizes), 1)
    output = spatial_arguments(
        sizes, kernel, stride, padding, dilation, "zeros", ("size", f"size={size!r}"), f"kernel_size={kernel_size!r}"
    ).output
    return output if isinstance(size, Sequence | np.ndarray) else output[0]


def conv_matrix(
    weight: Any, input_size: int | Sequence[int], stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> np.ndarray:
    """Return the convolution as the dense matrix of a fully connected layer.

    Every row holds one output's weights, so nearly all of it is zeros and the same few numbers recur in
    every row of a channel: that is all that separates a convolution from a fully connected layer.

    Parameters
    ----------
    weight : array_like
        ``(C_out, C_in, K)`` or ``(C_out, C_in, KH, KW)``, float32 or float64.
    input_size : int or sequence of int
        Spatial size of the input.
    stride, dilation : int or sequence of int
        One for all dimensions or one per dimension.
    padding : int, sequence or str
        In any form that `conv1d` and `conv2d` take; zeros.

    Returns
    -------
    numpy.ndarray
        ``(C_out * prod(output_size), C_in * prod(input_size))``, with
        ``matrix @ x.ravel() == conv(x, weight).ravel()``.

    Raises
    ------
    ValueError, TypeError
        If an argument is not acceptable, or the kernel does not fit into the padded input.

    Examples
    --------
    >>> conv_matrix(np.array([[[1.0, 2.0, 3.0]]]), 4, padding=1)
    array([[2., 3., 0., 0.],
           [1., 2., 3., 0.],
           [0., 1., 2., 3.],
           [0., 0., 1., 2.]])
    """
    weight = as_array(weight, "weight")
    if weight.ndim not in (3, 4):
        raise ValueError(f"weight must have 3 dimensions (1-D) or 4 (2-D), got shape {weight.shape}")
    ndim = weight.ndim - 2
    size = int_tuple(input_size, "input_size", ndim, 1)
    out_channels, in_channels, *kernel = weight.shape
    x_shape = (in_channels, *size)
    given = conv_arguments(ndim, x_shape, weight.shape, None, stride, padding, dilation, groups=1)

    matrix = np.zeros((out_channels, *given.output, in_channels, *size), weight.dtype)
    starts = [before for before, _ in given.padding]
    for position in np.ndindex(*given.output):
        for tap in np.ndindex(*kernel):
            source = tuple(
                p * s + t * d - before
                for p, s, t, d, before in zip(
                    position, given.stride, tap, given.dilation, starts, strict=True
                )
            )
            if all(0 <= i < length for i, length in zip(source, size, strict=True)):
                matrix[:, *position, :, *source] = weight[:, :, *tap]
    return matrix.reshape(out_channels * math.prod(given.output), in_channels * math.prod(size))


def _sizes(value: Any, name: str) -> tuple[int, ...]:
    """An int or a sequence of ints as a tuple of sizes."""
    ndim = len(value) if isinstance(value, Sequence | np.ndarray) else 1
    return int_tuple(value, name, max(ndim, 1), 1)
