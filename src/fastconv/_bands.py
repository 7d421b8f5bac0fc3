"""Linear maps along one axis whose outputs each read a short run of inputs: the tables of csrc/operators.h's `band`.

Average pooling, adaptive pooling and linear interpolation are such maps, one for each axis; so are their gradients, by the
transposed table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import _core
from fastconv._arguments import as_array
from fastconv._plane_arguments import check_gradient

Array = NDArray[Any]


@dataclass(frozen=True)
class Band:
    """Output o is ``sum(weights[t, o] * x[first[o] + t] for t < count[o]) / divisor[o]``.

    Attributes
    ----------
    size : int
        Of the input.
    first, count : ndarray of int64, shape (out,)
        Every run lies in ``[0, size)``.
    weights : ndarray, shape (taps, out), or None for ones
        ``taps`` is the largest count.
    divisor : ndarray, shape (out,), or None for ones
    """

    size: int
    first: Array
    count: Array
    weights: Array | None = None
    divisor: Array | None = None

    @property
    def out(self) -> int:
        return len(self.first)

    @property
    def taps(self) -> int:
        return int(self.count.max())

    def transposed(self) -> Band:
        """The map of the gradient: from outputs to inputs."""
        weights = np.ones((self.taps, self.out)) if self.weights is None else self.weights
        if self.divisor is not None:
            weights = weights / self.divisor
        ends = self.first + self.count
        inputs = np.arange(self.size)
        # Runs begin and end in ascending order, so that the outputs which read an input are a run too.
        first = np.searchsorted(ends, inputs, side="right")
        count = np.searchsorted(self.first, inputs, side="right") - first
        taps = max(int(count.max()), 1)
        output = np.minimum(first + np.arange(taps)[:, np.newaxis], self.out - 1)
        tap = np.clip(inputs - self.first[output], 0, self.taps - 1)
        read = np.arange(taps)[:, np.newaxis] < count
        return Band(self.out, np.minimum(first, self.out - 1), count, np.where(read, weights[tap, output], 0.0))


UNIT = Band(1, np.zeros(1, np.int64), np.ones(1, np.int64))
"""The axis that a 1-D array lacks."""


class PlaneMap:
    """One band for each spatial axis of arrays of `input_shape`; and its gradient."""

    def __init__(self, input_shape: Sequence[int], bands: Sequence[Band]) -> None:
        self._input_shape = tuple(input_shape)
        self._output_shape = self._input_shape[: -len(bands)] + tuple(band.out for band in bands)
        self._height, self._width = (UNIT, *bands)[-2:]

    def forward(self, x: Array) -> Array:
        """Map `x`, which has the shape that the map was made for."""
        return _core.resample_planes(x, "x", self._output_shape, self._height, self._width)

    def backward(self, grad_output: ArrayLike) -> Array:
        """Gradient with respect to the input, given that of the output; its shape is checked."""
        dy = as_array(grad_output, "grad_output")
        check_gradient(dy.shape, self._output_shape)
        transposed = self._height.transposed(), self._width.transposed()
        return _core.resample_planes(dy, "grad_output", self._input_shape, *transposed)


def window_band(size: int, out: int, kernel: int, stride: int, padding: int, count_include_pad: bool) -> Band:
    """Averages over windows, as PyTorch counts what they average over when they reach beyond the input."""
    start = np.arange(out, dtype=np.int64) * stride - padding
    end = np.minimum(start + kernel, size + padding)  # with ceil_mode the last window ends with the padding
    first, stop = np.maximum(start, 0), np.minimum(end, size)
    count = np.maximum(stop - first, 0)
    return Band(size, np.minimum(first, size - 1), count, None, (end - start if count_include_pad else count).astype(float))


def adaptive_band(size: int, out: int) -> Band:
    """Averages over `out` windows that together cover the input, as evenly as whole numbers go."""
    steps = np.arange(out, dtype=np.int64)
    first = steps * size // out
    count = -(-(steps + 1) * size // out) - first
    return Band(size, first, count, None, count.astype(float))


def nearest_band(size: int, out: int, scale: float | None) -> Band:
    """Each output is one input; `scale` (outputs to an input) is out / size unless the caller gave it."""
    # PyTorch computes the ratio and the product in single precision, whatever the dtype.
    ratio = np.float32(size / out if scale is None else 1 / scale)
    index = np.floor(np.arange(out, dtype=np.float32) * ratio).astype(np.int64)
    return Band(size, np.minimum(index, size - 1), np.ones(out, np.int64))


def linear_band(size: int, out: int, scale: float | None, align_corners: bool) -> Band:
    """Each output lies between two inputs, or on the last."""
    if out == size:  # whatever the scale, as in PyTorch
        return nearest_band(size, out, None)
    steps = np.arange(out, dtype=np.float64)
    if align_corners:
        place = steps * ((size - 1) / (out - 1) if out > 1 else 0.0)
    else:
        place = np.maximum((steps + 0.5) * (size / out if scale is None else 1 / scale) - 0.5, 0.0)
    first = np.minimum(place.astype(np.int64), size - 1)
    share = np.where(first < size - 1, np.minimum(place - first, 1.0), 0.0)
    count = np.minimum(size - first, 2)
    return Band(size, first, count, np.stack([1 - share, share])[: int(count.max())])
