"""What the functions promise beside their numbers: dtypes, shapes, out, activation, need, empty batches."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bounds import function, run
from problems import CATALOGUE, Problem, parse

import fastconv as fc
from fastconv import _conv_arguments, nn, reference

BOTH = pytest.mark.parametrize("module", [fc, reference], ids=["library", "reference"])
PROBLEMS = pytest.mark.parametrize(
    "problem", parse("n2ic3oc5_iw11kw3sw2pw1  n2ic3oc5_ih9kh3ph1"), ids=str
)


@BOTH
@PROBLEMS
def test_mixed_dtypes_promote(module: Any, problem: Problem) -> None:
    x, w, b, dy = problem.arrays("float32")
    conv = function(module, "conv", problem.ndim)
    wide = conv(*(a.astype("float64") for a in (x, w, b)), **problem.arguments())
    for args in ((x.astype("float64"), w, b), (x, w.astype("float64"), b), (x, w, b.astype("float64"))):
        y = conv(*args, **problem.arguments())
        assert y.dtype == np.float64
        np.testing.assert_array_equal(y, wide)
    backward = function(module, "conv_backward", problem.ndim)
    for gradient in backward(dy, x.astype("float64"), w, **problem.arguments()):
        assert gradient.dtype == np.float64


@BOTH
@PROBLEMS
def test_unbatched(module: Any, problem: Problem) -> None:
    x, w, b, dy = problem.arrays("float32")
    y = function(module, "conv", problem.ndim)(x[0], w, b, **problem.arguments())
    assert y.shape == problem.output_shape[1:]
    gradients = function(module, "conv_backward", problem.ndim)(dy[0], x[0], w, **problem.arguments())
    assert [g.shape for g in gradients] == [x.shape[1:], w.shape, b.shape]


@BOTH
@PROBLEMS
def test_empty_batch(module: Any, problem: Problem) -> None:
    x, w, b, dy = problem.arrays("float32")
    results = run(module, problem, (x[:0], w, b, dy[:0]))
    assert results["fwd"].shape == (0, *problem.output_shape[1:])
    assert results["bwd_data"].shape == (0, *x.shape[1:])
    np.testing.assert_array_equal(results["bwd_weights"], np.zeros_like(w))
    np.testing.assert_array_equal(results["bwd_bias"], np.zeros_like(b))


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "options"),
    [
        ((1, 2, 9, 9), (3, 2, 3, 3), {"stride": 2**62}),
        ((1, 2, 9, 9), (3, 2, 3, 3), {"stride": 2**40, "padding": 3}),
        ((1, 2, 9, 9), (3, 2, 1, 1), {"dilation": 2**62}),
        ((1, 1, 9), (2, 1, 3), {"dilation": 2**16, "padding": 2**16}),
        ((1, 1, 9), (2, 1, 3), {"dilation": 2**20, "padding": 2**20, "stride": 2**19}),
        ((1, 1, 5), (1, 1, 3), {"padding": 10**5, "stride": 50_000}),
        ((1, 1, 5), (1, 1, 3), {"padding": 10**4, "padding_mode": "replicate"}),
        ((7000, 1, 3), (1, 1, 3), {}),
    ],
    ids=str,
)
def test_extreme_numbers(x_shape: tuple[int, ...], w_shape: tuple[int, ...], options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, w, ndim = rng.standard_normal(x_shape), rng.standard_normal(w_shape), len(x_shape) - 2
    y = function(fc, "conv", ndim)(x, w, **options)
    np.testing.assert_allclose(y, function(reference, "conv", ndim)(x, w, **options), rtol=1e-9, atol=1e-12)
    expected = function(reference, "conv_backward", ndim)(y, x, w, **options)
    gradients = function(fc, "conv_backward", ndim)(y, x, w, **options)
    for actual, gradient in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(actual, gradient, rtol=1e-9, atol=1e-9)


@BOTH
@PROBLEMS
def test_out(module: Any, problem: Problem) -> None:
    x, w, b, _ = problem.arrays("float32")
    conv = function(module, "conv", problem.ndim)
    y = conv(x, w, b, **problem.arguments())
    contiguous = np.full_like(y, np.nan)
    assert conv(x, w, b, **problem.arguments(), out=contiguous) is contiguous
    np.testing.assert_array_equal(contiguous, y)
    room = np.full((*y.shape[:-1], 2 * y.shape[-1]), np.nan, y.dtype)
    conv(x, w, b, **problem.arguments(), out=room[..., ::2])
    np.testing.assert_array_equal(room[..., ::2], y)
    assert np.isnan(room[..., 1::2]).all()


@BOTH
def test_out_must_not_be_an_input(module: Any) -> None:
    problem = Problem.parse("n2ic3oc3_ih9kh3ph1")
    x, w, b, _ = problem.arrays("float32")
    with pytest.raises(ValueError, match="out must not overlap"):
        module.conv2d(x, w, b, padding=1, out=x)
    memory = np.zeros(x.size + w.size + b.size, np.float32)  # weight, out, bias: one element too many of each
    for first, last in ((w.size - 1, b.size), (w.size, b.size + 1)):
        out = memory[first : first + x.size].reshape(x.shape)
        with pytest.raises(ValueError, match="out must not overlap"):
            module.conv2d(x, memory[: w.size].reshape(w.shape), memory[-last:][: b.size], padding=1, out=out)
    out = memory[w.size : w.size + x.size].reshape(x.shape)
    assert module.conv2d(x, memory[: w.size].reshape(w.shape), memory[-b.size :], padding=1, out=out) is out


@BOTH
def test_out_may_lie_between_the_elements_of_an_input(module: Any) -> None:
    """Channels of one buffer, as in a network of dense blocks; and every other column."""
    x, w, _, _ = Problem.parse("n2ic4oc4_ih12kh3ph1").arrays("float32")
    expected = module.conv2d(x, w, padding=1)
    channels, columns = np.zeros((2, 8, 12, 12), np.float32), np.zeros((2, 4, 12, 24), np.float32)
    for source, out in ((channels[:, :4], channels[:, 4:]), (columns[..., ::2], columns[..., 1::2])):
        source[...] = x
        assert module.conv2d(source, w, padding=1, out=out) is out
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(source, x)
    with pytest.raises(ValueError, match="out must not overlap x"):
        module.conv2d(channels[:, :4], w, padding=1, out=channels[:, 3:7])


@BOTH
@pytest.mark.parametrize("strides", [(0, 0, 4), (144, 0, 4), (144, 36, 0), (144, 32, 4), (36, 36, 4)])
def test_out_must_not_overlap_itself(module: Any, strides: tuple[int, ...]) -> None:
    x, w, _, _ = Problem.parse("n2ic4oc4_iw9kw3pw1").arrays("float32")
    out = np.lib.stride_tricks.as_strided(np.zeros(99, np.float32), x.shape, strides)
    with pytest.raises(ValueError, match="out must not overlap itself"):
        module.conv1d(x, w, padding=1, out=out)


@BOTH
@PROBLEMS
def test_activation_is_relu_of_the_result(module: Any, problem: Problem, isa: str) -> None:
    x, w, b, _ = problem.arrays("float32")
    conv = function(module, "conv", problem.ndim)
    y = conv(x, w, b, **problem.arguments())
    np.testing.assert_array_equal(conv(x, w, b, **problem.arguments(), activation="relu"), np.maximum(y, 0))


@BOTH
@PROBLEMS
@pytest.mark.parametrize("need", [(True, False, False), (False, True, False), (False, False, True)])
def test_need(module: Any, problem: Problem, need: tuple[bool, bool, bool]) -> None:
    x, w, _, dy = problem.arrays("float32")
    backward = function(module, "conv_backward", problem.ndim)
    everything = backward(dy, x, w, **problem.arguments())
    some = backward(dy, x, w, **problem.arguments(), need=need)
    for wanted, actual, full in zip(need, some, everything, strict=True):
        if wanted:
            np.testing.assert_array_equal(actual, full)
        else:
            assert actual is None


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 9])
@pytest.mark.parametrize("size", [511, 512, 517, 1300])
def test_linear_of_long_rows(rows: int, size: int, isa: str, dtype: str) -> None:
    """Inside the error bound, each row the same whatever is beside it, in a layer as in the function."""
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(dtype) for s in ((rows, size), (53, size), (53,)))
    y = fc.linear(x, w, b)
    wide = [a.astype(np.longdouble) for a in (x, w, b)]
    exact, magnitude = (xs @ ws.T + bs for xs, ws, bs in (wide, map(np.abs, wide)))
    assert np.all(np.abs(y - exact) <= (6 * np.sqrt(size) + 12) * np.finfo(dtype).eps / 2 * magnitude)
    np.testing.assert_array_equal(np.concatenate([fc.linear(x[:1], w, b), fc.linear(x[1:], w, b)]) if rows > 1 else y, y)
    layer = nn.Linear(size, 53, dtype=dtype)
    layer.weight.data, layer.bias.data = w, b
    np.testing.assert_array_equal(layer(x), y)


@pytest.mark.parametrize("sizes", [(1, 1024, 256), (3, 512, 320), (5, 1024, 130), (9, 2048, 64), (40, 1024, 96), (100, 512, 130), (130, 100, 256), (10, 1088, 260), (33, 1056, 515)])
def test_gradients_of_linear_whatever_is_packed(sizes: tuple[int, int, int], isa: str, dtype: str) -> None:
    """Few rows, many rows, rows that share sets of the cache: inside the error bound, the same for any batch and number of threads."""
    rows, features, results = sizes
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(s).astype(dtype) for s in ((rows, features), (results, features), (rows, results)))
    dx, dw, _ = fc.linear_backward(dy, x, w)
    with fc.threads(2):
        for ours, one_thread in zip(fc.linear_backward(dy, x, w)[:2], (dx, dw), strict=True):
            np.testing.assert_array_equal(ours, one_thread)
    np.testing.assert_array_equal(fc.linear_backward(dy[:1], x[:1], w)[0], dx[:1])
    wide = [a.astype(np.longdouble) for a in (x, w, dy)]
    for actual, terms, product in ((dx, results, lambda x, w, dy: dy @ w), (dw, rows, lambda x, w, dy: dy.T @ x)):
        bound = (6 * np.sqrt(terms) + 12) * np.finfo(dtype).eps / 2 * product(*map(np.abs, wide))
        assert np.all(np.abs(actual - product(*wide)) <= bound)


@pytest.mark.parametrize("shape", [(5, 7), (7,), (2, 3, 7), (0, 7), (1, 7)])
def test_linear(shape: tuple[int, ...], isa: str, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(dtype) for s in (shape, (4, 7), (4,)))
    dy = rng.standard_normal((*shape[:-1], 4)).astype(dtype)
    tolerance = {"rtol": 0, "atol": 200 * np.finfo(dtype).eps}
    np.testing.assert_allclose(fc.linear(x, w, b), reference.linear(x, w, b), **tolerance)
    np.testing.assert_allclose(fc.linear(x, w), reference.linear(x, w), **tolerance)
    expected = reference.linear_backward(dy, x, w)
    for actual, gradient in zip(fc.linear_backward(dy, x, w), expected, strict=True):
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual, gradient, **tolerance)


@BOTH
@pytest.mark.filterwarnings("error")
def test_softmax_of_infinities_is_nan_without_a_warning(module: Any) -> None:
    x = np.array([np.inf, 1, -np.inf])
    np.testing.assert_array_equal(module.softmax(x), [np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(module.log_softmax(x), [np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(module.softmax(x[1:]), [1, 0])
    np.testing.assert_array_equal(module.softmax(np.array([[1e300, 1e300], [-np.inf, -np.inf]])), [[0.5, 0.5], [np.nan, np.nan]])


@pytest.mark.parametrize("name", ["relu", "softmax", "log_softmax"])
def test_elementwise(name: str, dtype: str) -> None:
    x = 30 * np.random.default_rng(0).standard_normal((5, 10)).astype(dtype)
    actual, expected = getattr(fc, name)(x), getattr(reference, name)(x.astype("float64"))
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)
    if name != "relu":
        np.testing.assert_allclose(
            getattr(fc, name)(x, axis=0), getattr(reference, name)(x, axis=0), rtol=1e-5, atol=1e-5
        )


def test_relu_backward(dtype: str) -> None:
    y = np.array([[-1, 0, 2], [3, 0, -0.0]], dtype)
    dy = np.arange(1, 7).reshape(2, 3).astype(dtype)
    np.testing.assert_array_equal(fc.relu_backward(dy, y), [[0, 0, 3], [4, 0, 0]])


def test_explain() -> None:
    plan = fc.explain((1, 64, 56, 56), (64, 64, 3, 3), padding=1)
    assert plan.flops == Problem.parse("n1ic64oc64_ih56kh3ph1").flops
    assert plan.algorithm in str(plan)
    assert plan.reason
    assert 0 <= plan.scratch_bytes < 64 << 20
    ref = fc.explain((1, 64, 56, 56), (64, 64, 3, 3), padding=1, algorithm="ref")
    assert ref.algorithm == "ref"
    with pytest.raises(ValueError, match="stride"):
        fc.explain((1, 64, 56, 56), (64, 64, 3, 3), stride=0)
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got 'foo'"):
        fc.explain((1, 64, 56, 56), (64, 64, 3, 3), dtype="foo")


@pytest.mark.parametrize("shape", [None, "abc", 5, (1, 3.0, 8), (True, 3, 8), np.zeros((1, 3, 8)), np.zeros(3)], ids=repr)
def test_explain_takes_shapes_alone(shape: Any) -> None:
    with pytest.raises(TypeError, match="^x_shape must be a sequence of integers, got"):
        fc.explain(shape, (4, 3, 3))
    with pytest.raises(TypeError, match="^weight_shape must be a sequence of integers, got"):
        fc.explain((1, 3, 8), shape)
    with pytest.raises(ValueError, match="weight_shape must be at least 0"):
        fc.explain((1, 3, 8), (4, 3, -3))


TYPED = """
import numpy as np
import fastconv as fc
x, w = np.ones((1, 2, 8, 8), np.float32), np.ones((3, 2, 3, 3), np.float32)
pooled = fc.max_pool2d(x, 2) + 1
plain = fc.max_pool1d(x[0], 2, return_indices=False) + 1
largest, indices = fc.max_pool2d(x, 2, return_indices=True)
flag = bool(x.size)
either = fc.max_pool1d(x[0], 2, return_indices=flag)
grad_input, grad_weight, grad_bias = fc.conv2d_backward(fc.conv2d(x, w), x, w)
scaled = grad_input * 2
model = fc.nn.Sequential(fc.nn.Conv2d(2, 3, 3), fc.nn.ReLU()).eval()
gradient = model.backward(model(x)) + 1
size = fc.conv_output_size(8, 3) + fc.conv_output_size((8, 8), 3)[0]
"""


def test_types_need_no_casts() -> None:
    api = pytest.importorskip("mypy.api")
    source = str(Path(fc.__file__).parents[1])
    with pytest.MonkeyPatch.context() as patch:
        if "site-packages" not in source:  # where mypy looks by itself, and refuses to be told to
            patch.setenv("MYPYPATH", source)
        report, complaint, failed = api.run(["--strict", "--config-file=", "--cache-dir", os.devnull, "-c", TYPED])
    assert not failed, report + complaint


def test_show_config(capfd: pytest.CaptureFixture[str]) -> None:
    assert fc.show_config() is None
    assert capfd.readouterr().out.strip()


def has_taps_in_padding_alone(problem: Problem) -> bool:
    axes = zip(problem.x_shape[2:], problem.weight_shape[2:], problem.stride, problem.dilation, problem.padding, strict=True)
    for size, kernel, stride, dilation, (before, after) in axes:
        outputs = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
        met = np.arange(kernel) * dilation + np.arange(outputs)[:, None] * stride - before
        if not ((met >= 0) & (met < size)).any(axis=0).all():
            return True
    return False


@pytest.mark.parametrize("pass_", ["fwd", "bwd_data", "bwd_weights"])
def test_auto_is_the_cheapest_that_applies(pass_: str, isa: str) -> None:
    """No short cut on the way to the choice changes it; among them kernels on the edge of paying for transforms."""
    edge = [f"n1ic{ic}oc2_ih{ih}kh{kh}" for ic in (1, 4) for ih in (24, 60, 200) for kh in (5, 8, 11, 16)]
    for problem in (*CATALOGUE, *map(Problem.parse, edge)):
        shapes, settings = (problem.x_shape, problem.weight_shape), problem.arguments()
        cycles = {}
        for algorithm in _conv_arguments.ALGORITHMS[pass_]:
            try:
                plan = fc.explain(*shapes, **settings, pass_=pass_, algorithm=algorithm)
            except ValueError:
                continue
            cycles[algorithm] = plan.cycles
        if math.prod(problem.weight_shape[2:]) < 24:
            cycles.pop("fft", None)  # which has to be asked for
        auto = cycles.pop("auto")
        least = min(cycles.values())
        assert auto == least or (auto < least and has_taps_in_padding_alone(problem)), problem
