"""Buffer and Parameter: the arrays that a layer has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastconv._arguments import as_array

Array = NDArray[Any]


def frozen(array: Array) -> bool:
    """Whether `array` can never change: whether `Buffer.freeze` made it."""
    return type(array.base) is bytes


class Buffer:
    """An array that is part of a module's state, and not learned.

    Parameters
    ----------
    data : array_like
        The initial values; copied. Their dtype is the buffer's from then on.
    name : str, optional
        For messages only; the keys of ``state_dict`` come from the module tree.

    Attributes
    ----------
    data : ndarray
        The values. Writable while the owner is in training mode, read-only in ``eval()``. Assigning copies the values
        into the buffer, after a check of shape and dtype.
    """

    __slots__ = ("_data", "name")  # `_data` is `data`, without a call; within the package

    def __init__(self, data: ArrayLike, name: str = "buffer") -> None:
        self._data: Array = np.array(data, order="C")
        self.name = name

    @property
    def data(self) -> Array:
        return self._data

    @data.setter
    def data(self, value: ArrayLike) -> None:
        if value is self._data:  # `p.data -= step` ends by assigning the array to itself
            return
        if not self._data.flags.writeable:
            raise ValueError(f"{self.name}.data is read-only in eval(); call train() on the module first")
        self._data[...] = self.checked(value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    @property
    def size(self) -> int:
        return self._data.size

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self._data, dtype, copy=copy)

    def checked(self, value: ArrayLike, name: str | None = None) -> Array:
        """`value` as an array that can become these data, or an error that uses `name`."""
        array = np.asarray(value)
        name = name or self.name
        if array.shape != self.shape:
            raise ValueError(f"{name}: expected shape {self.shape}, got {array.shape}")
        if not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise TypeError(f"{name}: expected values that convert to {self.dtype}, got dtype {array.dtype}")
        return array

    def replace(self, value: Array) -> None:
        """Put new values in, in training and in eval mode alike; a frozen array is never written to, but replaced."""
        if self._data.flags.writeable:
            self._data[...] = value
        else:
            self._data = value.astype(self.dtype)
            self.freeze()

    def freeze(self) -> None:
        """Make the values read-only, in an array of their own.

        The copy cuts off views of `data` taken earlier, which stay writable, and its memory is a bytes object, which not
        even ``flags.writeable = True`` opens: an array, once frozen, never changes, so whatever a layer derives from it
        (packed weights) is valid for as long as `data` is the same object.
        """
        if not frozen(self._data):
            self._data = np.ndarray(self.shape, self.dtype, self._data.tobytes())

    def thaw(self) -> None:
        """Make the values writable again, in an array of their own; see `freeze`."""
        if not self._data.flags.writeable:
            self._data = self._data.copy()

    def __getstate__(self) -> tuple[Any, ...]:
        return self._data, self.name, self._data.flags.writeable

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._data, self.name, writeable = state
        if not writeable:  # NumPy copies and unpickles read-only arrays as writable ones
            self.freeze()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}, shape={self.shape}, dtype={self.dtype})"


class Parameter(Buffer):
    """A learnable array and its gradient.

    Parameters
    ----------
    data, name
        As in `Buffer`; float32 or float64.

    Attributes
    ----------
    data : ndarray
        As in `Buffer`.
    grad : ndarray or None
        The accumulated gradient, of the shape and dtype of `data`; None until the first ``backward``.
    """

    __slots__ = ("grad",)

    def __init__(self, data: ArrayLike, name: str = "parameter") -> None:
        super().__init__(as_array(data, "data"), name)
        self.grad: Array | None = None

    def accumulate(self, grad: Array | None) -> None:
        """Add `grad`, an array that nobody else holds, to `self.grad`; None adds nothing."""
        if grad is None:
            return
        data = self._data
        if grad.dtype is not data.dtype and grad.dtype != data.dtype:  # float64 input promotes the gradients of float32 weights
            grad = grad.astype(data.dtype)
        if self.grad is None:
            self.grad = grad
        else:
            np.add(self.grad, grad, out=self.grad)

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set the gradient to zero in place, or forget it with ``set_to_none=True``."""
        if set_to_none:
            self.grad = None
        elif self.grad is not None:
            self.grad.fill(0)

    def __getstate__(self) -> tuple[Any, ...]:
        return (*super().__getstate__(), self.grad)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *own, self.grad = state
        super().__setstate__(tuple(own))
