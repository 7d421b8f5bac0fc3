"""A user's words turned into checked numbers: arrays, integers, padding words, shapes.

Everything here is pure Python on Python's unbounded integers, so no size can overflow before it has been
checked; nothing here computes with data. What passes is safe to hand to C; what does not raises a
``ValueError`` or ``TypeError`` that names the argument, its value and what is accepted.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
# What each pass can be asked to use, besides "auto" (csrc/forward.c, backward.c).
ALGORITHMS = {
    "fwd": ("auto", "direct", "channels", "winograd", "planes", "slide", "stencil", "gemm", "fft", "ref"),
    "bwd_data": ("auto", "direct", "channels", "winograd", "planes", "slide", "stencil", "gemm", "col2im", "fft"),
    "bwd_weights": ("auto", "outer", "dot", "slide", "gemm"),
}
PADDING_WORDS = ("valid", "same", "same_lower", "causal")
SIGNAL_MODES = ("full", "same", "valid")
_PADDINGS = "an integer, a sequence of integers or of pairs (before, after), or a word"

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_LARGEST = 2**63 - 1  # of a C ptrdiff_t, in bytes
_LARGEST_ITEM = 8  # bytes of a float64
_OVERLAP_WORK: Any = 10_000  # of numpy.shares_memory, whose stub knows 0 and -1 alone; a view by slices takes some tens
_HOST_DEVICES = (1, 3, 11, 13)  # DLPack: CPU, and pinned or managed memory that the CPU reads in place


# ---- arrays ----------------------------------------------------------------------------------------------


def as_array(value: Any, name: str) -> np.ndarray:
    """Return `value` as a plain ndarray of native float32 or float64, without a copy where possible.

    Parameters
    ----------
    value : array_like
        An ndarray of any layout, a subclass, anything with ``__array__`` or ``__dlpack__`` on the CPU, or
        nested sequences of floats.
    name : str
        The argument's name, for the error.

    Returns
    -------
    numpy.ndarray
        Of the same shape; not necessarily contiguous, aligned or writeable.

    Raises
    ------
    TypeError
        If there is no array in `value`, it is not on the CPU, or has another dtype.
    """
    if type(value) is np.ndarray and value.dtype in FLOATS:  # nearly always
        return value
    array = value if type(value) is np.ndarray else _to_ndarray(value, name)
    dtype = array.dtype
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        if isinstance(value, np.ndarray):
            hint = f"convert it, as in {name}.astype(numpy.float32)"
        else:
            hint = f"convert it, as in numpy.asarray({name}).astype(numpy.float32)"
        raise TypeError(f"{name} must have dtype float32 or float64, got {dtype}: {hint}")
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _to_ndarray(value: Any, name: str) -> np.ndarray:
    """Anything but a plain ndarray to a plain ndarray of whatever dtype it has."""
    if value is None or isinstance(value, (str, bytes)):
        raise TypeError(f"{name} must be an array of float32 or float64, got {value!r}")
    try:
        if not isinstance(value, np.ndarray) and hasattr(value, "__dlpack_device__"):
            device = tuple(map(int, value.__dlpack_device__()))
            if device[0] not in _HOST_DEVICES:
                raise TypeError(f"it is on DLPack device {device}, not on the CPU: copy it there first")
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except Exception as error:  # whatever a foreign __array__ or __dlpack__ raises, say which argument it was
        kind = type(value).__name__
        raise TypeError(f"{name} of type {kind} cannot be read as an array: {error}") from error


def float_dtype(value: Any, name: str = "dtype") -> np.dtype:
    """Return `value` as the dtype that it names, float32 or float64; else raise a TypeError."""
    try:
        return FLOATS[FLOATS.index(np.dtype(value))]
    except (TypeError, ValueError):  # no dtype, or another
        raise TypeError(f"{name} must be float32 or float64, got {value!r}") from None


def common_dtype(*arrays: np.ndarray | None) -> np.dtype:
    """Return NumPy's promotion of the dtypes of those `arrays` that are not None."""
    return np.result_type(*(array.dtype for array in arrays if array is not None))


# ---- words and integers ----------------------------------------------------------------------------------


def choice(value: Any, name: str, accepted: Collection[str]) -> str:
    """Return `value` if it is one of the `accepted` words, else raise an error that lists them."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {_listed(accepted)}, got {value!r}")
    if value not in accepted:
        raise ValueError(f"{name} must be one of {_listed(accepted)}, got {value!r}")
    return value


def integer(value: Any, name: str, minimum: int, accepted: str = "an integer") -> int:
    """Return `value` as an int of at least `minimum`: anything with ``__index__`` except a bool.

    `accepted` is what the argument as a whole may be, for the error.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be {accepted}, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    if number > _LARGEST:
        raise ValueError(f"{name} overflows a signed 64-bit integer, got {number}")
    return number


def number(value: Any, name: str) -> float:
    """Return `value` as a finite float: any real number, and no text or bool."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        real = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(real):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return real


def flag(value: Any, name: str) -> bool:
    """Return `value` as a bool, which it has to be: Python's or NumPy's."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def shape_tuple(value: Any, name: str) -> Ints:
    """Return `value` as a tuple of ints of at least 0."""
    if not _is_sequence(value):
        raise TypeError(f"{name} must be a sequence of integers, got {value!r}")
    return tuple(integer(item, name, 0, "a sequence of integers") for item in value)


def int_tuple(value: Any, name: str, ndim: int, minimum: int) -> Ints:
    """Return one int per dimension from an int or from a sequence of one or of `ndim` ints."""
    if type(value) is int and minimum <= value <= _LARGEST:  # nearly always: not worth the way round
        return (value,) * ndim
    accepted = "an integer or a sequence of integers"
    return _per_dimension(value, name, ndim, lambda item: integer(item, name, minimum, accepted))


def _per_dimension(value: Any, name: str, ndim: int, convert: Callable[[Any], Any]) -> tuple[Any, ...]:
    """`convert` each item of a sequence of 1 or `ndim`, or `value` itself once for every dimension."""
    if not _is_sequence(value):
        return (convert(value),) * ndim
    if len(value) not in (1, ndim):
        raise ValueError(f"{name} must have one value per dimension ({ndim}), got {value!r}")
    items = tuple(convert(item) for item in value)
    return items * ndim if len(items) == 1 else items


def _is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _listed(words: Collection[str]) -> str:
    return ", ".join(repr(word) for word in words)


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
    if ndim == 1 and _is_sequence(value) and len(value) == 2 and not any(map(_is_sequence, value)):
        value = (value,)
    return _per_dimension(value, "padding", ndim, _padding_pair)


def _padding_pair(value: Any) -> tuple[int, int]:
    """One dimension's padding, an int for both sides or a (before, after) pair."""
    if not _is_sequence(value):
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


def output_size(size: int, kernel: int, stride: int, pad_before: int, pad_after: int, dilation: int) -> int:
    """Return the output size of one dimension; below 1 if the kernel does not fit."""
    return (size + pad_before + pad_after - dilation * (kernel - 1) - 1) // stride + 1


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
    _check_overflow(
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
    _check_overflow(max(extent), f"{weight} with dilation={dilation!r}")
    pairs = _padding_pairs(padding, size, extent, strides)
    _check_padding_mode(padding_mode, pairs, size)

    padded = tuple(length + sum(pair) for length, pair in zip(size, pairs, strict=True))
    _check_overflow(max(padded), f"{x[1]} with padding={padding!r}")
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


def _check_overflow(count: int, what: str) -> None:
    if count * _LARGEST_ITEM > _LARGEST:
        raise ValueError(f"the sizes overflow: {what} does not fit into 64 bits")


# ---- other calls -----------------------------------------------------------------------------------------


def check_need(need: Any) -> tuple[bool, bool, bool]:
    """Return `need` as three bools: which of grad_input, grad_weight and grad_bias are wanted."""
    if not _is_sequence(need) or len(need) != 3:
        raise ValueError(f"need must be three bools (input, weight, bias), got {need!r}")
    if not all(isinstance(item, (bool, np.bool_)) or (isinstance(item, int) and item in (0, 1)) for item in need):
        raise TypeError(f"need must be three bools (input, weight, bias), got {need!r}")
    return bool(need[0]), bool(need[1]), bool(need[2])


def check_out(out: Any, shape: Ints, dtype: np.dtype, inputs: Sequence[Any]) -> None:
    """Check that a result of `shape` and `dtype` can be written to `out` while `inputs` are still read."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy.ndarray, got {type(out).__name__}")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {out.shape}")
    if out.dtype != dtype:
        raise TypeError(f"out must have dtype {dtype}, got {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, got a read-only array")
    if not _lies_apart(out):
        raise ValueError(f"out must not overlap itself in memory, got strides {out.strides} for shape {out.shape}")
    for array in inputs:
        if isinstance(array, np.ndarray) and _overlap(out, array):
            raise ValueError("out must not overlap x, weight or bias in memory")


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays share memory; where that takes too long to find out, they count as if they did."""
    try:
        return np.shares_memory(a, b, max_work=_OVERLAP_WORK)  # which looks at their bounds first
    except np.exceptions.TooHardError:
        return True


def _lies_apart(array: np.ndarray) -> bool:
    """Whether the elements are known not to overlap: each axis steps over all that the shorter steps reach.

    So it is for every view by slices, transposition and diagonals. Strides of other making may interleave elements
    without overlap; those count as overlapping.
    """
    reach = array.itemsize
    for stride, size in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if stride < reach:
            return array.size == 0
        reach += stride * (size - 1)
    return True


def check_state_dict(value: Any) -> None:
    """Check that a state to load is a mapping; what is in it is checked by its taker."""
    if not isinstance(value, Mapping):
        raise TypeError(f"state_dict must be a mapping of keys to arrays, got {value!r}")


def check_statistics(running_mean: Any, running_var: Any, training: Any) -> None:
    """Check that batch normalization has the statistics that it does not compute."""
    if not training and (running_mean is None or running_var is None):
        raise ValueError("running_mean and running_var must be given unless training=True, got None")


def signal_axes(shape: Ints, kernel_shape: Ints, axis: Any) -> Ints:
    """The axes to convolve signals of `shape` along, counted from 0; as many as the kernel has."""
    if axis is None:
        if len(shape) not in (1, 2):
            raise ValueError(f"x must have 1 or 2 axes unless axis is given, got shape {shape}")
        axes = tuple(range(len(shape)))
    else:
        given = axis if _is_sequence(axis) else (axis,)
        axes = tuple(axis_index(item, shape, "an int or a sequence of ints") for item in given)
        if len(axes) not in (1, 2) or len(set(axes)) < len(axes):
            raise ValueError(f"axis must name one axis or two, got {axis!r}")
    if len(kernel_shape) != len(axes):
        raise ValueError(f"kernel must have {len(axes)} axes, one for each axis of the convolution, got shape {kernel_shape}")
    return axes


def axis_index(axis: Any, shape: Ints, accepted: str = "an int") -> int:
    """Return `axis`, of an x of `shape`, counted from 0."""
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis must be {accepted}, got {axis!r}") from None
    if not -len(shape) <= index < len(shape):
        raise ValueError(f"axis must name one of the {len(shape)} axes of x, got {axis!r}")
    return index % len(shape)


def check_summed_axis(axis: Any, shape: Ints) -> None:
    """Check that `axis` is one of an x of `shape`, and not empty."""
    if shape[axis_index(axis, shape)] == 0:
        raise ValueError(f"x must have no empty axis to sum along, got shape {shape} with axis={axis!r}")


def check_linear(x_shape: Ints, weight_shape: Ints, bias_shape: Ints | None) -> None:
    """Check the shapes of ``x @ weight.T + bias``."""
    if len(weight_shape) != 2 or min(weight_shape) < 1:
        raise ValueError(f"weight must have shape (out_features, in_features), both at least 1, got {weight_shape}")
    if not x_shape or x_shape[-1] != weight_shape[1]:
        raise ValueError(f"x must have shape (..., {weight_shape[1]}), got {x_shape}")
    if bias_shape is not None and bias_shape != weight_shape[:1]:
        raise ValueError(f"bias must have shape {weight_shape[:1]}, got {bias_shape}")
