"""Pooling, interpolation, transposed convolutions, batch norm and activations against the reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bounds import or_none
from hypothesis import given
from hypothesis import strategies as st
from operators import Call, Transposed, linear_maps, pools, transposed
from strategies import AVAILABLE_ISAS, LAYOUTS, layouts

import fastconv as fc
from fastconv import _conv_arguments, reference

every_isa = st.sampled_from(AVAILABLE_ISAS)
dtypes = st.sampled_from((np.float32, np.float64))


def close(actual: np.ndarray, exact: np.ndarray, magnitude: np.ndarray, terms: int, dtype: Any) -> None:
    """Hold `actual` to so many roundings of the sum of absolute values, and a few for weights and division."""
    assert actual.shape == exact.shape
    assert actual.dtype == dtype
    tolerance = (terms + 6) * np.finfo(dtype).eps * magnitude + np.finfo(dtype).tiny
    assert np.all(np.abs(actual - exact) <= tolerance), np.abs(actual - exact).max()


# ---- max pooling -----------------------------------------------------------------------------------------


@given(pools("max_pool"), dtypes, every_isa, layouts)
def test_max_pool(call: Call, dtype: Any, isa: str, layout: str) -> None:
    x = call.x(dtype)
    expected, indices = call.function(reference)(x, **call.arguments, return_indices=True)
    with fc.use_isa(isa):
        y, found = call.function(fc)(LAYOUTS[layout](x), **call.arguments, return_indices=True)
        alone = call.function(fc)(x, **call.arguments)
        dy = np.random.default_rng(0).standard_normal(y.shape).astype(dtype)
        dx = call.function(fc, "_backward")(dy, found, x.shape)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(alone, expected)
    np.testing.assert_array_equal(found, indices)
    assert (y.dtype, found.dtype) == (dtype, np.int64)
    np.testing.assert_array_equal(dx, call.function(reference, "_backward")(dy, indices, x.shape))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("nan", [False, True])
def test_max_pool_of_long_rows(stride: int, nan: bool, isa: str, dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5000)).astype(dtype)
    if nan:
        x[1, 1, 2, [0, 2047, 2048, 4999]] = np.nan
    arguments = {"kernel_size": (3, 4), "stride": stride, "padding": (1, 2), "dilation": (1, 3)}
    np.testing.assert_array_equal(fc.max_pool2d(x, **arguments), reference.max_pool2d(x, **arguments))


@given(pools("max_pool"), every_isa)
def test_a_nan_wins_and_infinities_are_numbers(call: Call, isa: str) -> None:
    rng = np.random.default_rng(call.seed)
    x = rng.choice(np.array([np.nan, np.inf, -np.inf, 0, 1, -1], np.float32), call.shape, p=[0.1, 0.05, 0.5, 0.15, 0.1, 0.1])
    expected = call.function(reference)(x, **call.arguments, return_indices=True)
    with fc.use_isa(isa):
        actual = call.function(fc)(x, **call.arguments, return_indices=True)
        alone = call.function(fc)(x, **call.arguments)
    np.testing.assert_array_equal(alone, expected[0])
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("ndim", [1, 2])
def test_unpool_is_the_way_back(ndim: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, *(11, 8)[:ndim])).astype(np.float32)
    pool, unpool = getattr(fc, f"max_pool{ndim}d"), getattr(fc, f"max_unpool{ndim}d")
    y, indices = pool(x, 2, return_indices=True)
    back = unpool(y, indices, 2, output_size=x.shape)
    assert back.shape == x.shape
    np.testing.assert_array_equal(back, getattr(reference, f"max_unpool{ndim}d")(y, indices, 2, output_size=x.shape[-ndim:]))
    np.testing.assert_array_equal(pool(np.where(back == 0, -np.inf, back), 2), y)
    np.testing.assert_array_equal(getattr(fc, f"max_unpool{ndim}d_backward")(back, indices), y)


# ---- linear maps -----------------------------------------------------------------------------------------


@given(linear_maps, dtypes, every_isa, layouts)
def test_linear_maps(call: Call, dtype: Any, isa: str, layout: str) -> None:
    x = call.x(dtype)
    exact, size = call.function(reference)(x.astype(np.float64), **call.arguments), abs(x).astype(np.float64)
    with fc.use_isa(isa):
        y = call.function(fc)(LAYOUTS[layout](x), **call.arguments)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        arguments = {} if call.name == "adaptive_avg_pool" else call.arguments
        dx = call.function(fc, "_backward")(dy, x.shape, **arguments)
    terms = math.prod(x.shape[-call.ndim :])
    # Where an output lies is rounded, too: by a share of the axis, which moves its weights by as much.
    moved = max(x.shape[-call.ndim :]) * size.max(initial=0) if call.name == "interpolate" else 0
    close(y, exact, call.function(reference)(size, **call.arguments) + moved, terms, dtype)
    back = call.function(reference, "_backward")
    exact = back(dy.astype(np.float64), x.shape, **arguments)
    moved = max(x.shape[-call.ndim :]) * abs(dy).max(initial=0) if call.name == "interpolate" else 0
    close(dx, exact, back(abs(dy).astype(np.float64), x.shape, **arguments) + moved, math.prod(y.shape[-call.ndim :]), dtype)


@given(linear_maps)
def test_footprints_are_exact(call: Call) -> None:
    """A NaN reaches the outputs whose windows cover it and no other (a neighbour of weight zero may be covered)."""
    if not math.prod(call.shape):
        return
    x = call.x(np.float32)
    at = tuple(np.random.default_rng(call.seed).integers(0, n) for n in x.shape)
    clean = call.function(fc)(x, **call.arguments)
    touched = np.zeros_like(x)
    touched[at] = 1
    covered = call.function(reference)(touched.astype(np.float64), **call.arguments) > 0
    x[at] = np.nan
    y = call.function(fc)(x, **call.arguments)
    assert np.isnan(y[covered]).all()
    if "align_corners" not in call.arguments:
        np.testing.assert_array_equal(y[~covered], clean[~covered])


@pytest.mark.parametrize("shape", [(3, 2, 1000), (2, 3, 70, 90)])
def test_means_of_ones_are_one(shape: tuple[int, ...], isa: str, dtype: str) -> None:
    x, ndim = np.ones(shape, dtype), len(shape) - 2
    for kernel in (3, 7, 50):
        y = getattr(fc, f"avg_pool{ndim}d")(x, kernel, 1, kernel // 2, count_include_pad=False)
        np.testing.assert_array_equal(y, 1)
    np.testing.assert_array_equal(getattr(fc, f"adaptive_avg_pool{ndim}d")(x, 1), 1)


# ---- transposed convolutions -----------------------------------------------------------------------------


@given(transposed(), dtypes, every_isa)
def test_conv_transpose(call: Transposed, dtype: Any, isa: str) -> None:
    arrays = call.arrays(dtype)
    exact = [array.astype(np.float64) for array in arrays]
    with fc.use_isa(isa), fc.strict():
        y = call.function(fc)(*arrays, **call.arguments)
        dy = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        gradients = call.function(fc, "_backward")(dy, *arrays[:2], **call.arguments)
    terms = math.prod(call.weight_shape) + 1
    close(y, call.function(reference)(*exact, **call.arguments), call.function(reference)(*map(abs, exact), **call.arguments), terms, dtype)
    back = call.function(reference, "_backward")
    expected = back(dy.astype(np.float64), *exact[:2], **call.arguments)
    sizes = back(abs(dy).astype(np.float64), *map(abs, exact[:2]), **call.arguments)
    for actual, value, size in zip(gradients, expected, sizes, strict=True):
        close(actual, value, size, y.size + terms, dtype)


@pytest.mark.parametrize("algorithm", _conv_arguments.ALGORITHMS["bwd_data"])
def test_a_bias_in_every_kernel(algorithm: str, isa: str, dtype: str) -> None:
    """The bias of a transposed convolution is fused into the kernels of the gradient of the input."""
    from fastconv import _core

    ran = 0
    for groups, channels, out, kernel, stride in ((1, 16, 17, 3, 1), (2, 6, 4, 3, 2), (1, 4, 3, 2, 3), (5, 5, 5, 3, 1), (1, 33, 5, 4, 2)):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2, channels, 9, 11)).astype(dtype)
        weight = rng.standard_normal((channels, out // groups if out % groups == 0 else out, kernel, kernel)).astype(dtype)
        bias = np.arange(1, weight.shape[1] * groups + 1).astype(dtype)
        y = or_none(_core.conv_transpose, 2, x, weight, bias, stride, 0, 0, groups, 1, algorithm)
        if y is None:
            continue
        expected = reference.conv_transpose2d(x.astype(float), weight.astype(float), bias.astype(float), stride, 0, 0, groups)
        np.testing.assert_allclose(y, expected, rtol=2e-4 if dtype == "float32" else 1e-11, atol=2e-4 if dtype == "float32" else 1e-11)
        ran += 1
    assert ran


# ---- batch normalization ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 5), (33, 40), (3, 4, 19), (2, 3, 7, 9), (2, 1, 40, 41), (3, 2, 2, 3, 4), (0, 3, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm(shape: tuple[int, ...], training: bool, isa: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(shape).astype(dtype) * 2 + 1 for _ in range(2))
    weight, bias, mean, var = (rng.random(shape[1]).astype(dtype) + 0.5 for _ in range(4))
    ours, theirs = (mean.copy(), var.copy()), (mean.astype(float), var.astype(float))
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-11}
    y = fc.batch_norm(x, *ours, weight, bias, training, 0.3, 1e-3)
    expected = reference.batch_norm(x.astype(float), *theirs, weight.astype(float), bias.astype(float), training, 0.3, 1e-3)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, **tolerance)
    for a, b, before in zip(ours, theirs, (mean, var), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)
        assert np.array_equal(a, before) == (not training or x.size == 0)
    gradients = fc.batch_norm_backward(dy, x, *ours, weight, training, 1e-3)
    exact = reference.batch_norm_backward(dy.astype(float), x.astype(float), *theirs, weight.astype(float), training, 1e-3)
    for a, b in zip(gradients, exact, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance["rtol"], atol=tolerance["atol"] * max(1, abs(b).max(initial=0)))
    assert fc.batch_norm_backward(dy, x, *ours, weight, training, need=(False, True, False))[::2] == (None, None)


def test_batch_norm_far_from_zero() -> None:
    """The variance does not cancel where the mean is large."""
    x = (1e4 + np.random.default_rng(0).standard_normal((8, 4, 400))).astype(np.float32)
    y = fc.batch_norm(x, None, None, training=True)
    exact = reference.batch_norm(x.astype(float), None, None, training=True)
    assert abs(y - exact).max() < 5e-3  # the inputs' own spacing is 1e-3


# ---- activations -----------------------------------------------------------------------------------------

ACTIVATIONS = [("leaky_relu", (0.2,)), ("gelu", ()), ("gelu", ("tanh",)), ("sigmoid", ()), ("tanh", ())]


@pytest.mark.parametrize(("name", "arguments"), ACTIVATIONS)
def test_activations(name: str, arguments: tuple[Any, ...], isa: str, dtype: str) -> None:
    x = np.linspace(-9, 9, 3001, dtype=dtype)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    y = getattr(fc, name)(x, *arguments)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, getattr(reference, name)(x.astype(float), *arguments), **tolerance)
    at = x if name in ("leaky_relu", "gelu") else y
    dy = np.cos(x)
    dx = getattr(fc, f"{name}_backward")(dy, at, *arguments)
    expected = getattr(reference, f"{name}_backward")(dy.astype(float), at.astype(float), *arguments)
    np.testing.assert_allclose(dx, expected, **tolerance)


def test_sigmoid_has_no_overflow_and_keeps_nan() -> None:
    x = np.array([-np.inf, -1000, 0, 1000, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(fc.sigmoid(x), [0, 0, 0.5, 1, 1, np.nan])


# ---- promises --------------------------------------------------------------------------------------------


def _everything(x: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    weight = rng.standard_normal((x.shape[1], 6, 4, 4)).astype(x.dtype)
    y, indices = fc.max_pool2d(x, 3, 2, 1, return_indices=True)
    return {
        "max": y, "indices": indices, "max_backward": fc.max_pool2d_backward(y, indices, x.shape),
        "avg": fc.avg_pool2d(x, 3, 2, 1), "avg_backward": fc.avg_pool2d_backward(y, x.shape, 3, 2, 1),
        "up": fc.interpolate(x, scale_factor=2, mode="bilinear"), "global": fc.adaptive_avg_pool2d(x, 1),
        "conv_transpose": fc.conv_transpose2d(x, weight, weight[0, :, 0, 0], 2, 1), "gelu": fc.gelu(x),
    }  # fmt: skip


@pytest.mark.parametrize("module", [fc, reference])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_no_word_on_corners_is_false(module: Any, mode: str) -> None:
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    np.testing.assert_array_equal(module.interpolate(x, 5, None, mode, None), module.interpolate(x, 5, None, mode, False))


@pytest.mark.parametrize("settings", [{"size": 7}, {"scale_factor": 1.7}, {"size": 4, "mode": "linear"}], ids=str)
def test_a_signal_without_a_batch_is_interpolated(settings: dict[str, Any]) -> None:
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    y = fc.interpolate(x[np.newaxis], **settings)[0]
    for module in (fc, reference):
        np.testing.assert_allclose(module.interpolate(x, **settings), y, rtol=1e-6)
        expected = fc.interpolate_backward(y[np.newaxis], (1, 3, 5), **settings)[0]
        np.testing.assert_allclose(module.interpolate_backward(y, (3, 5), **settings), expected, rtol=1e-6)


@pytest.mark.parametrize(("shape", "axis"), [((3, 1000), 1), ((5, 7), -1), ((2, 70, 301), 1), ((300, 2), 0)], ids=str)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_blocks_and_what_is_left(isa: str, dtype: str, name: str, shape: tuple[int, ...], axis: int) -> None:
    x = 5 * np.random.default_rng(0).standard_normal(shape).astype(dtype)
    expected = getattr(reference, name)(x.astype(np.float64), axis)
    with fc.threads(1):
        y = getattr(fc, name)(x, axis)
    # x - max is rounded, and its exponential has that error relatively; for the logarithm, less log(sum), it is rounded once more
    error = np.abs(y - expected) / (expected if name == "softmax" else 1)
    assert (error <= (np.ptp(x) + 8) * np.finfo(dtype).eps).all()
    with fc.threads(2):
        np.testing.assert_array_equal(getattr(fc, name)(x, axis), y)


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_a_nan_is_nan_whatever_its_bits(isa: str, axis: int) -> None:
    x = np.zeros((19, 19), np.float32)
    x[3, 3] = np.array([0x7FC00001], np.uint32).view(np.float32)[0]
    x[5, 5] = np.inf
    y = np.moveaxis(fc.softmax(x, axis), axis, 1)
    assert np.isnan(y[[3, 5]]).all()
    np.testing.assert_array_equal(np.isnan(y).sum(), 2 * 19)


def test_same_bits_for_any_threads_and_split_of_the_batch(isa: str, dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((4, 16, 57, 63)).astype(dtype)
    statistics: Callable[[np.ndarray], np.ndarray] = lambda a: fc.batch_norm(a, None, None, training=True)
    with fc.threads(1):
        alone, normal = _everything(x), statistics(x)
        parts = [_everything(x[i : i + 1]) for i in range(len(x))]
    for threads in (2, 3):
        with fc.threads(threads):
            assert statistics(x).tobytes() == normal.tobytes()
            for key, value in _everything(x).items():
                assert value.tobytes() == alone[key].tobytes(), key
    for key, value in alone.items():
        assert np.concatenate([part[key] for part in parts]).tobytes() == value.tobytes(), key


def test_the_end_of_memory_is_not_passed(isa: str) -> None:
    """Arrays that end at the end of a page, the next one forbidden."""
    import ctypes
    import mmap

    libc = ctypes.CDLL(None)
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if libc.mprotect(ctypes.c_void_p(address + page), page, 0) != 0:
        pytest.skip("no mprotect")
    for shape in ((2, 3, 5, 7), (1, 1, 33, 17), (1, 2, 1, 40), (2, 4, 1, 1)):
        size = math.prod(shape)
        x = np.frombuffer(memory, np.float32, size, page - 4 * size).reshape(shape)
        x.flags.writeable and x.fill(1)
        fc.max_pool2d(x, (min(2, shape[2]), min(3, shape[3])), 1, return_indices=True)
        fc.max_pool2d(x, 1, 2)
        fc.avg_pool2d(x, (min(2, shape[2]), min(3, shape[3])), 2)
        fc.interpolate(x, scale_factor=2, mode="bilinear")
        fc.interpolate_backward(x, (*shape[:2], 3, 3), size=shape[2:], mode="bilinear")
        fc.adaptive_avg_pool2d(x, 1)
        if size > shape[1]:
            fc.batch_norm(x, None, None, training=True)
            fc.batch_norm_backward(x, x, None, None, training=True)
        fc.gelu(x)
    libc.mprotect(ctypes.c_void_p(address + page), page, 3)


@pytest.mark.parametrize("ndim", [1, 2])
def test_an_empty_batch(ndim: int) -> None:
    x = np.zeros((0, 3, *(8,) * ndim), np.float32)
    y, indices = getattr(fc, f"max_pool{ndim}d")(x, 2, return_indices=True)
    assert y.shape == indices.shape == (0, 3, *(4,) * ndim)
    assert getattr(fc, f"max_pool{ndim}d_backward")(y, indices, x.shape).shape == x.shape
    assert getattr(fc, f"avg_pool{ndim}d")(x, 2).shape == y.shape
    assert fc.interpolate(x, scale_factor=2).shape == (0, 3, *(16,) * ndim)
    weight = np.ones((3, 2, *(3,) * ndim), np.float32)
    z = getattr(fc, f"conv_transpose{ndim}d")(x, weight)
    _, dweight, dbias = getattr(fc, f"conv_transpose{ndim}d_backward")(z, x, weight)
    assert not dweight.any() and not dbias.any()
    gradients = fc.batch_norm_backward(x, x, None, None, training=True)
    assert gradients[0].shape == x.shape and not gradients[1].any() and not gradients[2].any()
