"""The fully connected layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastconv import _core
from fastconv.nn._checks import positive
from fastconv.nn.init import RNG, weight_and_bias
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array, Parameter


class Linear(Module):
    """``y = x @ weight.T + bias``, as `torch.nn.Linear`.

    Parameters
    ----------
    in_features, out_features : int
        Size of the last axis of the input and of the output.
    bias : bool
        Whether a bias is added.
    init : {"pytorch", "he_uniform", "he_normal"}, keyword only
        Scheme of the initial weights, see `fastconv.nn.init`.
    rng : numpy.random.Generator, int or None, keyword only
        Where they are drawn from: a generator, a seed, or fresh entropy.
    dtype : dtype_like, keyword only
        float32 (default) or float64.

    Attributes
    ----------
    weight : Parameter
        Shape ``(out_features, in_features)``.
    bias : Parameter or None
        Shape ``(out_features,)``.
    """

    _fuses_relu = True
    _batch_last = "in"

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: str = "pytorch",
        rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_features = positive(in_features, "in_features")
        self.out_features = positive(out_features, "out_features")
        initial_weight, initial_bias = weight_and_bias(
            (self.out_features, self.in_features), init, rng, dtype
        )
        self.weight = Parameter(initial_weight, "weight")
        self.bias = Parameter(initial_bias, "bias") if bias else None
        self._workspace = _core.Workspace()

    def forward(self, x: ArrayLike, activation: str | None = None) -> Array:
        self._saved = x
        bias = None if self.bias is None else self.bias._data
        return _core.linear(x, self.weight._data, bias, activation == "relu", self._workspace)

    def backward(
        self, grad_output: ArrayLike, need_input_grad: bool = True, through_relu: bool = False
    ) -> Gradient:
        weight, bias, x = self.weight, self.bias, self._saved
        grad_input, grad_weight, grad_bias = _core.linear_backward(
            grad_output, self._recall() if x is None else x, weight._data, (need_input_grad, True, bias is not None), through_relu,
            self._workspace,
        )  # fmt: skip
        weight.accumulate(grad_weight)
        if bias is not None:
            bias.accumulate(grad_bias)
        return grad_input

    def _stage(self, relu: Module | None, chain: _core.BatchChain | None) -> _core.Stage:
        kind = _core.LinearStage if self._written_so(Linear, "weight", "bias", "_workspace") else _core.Stage
        return kind(self, relu, chain)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")
