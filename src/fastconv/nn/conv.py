"""Convolution layers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastconv import _core
from fastconv import functional as F
from fastconv._arguments import choice
from fastconv._conv_arguments import PADDING_MODES, check_padding
from fastconv.nn._checks import Size, check_activation, check_groups, immutable, per_axis, positive
from fastconv.nn.init import RNG, weight_and_bias
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array, Buffer, Parameter, frozen

if TYPE_CHECKING:
    from fastconv.nn.normalization import _BatchNorm
    from fastconv.nn.program import Trace, Value

Padding = int | str | Sequence[int] | Sequence[tuple[int, int]]


def _fold_norm(weight: Array, bias: Array | None, mean: Array, var: Array, scale: Array | None, shift: Array | None,
               eps: float) -> tuple[Buffer, Buffer]:
    """``(weight * s, (bias - mean) * s + shift)`` with ``s = scale / sqrt(var + eps)``: in float64, rounded once, frozen."""
    factor = (1.0 if scale is None else scale.astype(np.float64)) / np.sqrt(var.astype(np.float64) + eps)
    offset = (0.0 if bias is None else bias.astype(np.float64)) - mean
    folded = (
        Buffer((weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(weight.dtype)),
        Buffer((offset * factor + (0.0 if shift is None else shift)).astype(weight.dtype)),
    )
    for buffer in folded:
        buffer.freeze()
    return folded


class _Pack(NamedTuple):
    """A plan, and all that it was made from."""

    plan: _core.Plan
    weight: Array
    bias: Array | None
    settings: tuple[Any, ...]


class _Fold(NamedTuple):
    """Weights with a batch normalization folded in, and all that they were made from."""

    weight: Buffer
    bias: Buffer
    sources: tuple[Array | None, ...]
    eps: float
    dtype: np.dtype[Any]


class _ConvNd(Module):
    """What Conv1d and Conv2d share: all of it but the rank and the three functions."""

    _rank: int
    _make_plan: Callable[..., _core.Plan]
    _pack: _Pack | None = None
    _fold: _Fold | None = None
    _fuses_relu = True
    _folds_norm = True
    _batch_last = "in and out"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        activation: str | None = None,
        init: str = "pytorch",
        rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_channels = positive(in_channels, "in_channels")
        self.out_channels = positive(out_channels, "out_channels")
        self.kernel_size = per_axis(kernel_size, self._rank, "kernel_size")
        self.stride = per_axis(stride, self._rank, "stride")
        self.padding = immutable(padding)
        self.dilation = per_axis(dilation, self._rank, "dilation")
        self.groups = positive(groups, "groups")
        check_padding(self.padding, self._rank)
        self.padding_mode = choice(padding_mode, "padding_mode", PADDING_MODES)
        self.activation = activation
        check_groups(self.in_channels, self.out_channels, self.groups)
        check_activation(activation)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        initial_weight, initial_bias = weight_and_bias(shape, init, rng, dtype)
        self.weight = Parameter(initial_weight, "weight")
        self.bias = Parameter(initial_bias, "bias") if bias else None

        self._workspace = _core.Workspace()

    def forward(
        self, x: ArrayLike, activation: str | None = None, folded: _Fold | None = None,
        chain: _core.BatchChain | None = None, beside: Array | None = None,
    ) -> Array:
        """`beside`: an array that is added to the output, before the activation."""
        activation, source = activation or self.activation, self if folded is None else folded
        weight, bias = source.weight._data, None if source.bias is None else source.bias._data
        plan = None if self.training else self._plan_for(x, weight, bias, activation)
        if plan is not None and (beside is None or beside.dtype == plan.dtype):
            y = plan.added(x, beside)
        elif beside is not None:
            y = _core.add(self.forward(x, None, folded), beside, activation == "relu")
        else:
            y = _core.conv(
                self._rank, x, weight, bias, self.stride, self.padding, self.dilation, self.groups, self.padding_mode,
                activation, None, "auto", self._workspace, chain if self.training else None,
            )  # fmt: skip
        self._saved = x, y if self.activation else None
        return y

    def _trace(
        self, trace: Trace, x: Value, activation: str | None = None, folded: _Fold | None = None, beside: Value | None = None
    ) -> Value:
        values, source = [x] if beside is None else [x, beside], self if folded is None else folded
        weight, bias = source.weight._data, None if source.bias is None else source.bias._data
        plan = None if self.training else self._plan_for(x.array, weight, bias, activation or self.activation)
        if plan is not None and all(value.array.dtype == plan.dtype for value in values):
            return trace.call(plan.added, *values, adds=None if beside is None else plan)
        return trace.call(lambda x, beside=None: self._forget(x, activation, folded, None, beside), *values)

    def _folded(self, norm: _BatchNorm, x: ArrayLike) -> _Fold | None:
        """Weights that make this layer compute ``norm(self(x))``; None where x, the layers or their modes do not suit.

        They are stale as little as a plan can be: their sources are frozen arrays, which never change, and other arrays
        in their place make other weights.
        """
        if self.training or norm.training or self.activation or norm.running_mean is None or norm.running_var is None:
            return None
        if not (isinstance(x, np.ndarray) and x.ndim == self._rank + 2 and x.ndim in norm._ranks):
            return None
        sources = (
            self.weight._data, None if self.bias is None else self.bias._data, norm.running_mean._data, norm.running_var._data,
            None if norm.weight is None else norm.weight._data, None if norm.bias is None else norm.bias._data,
        )  # fmt: skip
        fold = self._fold  # read once: another thread may replace it
        if fold and fold.eps == norm.eps and fold.dtype == x.dtype and all(map(operator.is_, fold.sources, sources)):
            return fold
        if norm.num_features != self.out_channels or any(a is not None and a.dtype != x.dtype for a in sources):
            return None
        if not all(a is None or frozen(a) for a in sources):
            return None
        self._fold = fold = _Fold(*_fold_norm(*sources, norm.eps), sources, norm.eps, x.dtype)
        return fold

    def _plan_for(
        self, x: ArrayLike, weight: Array, bias: Array | None, activation: str | None
    ) -> _core.Plan | None:
        """A plan of this layer as it is now, for `x`; None where x or the parameters do not suit one.

        It cannot be stale: it serves only the arrays that it was packed from, under the settings that it was made with,
        and those arrays are frozen, so they never change. (Not every array is, in eval mode: a model in training may
        share the parameter.)

        One plan is kept, so nothing grows with the shapes seen. It is made when a shape comes for the first time, not
        when it comes back: plans choose among the algorithms with other costs than `_core.conv` does and may round in
        another way, and an input is to give the same bits at every call. Where every input has another shape than the
        one before, each packs anew; that costs from some percent of the convolution to, with small images of hundreds
        of channels, a few times as much. Such inputs are better off in training mode.
        """
        if not isinstance(x, np.ndarray):
            return None
        settings = (
            x.shape, x.dtype, self.stride, self.padding, self.dilation, self.groups, self.padding_mode, activation,
            _core.get_strict(), _core.active_isa(),
        )  # fmt: skip
        pack = self._pack  # read once: another thread may replace it
        if pack and pack.weight is weight and pack.bias is bias and pack.settings == settings:
            return pack.plan
        if x.dtype != weight.dtype or not (frozen(weight) and (bias is None or frozen(bias))):
            return None
        self._pack = None  # before there is a new one, which can then have its memory
        plan = self._make_plan(
            x.shape, weight, bias, self.stride, self.padding, self.dilation, self.groups,
            padding_mode=self.padding_mode, activation=activation,
        )  # fmt: skip
        self._pack = _Pack(plan, weight, bias, immutable(settings))
        return plan

    def backward(
        self, grad_output: ArrayLike, need_input_grad: bool = True, through_relu: bool = False
    ) -> Gradient:
        x, y = self._saved or self._recall()
        if self.activation:
            grad_output = _core.relu_backward(grad_output, y, self._workspace)
        weight, bias = self.weight, self.bias
        grad_input, grad_weight, grad_bias = _core.conv_backward(
            self._rank, grad_output, x, weight._data, self.stride, self.padding, self.dilation, self.groups,
            self.padding_mode, (need_input_grad, True, bias is not None), "auto", "auto", through_relu, self._workspace,
        )  # fmt: skip
        weight.accumulate(grad_weight)
        if bias is not None:
            bias.accumulate(grad_bias)
        return grad_input

    def _stage(self, relu: Module | None, chain: _core.BatchChain | None) -> _core.Stage:
        settings = ("stride", "padding", "dilation", "groups", "padding_mode", "activation")
        if self._written_so(_ConvNd, "weight", "bias", "_workspace", *settings):
            return _core.ConvStage(self, relu, chain, self._rank)
        return super()._stage(relu, chain)

    def train(self, mode: bool = True) -> Self:
        if mode:
            self._pack = self._fold = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name not in ("_pack", "_fold")}

    def extra_repr(self) -> str:
        defaults = {"padding": 0, "groups": 1, "padding_mode": "zeros", "activation": None}
        given = {name: getattr(self, name) for name in defaults if getattr(self, name) != defaults[name]}
        given |= {name: v for name in ("stride", "dilation") if set(v := getattr(self, name)) != {1}}
        given |= {} if self.bias is not None else {"bias": False}
        words = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}"]
        return ", ".join(words + [f"{name}={value!r}" for name, value in given.items()])


class Conv1d(_ConvNd):
    """1-D convolution of ``(N, in_channels, L)`` or ``(in_channels, L)``, as `torch.nn.Conv1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Multiples of `groups`.
    kernel_size, stride, dilation : int or sequence of one int
        In samples.
    padding : int, sequence or str
        An int, ``[(before, after)]``, ``"valid"``, ``"same"``, ``"same_lower"`` or ``"causal"``.
    groups : int
        Number of independent convolutions that the channels are divided among.
    bias : bool
        Whether a bias is added to each output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What stands outside the input.
    activation : {None, "relu"}, keyword only
        Applied to the output while it is still in a register.
    init : {"pytorch", "he_uniform", "he_normal"}, keyword only
        Scheme of the initial weights, see `fastconv.nn.init`.
    rng : numpy.random.Generator, int or None, keyword only
        Where they are drawn from: a generator, a seed, or fresh entropy.
    dtype : dtype_like, keyword only
        float32 (default) or float64.

    Attributes
    ----------
    weight : Parameter
        Shape ``(out_channels, in_channels / groups, kernel_size)``.
    bias : Parameter or None
        Shape ``(out_channels,)``.
    """

    _rank = 1
    _make_plan = staticmethod(F.plan_conv1d)


class Conv2d(_ConvNd):
    """2-D convolution of ``(N, in_channels, H, W)`` or ``(in_channels, H, W)``, as `torch.nn.Conv2d`.

    Parameters are those of `Conv1d`, with an int or one value for height and one for width where it has one. The
    weight has the shape ``(out_channels, in_channels / groups, *kernel_size)``.
    """

    _rank = 2
    _make_plan = staticmethod(F.plan_conv2d)
