"""Activation functions as layers."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastconv import functional as F
from fastconv.nn.module import Array, Module


class ReLU(Module):
    """``max(x, 0)``; its gradient at zero is zero."""

    def forward(self, x: ArrayLike) -> Array:
        self._saved = y = F.relu(x)
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Array | None:
        # The sign of the output is that of the input, so the output, which lives anyway, is all that is kept.
        y = self._recall()
        return F.relu_backward(grad_output, y) if need_input_grad else None
