"""convolve and correlate: NumPy's numbers along one axis, SciPy's along two."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastconv as fc
from fastconv import reference

MODES = ("full", "same", "valid")
modes = st.sampled_from(MODES)
names = st.sampled_from(("convolve", "correlate"))
sizes = st.integers(1, 40)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


@given(names, sizes, sizes, modes)
def test_signals_as_numpy(name: str, size: int, kernel: int, mode: Any) -> None:
    x, taps = normal(size), normal(kernel)
    expected = getattr(np, name)(x, taps, mode)
    for module in (fc, reference):
        np.testing.assert_allclose(getattr(module, name)(x, taps, mode), expected, rtol=1e-11, atol=1e-11)
    single = getattr(fc, name)(x.astype(np.float32), taps.astype(np.float32), mode)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-4)


@given(names, st.tuples(sizes, sizes), st.tuples(st.integers(1, 9), st.integers(1, 9)), modes)
def test_images_as_scipy(name: str, size: tuple[int, int], kernel: tuple[int, int], mode: str) -> None:
    signal = pytest.importorskip("scipy.signal")
    x, taps = normal(*size), normal(*kernel)
    try:
        expected = getattr(signal, name)(x, taps, mode, method="direct")
    except ValueError:
        with pytest.raises(ValueError, match="kernel must fit"):
            getattr(fc, name)(x, taps, mode)
        return
    for module in (fc, reference):
        np.testing.assert_allclose(getattr(module, name)(x, taps, mode), expected, rtol=1e-11, atol=1e-11)


@given(names, st.sampled_from((-3, -2, -1, 0, 1, 2)), st.integers(1, 12), st.integers(1, 12), modes)
def test_along_an_axis(name: str, axis: int, size: int, kernel: int, mode: Any) -> None:
    x, taps = np.moveaxis(normal(3, 4, size), -1, axis), normal(kernel)
    expected = np.apply_along_axis(lambda signal: getattr(np, name)(signal, taps, mode), axis, x)
    for module in (fc, reference):
        np.testing.assert_allclose(getattr(module, name)(x, taps, mode, axis=axis), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("axis", [(0, 2), (2, 0), (-1, 1)])
@pytest.mark.parametrize("mode", MODES)
def test_along_two_axes(axis: tuple[int, int], mode: str) -> None:
    x, taps = normal(5, 6, 7), normal(3, 2)
    moved = np.moveaxis(x, axis, (1, 2))
    for name in ("convolve", "correlate"):
        expected = np.stack([getattr(fc, name)(plane, taps, mode) for plane in moved])
        actual = getattr(fc, name)(x, taps, mode, axis=axis)
        np.testing.assert_allclose(np.moveaxis(actual, axis, (1, 2)), expected, rtol=1e-12, atol=1e-12)


def test_an_empty_batch() -> None:
    assert fc.convolve(np.ones((0, 5)), np.ones(3), axis=1).shape == (0, 7)
    assert fc.convolve(np.ones((5, 0)), np.ones(3), "valid", axis=0).shape == (3, 0)
    assert fc.convolve(np.ones((0, 2)), np.ones(3), "valid", axis=1).shape == (0, 2)
    assert fc.convolve(np.ones((0, 5, 5)), np.ones((3, 3)), axis=(1, 2)).shape == (0, 7, 7)
