"""The arguments of operators on planes (pooling, resampling, transposed convolution), checked; see `_arguments`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv._arguments import Ints, check_overflow, flag, int_tuple, integer

_LARGEST_WINDOW = 2**31 - 1


def check_planes(ndim: int, shape: Sequence[int], name: str) -> None:
    """Check that `shape` is that of batched or unbatched planes, none of them empty."""
    space = "L" if ndim == 1 else "H, W"
    if len(shape) not in (ndim + 1, ndim + 2):
        raise ValueError(f"{name} must have shape (N, C, {space}) or (C, {space}), got {tuple(shape)}")
    if min(shape[-ndim:]) < 1:
        raise ValueError(f"{name} must have no empty spatial axis, got shape {tuple(shape)}")
    if shape[-ndim - 1] < 1:
        raise ValueError(f"{name} must have at least 1 channel, got shape {tuple(shape)}")


def check_result(shape: Sequence[int], what: str) -> None:
    """Check that the elements of a result can be counted."""
    check_overflow(math.prod(max(size, 1) for size in shape), what)


def check_same_planes(ndim: int, shape: Sequence[int], dy_shape: Sequence[int], name: str = "input_size") -> None:
    """Check that `shape` has as many planes as grad_output, and none of them empty."""
    check_planes(ndim, shape, name)
    check_result(shape, f"{name}={tuple(shape)}")
    if tuple(shape[:-ndim]) != tuple(dy_shape[:-ndim]):
        raise ValueError(f"{name} must begin with {tuple(dy_shape[:-ndim])} as grad_output does, got {tuple(shape)}")


def check_gradient(dy_shape: Ints, expected: Ints) -> None:
    """Check the shape of the gradient of an output."""
    if dy_shape != expected:
        raise ValueError(f"grad_output has shape {dy_shape}; the output of this operator has shape {expected}")


def check_indices(indices: Any, shape: Ints, like: str) -> None:
    """Check that `indices` are integers, one for each element of `like`; their values are checked where they are used."""
    array = np.asarray(indices)
    if array.dtype.kind not in "iu":
        raise TypeError(f"indices must be an array of integers, got dtype {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"indices must have shape {shape} as {like} does, got {array.shape}")


class PoolArguments(NamedTuple):
    """The checked numbers of one pooling, one entry per spatial dimension."""

    kernel: Ints
    stride: Ints
    padding: Ints
    dilation: Ints
    output: Ints


def _window_numbers(value: Any, name: str, ndim: int, minimum: int) -> Ints:
    numbers = int_tuple(value, name, ndim, minimum)
    if max(numbers) > _LARGEST_WINDOW:
        raise ValueError(f"{name} must be at most {_LARGEST_WINDOW}, got {value!r}")
    return numbers


def window_numbers(ndim: int, kernel_size: Any, stride: Any, padding: Any) -> tuple[Ints, Ints, Ints]:
    """Check `kernel_size`, `stride`, by default that, and `padding` of pooling; one entry each per spatial dimension."""
    kernel = _window_numbers(kernel_size, "kernel_size", ndim, 1)
    strides = kernel if stride is None else _window_numbers(stride, "stride", ndim, 1)
    return kernel, strides, _window_numbers(padding, "padding", ndim, 0)


def pool_numbers(ndim: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1) -> tuple[Ints, Ints, Ints, Ints]:
    """`window_numbers` and the dilation, with padding that leaves no window to itself."""
    kernel, strides, pads = window_numbers(ndim, kernel_size, stride, padding)
    dilations = _window_numbers(dilation, "dilation", ndim, 1)
    if max(pads) and any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ValueError(f"padding must be at most half of kernel_size {kernel}, got {padding!r}")
    return kernel, strides, pads, dilations


def pool_arguments(ndim: int, shape: Sequence[int], kernel_size: Any, stride: Any, padding: Any, dilation: Any,
                   ceil_mode: Any, name: str = "x") -> PoolArguments:
    """Check the arguments of a pooling of x of `shape`, which `name` gave; the sizes of the result are PyTorch's.

    Every window holds at least one element of x: none is all padding.
    """
    check_planes(ndim, shape, name)
    kernel, strides, pads, dilations = pool_numbers(ndim, kernel_size, stride, padding, dilation)
    axes = zip(shape[-ndim:], kernel, strides, pads, dilations, strict=True)
    up = flag(ceil_mode, "ceil_mode")
    output = tuple(_pooled_size(*axis, up) for axis in axes)
    if min(output) < 1:
        raise ValueError(
            f"kernel_size={kernel_size!r} with dilation={dilation!r} spans more than the padded {name} "
            f"({name} {tuple(shape)}, padding={padding!r})"
        )
    for size, start, d in zip(shape[-ndim:], pads, dilations, strict=True):
        if start and d > size and any(offset % d >= size for offset in range(-start, 0)):
            raise ValueError(f"dilation={dilation!r} makes windows of padding alone on an axis of size {size}")
    if min(output) == 1:  # a single window has no next one: what its stride is means nothing, and may be absurd
        strides = tuple(s if o > 1 else 1 for s, o in zip(strides, output, strict=True))
    return PoolArguments(kernel, strides, pads, dilations, output)


def _pooled_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    out = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= size + padding:  # the last window must begin inside the input or before it
        out -= 1
    return out


def unpool_size(ndim: int, shape: Sequence[int], kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Ints:
    """Return the spatial size that `max_unpool` gives, after all checks."""
    check_planes(ndim, shape, "x")
    kernel, strides, pads = window_numbers(ndim, kernel_size, stride, padding)
    default = tuple((i - 1) * s - 2 * p + k for i, s, p, k in zip(shape[-ndim:], strides, pads, kernel, strict=True))
    if output_size is None:
        size = default
        if min(size) < 1:
            raise ValueError(f"padding={padding!r} leaves an empty result {size} for x of shape {tuple(shape)}")
    else:
        size = int_tuple(_spatial(output_size, ndim, shape), "output_size", ndim, 1)
        if any(not d - s < o < d + s for o, d, s in zip(size, default, strides, strict=True)):
            raise ValueError(f"output_size must be less than a stride {strides} away from {default}, got {output_size!r}")
    check_result((*shape[:-ndim], *size), f"the unpooled size {size}")
    return size


def _spatial(value: Any, ndim: int, shape: Sequence[int]) -> Any:
    """The last `ndim` entries of a size given for all axes."""
    return value[-ndim:] if isinstance(value, Sequence) and len(value) == len(shape) > ndim else value


def transposed_size(size: int, kernel: int, stride: int, padding: int, output_padding: int, dilation: int) -> int:
    """Return the output size of one axis of a transposed convolution."""
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1


class TransposeArguments(NamedTuple):
    """The checked numbers of one transposed convolution, one entry per spatial dimension."""

    stride: Ints
    padding: Ints
    dilation: Ints
    groups: int
    output: Ints


def transpose_numbers(ndim: int, stride: Any, padding: Any, output_padding: Any, dilation: Any) -> tuple[Ints, Ints, Ints, Ints]:
    """Check these arguments of a transposed convolution; one entry each per spatial dimension."""
    strides = int_tuple(stride, "stride", ndim, 1)
    pads = int_tuple(padding, "padding", ndim, 0)
    more = int_tuple(output_padding, "output_padding", ndim, 0)
    dilations = int_tuple(dilation, "dilation", ndim, 1)
    if any(m >= max(s, d) for m, s, d in zip(more, strides, dilations, strict=True)):
        raise ValueError(f"output_padding must be smaller than stride or dilation, got {output_padding!r} with "
                         f"stride={stride!r}, dilation={dilation!r}")  # fmt: skip
    return strides, pads, more, dilations


def transpose_arguments(ndim: int, shape: Sequence[int], weight_shape: Sequence[int], bias_shape: Sequence[int] | None,
                        stride: Any, padding: Any, output_padding: Any, groups: Any, dilation: Any) -> TransposeArguments:
    """Check the arguments of a transposed convolution of x of `shape`; weight is (in, out / groups, ...)."""
    check_planes(ndim, shape, "x")
    if len(weight_shape) != ndim + 2 or min(weight_shape) < 1:
        kernel = "K" if ndim == 1 else "KH, KW"
        raise ValueError(f"weight must have shape (channels, out_channels / groups, {kernel}), got {tuple(weight_shape)}")
    groups = integer(groups, "groups", 1)
    channels, out_channels = weight_shape[0], weight_shape[1] * groups
    if shape[-ndim - 1] != channels:
        raise ValueError(f"weight must have {shape[-ndim - 1]} input channels first, as x does, got shape {tuple(weight_shape)}")
    if channels % groups:
        raise ValueError(f"groups must divide the {channels} channels of x, got {groups}")
    if bias_shape is not None and tuple(bias_shape) != (out_channels,):
        raise ValueError(f"bias must have shape ({out_channels},), got {tuple(bias_shape)}")
    strides, pads, more, dilations = transpose_numbers(ndim, stride, padding, output_padding, dilation)
    axes = zip(shape[-ndim:], weight_shape[2:], strides, pads, more, dilations, strict=True)
    output = tuple(transposed_size(*axis) for axis in axes)
    if min(output) < 1:
        raise ValueError(f"padding={padding!r} leaves an empty result {output} for x of shape {tuple(shape)}")
    batch = shape[0] if len(shape) == ndim + 2 else 1
    check_result((batch, out_channels, *(o + 2 * p for o, p in zip(output, pads, strict=True))), f"output size {output}")
    return TransposeArguments(strides, pads, dilations, groups, output)


def check_align_corners(value: Any, mode: str) -> bool:
    """Return `align_corners` as a bool, True only in a mode where it means something; None, PyTorch's default, is False."""
    align = value is not None and flag(value, "align_corners")
    if align and mode == "nearest":
        raise ValueError('align_corners=True means something for mode "linear" or "bilinear" alone, got mode "nearest"')
    return align


def interpolate_numbers(ndim: int, size: Any, scale_factor: Any) -> tuple[Any, Any]:
    """Check the size and the scale of an interpolation; one entry per spatial dimension, and None for what was not given."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"either size or scale_factor must be given, and not both, got {size!r} and {scale_factor!r}")
    if size is not None:
        return int_tuple(size, "size", ndim, 1), None
    return None, _scale_factors(scale_factor, ndim)


def interpolate_arguments(ndim: int, shape: Sequence[int], size: Any, scale_factor: Any,
                          name: str = "x") -> tuple[Ints, tuple[float | None, ...]]:
    """Return the output size, and the scale of each axis where one was given."""
    output, scales = interpolate_numbers(ndim, size, scale_factor)
    if output is None:
        output = tuple(math.floor(length * factor) for length, factor in zip(shape[-ndim:], scales, strict=True))
    if min(output) < 1:
        raise ValueError(f"scale_factor={scale_factor!r} leaves an empty result for {name} of shape {tuple(shape)}")
    check_result((*shape[:-ndim], *output), f"output size {output}")
    return output, scales or (None,) * ndim


def _scale_factors(value: Any, ndim: int) -> tuple[float, ...]:
    values = tuple(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else (value,) * ndim
    if len(values) not in (1, ndim):
        raise ValueError(f"scale_factor must have one value per dimension ({ndim}), got {value!r}")
    try:
        if any(isinstance(item, (bool, np.bool_)) for item in values):
            raise TypeError
        factors = tuple(math.ldexp(item, 0) for item in values)  # a float of any number, and of nothing else
    except (TypeError, ValueError):
        raise TypeError(f"scale_factor must be a number or a sequence of numbers, got {value!r}") from None
    if not all(0 < factor < math.inf for factor in factors):
        raise ValueError(f"scale_factor must be positive and finite, got {value!r}")
    return factors * ndim if len(factors) == 1 else factors
