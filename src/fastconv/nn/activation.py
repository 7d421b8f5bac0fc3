"""Activation functions as layers."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastconv import _core
from fastconv import activations as A
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array


class ReLU(Module):
    """``max(x, 0)``; its gradient at zero is zero."""

    def __init__(self) -> None:
        self._workspace = _core.Workspace()

    def forward(self, x: ArrayLike) -> Array:
        self._saved = y = _core.relu(x, self._workspace)
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        # The sign of the output is that of the input, so the output, which lives anyway, is all that is kept.
        y = self._recall()
        return _core.relu_backward(grad_output, y, self._workspace) if need_input_grad else None


class LeakyReLU(Module):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere, as `torch.nn.LeakyReLU`.

    Parameters
    ----------
    negative_slope : float
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    def forward(self, x: ArrayLike) -> Array:
        y = A.leaky_relu(x, self.negative_slope)
        self._saved = x
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        x = self._recall()
        return A.leaky_relu_backward(grad_output, x, self.negative_slope) if need_input_grad else None

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class GELU(Module):
    """``x * Phi(x)``, as `torch.nn.GELU`.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        ``"tanh"`` for the approximation by tanh, see `fastconv.gelu`.
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: ArrayLike) -> Array:
        y = A.gelu(x, self.approximate)
        self._saved = x
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        x = self._recall()
        return A.gelu_backward(grad_output, x, self.approximate) if need_input_grad else None

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``, as `torch.nn.Sigmoid`."""

    def forward(self, x: ArrayLike) -> Array:
        self._saved = y = A.sigmoid(x)
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        y = self._recall()
        return A.sigmoid_backward(grad_output, y) if need_input_grad else None


class Tanh(Module):
    """The hyperbolic tangent, as `torch.nn.Tanh`."""

    def forward(self, x: ArrayLike) -> Array:
        self._saved = y = A.tanh(x)
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        y = self._recall()
        return A.tanh_backward(grad_output, y) if need_input_grad else None


class Softmax(Module):
    """``exp(x) / sum(exp(x))`` along one axis, as `torch.nn.Softmax`.

    Parameters
    ----------
    dim : int
        The axis, the last one by default.
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: ArrayLike) -> Array:
        self._saved = y = A.softmax(x, self.dim)
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        y = self._recall()
        return A.softmax_backward(grad_output, y, self.dim) if need_input_grad else None

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of `Softmax`, as `torch.nn.LogSoftmax`.

    Parameters
    ----------
    dim : int
        The axis, the last one by default.
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: ArrayLike) -> Array:
        self._saved = y = A.log_softmax(x, self.dim)
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        y = self._recall()
        return A.log_softmax_backward(grad_output, y, self.dim) if need_input_grad else None

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
