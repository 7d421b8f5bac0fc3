"""A user's words turned into checked numbers: arrays, integers, padding words, shapes.

Everything here is pure Python on Python's unbounded integers, so no size can overflow before it has been
checked; nothing here computes with data. What passes is safe to hand to C; what does not raises a
``ValueError`` or ``TypeError`` that names the argument, its value and what is accepted.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

SIGNAL_MODES = ("full", "same", "valid")

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
    if not is_sequence(value):
        raise TypeError(f"{name} must be a sequence of integers, got {value!r}")
    return tuple(integer(item, name, 0, "a sequence of integers") for item in value)


def int_tuple(value: Any, name: str, ndim: int, minimum: int) -> Ints:
    """Return one int per dimension from an int or from a sequence of one or of `ndim` ints."""
    if type(value) is int and minimum <= value <= _LARGEST:  # nearly always: not worth the way round
        return (value,) * ndim
    accepted = "an integer or a sequence of integers"
    return per_dimension(value, name, ndim, lambda item: integer(item, name, minimum, accepted))


def per_dimension(value: Any, name: str, ndim: int, convert: Callable[[Any], Any]) -> tuple[Any, ...]:
    """`convert` each item of a sequence of 1 or `ndim`, or `value` itself once for every dimension."""
    if not is_sequence(value):
        return (convert(value),) * ndim
    if len(value) not in (1, ndim):
        raise ValueError(f"{name} must have one value per dimension ({ndim}), got {value!r}")
    items = tuple(convert(item) for item in value)
    return items * ndim if len(items) == 1 else items


def is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def check_overflow(count: int, what: str) -> None:
    """Check that `count` elements have fewer bytes than C can count."""
    if count * _LARGEST_ITEM > _LARGEST:
        raise ValueError(f"the sizes overflow: {what} does not fit into 64 bits")


def _listed(words: Collection[str]) -> str:
    return ", ".join(repr(word) for word in words)


# ---- other calls -----------------------------------------------------------------------------------------


def check_need(need: Any) -> tuple[bool, bool, bool]:
    """Return `need` as three bools: which of grad_input, grad_weight and grad_bias are wanted."""
    if not is_sequence(need) or len(need) != 3:
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
        given = axis if is_sequence(axis) else (axis,)
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


def check_summed_axis(axis: Any, shape: Ints) -> int:
    """Return `axis` of an x of `shape`, which is not empty, counted from 0."""
    index = axis_index(axis, shape)
    if shape[index] == 0:
        raise ValueError(f"x must have no empty axis to sum along, got shape {shape} with axis={axis!r}")
    return index


def check_linear(x_shape: Ints, weight_shape: Ints, bias_shape: Ints | None) -> None:
    """Check the shapes of ``x @ weight.T + bias``."""
    if len(weight_shape) != 2 or min(weight_shape) < 1:
        raise ValueError(f"weight must have shape (out_features, in_features), both at least 1, got {weight_shape}")
    if not x_shape or x_shape[-1] != weight_shape[1]:
        raise ValueError(f"x must have shape (..., {weight_shape[1]}), got {x_shape}")
    if bias_shape is not None and bias_shape != weight_shape[:1]:
        raise ValueError(f"bias must have shape {weight_shape[:1]}, got {bias_shape}")
