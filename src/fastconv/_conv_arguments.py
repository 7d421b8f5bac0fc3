"""The arguments of a convolution, checked: padding, windows, channels; see `_arguments`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastconv._arguments import (
    Ints,
    Pairs,
    check_overflow,
    choice,
    int_tuple,
    integer,
    is_sequence,
    per_dimension,
)

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
# What each pass can be asked to use, besides "auto" (csrc/forward.c, backward.c).
ALGORITHMS = {
    "fwd": ("auto", "direct", "channels", "winograd", "planes", "slide", "stencil", "gemm", "dot", "fft", "ref"),
    "bwd_data": ("auto", "direct", "channels", "winograd", "planes", "slide", "stencil", "gemm", "col2im", "fft"),
    "bwd_weights": ("auto", "outer", "dot", "slide", "gemm"),
}
PADDING_WORDS = ("valid", "same", "same_lower", "causal")
_PADDINGS = "an integer, a sequence of integers or of pairs (before, after), or a word"


# ---- padding ---------------------------------------------------------------------------------------------


def check_padding(value: Any, ndim: int) -> None:
    """Check what can be known of `padding` before there is an input."""
    _padding_pairs(value, (1,) * ndim, (1,) * ndim, (1,) * ndim)


def _padding_pairs(value: Any, size: Ints, extent: Ints, stride: Ints) -> Pairs:
    """Any form of `padding` as one (before, after) pair per dimension."""
    ndim = len(size)
    if isinstance(value, str):
        word = choice(value, "padding", PADDING_WORDS if ndim == 1 else PADDING_WORDS[:-1])
        return tuple(_word_pair(word, *sizes) for sizes in zip(size, extent, stride, strict=True))
    # In 1-D there is one dimension, so two ints can only mean its two sides.
    if ndim == 1 and is_sequence(value) and len(value) == 2 and not any(map(is_sequence, value)):
        value = (value,)
    return per_dimension(value, "padding", ndim, _padding_pair)


def _padding_pair(value: Any) -> tuple[int, int]:
    """One dimension's padding, an int for both sides or a (before, after) pair."""
    if not is_sequence(value):
        both = integer(value, "padding", 0, _PADDINGS)
        return both, both
    if len(value) != 2:
        raise ValueError(f"padding of a dimension must be an int or a pair (before, after), got {value!r}")
    before, after = (integer(item, "padding", 0, _PADDINGS) for item in value)
    return before, after


def _word_pair(word: str, size: int, extent: int, stride: int) -> tuple[int, int]:
    """One dimension's padding by word; `extent` is that of the dilated kernel."""
    if word == "valid":
        return 0, 0
    if word == "causal":
        return extent - 1, 0
    total = max(-(-size // stride) * stride - stride + extent - size, 0)  # the output has ceil(size / stride)
    less, more = total // 2, total - total // 2
    return (less, more) if word == "same" else (more, less)


def _check_padding_mode(mode: str, padding: Pairs, size: Ints) -> None:
    """The modes that copy the input can only reach as far as there is input."""
    reach = {"reflect": -1, "circular": 0}.get(mode)
    if reach is None:
        return
    for pair, length in zip(padding, size, strict=True):
        if max(pair) > length + reach:
            raise ValueError(
                f"padding with padding_mode={mode!r} must be at most {length + reach} "
                f"on an axis of size {length}, got {max(pair)}"
            )


# ---- a convolution ---------------------------------------------------------------------------------------


class SpatialArguments(NamedTuple):
    """The checked numbers of the windows of one convolution, one entry per spatial dimension."""

    stride: Ints
    padding: Pairs  # (before, after)
    dilation: Ints
    output: Ints


class ConvArguments(NamedTuple):
    """The checked numbers of one convolution: those of its windows, and the groups."""

    stride: Ints
    padding: Pairs
    dilation: Ints
    output: Ints
    groups: int


def conv_arguments(
    ndim: int,
    x_shape: Sequence[int],
    weight_shape: Sequence[int],
    bias_shape: Sequence[int] | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    padding_mode: str = "zeros",
) -> ConvArguments:
    """Check all arguments of a convolution and return them as numbers.

    Parameters
    ----------
    ndim : int
        Number of spatial dimensions, 1 or 2.
    x_shape : sequence of int
        Batched ``(N, C, ...)`` or unbatched ``(C, ...)``; N may be 0.
    weight_shape : sequence of int
        ``(C_out, C / groups, ...)``.
    bias_shape : sequence of int or None
        ``(C_out,)``.
    stride, dilation : int or sequence of int
        At least 1; one for all dimensions or one per dimension.
    padding : int, sequence or str
        An int, one int or ``(before, after)`` pair per dimension (in 1-D two ints are such a pair),
        ``"valid"``, ``"same"`` (output ``ceil(size / stride)``, the odd zero after), ``"same_lower"`` (the
        odd zero before) or, in 1-D, ``"causal"`` (all of it before).
    groups : int
        Divides the channels of both sides.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding is filled with.

    Returns
    -------
    ConvArguments

    Raises
    ------
    ValueError, TypeError
        If any argument is not acceptable, or the sizes overflow 64 bits.
    """
    _check_ranks(ndim, x_shape, weight_shape)
    size, kernel = tuple(x_shape[-ndim:]), tuple(weight_shape[2:])
    _check_not_empty("x", size, x_shape)
    _check_not_empty("weight", kernel, weight_shape)
    groups = integer(groups, "groups", 1)
    _check_channels(x_shape[-ndim - 1], weight_shape, bias_shape, groups)

    spatial = spatial_arguments(size, kernel, stride, padding, dilation, padding_mode,
                                ("x", f"x of shape {tuple(x_shape)}"), f"weight of shape {tuple(weight_shape)}")  # fmt: skip
    batch = x_shape[0] if len(x_shape) == ndim + 2 else 1
    check_overflow(
        math.prod((batch, weight_shape[0], *spatial.output)), f"padding={padding!r}, output size {spatial.output}"
    )
    return ConvArguments(*spatial, groups)


def spatial_arguments(size: Ints, kernel: Ints, stride: Any, padding: Any, dilation: Any, padding_mode: str,
                      x: tuple[str, str], weight: str) -> SpatialArguments:
    """Check what of a convolution is of its spatial dimensions alone.

    `x`, a name and a description, and `weight` are what errors call the two that have the sizes `size` and `kernel`.
    """
    ndim = len(size)
    choice(padding_mode, "padding_mode", PADDING_MODES)
    strides = int_tuple(stride, "stride", ndim, 1)
    dilations = int_tuple(dilation, "dilation", ndim, 1)
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    check_overflow(max(extent), f"{weight} with dilation={dilation!r}")
    pairs = _padding_pairs(padding, size, extent, strides)
    _check_padding_mode(padding_mode, pairs, size)

    padded = tuple(length + sum(pair) for length, pair in zip(size, pairs, strict=True))
    check_overflow(max(padded), f"{x[1]} with padding={padding!r}")
    if any(e > p for e, p in zip(extent, padded, strict=True)):
        raise ValueError(
            f"{weight} with dilation={dilation!r} spans {extent}, more than the padded {x[0]} {padded} "
            f"({x[1]}, padding={padding!r})"
        )
    output = tuple((p - e) // s + 1 for p, e, s in zip(padded, extent, strides, strict=True))
    return SpatialArguments(strides, pairs, dilations, output)


def _check_ranks(ndim: int, x_shape: Sequence[int], weight_shape: Sequence[int]) -> None:
    space, kernel = [("L", "K"), ("H, W", "KH, KW")][ndim - 1] if ndim in (1, 2) else ("...", "...")
    if len(x_shape) not in (ndim + 1, ndim + 2):
        raise ValueError(f"x must have shape (N, C, {space}) or (C, {space}), got {tuple(x_shape)}")
    if len(weight_shape) != ndim + 2:
        raise ValueError(
            f"weight must have shape (out_channels, channels / groups, {kernel}), got {tuple(weight_shape)}"
        )


def _check_not_empty(name: str, sizes: Ints, shape: Sequence[int]) -> None:
    if min(sizes) < 1:
        raise ValueError(f"{name} must have no empty spatial axis, got shape {tuple(shape)}")


def _check_channels(
    channels: int, weight_shape: Sequence[int], bias_shape: Sequence[int] | None, groups: int
) -> None:
    out_channels = weight_shape[0]
    if channels < 1:
        raise ValueError("x must have at least 1 channel, got 0")
    if out_channels < 1:
        raise ValueError(f"weight must have at least 1 output channel, got shape {tuple(weight_shape)}")
    if channels % groups or out_channels % groups:
        raise ValueError(
            f"groups must divide the {channels} channels of x and the {out_channels} of weight, got {groups}"
        )
    if weight_shape[1] * groups != channels:
        raise ValueError(
            f"weight must have {channels // groups} input channels per group (x has {channels} channels, "
            f"groups={groups}), got shape {tuple(weight_shape)}"
        )
    if bias_shape is not None and tuple(bias_shape) != (out_channels,):
        raise ValueError(f"bias must have shape ({out_channels},), got {tuple(bias_shape)}")
