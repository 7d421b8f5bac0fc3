"""Convolution layers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastconv import functional as F
from fastconv.nn.init import RNG, weight_and_bias
from fastconv.nn.module import Array, Module, Parameter

Size = int | Sequence[int]
Padding = int | str | Sequence[int] | Sequence[tuple[int, int]]


def _positive(value: Any, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, got {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be 1 or more, got {value!r}")
    return number


def _per_axis(value: Size, rank: int, name: str) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * rank
    if len(values) != rank:
        raise ValueError(f"{name} must be an int or {rank} of them, got {value!r}")
    return tuple(_positive(v, name) for v in values)


class _ConvNd(Module):
    """What Conv1d and Conv2d share: all of it but the rank and the two functions."""

    _rank: int
    _convolve: Callable[..., Array]
    _convolve_backward: Callable[..., tuple[Array | None, Array | None, Array | None]]

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
        self.in_channels = _positive(in_channels, "in_channels")
        self.out_channels = _positive(out_channels, "out_channels")
        self.kernel_size = _per_axis(kernel_size, self._rank, "kernel_size")
        self.stride = _per_axis(stride, self._rank, "stride")
        self.padding = padding
        self.dilation = _per_axis(dilation, self._rank, "dilation")
        self.groups = _positive(groups, "groups")
        self.padding_mode = padding_mode
        self.activation = activation
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % self.groups:
                raise ValueError(f"{name} must be a multiple of groups={groups}, got {channels}")
        if activation not in (None, "relu"):
            raise ValueError(f"activation must be None or 'relu', got {activation!r}")
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        initial_weight, initial_bias = weight_and_bias(shape, init, rng, dtype)
        self.weight = Parameter(initial_weight, "weight")
        self.bias = Parameter(initial_bias, "bias") if bias else None

    def forward(self, x: ArrayLike) -> Array:
        bias = None if self.bias is None else self.bias.data
        y = self._convolve(
            x, self.weight.data, bias, self.stride, self.padding, self.dilation, self.groups,
            padding_mode=self.padding_mode, activation=self.activation,
        )  # fmt: skip
        self._saved = x, y if self.activation else None
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Array | None:
        x, y = self._recall()
        if self.activation:
            grad_output = F.relu_backward(grad_output, y)
        grad_input, grad_weight, grad_bias = self._convolve_backward(
            grad_output, x, self.weight.data, self.stride, self.padding, self.dilation, self.groups,
            padding_mode=self.padding_mode, need=(need_input_grad, True, self.bias is not None),
        )  # fmt: skip
        self.weight.accumulate(grad_weight)
        if self.bias is not None:
            self.bias.accumulate(grad_bias)
        return grad_input

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
    _convolve = staticmethod(F.conv1d)
    _convolve_backward = staticmethod(F.conv1d_backward)


class Conv2d(_ConvNd):
    """2-D convolution of ``(N, in_channels, H, W)`` or ``(in_channels, H, W)``, as `torch.nn.Conv2d`.

    Parameters are those of `Conv1d`, with an int or one value for height and one for width where it has one. The
    weight has the shape ``(out_channels, in_channels / groups, *kernel_size)``.
    """

    _rank = 2
    _convolve = staticmethod(F.conv2d)
    _convolve_backward = staticmethod(F.conv2d_backward)
