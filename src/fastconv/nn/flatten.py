"""Flatten: the step from convolutions to a fully connected layer."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._arguments import FLOATS, as_array
from fastconv._plane_arguments import check_gradient
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array


class Flatten(Module):
    """Join neighbouring axes into one, as `torch.nn.Flatten`.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last of them, both included; negative ones count from the last axis.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: ArrayLike) -> Array:
        array = x if type(x) is np.ndarray and x.dtype in FLOATS else as_array(x, "x")  # spares a call, nearly always
        shape = array.shape
        rank = len(shape)
        if self.start_dim == 1 and self.end_dim == -1 and rank > 1 and array.size:  # as nearly always
            y = array.reshape(shape[0], -1)
            self._saved = shape, y.shape
            return y
        start, end = self.start_dim % max(rank, 1), self.end_dim % max(rank, 1)
        if not (-rank <= self.start_dim < rank and -rank <= self.end_dim < rank and start <= end):
            raise ValueError(
                f"Flatten(start_dim={self.start_dim}, end_dim={self.end_dim}) does not fit an input of shape {shape}"
            )
        # The size is spelled out, because -1 has no meaning in an array of no elements.
        flat = *shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]
        self._saved = shape, flat
        return array.reshape(flat)

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        shape, flat = self._recall()
        dy = grad_output if type(grad_output) is np.ndarray and grad_output.dtype in FLOATS else as_array(grad_output, "grad_output")
        if dy.shape != flat:
            check_gradient(dy.shape, flat)
        return dy.reshape(shape) if need_input_grad else None

    def _stage(self, relu: Module | None, chain: _core.BatchChain | None) -> _core.Stage:
        kind = _core.FlattenStage if self._written_so(Flatten, "start_dim", "end_dim") else _core.Stage
        return kind(self, relu, chain)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
