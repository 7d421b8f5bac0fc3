"""What the constructors of layers and networks check alike."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

Size = int | Sequence[int]


def positive(value: Any, name: str) -> int:
    """`value` as an int of 1 or more: anything with ``__index__`` except a bool.

    Raises
    ------
    TypeError, ValueError
        Naming the argument `name`, for anything else.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, got {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be 1 or more, got {value!r}")
    return number


def per_axis(value: Size, rank: int, name: str) -> tuple[int, ...]:
    """`value`, or each of `rank` values, as an int of 1 or more for each axis; errors as of `positive`."""
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * rank
    if len(values) != rank:
        raise ValueError(f"{name} must be an int or {rank} of them, got {value!r}")
    return tuple(positive(v, name) for v in values)


def check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    """Raise ValueError unless `groups` divides the channels of both sides."""
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(f"{name} must be a multiple of groups={groups}, got {channels}")


def check_activation(activation: Any) -> None:
    """Raise ValueError for an activation that cannot be applied as the output is stored."""
    if activation not in (None, "relu"):
        raise ValueError(f"activation must be None or 'relu', got {activation!r}")


def immutable(value: Any) -> Any:
    """Lists and arrays as tuples, within one another too: what was planned with cannot change unseen."""
    nested = value.ndim > 0 if isinstance(value, np.ndarray) else isinstance(value, Sequence) and not isinstance(value, str)
    return tuple(map(immutable, value)) if nested else value
