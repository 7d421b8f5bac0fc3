"""Convolution by FFT: within 16 u S of the exact result, S the largest of the tile, and nothing leaks out of a tile."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from bounds import function
from hypothesis import given
from hypothesis import strategies as st
from problems import Problem
from strategies import problems

import fastconv as fc
from fastconv import fft, reference

# Several tiles each, and kernels large enough for float64 to be trusted.
LARGE = [
    Problem.parse(name)
    for name in (
        "n2ic1oc1_iw9000kw401pw200",
        "n1ic1oc1_iw20000kw500sw3",
        "n1ic1oc2_iw6000kw400pw400dw4_reflect",
        "n1ic1oc1_iw6000kw400pw3000sw6dw4_circular",
        "n1ic1oc1_ih130iw200kh21ph10",
        "n1ic2oc1_ih110iw100kh19pt20_reflect",
        "n1g2ic2oc4_ih110iw100kh19pl20_replicate",
        "n1ic1oc1_ih250kh21sh2sw3ph11",
        "n1ic1oc1_ih160kh20ph30dh3dw2_circular",
        "n1ic1oc1_ih13iw2500kh1kw400pw200ph3",
        "n1ic1oc1_ih2500iw15kh401kw1pt9",
    )
]
large = pytest.mark.parametrize("problem", LARGE, ids=str)
SIGNAL = Problem.parse("n1ic1oc1_iw2500kw401")
IMAGE = Problem.parse("n1ic1oc1_ih50iw60kh19pt9_reflect")
small = pytest.mark.parametrize("problem", [SIGNAL, IMAGE], ids=str)


def run(problem: Problem, arrays: tuple[Any, ...], activation: str | None = None) -> np.ndarray:
    """``fft.conv`` called as the seam does: 1-D with a height of 1."""
    x, w, b = arrays[:3]
    y = np.full((len(x), *problem.output_shape[1:]), np.nan, x.dtype)
    flat = problem.ndim == 1
    x, w, four = (a[:, :, np.newaxis] if flat else a for a in (x, w, y))
    stride, dilation = ((1, *v) if flat else v for v in (problem.stride, problem.dilation))
    padding = ((0, 0), *problem.padding) if flat else problem.padding
    fft.conv(x, w, b, four, stride, padding, dilation, problem.g, problem.padding_mode, activation)
    return y


class Spy:
    """The tiles of the calls, and how many of them were computed directly."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tiles: set[tuple[Any, ...]] = set()
        self.direct = 0
        self._convolve, self._directly = fft._convolve, fft._directly
        monkeypatch.setattr(fft, "_convolve", self.convolve)
        monkeypatch.setattr(fft, "_directly", self.directly)

    def convolve(self, work: Any, bank: Any, places: Any, x: np.ndarray, y: np.ndarray) -> None:
        for (_, _, rows), (_, _, columns) in places:
            self.tiles.add((rows.start, rows.stop, rows.step, columns.start, columns.stop, columns.step))
        self._convolve(work, bank, places, x, y)

    def directly(self, *args: Any) -> None:
        self.direct += 1
        self._directly(*args)

    def regions(self) -> Iterator[tuple[slice, slice]]:
        """The outputs of every tile."""
        return ((slice(*tile[:3]), slice(*tile[3:])) for tile in sorted(self.tiles))


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    return Spy(monkeypatch)


def convolved(problem: Problem, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The oracle, in long double for float64."""
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference.convolution, "common_dtype", lambda *arrays: wide)
        return function(reference, "conv", problem.ndim)(x, w, **problem.arguments())


def worst_error(spy: Spy, problem: Problem, x: np.ndarray, w: np.ndarray) -> float:
    """The largest error, in units of u S with S the largest of the tile."""
    y = run(problem, (x, w, None))
    flat = (*y.shape[:2], *(1,) * (2 - problem.ndim), *y.shape[2:])
    error = np.abs(y - convolved(problem, x, w)).reshape(flat)
    size = convolved(problem, np.abs(x), np.abs(w)).reshape(flat)
    info = np.finfo(y.dtype)
    return max(
        (error[..., *tile].max((2, 3)) / (info.eps / 2 * size[..., *tile].max((2, 3)) + info.tiny)).max()
        for tile in spy.regions()
    )


# ---- values ----------------------------------------------------------------------------------------------


@given(problems(), st.sampled_from(("float32", "float64")))
def test_any_problem(problem: Problem, dtype: str) -> None:
    x, w, b, _ = problem.arrays(dtype)
    conv = function(reference, "conv", problem.ndim)
    exact = tuple(array.astype(np.float64) for array in (x, w, b))
    expected = conv(*exact, **problem.arguments(), activation="relu")
    size = conv(*map(np.abs, exact), **problem.arguments()).max(initial=0)
    error = np.abs(run(problem, (x, w, b), "relu") - expected)
    assert (error <= 8 * np.finfo(dtype).eps * size).all()


@large
def test_bound(problem: Problem, dtype: str, spy: Spy) -> None:
    x, w, _, _ = problem.arrays(dtype)
    assert worst_error(spy, problem, x, w) < 16
    assert len(spy.tiles) > 1
    assert spy.direct == 0  # the transforms alone


def unkind_data(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    normal, along = rng.standard_normal(shape), np.linspace(0, 1, shape[-1])
    spike, edge = 1e-3 * normal, 1e-3 * normal
    spike[..., shape[-1] // 2], edge[..., -1] = 1e6, 1e6
    return {
        "positive": np.abs(normal),
        "constant": np.ones(shape),
        "offset": 1000 + normal,
        "spike": spike,
        "edge": edge,
        "range": normal * np.exp(14 * rng.standard_normal(shape)),
        "half dark": np.abs(normal) * np.where(along > 0.5, 1, 1e-9),
        "fading": np.ones(shape) * np.exp(-30 * along),
        "black": 0 * normal,
    }


def unkind_kernels(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    normal = np.random.default_rng(1).standard_normal(shape)
    bell = np.exp(-(np.linspace(-5, 5, shape[-1]) ** 2))
    single = 0 * normal
    single[..., shape[-1] // 2] = 1
    return {
        "normal": normal,
        "bell": bell * np.ones(shape),
        "difference": (bell - bell.mean()) * np.ones(shape),
        "fading": normal * np.exp(-30 * np.linspace(0, 1, shape[-1])),
        "single": single,
    }


@pytest.mark.parametrize("kernel", unkind_kernels((1, 1, 1)))
@small
def test_unkind(problem: Problem, kernel: str, dtype: str, spy: Spy) -> None:
    """Whatever the data, a tile that a transform would spoil is not left to it."""
    w = unkind_kernels(problem.weight_shape)[kernel].astype(dtype)
    for name, x in unkind_data(problem.x_shape).items():
        assert worst_error(spy, problem, x.astype(dtype), w) < 16, name


def test_the_check_is_needed(monkeypatch: pytest.MonkeyPatch, spy: Spy) -> None:
    x = unkind_data(SIGNAL.x_shape)["edge"]
    w = unkind_kernels(SIGNAL.weight_shape)["bell"]
    monkeypatch.setattr(fft, "_trusted", lambda *args: np.full(len(args[4]), True))
    assert worst_error(spy, SIGNAL, x, w) > 1000


# ---- what is not finite ----------------------------------------------------------------------------------


@large
def test_footprint(problem: Problem, dtype: str) -> None:
    x, w, b, _ = problem.arrays(dtype)
    mark = np.zeros_like(x)
    rng = np.random.default_rng(0)
    for poison in (np.nan, -np.inf):
        place = tuple(int(rng.integers(size)) for size in x.shape)
        x[place], mark[place] = poison, 1
    # Of ones, all that is covered is at least one.
    covered = run(problem, (mark, np.ones_like(w), None)) > 0.5
    y = run(problem, (x, w, b))
    np.testing.assert_array_equal(~np.isfinite(y), covered)
    direct = function(fc, "conv", problem.ndim)(x, w, b, **problem.arguments(), algorithm="direct")
    np.testing.assert_array_equal(y[covered], direct[covered])


@small
def test_weights_not_finite(problem: Problem, dtype: str) -> None:
    x, w, b, _ = problem.arrays(dtype)
    w[-1, 0, ..., 3] = np.nan
    y = run(problem, (x, w, b))
    direct = function(fc, "conv", problem.ndim)(x, w, b, **problem.arguments(), algorithm="direct")
    np.testing.assert_array_equal(np.isnan(y), np.isnan(direct))
    assert np.isnan(y[:, -1]).all()


@pytest.mark.parametrize("power", [-1, -0.5, 0.5, 0.9])
def test_extremes(power: float, dtype: str) -> None:
    """Sizes that squares or spectra cannot hold."""
    x, w, _, _ = SIGNAL.arrays(dtype)
    info = np.finfo(dtype)
    scale = 2.0 ** round(power * (info.maxexp - 12))
    y = run(SIGNAL, (x * x.dtype.type(scale), w, None)) / np.longdouble(scale)
    size = convolved(SIGNAL, np.abs(x), np.abs(w)).max()
    allowed = 8 * info.eps * size + w.size * float(info.tiny) / scale  # direct kernels flush denormals
    assert np.abs(y - convolved(SIGNAL, x, w)).max() <= allowed


def test_overflow_is_infinite(dtype: str) -> None:
    x, w, _, _ = SIGNAL.arrays(dtype)
    y = run(SIGNAL, (np.abs(x) * (np.finfo(dtype).max / 64), np.abs(w), None))
    assert np.isposinf(y).all()


# ---- bits, memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [SIGNAL, IMAGE, LARGE[6]], ids=str)
def test_bits_of_any_batch(problem: Problem, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, *problem.x_shape[1:])).astype(dtype)
    x[2].flat[7] = np.nan
    _, w, b, _ = problem.arrays(dtype)
    with fc.threads(1):
        whole = run(problem, (x, w, b))
    with fc.threads(2):
        for pieces in ((1, 1, 1, 1, 1), (2, 3), (4, 1)):
            parts = [run(problem, (part, w, b)) for part in np.split(x, np.cumsum(pieces)[:-1])]
            np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_scratch_is_tiles() -> None:
    problem = Problem.parse("n1ic1oc1_iw1000000kw601pw300_reflect")
    arrays = problem.arrays("float32")
    run(problem, arrays)
    tracemalloc.start()
    run(problem, arrays)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - 4_000_000 < 4_000_000  # beside the result
