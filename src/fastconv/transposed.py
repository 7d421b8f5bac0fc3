"""Transposed convolutions and their gradients. Argument handling only; the work is done by the kernels of convolutions.

A transposed convolution is the gradient of a convolution with respect to its input, and its gradients are a convolution and
the gradient of that with respect to its weights: no zeros are put between elements, and no kernel is of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastconv import _core
from fastconv.functional import Gradients

Array = NDArray[Any]
Ints = int | Sequence[int]


def conv_transpose1d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: Ints = 1, padding: Ints = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Array:
    """Convolve signals, transposed: every element adds a kernel, scaled by it, to the output.

    ``y[n, o, l * stride + k * dilation - padding] += weight[c, o, k] * x[n, c, l]``, and `bias` once

    Parameters
    ----------
    x : array_like, shape (N, C, L) or (C, L)
        float32 or float64, any strides.
    weight : array_like, shape (C, O / groups, K)
    bias : array_like, shape (O,), optional
    stride, dilation : int
        At least 1.
    padding : int
        Elements that the output lacks at both ends.
    output_padding : int
        Elements that it has more at its far end; less than `stride` or `dilation`.
    groups : int
        Divides C and O.

    Returns
    -------
    ndarray, shape (N, O, L_out) or (O, L_out)
        ``L_out = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1``.

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    ValueError
        For arguments that do not fit, naming the argument and what is accepted.
    """
    return _core.conv_transpose(1, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: Ints = 1, padding: Ints = 0,
                     output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1) -> Array:
    """Convolve images, transposed: (N, C, H, W) or (C, H, W) with weights (C, O / groups, KH, KW); see `conv_transpose1d`."""
    return _core.conv_transpose(2, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose1d_backward(grad_output: ArrayLike, x: ArrayLike, weight: ArrayLike, stride: Ints = 1, padding: Ints = 0,
                              output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1,
                              need: Sequence[bool] = (True, True, True)) -> Gradients:
    """Gradients of `conv_transpose1d` with respect to x, weight and bias, given that of its output.

    Parameters
    ----------
    grad_output : array_like of the shape of the output
    x, weight, stride, padding, output_padding, groups, dilation
        As in the call of `conv_transpose1d`.
    need : three bools
        Which of the gradients to compute.

    Returns
    -------
    (grad_input, grad_weight, grad_bias) : tuple of ndarray or None
        Shapes of x, weight and (O,); None where `need` is False.

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose1d`; and for a `grad_output` that has not the shape of its output.
    """
    return _core.conv_transpose_backward(1, grad_output, x, weight, stride, padding, output_padding, groups, dilation, need)


def conv_transpose2d_backward(grad_output: ArrayLike, x: ArrayLike, weight: ArrayLike, stride: Ints = 1, padding: Ints = 0,
                              output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1,
                              need: Sequence[bool] = (True, True, True)) -> Gradients:
    """Gradients of `conv_transpose2d` with respect to x, weight and bias; see `conv_transpose1d_backward`."""
    return _core.conv_transpose_backward(2, grad_output, x, weight, stride, padding, output_padding, groups, dilation, need)
