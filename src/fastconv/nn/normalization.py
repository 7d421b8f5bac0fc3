"""Batch normalization layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastconv import normalization as F
from fastconv._arguments import as_array, float_dtype
from fastconv.nn._checks import positive
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array, Buffer, Parameter


class _BatchNorm(Module):
    """What both layers share: all of it but the ranks that they take."""

    _ranks: tuple[int, ...]
    _shapes: str

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True, *, dtype: DTypeLike = np.float32) -> None:
        self.num_features = positive(num_features, "num_features")
        self.eps = eps
        self.momentum = momentum
        dtype = float_dtype(dtype)
        shape = (self.num_features,)
        self.weight = Parameter(np.ones(shape, dtype), "weight") if affine else None
        self.bias = Parameter(np.zeros(shape, dtype), "bias") if affine else None
        self.running_mean = Buffer(np.zeros(shape, dtype), "running_mean") if track_running_stats else None
        self.running_var = Buffer(np.ones(shape, dtype), "running_var") if track_running_stats else None
        self.num_batches_tracked = (
            Buffer(np.zeros((), np.int64), "num_batches_tracked") if track_running_stats else None
        )

    def forward(self, x: ArrayLike) -> Array:
        array = as_array(x, "x")
        if array.ndim not in self._ranks or array.shape[1] != self.num_features:
            raise ValueError(f"x must have shape {self._shapes} with C={self.num_features}, got {array.shape}")
        batch_stats = self.training or self.running_mean is None
        weight, bias, mean, var = (
            None if part is None else part.data for part in (self.weight, self.bias, self.running_mean, self.running_var)
        )
        y = F.batch_norm(array, mean, var, weight, bias, batch_stats, self._share(), self.eps)
        self._saved = array, mean, var, batch_stats
        return y

    def _see(self, x: Array) -> None:
        """Be ready for ``backward``, as after ``forward(x)`` in eval mode."""
        assert self.running_mean is not None and self.running_var is not None
        self._saved = x, self.running_mean.data, self.running_var.data, False

    def _share(self) -> float:
        """The weight of this batch in the running statistics; counts it."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.data += 1
            if self.momentum is None:  # the mean of all batches
                return 1 / int(self.num_batches_tracked.data)
        return self.momentum or 0.0

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        x, mean, var, batch_stats = self._recall()
        weight = None if self.weight is None else self.weight.data
        need = need_input_grad, self.weight is not None, self.bias is not None
        grad_input, grad_weight, grad_bias = F.batch_norm_backward(
            grad_output, x, mean, var, weight, batch_stats, self.eps, need
        )
        if self.weight is not None:
            self.weight.accumulate(grad_weight)
        if self.bias is not None:
            self.bias.accumulate(grad_bias)
        return grad_input

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.weight is not None}, "
            f"track_running_stats={self.running_mean is not None}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalization of ``(N, C)`` or ``(N, C, L)``, as `torch.nn.BatchNorm1d`.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance.
    momentum : float or None
        Weight of a batch in the running statistics; None: they are the mean of all batches.
    affine : bool
        Whether there are a weight and a bias to learn.
    track_running_stats : bool
        Whether ``eval()`` uses running statistics; without, the batch's own.
    dtype : dtype_like, keyword only
        float32 (default) or float64.

    Attributes
    ----------
    weight, bias : Parameter or None
        Shape ``(num_features,)``.
    running_mean, running_var, num_batches_tracked : Buffer or None
        Part of ``state_dict``, under these names.
    """

    _ranks = (2, 3)
    _shapes = "(N, C) or (N, C, L)"


class BatchNorm2d(_BatchNorm):
    """Batch normalization of ``(N, C, H, W)``, as `torch.nn.BatchNorm2d`; see `BatchNorm1d`."""

    _ranks = (4,)
    _shapes = "(N, C, H, W)"
