"""Separable linear maps of planes: a band of each axis (csrc/band.c), their product, and its gradient.

Average pooling, adaptive pooling and interpolation are such maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastconv import _core
from fastconv._arguments import as_array
from fastconv._plane_arguments import check_gradient

Array = NDArray[Any]


class PlaneMap:
    """The map of arrays of `input_shape` to spatial axes of sizes `output`, by one band for each."""

    def __init__(self, input_shape: Sequence[int], output: tuple[int, ...], bands: Sequence[_core.Band]) -> None:
        self._input_shape = tuple(input_shape)
        self._output_shape = self._input_shape[: -len(output)] + output
        self._bands = tuple(bands)

    def forward(self, x: Array) -> Array:
        """Map `x`, which has the shape that the map was made for."""
        return _core.resample_planes(x, "x", self._output_shape, self._bands)

    def backward(self, grad_output: ArrayLike) -> Array:
        """Gradient with respect to the input, given that of the output; its shape is checked."""
        dy = as_array(grad_output, "grad_output")
        check_gradient(dy.shape, self._output_shape)
        return _core.resample_planes(dy, "grad_output", self._input_shape, self._bands, backward=True)
