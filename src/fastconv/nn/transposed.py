"""Transposed convolution layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastconv import transposed as F
from fastconv._plane_arguments import transpose_numbers
from fastconv.functional import Gradients
from fastconv.nn._checks import Size, check_groups, immutable, per_axis, positive
from fastconv.nn.init import RNG, seeded, weight_and_bias
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array, Parameter


class _ConvTransposeNd(Module):
    """What both layers share: all of it but the rank and the functions."""

    _rank: int
    _convolve: Callable[..., Array]
    _convolve_backward: Callable[..., Gradients]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        *,
        init: str = "pytorch",
        rng: RNG = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.in_channels = positive(in_channels, "in_channels")
        self.out_channels = positive(out_channels, "out_channels")
        self.kernel_size = per_axis(kernel_size, self._rank, "kernel_size")
        self.stride = per_axis(stride, self._rank, "stride")
        self.padding = immutable(padding)
        self.output_padding = immutable(output_padding)
        self.groups = positive(groups, "groups")
        self.dilation = per_axis(dilation, self._rank, "dilation")
        transpose_numbers(self._rank, self.stride, padding, output_padding, self.dilation)
        check_groups(self.in_channels, self.out_channels, self.groups)
        taps = (self.out_channels // self.groups, *self.kernel_size)  # what PyTorch, too, takes for the fan-in
        generator = seeded(rng)
        initial_weight, _ = weight_and_bias((self.in_channels, *taps), init, generator, dtype)
        _, initial_bias = weight_and_bias((self.out_channels, *taps), init, generator, dtype)
        self.weight = Parameter(initial_weight, "weight")
        self.bias = Parameter(initial_bias, "bias") if bias else None

    @property
    def _numbers(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.output_padding, self.groups, self.dilation

    def forward(self, x: ArrayLike) -> Array:
        bias = None if self.bias is None else self.bias.data
        y = self._convolve(x, self.weight.data, bias, *self._numbers)
        self._saved = x
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        need = need_input_grad, True, self.bias is not None
        grad_input, grad_weight, grad_bias = self._convolve_backward(
            grad_output, self._recall(), self.weight.data, *self._numbers, need
        )
        self.weight.accumulate(grad_weight)
        if self.bias is not None:
            self.bias.accumulate(grad_bias)
        return grad_input

    def extra_repr(self) -> str:
        words = [f"{self.in_channels}, {self.out_channels}", f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        defaults = {"padding": 0, "output_padding": 0, "groups": 1}
        words += [f"{name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value]
        words += [f"dilation={self.dilation}"] if set(self.dilation) != {1} else []
        return ", ".join(words + ([] if self.bias is not None else ["bias=False"]))


class ConvTranspose1d(_ConvTransposeNd):
    """Transposed convolution of ``(N, in_channels, L)`` or ``(in_channels, L)``, as `torch.nn.ConvTranspose1d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Multiples of `groups`.
    kernel_size, stride, dilation : int or sequence of one int
        In samples of the output.
    padding : int
        Samples that the output lacks at both ends.
    output_padding : int
        Samples that it has more at its far end.
    groups : int
        Number of independent convolutions that the channels are divided among.
    bias : bool
        Whether a bias is added to each output channel.
    init, rng, dtype : keyword only
        As in `Conv1d`.

    Attributes
    ----------
    weight : Parameter
        Shape ``(in_channels, out_channels / groups, kernel_size)``.
    bias : Parameter or None
        Shape ``(out_channels,)``.
    """

    _rank = 1
    _convolve = staticmethod(F.conv_transpose1d)
    _convolve_backward = staticmethod(F.conv_transpose1d_backward)


class ConvTranspose2d(_ConvTransposeNd):
    """Transposed convolution of ``(N, C, H, W)`` or ``(C, H, W)``, as `torch.nn.ConvTranspose2d`; see `ConvTranspose1d`."""

    _rank = 2
    _convolve = staticmethod(F.conv_transpose2d)
    _convolve_backward = staticmethod(F.conv_transpose2d_backward)
