"""Receptive fields: which samples or pixels of the input an output of each layer can see.

A layer is described backwards: the interval of its input that an interval of its output reads. Intervals of networks are
intervals of their layers, one after another; branches join to the interval around theirs. What lies outside of the input (padding)
counts as input, so a field does not depend on where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from fastconv import nn
from fastconv._arguments import int_tuple
from fastconv._plane_arguments import interpolate_arguments, pool_arguments, transposed_size
from fastconv.nn.module import Module
from fastconv.shapes import conv_output_size

__all__ = ["Field", "receptive_field"]

Numbers = int | Fraction | tuple[int | Fraction, ...]


class Field(NamedTuple):
    """The receptive field of one layer's outputs, in samples or pixels of the model's input.

    Attributes are numbers for 1-D models and one number per axis for 2-D models.

    Attributes
    ----------
    name : str
        Of the layer in the model, as ``1.body.0``; of a `Residual` or a `Concat` where its branches meet.
    layer : Module
    size : int
        From the first to the last sample that an output can depend on; of the output with the largest, where they differ (behind
        upsampling). None: the whole input.
    jump : int or Fraction
        Distance of the fields of neighbouring outputs, the product of the strides; below 1 behind upsampling alone. None where
        there is one output.
    start : int
        First sample of the field of output 0, negative where that is padding.
    """

    name: str
    layer: Module
    size: Any
    jump: Any
    start: Any


class _Axis(NamedTuple):
    """From an interval of a module's outputs to that of its inputs, first and last; `jump` inputs an output. None: all."""

    reads: Callable[[int, int], tuple[int, int]] | None
    jump: Fraction

    def after(self, before: _Axis) -> _Axis:
        """This behind `before`."""
        mine, its = self.reads, before.reads
        both = None if mine is None or its is None else lambda first, last: its(*mine(first, last))
        return _Axis(both, self.jump * before.jump)


SAME = _Axis(lambda first, last: (first, last), Fraction(1))
WHOLE = _Axis(None, Fraction(1))


def _window(kernel: int, stride: int, before: int, dilation: int = 1) -> _Axis:
    extent = (kernel - 1) * dilation
    return _Axis(lambda first, last: (first * stride - before, last * stride - before + extent), Fraction(stride))


def _axes(value: Any, ndim: int) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * ndim


def _conv(layer: Any, ndim: int) -> list[_Axis]:
    rows = zip(layer.kernel_size, layer.stride, layer.dilation, _axes(layer.padding, ndim), strict=True)
    return [_window(k, s, _before(padding, (k - 1) * d + 1, s), d) for k, s, d, padding in rows]


def _before(padding: Any, extent: int, stride: int) -> int:
    """Zeros before an axis; of "same", those of sizes that the stride divides."""
    total = max(extent - stride, 0)
    words = {"valid": 0, "same": total // 2, "same_lower": total - total // 2, "causal": extent - 1}
    if isinstance(padding, str):
        return words[padding]
    return int(padding[0] if isinstance(padding, Sequence) else padding)


def _transposed(layer: Any, ndim: int) -> list[_Axis]:
    def axis(kernel: int, stride: int, dilation: int, padding: int) -> _Axis:
        def reads(first: int, last: int) -> tuple[int, int]:
            ends = [i for i in range(first, last + 1) if i < first + stride or i > last - stride]
            places = [i + padding - tap * dilation for i in ends for tap in range(kernel)]
            sources = [place // stride for place in places if place % stride == 0]
            nearest = (first + padding) // stride  # there is no source where a small kernel leaves gaps
            return (min(sources), max(sources)) if sources else (nearest + 1, nearest)

        return _Axis(reads, Fraction(1, stride))

    return [axis(*row) for row in zip(layer.kernel_size, layer.stride, layer.dilation, _axes(layer.padding, ndim), strict=True)]


def _pool(layer: Any, ndim: int) -> list[_Axis]:
    names = "kernel_size", "stride", "padding", "dilation"
    return [_window(*row) for row in zip(*(_axes(getattr(layer, n, 1), ndim) for n in names), strict=True)]


def _zero_pad(layer: Any, ndim: int) -> list[_Axis]:
    return [_window(1, 1, before) for before in layer.padding[::2][::-1]]


def _upsample(layer: Any, ndim: int) -> list[_Axis]:
    if layer.scale_factor is None or layer.align_corners:
        raise ValueError(f"{layer} has a field only for sizes known: use scale_factor without align_corners")

    def axis(scale: float) -> _Axis:
        factor = Fraction(scale).limit_denominator(1 << 16)
        if layer.mode == "nearest":
            return _Axis(lambda first, last: (math.floor(first / factor), math.floor(last / factor)), 1 / factor)
        half = Fraction(1, 2)
        return _Axis(
            lambda first, last: (math.floor((first + half) / factor - half), math.ceil((last + half) / factor - half)),
            1 / factor,
        )

    return [axis(scale) for scale in _axes(layer.scale_factor, ndim)]


def _same(layer: Any, ndim: int) -> list[_Axis]:
    return [SAME] * ndim


def _whole(layer: Any, ndim: int) -> list[_Axis]:
    return [WHOLE] * ndim


Size = tuple[int, ...] | None


def _conv_size(layer: Any, size: tuple[int, ...]) -> Size:
    return conv_output_size(size, layer.kernel_size, layer.stride, layer.padding, layer.dilation)


def _transposed_size(layer: Any, size: tuple[int, ...]) -> Size:
    names = "kernel_size", "stride", "padding", "output_padding", "dilation"
    rows = zip(size, *(_axes(getattr(layer, name), len(size)) for name in names), strict=True)
    return tuple(transposed_size(*row) for row in rows)


def _pool_size(layer: Any, size: tuple[int, ...]) -> Size:
    window = layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1), layer.ceil_mode
    return pool_arguments(len(size), (1, *size), *window).output


def _zero_pad_size(layer: Any, size: tuple[int, ...]) -> Size:
    pairs = zip(layer.padding[::2][::-1], layer.padding[1::2][::-1], strict=True)
    return tuple(n + before + after for n, (before, after) in zip(size, pairs, strict=True))


def _upsample_size(layer: Any, size: tuple[int, ...]) -> Size:
    return interpolate_arguments(len(size), (1, *size), layer.size, layer.scale_factor)[0]


def _adaptive_size(layer: Any, size: tuple[int, ...]) -> Size:
    return int_tuple(layer.output_size, "output_size", len(size), 1)


def _same_size(layer: Any, size: tuple[int, ...]) -> Size:
    return size


def _no_size(layer: Any, size: tuple[int, ...]) -> Size:
    return None


class _Rule(NamedTuple):
    """Of a kind of layer: its number of dimensions, where it has one; what its outputs read; the size of its output."""

    ndim: int | None
    axes: Callable[[Any, int], list[_Axis]]
    size: Callable[[Any, tuple[int, ...]], Size]


POINTWISE = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.Softmax, nn.LogSoftmax, nn.BatchNorm1d, nn.BatchNorm2d,
             nn.Dropout, nn.Identity)  # fmt: skip
RULES: dict[type[Module], _Rule] = {
    nn.Conv1d: _Rule(1, _conv, _conv_size),
    nn.Conv2d: _Rule(2, _conv, _conv_size),
    nn.ConvTranspose1d: _Rule(1, _transposed, _transposed_size),
    nn.ConvTranspose2d: _Rule(2, _transposed, _transposed_size),
    nn.MaxPool1d: _Rule(1, _pool, _pool_size),
    nn.MaxPool2d: _Rule(2, _pool, _pool_size),
    nn.AvgPool1d: _Rule(1, _pool, _pool_size),
    nn.AvgPool2d: _Rule(2, _pool, _pool_size),
    nn.ZeroPad1d: _Rule(1, _zero_pad, _zero_pad_size),
    nn.ZeroPad2d: _Rule(2, _zero_pad, _zero_pad_size),
    nn.AdaptiveAvgPool1d: _Rule(1, _whole, _adaptive_size),
    nn.AdaptiveAvgPool2d: _Rule(2, _whole, _adaptive_size),
    nn.Upsample: _Rule(None, _upsample, _upsample_size),
    nn.Flatten: _Rule(None, _whole, _no_size),
    nn.Linear: _Rule(None, _whole, _no_size),
    **{layer: _Rule(None, _same, _same_size) for layer in POINTWISE},
}


def _rule(layer: Module) -> _Rule:
    for kind in type(layer).__mro__:
        if kind in RULES:
            return RULES[kind]
    raise TypeError(f"receptive_field knows no field of {type(layer).__name__}; it knows {[k.__name__ for k in RULES]}")


def _size_behind(module: Module, name: str, size: Size) -> Size:
    """The size of a module's output, None behind what has no axes of space; a ValueError where a layer does not fit its input."""
    children = [(f"{name}.{key}" if name else key, child) for key, child in module.named_children()]
    if isinstance(module, nn.Sequential):
        for key, child in children:
            size = _size_behind(child, key, size)
        return size
    if isinstance(module, nn.Concat | nn.Residual):
        sizes = [_size_behind(child, key, size) for key, child in children]
        return sizes[0]
    if size is None:
        return None
    try:
        return _rule(module).size(module, size)
    except ValueError as error:
        raise ValueError(f"input_size leaves {size} for {f'layer {name}' if name else 'the model'}, {module}: {error}") from None


def receptive_field(model: Module, input_size: int | Sequence[int] | None = None) -> list[Field]:
    """Size, jump and start of the receptive field of each layer of a model.

    Parameters
    ----------
    model : Module
        Of convolutions, pooling, upsampling and what works element by element, in Sequential, Residual and Concat.
    input_size : int or sequence of int, optional
        Length, or height and width, of the input: the size of fields that are all of it, which is None else.

    Returns
    -------
    list of Field
        One for each layer in the order of the forward pass.

    Raises
    ------
    TypeError
        For a layer that is unknown here.
    ValueError
        For a model in which no layer tells whether it is for signals or images, for branches of different strides, and for
        upsampling that depends on the size; and for an `input_size` that is too small for one of the layers.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Conv1d(4, 4, 3, stride=2), nn.Conv1d(4, 4, 3))
    >>> [(field.size, field.jump) for field in receptive_field(model)]
    [(3, 1), (3, 1), (5, 2), (9, 2)]
    """
    if not isinstance(model, Module):
        raise TypeError(f"model must be a Module, got {model!r}")
    ndim = _dimensions(model)
    size = None if input_size is None else int_tuple(input_size, "input_size", ndim, 1)
    _size_behind(model, "", size)
    walk = _Walk(ndim, size)
    walk.visit(model, "", [SAME] * ndim)
    return walk.fields


def _dimensions(model: Module) -> int:
    known = {_rule(leaf).ndim for leaf in model.modules() if not (isinstance(leaf, nn.Sequential) or [*leaf.children()])} - {None}
    if len(known) != 1:
        raise ValueError(f"the layers of the model must all be for 1-D or all for 2-D input, got {model}")
    return known.pop()  # type: ignore[return-value]


class _Walk:
    """A walk through a model in the order of its forward pass."""

    def __init__(self, ndim: int, size: tuple[int, ...] | None) -> None:
        self.ndim, self.size = ndim, size
        self.fields: list[Field] = []
        self.periods = [1] * ndim  # inputs after which the pattern of the fields of all layers so far recurs

    def visit(self, module: Module, name: str, before: list[_Axis]) -> list[_Axis]:
        """Note the fields of the layers in `module`; return what its outputs read of its inputs."""
        if isinstance(module, nn.Sequential):
            return self._chain(module, name, before)
        if isinstance(module, nn.Concat | nn.Residual):
            own = self._join(module, name, before)
        else:
            own = _rule(module).axes(module, self.ndim)
        self._note(name, module, [axis.after(b) for axis, b in zip(own, before, strict=True)])
        return own

    def _chain(self, module: Module, name: str, before: list[_Axis]) -> list[_Axis]:
        own = [SAME] * self.ndim
        for key, child in module.named_children():
            added = self.visit(child, f"{name}.{key}" if name else key, [a.after(b) for a, b in zip(own, before, strict=True)])
            own = [a.after(o) for a, o in zip(added, own, strict=True)]
        return own

    def _join(self, module: Module, name: str, before: list[_Axis]) -> list[_Axis]:
        branches = [self.visit(b, f"{name}.{key}" if name else key, before) for key, b in module.named_children()]
        if isinstance(module, nn.Residual) and module.shortcut is None:
            branches.append([SAME] * self.ndim)
        return [_around(axes, name) for axes in zip(*branches, strict=True)]

    def _note(self, name: str, layer: Module, axes: list[_Axis]) -> None:
        self.periods = [math.lcm(p, axis.jump.numerator) for p, axis in zip(self.periods, axes, strict=True)]
        rows = [self._numbers(axis, index) for index, axis in enumerate(axes)]
        size, jump, start = (row[0] if self.ndim == 1 else tuple(row) for row in zip(*rows, strict=True))
        self.fields.append(Field(name, layer, size, jump, start))

    def _numbers(self, axis: _Axis, index: int) -> tuple[int | None, int | Fraction | None, int]:
        if axis.reads is None:
            return None if self.size is None else self.size[index], None, 0
        spans = [axis.reads(i, i) for i in range(int(self.periods[index] / axis.jump))]
        jump = axis.jump.numerator if axis.jump.denominator == 1 else axis.jump
        return max(last - first + 1 for first, last in spans), jump, spans[0][0]


def _around(axes: Sequence[_Axis], name: str) -> _Axis:
    """The intervals of branches as one."""
    if any(axis.reads is None for axis in axes):
        return WHOLE
    if len({axis.jump for axis in axes}) > 1:
        raise ValueError(f"the branches of {name or 'the model'} have different strides: {[str(axis.jump) for axis in axes]}")

    def reads(first: int, last: int) -> tuple[int, int]:
        spans = [axis.reads(first, last) for axis in axes if axis.reads is not None]
        return min(span[0] for span in spans), max(span[1] for span in spans)

    return _Axis(reads, axes[0].jump)
