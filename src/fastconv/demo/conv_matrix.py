"""The convolution as a special case of the fully connected network: its matrix, mostly zeros, a few numbers again and again."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastconv as fc
from fastconv.demo import pictures
from fastconv.demo.options import Options

SIGNAL, IMAGE = 12, 5
#: Weight's shape, input size, arguments.
CASES: dict[str, tuple[tuple[int, ...], int | tuple[int, int], dict[str, Any]]] = {
    "kernel 3, padding 1": ((1, 1, 3), SIGNAL, {"padding": 1}),
    "stride 2": ((1, 1, 3), SIGNAL, {"padding": 1, "stride": 2}),
    "dilation 2": ((1, 1, 3), SIGNAL, {"padding": 2, "dilation": 2}),
    "two channels to two": ((2, 2, 3), SIGNAL, {"padding": 1}),
    "image, kernel 3x3": ((1, 1, 3, 3), (IMAGE, IMAGE), {"padding": 1}),
}


def run(options: Options) -> list[str]:
    """Draw each matrix beside that of a fully connected layer, and apply both to the same input."""
    rng = options.rng(0)
    drawn, axes = pictures.figure(2, 3, (12, 8))
    _matrix(axes[0, 0], rng.standard_normal((SIGNAL, SIGNAL)), f"fully connected: {SIGNAL**2} weights")
    lines = []
    for each, (name, (shape, size, arguments)) in zip(axes.flat[1:], CASES.items(), strict=True):
        weight = rng.standard_normal(shape)
        matrix = fc.conv_matrix(weight, size, **arguments)
        x = rng.standard_normal((shape[1], *(size if isinstance(size, tuple) else (size,))))
        convolve = fc.conv1d if x.ndim == 2 else fc.conv2d
        off = np.abs(matrix @ x.ravel() - convolve(x, weight, **arguments).ravel()).max()
        zeros = np.mean(matrix == 0)
        _matrix(each, matrix, f"{name}: {weight.size} weights,\n{100 * zeros:.0f} % zeros")
        rows, columns = matrix.shape
        lines.append(
            f"{name}: {rows}x{columns} matrix of {weight.size} numbers for {matrix.size}, differs from the convolution by {off:.1e}"
        )
    pictures.save(drawn, options.picture)
    return lines


def _matrix(axes: Any, matrix: Any, title: str) -> None:
    limit = np.abs(matrix).max()
    pictures.image(axes, matrix, title, cmap="RdBu", vmin=-limit, vmax=limit)
    axes.set(xlabel="input", ylabel="output")
