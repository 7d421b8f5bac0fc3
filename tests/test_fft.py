"""Convolution by FFT: within 16 u S of the exact result, S the largest of a pair of tiles, and nothing leaks out of a pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import function, or_none
from hypothesis import given
from hypothesis import strategies as st
from problems import Problem, parse
from strategies import problems

import fastconv as fc
from fastconv import reference

# Several tiles each.
LARGE = parse("""
    n2ic1oc1_iw9000kw401pw200  n1ic1oc1_iw20000kw500sw3  n1ic1oc2_iw6000kw400pw400dw4_reflect
    n1ic1oc1_iw6000kw400pw3000sw6dw4_circular  n1ic1oc1_ih130iw200kh21ph10
    n1ic2oc1_ih110iw100kh19pt20_reflect  n1g2ic2oc4_ih110iw100kh19pl20_replicate
    n1ic1oc1_ih250kh21sh2sw3ph11  n1ic1oc1_ih160kh20ph30dh3dw2_circular  n1ic1oc1_ih13iw2500kh1kw400pw200ph3
    n1ic3oc2_ih250iw15kh41kw9pt1pw4  n3g3ic3oc3_ih90iw333kh9kw12dh2
""")
large = pytest.mark.parametrize("problem", LARGE, ids=str)
SIGNAL = Problem.parse("n1ic1oc1_iw900kw401")  # a pair each, or one tile of it
IMAGE = Problem.parse("n1ic1oc1_ih50iw60kh19pt9_reflect")
small = pytest.mark.parametrize("problem", [SIGNAL, IMAGE], ids=str)


def run(problem: Problem, arrays: tuple[Any, ...], activation: str | None = None) -> np.ndarray:
    conv = function(fc, "conv", problem.ndim)
    return conv(*arrays[:3], **problem.arguments(), activation=activation, algorithm="fft")


def convolved(problem: Problem, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The oracle, in long double for float64."""
    wide = np.longdouble if x.dtype == np.float64 else np.float64
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference.convolution, "common_dtype", lambda *arrays: wide)
        return function(reference, "conv", problem.ndim)(x, w, **problem.arguments())


def worst_error(problem: Problem, x: np.ndarray, w: np.ndarray) -> float:
    """The largest error, in units of u S with S the largest of all."""
    error = np.abs(run(problem, (x, w, None)) - convolved(problem, x, w))
    info = np.finfo(x.dtype)
    return float(error.max() / (info.eps / 2 * convolved(problem, np.abs(x), np.abs(w)).max() + w.size * info.tiny))


# ---- values ----------------------------------------------------------------------------------------------


@given(problems(), st.sampled_from(("float32", "float64")))
def test_any_problem(problem: Problem, dtype: str) -> None:
    x, w, b, _ = problem.arrays(dtype)
    conv = function(reference, "conv", problem.ndim)
    exact = tuple(array.astype(np.float64) for array in (x, w, b))
    expected = conv(*exact, **problem.arguments(), activation="relu")
    size = conv(*map(np.abs, exact), **problem.arguments()).max(initial=0)
    y = or_none(run, problem, (x, w, b), "relu")
    if y is None:
        assert problem.kernel[-1] == 1
        return
    assert (np.abs(y - expected) <= 8 * np.finfo(dtype).eps * size).all()


@large
def test_bound(problem: Problem, isa: str, dtype: str) -> None:
    x, w, _, _ = problem.arrays(dtype)
    assert worst_error(problem, x, w) < 6  # far from what is promised: the transforms alone, on kind data


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
def test_unkind(problem: Problem, kernel: str, isa: str, dtype: str) -> None:
    """Whatever the data, a pair that a transform would spoil is not left to it ("edge" would err by 1e8)."""
    w = unkind_kernels(problem.weight_shape)[kernel].astype(dtype)
    for name, x in unkind_data(problem.x_shape).items():
        assert worst_error(problem, x.astype(dtype), w) < 16, name


def test_either_half_of_a_pair(isa: str) -> None:
    """Two tiles are the real and the imaginary part of one: a loud one must not drown what S of the pair does not allow for."""
    x = np.random.default_rng(0).standard_normal((1, 1, 64, 400)).astype(np.float32)
    x[..., 200:] *= 1e7
    w = np.random.default_rng(1).standard_normal((1, 1, 21, 21)).astype(np.float32)
    error = np.abs(fc.conv2d(x, w, algorithm="fft") - reference.conv2d(x.astype(float), w.astype(float)))
    assert error.max() <= 16 * 2.0**-24 * reference.conv2d(np.abs(x, dtype=float), np.abs(w, dtype=float)).max()


# ---- what is not finite ----------------------------------------------------------------------------------


@large
def test_footprint(problem: Problem, isa: str, dtype: str) -> None:
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
    """Of a signal a hundred times as long no more than a few times as much."""
    with fc.threads(1):  # each has its own
        sizes = [fc.explain((1, 1, n), (1, 1, 601), padding=300, algorithm="fft").scratch_bytes for n in (10**6, 10**8)]
    assert max(sizes) < 12 << 20 and sizes[1] < 4 * sizes[0]  # with lanes of 512 bits, 10 MB
