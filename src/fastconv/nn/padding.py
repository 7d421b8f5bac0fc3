"""Layers that change no value: Identity, and padding with zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv._arguments import as_array, int_tuple
from fastconv._plane_arguments import check_gradient, check_planes
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array


class Identity(Module):
    """The input itself, as `torch.nn.Identity`; any arguments are accepted and mean nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, x: ArrayLike) -> Array:
        array = as_array(x, "x")
        self._saved = array.shape
        return array

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        shape = self._recall()
        dy = as_array(grad_output, "grad_output")
        check_gradient(dy.shape, shape)
        return dy if need_input_grad else None


class _ZeroPad(Module):
    _rank: int

    def __init__(self, padding: int | Sequence[int]) -> None:
        self.padding = int_tuple(padding, "padding", 2 * self._rank, 0)

    def forward(self, x: ArrayLike) -> Array:
        array = as_array(x, "x")
        check_planes(self._rank, array.shape, "x")
        # Pairs come last axis first, as PyTorch has them.
        pairs = list(zip(self.padding[::2], self.padding[1::2], strict=True))[::-1]
        y = np.pad(array, [(0, 0)] * (array.ndim - self._rank) + pairs)
        inside = tuple(slice(before, before + n) for (before, _), n in zip(pairs, array.shape[-self._rank :], strict=True))
        self._saved = y.shape, inside
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        shape, inside = self._recall()
        dy = as_array(grad_output, "grad_output")
        check_gradient(dy.shape, shape)
        return dy[(..., *inside)] if need_input_grad else None

    def extra_repr(self) -> str:
        return str(self.padding)


class ZeroPad1d(_ZeroPad):
    """Zeros around the last axis of ``(N, C, L)`` or ``(C, L)``, as `torch.nn.ZeroPad1d`: an int, or (left, right)."""

    _rank = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around ``(N, C, H, W)`` or ``(C, H, W)``, as `torch.nn.ZeroPad2d`: an int, or (left, right, top, bottom)."""

    _rank = 2
