"""Activation functions as layers."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastconv import _core
from fastconv.nn.module import Array, Module


class ReLU(Module):
    """``max(x, 0)``; its gradient at zero is zero."""

    def __init__(self) -> None:
        self._workspace = _core.Workspace()

    def forward(self, x: ArrayLike) -> Array:
        self._saved = y = _core.relu(x, self._workspace)
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Array | None:
        # The sign of the output is that of the input, so the output, which lives anyway, is all that is kept.
        y = self._recall()
        return _core.relu_backward(grad_output, y, self._workspace) if need_input_grad else None
