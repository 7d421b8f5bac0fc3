"""The functions of the library: NumPy arrays in, NumPy arrays out. Argument handling only; the work is done in C.

Argument names, defaults, layouts and weight shapes are PyTorch's. Arrays are float32 or float64 of any layout, batched
``(N, C, L)`` / ``(N, C, H, W)`` or unbatched ``(C, L)`` / ``(C, H, W)``; mixed dtypes promote by NumPy's rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastconv import _core

Array = NDArray[Any]
Ints = int | Sequence[int]
Padding = int | str | Sequence[int | tuple[int, int]]
Gradient = Array | Any
"""An array, or None where the caller said that it is not needed, and where nobody else has to ask."""
Gradients = tuple[Gradient, Gradient, Gradient]


def conv1d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: Ints = 1, padding: Padding = 0,
           dilation: Ints = 1, groups: int = 1, *, padding_mode: str = "zeros", activation: str | None = None,
           out: Array | None = None, algorithm: str = "auto") -> Array:
    """Convolve signals with a bank of kernels (cross-correlation, as in every neural-network library).

    ``y[n, o, l] = act(bias[o] + sum over c, k of weight[o, c, k] * x[n, c, l * stride + k * dilation - padding])``

    Parameters
    ----------
    x : array_like, shape (N, C, L) or (C, L)
        float32 or float64, any strides.
    weight : array_like, shape (O, C / groups, K)
    bias : array_like, shape (O,), optional
    stride, dilation : int
        At least 1.
    padding : int, (before, after), "valid", "same", "same_lower" or "causal"
        ``"same"`` gives ``ceil(L / stride)`` outputs for any stride, the extra element after; ``"same_lower"`` puts it
        before; ``"causal"`` pads before only.
    groups : int
        Divides C and O; output channels of a group see its input channels alone.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
    activation : {None, "relu"}
        Applied as the output is stored.
    out : ndarray, optional
        Written in place and returned: the result's shape and dtype, no memory shared with an input.
    algorithm : {"auto", "direct", "channels", "winograd", "planes", "slide", "stencil", "gemm", "dot", "fft", "ref"}
        ``"auto"`` is what `explain` says; a named algorithm that does not apply is an error.

    Returns
    -------
    ndarray, shape (N, O, L_out) or (O, L_out)
        ``L_out`` as `conv_output_size` gives it.

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    ValueError
        For shapes that do not fit each other, naming the argument and what is accepted.
    """
    return _core.conv(1, x, weight, bias, stride, padding, dilation, groups, padding_mode, activation, out, algorithm)


def conv2d(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, stride: Ints = 1, padding: Padding = 0,
           dilation: Ints = 1, groups: int = 1, *, padding_mode: str = "zeros", activation: str | None = None,
           out: Array | None = None, algorithm: str = "auto") -> Array:
    """Convolve images with a bank of kernels (cross-correlation).

    ``x`` has shape (N, C, H, W) or (C, H, W), ``weight`` (O, C / groups, KH, KW), the result (N, O, H_out, W_out) or
    (O, H_out, W_out). `stride`, `padding` and `dilation` take one value for both dimensions or one for each; padding
    also a ``(before, after)`` pair for each. Everything else is as in `conv1d`.
    """
    return _core.conv(2, x, weight, bias, stride, padding, dilation, groups, padding_mode, activation, out, algorithm)


def plan_conv1d(x_shape: Sequence[int], weight: ArrayLike, bias: ArrayLike | None = None, stride: Ints = 1,
                padding: Padding = 0, dilation: Ints = 1, groups: int = 1, *, padding_mode: str = "zeros",
                activation: str | None = None, algorithm: str = "auto") -> _core.Plan:
    """Prepare `conv1d` for inputs of one shape and weights that stay: ``y = plan(x)`` or ``plan(x, out=y)``.

    The weights are copied, and packed where the algorithm profits from it; nothing that happens to `weight` or `bias`
    later changes the plan. It can be called from many threads at once. Of results larger than 32 MB it keeps the memory
    of the latest two, for later calls when nobody holds them any more. Where packing pays, another algorithm may be the
    quickest than for `conv1d`; results then agree within the error bound rather than bit by bit.

    Parameters
    ----------
    x_shape : sequence of int
        (N, C, L) or (C, L), of every x that the plan will be called with.
    weight, bias, stride, padding, dilation, groups, padding_mode, activation, algorithm
        As in `conv1d`. The dtype of weight and bias is the plan's: x is converted to float64 for a float64 plan, and
        must be float32 for a float32 one.

    Returns
    -------
    Plan
        With the attributes `x_shape`, `output_shape`, `dtype`, `algorithm`, `packed_bytes` and `scratch_bytes`.

    Raises
    ------
    TypeError, ValueError
        As `conv1d`; and when called, for an x of another shape, or of float64 where the plan is of float32.
    """
    return _core.Plan(1, x_shape, weight, bias, stride, padding, dilation, groups, padding_mode, activation, algorithm)


def plan_conv2d(x_shape: Sequence[int], weight: ArrayLike, bias: ArrayLike | None = None, stride: Ints = 1,
                padding: Padding = 0, dilation: Ints = 1, groups: int = 1, *, padding_mode: str = "zeros",
                activation: str | None = None, algorithm: str = "auto") -> _core.Plan:
    """Prepare `conv2d` for inputs of shape `x_shape`, (N, C, H, W) or (C, H, W), as `plan_conv1d` does for `conv1d`."""
    return _core.Plan(2, x_shape, weight, bias, stride, padding, dilation, groups, padding_mode, activation, algorithm)


def conv1d_backward(grad_output: ArrayLike, x: ArrayLike, weight: ArrayLike, stride: Ints = 1, padding: Padding = 0,
                    dilation: Ints = 1, groups: int = 1, *, padding_mode: str = "zeros",
                    need: Sequence[bool] = (True, True, True)) -> Gradients:
    """Gradients of `conv1d` with respect to x, weight and bias, given that of its output.

    Parameters
    ----------
    grad_output : array_like, shape (N, O, L_out) or (O, L_out)
    x, weight, stride, padding, dilation, groups, padding_mode
        As in the call of `conv1d`.
    need : three bools
        Which of the gradients to compute.

    Returns
    -------
    (grad_input, grad_weight, grad_bias) : tuple of ndarray or None
        Shapes of x, weight and (O,); None where `need` is False.

    Raises
    ------
    TypeError, ValueError
        As `conv1d`; and for a `grad_output` that has not the shape of its output.
    """
    return _core.conv_backward(1, grad_output, x, weight, stride, padding, dilation, groups, padding_mode, need)


def conv2d_backward(grad_output: ArrayLike, x: ArrayLike, weight: ArrayLike, stride: Ints = 1, padding: Padding = 0,
                    dilation: Ints = 1, groups: int = 1, *, padding_mode: str = "zeros",
                    need: Sequence[bool] = (True, True, True)) -> Gradients:
    """Gradients of `conv2d` with respect to x, weight and bias; see `conv1d_backward`."""
    return _core.conv_backward(2, grad_output, x, weight, stride, padding, dilation, groups, padding_mode, need)


def linear(x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array:
    """Return ``x @ weight.T + bias``.

    Parameters
    ----------
    x : array_like, shape (..., in_features)
        float32 or float64, any strides.
    weight : array_like, shape (out_features, in_features)
    bias : array_like, shape (out_features,), optional

    Returns
    -------
    ndarray, shape (..., out_features)
        float64 if an argument is, else float32.

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    ValueError
        For shapes that do not fit each other, naming the argument and what is accepted.
    """
    return _core.linear(x, weight, bias)


def linear_backward(grad_output: ArrayLike, x: ArrayLike, weight: ArrayLike,
                    need: Sequence[bool] = (True, True, True)) -> Gradients:
    """Gradients of `linear` with respect to x, weight and bias, given that of its output.

    Parameters
    ----------
    grad_output : array_like, shape (..., out_features)
    x, weight
        As in the call of `linear`.
    need : three bools
        Which of the gradients to compute.

    Returns
    -------
    (grad_input, grad_weight, grad_bias) : tuple of ndarray or None
        Shapes of x, weight and (out_features,); None where `need` is False.

    Raises
    ------
    TypeError, ValueError
        As `linear`; and for a `grad_output` that has not the shape of its output.
    """
    return _core.linear_backward(grad_output, x, weight, need)


def relu(x: ArrayLike) -> Array:
    """``max(x, 0)``, elementwise; a NaN stays.

    Parameters
    ----------
    x : array_like
        float32 or float64, any shape and strides.

    Returns
    -------
    ndarray of the shape and dtype of x

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    """
    return _core.relu(x)


def relu_backward(grad_output: ArrayLike, y: ArrayLike) -> Array:
    """Gradient of `relu` with respect to x: `grad_output` where y is positive, else 0.

    Parameters
    ----------
    grad_output : array_like of the shape of y
    y : array_like
        The output of `relu`; or its input, which is positive where that is.

    Returns
    -------
    ndarray of the shape of y
        float64 if an argument is, else float32.

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    ValueError
        For arguments of two shapes.
    """
    return _core.relu_backward(grad_output, y)
