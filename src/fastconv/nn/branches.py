"""Modules that send one input through several branches: enough for residual connections and the skips of a U-Net.

Branches nest: what PyTorch code keeps in a variable for later is here the other branch of a `Concat` or a `Residual`.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._arguments import as_array
from fastconv.nn._checks import check_activation
from fastconv.nn.container import Sequential
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array
from fastconv.nn.program import Trace, Value


def _check_modules(owner: str, *modules: Any) -> None:
    for module in modules:
        if not isinstance(module, Module):
            raise TypeError(f"{owner} takes modules, got {module!r}")


class Residual(Module):
    """``body(x) + shortcut(x)``, by default ``body(x) + x`` (He et al. 2015, arXiv:1512.03385).

    Parameters
    ----------
    body : Module
    shortcut : Module, optional
        What makes x fit the output of `body` where that has another shape; by default x is added as it is.
    activation : {None, "relu"}
        Applied to the sum.
    """

    def __init__(self, body: Module, shortcut: Module | None = None, activation: str | None = None) -> None:
        _check_modules("Residual", body, *[] if shortcut is None else [shortcut])
        check_activation(activation)
        self.body = body
        self.shortcut = shortcut
        self.activation = activation
        self._workspace = _core.Workspace()

    def forward(self, x: ArrayLike) -> Array:
        array = as_array(x, "x")
        added = False
        if type(self.body) is Sequential and not self.training:
            beside = self._beside(array)
            y, added = self.body._forward_added(array, beside, self.activation)
        else:
            y = self.body(array)
            beside = self._beside(array)
        if not added:
            y = self._sum(y, beside)
        self._saved = y if self.activation else True
        return y

    def _sum(self, y: Array, beside: Array) -> Array:
        if y.shape != beside.shape:
            raise ValueError(f"Residual adds arrays of one shape, got {y.shape} from body and {beside.shape} beside it")
        return _core.add(y, beside, self.activation == "relu", self._workspace)

    def _trace(self, trace: Trace, x: Value, *arguments: Any) -> Value:
        beside, added = x if self.shortcut is None else self.shortcut._trace(trace, x), False
        if type(self.body) is Sequential:
            y, added = self.body._trace_added(trace, x, beside, self.activation)
        else:
            y = self.body._trace(trace, x)
        return y if added else trace.call(self._sum, y, beside)

    def _beside(self, x: Array) -> Array:
        return x if self.shortcut is None else self.shortcut(x)

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        y = self._recall()
        grad = _core.relu_backward(grad_output, y, self._workspace) if self.activation else grad_output
        through = self.body.backward(grad, need_input_grad)
        beside = grad if self.shortcut is None else self.shortcut.backward(grad, need_input_grad)
        return _core.add(through, beside, False, self._workspace) if need_input_grad else None


class Concat(Module):
    """The outputs of branches that all get the same input, one after another along an axis; keys ``0.weight``, ``1.0.weight``, ...

    Parameters
    ----------
    *branches : Module
        One or more; `Identity` passes the input on as it is.
    dim : int, keyword only
        The axis, 1 by default: the channels of a batch.
    """

    def __init__(self, *branches: Module, dim: int = 1) -> None:
        _check_modules("Concat", *branches)
        if not branches:
            raise ValueError("Concat takes one branch or more, got none")
        self._branches = branches
        self.dim = dim

    def named_children(self) -> Any:
        return ((str(index), branch) for index, branch in enumerate(self._branches))

    def forward(self, x: ArrayLike) -> Array:
        array = as_array(x, "x")
        outputs = [branch(array) for branch in self._branches]
        y = self._join(*outputs)
        self._saved = y.shape, np.cumsum([output.shape[self.dim] for output in outputs])[:-1]
        return y

    def _join(self, *outputs: Array) -> Array:
        shapes = [y.shape for y in outputs]
        rank = len(shapes[0])
        if not -rank <= self.dim < rank:
            raise ValueError(f"Concat(dim={self.dim}) does not fit branches of shape {shapes[0]}")
        axis = self.dim % rank
        if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) > 1:
            raise ValueError(f"the branches of Concat must agree in all axes but {self.dim}, got shapes {shapes}")
        return np.concatenate(outputs, axis=self.dim)

    def _trace(self, trace: Trace, x: Value, *arguments: Any) -> Value:
        return trace.call(self._join, *[branch._trace(trace, x) for branch in self._branches])

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        shape, cuts = self._recall()
        dy = as_array(grad_output, "grad_output")
        if dy.shape != shape:
            raise ValueError(f"grad_output must have shape {shape}, got {dy.shape}")
        grads = [
            branch.backward(np.ascontiguousarray(part), need_input_grad)
            for branch, part in zip(self._branches, np.split(dy, cuts, axis=self.dim), strict=True)
        ]
        return reduce(np.add, grads) if need_input_grad else None
