"""The library's promise about rounding, and the oracle that it is held against.

With n terms per output, u = eps / 2 and S = |x| * |w| + |b|, every element stays within K u S of the exact
result, K = min(n + 2, 6 sqrt(n) + 12). Both n and S are counted by the reference itself: S is the convolution
of absolute values, n that of ones, so padding, groups and folded borders are never counted by a formula.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from problems import Problem

from fastconv import _conv_arguments, _core, reference

PASSES = ("fwd", "bwd_data", "bwd_weights", "bwd_bias")
ALGORITHMS = _conv_arguments.ALGORITHMS["fwd"]
BACKWARD = [(pass_, name) for pass_ in ("bwd_data", "bwd_weights") for name in _conv_arguments.ALGORITHMS[pass_]]
TILE, PLANE = 4, 1 << 20  # outputs along an axis: of the largest Winograd transform; more than a plane of the tests has
TRANSFORMS = {"auto": TILE, "winograd": TILE, "fft": PLANE}  # those that may be transforms, whose error belongs to a tile
FFT_TAPS = 24  # from which on `auto` may take the FFT


class Expected(NamedTuple):
    """What one pass should give: the float64 result, and what its error bound is made of."""

    value: np.ndarray
    terms: np.ndarray
    magnitude: np.ndarray
    taps: int = 1

    def tolerance(self, dtype: Any, tile: int = 1) -> np.ndarray:
        """The bound on the absolute error, elementwise; of a transform 16 u S of the tile where that is more."""
        info = np.finfo(dtype)
        factor = np.minimum(self.terms + 2, 6 * np.sqrt(self.terms) + 12)
        bound = factor * (info.eps / 2) * self.magnitude + self.terms * info.tiny  # kernels flush denormals
        if tile > 1:
            tile = PLANE if self.taps >= FFT_TAPS else tile
            bound = np.maximum(bound, 8 * info.eps * tile_largest(self.magnitude, tile))
        # Against float64 the oracle rounds as much as the library does.
        return 2 * bound if info.dtype == np.float64 else bound


def tile_largest(magnitude: np.ndarray, tile: int) -> np.ndarray:
    """The largest of each tile, the spatial axes cut from output 0 on, in the shape of the argument."""
    for axis in range(2, magnitude.ndim):
        starts = np.arange(0, magnitude.shape[axis], tile)
        largest = np.maximum.reduceat(magnitude, starts, axis=axis)
        magnitude = np.repeat(largest, min(tile, magnitude.shape[axis]), axis=axis).take(range(magnitude.shape[axis]), axis=axis)
    return magnitude


def function(module: Any, name: str, ndim: int) -> Callable[..., Any]:
    """``conv`` or ``conv_backward`` of so many dimensions, of the library or of the reference."""
    return getattr(module, name.replace("conv", f"conv{ndim}d"))


def run(module: Any, problem: Problem, arrays: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    """Return the results of all passes of `problem` on its (x, w, b, dy)."""
    x, w, b, dy = arrays
    y = function(module, "conv", problem.ndim)(x, w, b, **problem.arguments())
    gradients = function(module, "conv_backward", problem.ndim)(dy, x, w, **problem.arguments())
    return dict(zip(PASSES, (y, *gradients), strict=True))


def forward(
    module: Any,
    problem: Problem,
    arrays: tuple[np.ndarray, ...],
    algorithm: str,
    out: np.ndarray | None = None,
) -> np.ndarray | None:
    """Run fwd with one algorithm; None where that does not apply to the problem."""
    conv = function(module, "conv", problem.ndim)
    return or_none(conv, *arrays[:3], **problem.arguments(), algorithm=algorithm, out=out)


def backward(problem: Problem, arrays: tuple[np.ndarray, ...], pass_: str, algorithm: str) -> np.ndarray | None:
    """Run one backward pass with one algorithm, which can be named in the seam alone; None where that does not apply."""
    x, w, _, dy = arrays
    position = ("bwd_data", "bwd_weights").index(pass_)
    options = {"need": [i == position for i in range(3)], ("data_algorithm", "weights_algorithm")[position]: algorithm}
    grads = or_none(_core.conv_backward, problem.ndim, dy, x, w, **problem.arguments(), **options)
    return None if grads is None else grads[position]


def or_none(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Return what `call` does with these arguments; None where the algorithm among them does not apply to the problem."""
    try:
        return call(*arguments, **keywords)
    except ValueError as error:
        if "not applicable" in str(error):
            return None
        raise


def expected_from(problem: Problem, arrays: tuple[np.ndarray, ...]) -> dict[str, Expected]:
    """Return what every pass should give on these (x, w, b, dy)."""
    exact = tuple(array.astype(np.float64) for array in arrays)
    ones = [np.ones_like(array) for array in exact]
    ones[2][:] = 0  # the bias is no term: the bound's + 2 has it
    value, terms, magnitude = (
        run(reference, problem, args) for args in (exact, tuple(ones), tuple(map(np.abs, exact)))
    )
    taps = int(np.prod(problem.kernel))
    return {name: Expected(value[name], terms[name], magnitude[name], taps) for name in PASSES}


@cache
def expected(problem: Problem, dtype: str) -> dict[str, Expected]:
    """Return what every pass should give on ``problem.arrays(dtype)``."""
    return expected_from(problem, problem.arrays(dtype))


def assert_within(actual: np.ndarray, expected: Expected, dtype: Any, tile: int = 1) -> None:
    """Fail with the worst element unless `actual` keeps the bound everywhere."""
    assert actual.shape == expected.value.shape
    assert actual.dtype == dtype
    if actual.size == 0:
        return
    error = np.abs(actual - expected.value)
    tolerance = expected.tolerance(dtype, tile)
    bad = ~(error <= tolerance)  # a NaN is bad
    if not bad.any():
        return
    worst = np.unravel_index(np.argmax(np.where(bad, error - tolerance, -np.inf)), error.shape)
    raise AssertionError(
        f"{bad.sum()} of {bad.size} elements leave the bound; at {tuple(map(int, worst))} "
        f"{actual[worst]!r} for {expected.value[worst]!r}, tolerance {tolerance[worst]:.3g}"
    )
