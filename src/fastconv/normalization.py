"""Batch normalization and its gradients, as PyTorch defines them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import _core
from fastconv._arguments import as_array, check_need, check_statistics, common_dtype, flag, number
from fastconv.functional import Gradients

Array = NDArray[Any]


def batch_norm(x: ArrayLike, running_mean: ArrayLike | None, running_var: ArrayLike | None, weight: ArrayLike | None = None,
               bias: ArrayLike | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5) -> Array:
    """Normalize each channel: ``(x - mean) / sqrt(var + eps) * weight + bias``.

    Parameters
    ----------
    x : array_like, shape (N, C, ...)
        float32 or float64, any rank from 2 on, any strides.
    running_mean, running_var : array_like, shape (C,), or None
        The statistics, where `training` is False. Where it is True those of the batch are used, and arrays given here are
        moved towards them in place: ``(1 - momentum) * running + momentum * batch``, with the unbiased variance.
    weight, bias : array_like, shape (C,), optional
    training : bool
        Whether the statistics are those of the batch (the biased variance).
    momentum : float
        Weight of this batch in the running statistics.
    eps : float
        Added to the variance.

    Returns
    -------
    ndarray of the shape of x

    Raises
    ------
    TypeError, ValueError
        For arguments that do not fit; and in training for a single value in each channel, which has no variance. An empty
        batch leaves the running statistics alone.
    """
    a = _checked(x, running_mean, running_var, weight, bias, training, eps)
    momentum = number(momentum, "momentum")
    if a.training:
        _check_movable(running_mean, "running_mean")
        _check_movable(running_var, "running_var")
    y = _core.normalize(a.x, a.mean, a.var, a.weight, a.bias, a.training, a.eps)
    if a.training:
        count = a.x.size // a.x.shape[1]
        _move(running_mean, a.mean, momentum, count)
        _move(running_var, a.var * (count / max(count - 1, 1)), momentum, count)
    return y


def batch_norm_backward(grad_output: ArrayLike, x: ArrayLike, running_mean: ArrayLike | None, running_var: ArrayLike | None,
                        weight: ArrayLike | None = None, training: bool = False, eps: float = 1e-5,
                        need: Sequence[bool] = (True, True, True)) -> Gradients:
    """Gradients of `batch_norm` with respect to x, weight and bias, given that of its output.

    Parameters
    ----------
    grad_output : array_like of the shape of x
    x, running_mean, running_var, weight, training, eps
        As in the call of `batch_norm`. In training the batch's statistics are computed anew and the running ones are not
        looked at; else they are constants.
    need : three bools
        Which of the gradients to compute.

    Returns
    -------
    (grad_input, grad_weight, grad_bias) : tuple of ndarray or None
        Of the shapes of x, (C,) and (C,); None where `need` is False.

    Raises
    ------
    TypeError, ValueError
        As `batch_norm`; and for a `grad_output` that has not the shape of x.
    """
    wanted = check_need(need)
    dy = as_array(grad_output, "grad_output")
    a = _checked(x, None if training else running_mean, None if training else running_var, weight, None, training, eps, dy)
    if dy.shape != a.x.shape:
        raise ValueError(f"grad_output must have shape {a.x.shape} as x does, got {dy.shape}")
    if dy.size == 0:
        return tuple(np.zeros(like.shape, like.dtype) if w else None for w, like in zip(wanted, (a.x, a.mean, a.var), strict=True))  # type: ignore[return-value]
    dy = np.ascontiguousarray(dy, a.x.dtype)
    return _core.normalize_backward(dy, a.x, a.mean, a.var, a.weight, a.training, a.eps, wanted)


class _Checked(NamedTuple):
    """Dense arrays of one dtype; in training, mean and var are room for those of the batch."""

    x: Array
    mean: Array
    var: Array
    weight: Array | None
    bias: Array | None
    training: bool
    eps: float


def _checked(x: ArrayLike, running_mean: ArrayLike | None, running_var: ArrayLike | None, weight: ArrayLike | None,
             bias: ArrayLike | None, training: bool, eps: float, dy: Array | None = None) -> _Checked:
    array = as_array(x, "x")
    training = flag(training, "training")
    if array.ndim < 2 or array.shape[1] < 1 or (array.size == 0 and array.shape[0] > 0):
        raise ValueError(f"x must have shape (N, C, ...) with no empty axis but N, got {array.shape}")
    channels = array.shape[1]
    given = [
        None if value is None else _per_channel(value, name, channels)
        for value, name in ((running_mean, "running_mean"), (running_var, "running_var"), (weight, "weight"), (bias, "bias"))
    ]
    check_statistics(running_mean, running_var, training)
    if training and array.size == channels:
        raise ValueError(f"x must have more than 1 value in each channel when training=True, got shape {array.shape}")
    eps = number(eps, "eps")
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")
    dtype = common_dtype(array, *given, dy)
    dense: list[Any] = [None if value is None else np.ascontiguousarray(value, dtype) for value in given]
    mean, var, w, b = (*np.zeros((2, channels), dtype), *dense[2:]) if training else dense
    return _Checked(np.ascontiguousarray(array, dtype), mean, var, w, b, training, eps)


def _per_channel(value: ArrayLike, name: str, channels: int) -> Array:
    array = as_array(value, name)
    if array.shape != (channels,):
        raise ValueError(f"{name} must have shape ({channels},), one for each channel of x, got {array.shape}")
    return array


def _check_movable(running: ArrayLike | None, name: str) -> None:
    if running is None:
        return
    if not isinstance(running, np.ndarray):
        raise TypeError(f"{name} must be a numpy.ndarray when training=True moves it, got {type(running).__name__}")
    if not running.flags.writeable:
        raise ValueError(f"{name} must be writeable when training=True moves it, got a read-only array")


def _move(running: Any, batch: Array, momentum: float, count: int) -> None:
    if running is None or count == 0:
        return
    running *= 1 - momentum
    running += momentum * batch
