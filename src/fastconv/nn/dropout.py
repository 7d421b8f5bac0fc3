"""Dropout."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastconv._arguments import as_array, number
from fastconv._plane_arguments import check_gradient
from fastconv.nn.init import RNG, seeded
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array


class Dropout(Module):
    """In training each element is zeroed with probability `p` and the others divided by ``1 - p``, as `torch.nn.Dropout`.

    Parameters
    ----------
    p : float
        In [0, 1].
    rng : numpy.random.Generator, int or None, keyword only
        What is zeroed is drawn from it: a generator, a seed, or fresh entropy.
    """

    def __init__(self, p: float = 0.5, *, rng: RNG = None) -> None:
        self.p = number(p, "p")
        if not 0 <= self.p <= 1:
            raise ValueError(f"p must be a probability in [0, 1], got {p!r}")
        self._rng = seeded(rng)

    def forward(self, x: ArrayLike) -> Array:
        array = as_array(x, "x")
        if not self.training or self.p == 0:
            self._saved = np.ones((), array.dtype), array.shape
            return array
        kept = self._rng.random(array.shape, np.float32) >= self.p  # of [0, 1): all for p = 0, none for p = 1
        factor = kept.astype(array.dtype)
        if self.p < 1:
            factor /= 1 - self.p
        self._saved = factor, array.shape
        return array * factor

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        factor, shape = self._recall()
        dy = as_array(grad_output, "grad_output")
        check_gradient(dy.shape, shape)
        return dy * factor if need_input_grad else None

    def extra_repr(self) -> str:
        return f"p={self.p}"
