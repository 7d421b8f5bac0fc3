"""Activation functions and their gradients, as PyTorch defines them. Arrays of any shape, float32 or float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import _core
from fastconv._arguments import as_array, check_summed_axis, choice, common_dtype, number

Array = NDArray[Any]

APPROXIMATIONS = ("none", "tanh")


def leaky_relu(x: ArrayLike, negative_slope: float = 0.01) -> Array:
    """``x`` where it is positive, ``negative_slope * x`` elsewhere; a NaN stays.

    Parameters
    ----------
    x : array_like
    negative_slope : float

    Returns
    -------
    ndarray of the shape and dtype of x

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64, or a slope that is no number.
    """
    return _core.leaky_relu(x, number(negative_slope, "negative_slope"))


def leaky_relu_backward(grad_output: ArrayLike, x: ArrayLike, negative_slope: float = 0.01) -> Array:
    """Gradient of `leaky_relu` given its input x: `grad_output` where x is positive, `negative_slope` of it elsewhere.

    Parameters
    ----------
    grad_output : array_like of the shape of x
    x, negative_slope
        As in the call of `leaky_relu`.

    Returns
    -------
    ndarray of the shape of x
        float64 if an argument is, else float32.

    Raises
    ------
    TypeError, ValueError
        As `leaky_relu`; and for arrays of two shapes.
    """
    dy, array = _pair(grad_output, x, "x")
    return _core.leaky_relu_backward(dy, array, number(negative_slope, "negative_slope"))


def gelu(x: ArrayLike, approximate: str = "none") -> Array:
    """``x * Phi(x)``, Phi the distribution function of the normal distribution (Hendrycks and Gimpel, arXiv:1606.08415).

    Parameters
    ----------
    x : array_like
    approximate : {"none", "tanh"}
        ``"tanh"``: ``0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3)))``.

    Returns
    -------
    ndarray of the shape and dtype of x

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    ValueError
        For another approximation.
    """
    return _core.gelu(x, choice(approximate, "approximate", APPROXIMATIONS) == "tanh")


def gelu_backward(grad_output: ArrayLike, x: ArrayLike, approximate: str = "none") -> Array:
    """Gradient of `gelu` given its input x.

    Parameters
    ----------
    grad_output : array_like of the shape of x
    x, approximate
        As in the call of `gelu`.

    Returns
    -------
    ndarray of the shape of x
        float64 if an argument is, else float32.

    Raises
    ------
    TypeError, ValueError
        As `gelu`; and for arrays of two shapes.
    """
    tanh = choice(approximate, "approximate", APPROXIMATIONS) == "tanh"
    return _core.gelu_backward(*_pair(grad_output, x, "x"), tanh)


def sigmoid(x: ArrayLike) -> Array:
    """``1 / (1 + exp(-x))``, without overflow.

    Parameters
    ----------
    x : array_like

    Returns
    -------
    ndarray of the shape and dtype of x

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    """
    array = as_array(x, "x")
    # The exponential of a negative number cannot overflow, and 1 / (1 + e) is exact to rounding for either sign.
    e = np.exp(-np.abs(array))
    return np.where(array < 0, e, 1) / (1 + e)


def sigmoid_backward(grad_output: ArrayLike, y: ArrayLike) -> Array:
    """Gradient of `sigmoid` given its output y: ``grad_output * y * (1 - y)``.

    Parameters
    ----------
    grad_output : array_like of the shape of y
    y : array_like
        What `sigmoid` returned.

    Returns
    -------
    ndarray of the shape of y
        float64 if an argument is, else float32.

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64.
    ValueError
        For arrays of two shapes.
    """
    dy, array = _pair(grad_output, y, "y")
    return dy * array * (1 - array)


def tanh(x: ArrayLike) -> Array:
    """The hyperbolic tangent; parameters, result and errors are those of `sigmoid`."""
    return np.tanh(as_array(x, "x"))


def tanh_backward(grad_output: ArrayLike, y: ArrayLike) -> Array:
    """Gradient of `tanh` given its output y: ``grad_output * (1 - y**2)``; see `sigmoid_backward`."""
    dy, array = _pair(grad_output, y, "y")
    return dy * (1 - array * array)


def softmax(x: ArrayLike, axis: int = -1) -> Array:
    """``exp(x) / sum(exp(x))`` along `axis`, without overflow.

    Parameters
    ----------
    x : array_like
    axis : int
        Negative ones count from the last.

    Returns
    -------
    ndarray of the shape and dtype of x

    Raises
    ------
    TypeError
        For a dtype other than float32 and float64, or an axis that is no int.
    ValueError
        For an axis that x has not, or an empty one.
    """
    return _softmax(x, axis, logarithm=False)


def softmax_backward(grad_output: ArrayLike, y: ArrayLike, axis: int = -1) -> Array:
    """Gradient of `softmax` given its output y: ``y * (grad_output - sum(grad_output * y))``.

    Parameters
    ----------
    grad_output : array_like of the shape of y
    y : array_like
        What `softmax` returned.
    axis : int
        As in its call.

    Returns
    -------
    ndarray of the shape of y
        float64 if an argument is, else float32.

    Raises
    ------
    TypeError, ValueError
        As `softmax`; and for arrays of two shapes.
    """
    dy, array = _pair(grad_output, y, "y")
    check_summed_axis(axis, array.shape)
    return array * (dy - (dy * array).sum(axis=axis, keepdims=True))


def log_softmax(x: ArrayLike, axis: int = -1) -> Array:
    """The logarithm of `softmax`, without overflow or cancellation; parameters, result and errors are those of it."""
    return _softmax(x, axis, logarithm=True)


def log_softmax_backward(grad_output: ArrayLike, y: ArrayLike, axis: int = -1) -> Array:
    """Gradient of `log_softmax` given its output y: ``grad_output - exp(y) * sum(grad_output)``; see `softmax_backward`."""
    dy, array = _pair(grad_output, y, "y")
    check_summed_axis(axis, array.shape)
    return dy - np.exp(array) * dy.sum(axis=axis, keepdims=True)


def _softmax(x: ArrayLike, axis: int, logarithm: bool) -> Array:
    array = as_array(x, "x")
    return _core.softmax(array, check_summed_axis(axis, array.shape), logarithm)


def _pair(grad_output: ArrayLike, other: ArrayLike, name: str) -> tuple[Array, Array]:
    """The gradient and what it was the gradient at, of one shape and dtype."""
    dy, array = as_array(grad_output, "grad_output"), as_array(other, name)
    if dy.shape != array.shape:
        raise ValueError(f"grad_output must have shape {array.shape} as {name} does, got {dy.shape}")
    dtype = common_dtype(dy, array)
    return dy.astype(dtype, copy=False), array.astype(dtype, copy=False)
