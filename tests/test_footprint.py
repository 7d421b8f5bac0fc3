"""A NaN or Inf reaches exactly the outputs whose window covers it; denormals only what they are worth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from bounds import ALGORITHMS, TILE, TRANSFORMS, backward, expected, forward, function
from problems import Problem, parse

import fastconv as fc
from fastconv import reference

PROBLEMS = parse("""
    n2ic3oc5_iw33kw3pw1  n5ic15oc15_iw9kw3sw2  n1ic1oc2_iw80kw31pw15  n2ic2oc3_iw17kw2sw3
    n1ic2oc2_iw9kw3pl2pr1_reflect  n1ic3oc4_ih8kh3ph1  n1ic17oc17_ih7kh3ph1  n1ic33oc9_ih9iw22kh3ph1
    n2ic18oc3_iw37kw5pw2  n1ic34oc3_ih11iw6kh3ph1_reflect  n2ic5oc33_ih6kh1  n1ic3oc8_ih13kh7sh2ph3
    n1ic4oc4_ih12kh3ph2dh2  n2g2ic4oc6_ih7kh3ph1  n1g8ic8oc8_ih9kh3ph1  n1ic2oc3_ih5kh3ph2_circular
""")
problems = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


def places(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The first element, the last, and some between."""
    rng = np.random.default_rng(0)
    yield (0,) * len(shape)
    yield tuple(size - 1 for size in shape)
    for _ in range(4):
        yield tuple(int(rng.integers(size)) for size in shape)


@problems
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_fwd(problem: Problem, algorithm: str, poison: float, isa: str, dtype: str) -> None:
    x, w, b, _ = problem.arrays(dtype)
    clean = forward(fc, problem, (x, w, b), algorithm)
    if clean is None:
        pytest.skip("the algorithm does not apply")
    conv = function(reference, "conv", problem.ndim)
    for place in places(x.shape):
        poisoned, mark = x.copy(), np.zeros_like(x)
        poisoned[place], mark[place] = poison, 1
        covered = conv(mark, np.ones_like(w), **problem.arguments()) > 0
        y = forward(fc, problem, (poisoned, w, b), algorithm)
        np.testing.assert_array_equal(~np.isfinite(y), covered)
        if algorithm in TRANSFORMS:  # the rest of a tile is computed again, and rounds in another way
            within = expected(problem, dtype)["fwd"].tolerance(dtype, TRANSFORMS[algorithm])
            np.testing.assert_array_less(np.abs(y - clean)[~covered], 2 * within[~covered])
        else:
            np.testing.assert_array_equal(y[~covered], clean[~covered])


@problems
def test_bwd(problem: Problem, isa: str, dtype: str) -> None:
    x, w, _, dy = problem.arrays(dtype)
    backward = function(fc, "conv_backward", problem.ndim)
    oracle = function(reference, "conv_backward", problem.ndim)
    for place in places(dy.shape):
        poisoned, mark = dy.copy(), np.zeros_like(dy)
        poisoned[place], mark[place] = np.nan, 1
        dx, _, db = backward(poisoned, x, w, **problem.arguments())
        covered, _, from_channel = oracle(mark, x, np.ones_like(w), **problem.arguments())
        np.testing.assert_array_equal(np.isnan(dx), covered > 0)
        np.testing.assert_array_equal(np.isnan(db), from_channel > 0)
    for place in places(x.shape):
        poisoned, mark = x.copy(), np.zeros_like(x)
        poisoned[place], mark[place] = np.nan, 1
        dx, dw, _ = backward(dy, poisoned, w, **problem.arguments())
        covered = oracle(np.ones_like(dy), mark, w, **problem.arguments())[1]
        np.testing.assert_array_equal(np.isnan(dw), covered > 0)
        assert np.isfinite(dx).all()


@pytest.mark.parametrize("problem", parse("n1ic11oc49_ih14kh4sh2ph1  n2ic9oc36_iw40kw6sw3pw2"), ids=str)
def test_lattices_of_winograd(problem: Problem, isa: str, dtype: str) -> None:
    x, w, b, dy = problem.arrays(dtype)
    clean = backward(problem, (x, w, b, dy), "bwd_data", "winograd")
    oracle = function(reference, "conv_backward", problem.ndim)
    for place in places(dy.shape):
        poisoned, mark = dy.copy(), np.zeros_like(dy)
        poisoned[place], mark[place] = np.inf, 1
        covered = oracle(mark, x, np.ones_like(w), **problem.arguments())[0] > 0
        dx = backward(problem, (x, w, b, poisoned), "bwd_data", "winograd")
        np.testing.assert_array_equal(~np.isfinite(dx), covered)
        within = expected(problem, dtype)["bwd_data"].tolerance(dtype, TILE)
        np.testing.assert_array_less(np.abs(dx - clean)[~covered], 2 * within[~covered])


def test_relu_keeps_nan() -> None:
    x = np.array([[[1.0, np.nan, -1.0, -np.inf, np.inf]]], np.float32)
    one = np.ones((1, 1, 1), np.float32)
    expected = [[[1, np.nan, 0, 0, np.inf]]]
    np.testing.assert_array_equal(fc.relu(x), expected)
    np.testing.assert_array_equal(fc.conv1d(x, one, activation="relu"), expected)


@problems
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_denormals(problem: Problem, algorithm: str, isa: str, dtype: str) -> None:
    """Kernels may take a denormal for zero, and give the caller's floating-point mode back."""
    tiny = np.finfo(dtype).tiny
    x, w, b, _ = problem.arrays(dtype)
    x, b = x * tiny, b * 0
    y = forward(fc, problem, (x, w, b), algorithm)
    if y is None:
        pytest.skip("the algorithm does not apply")
    exact = function(reference, "conv", problem.ndim)(x * 2.0**40, w, b, **problem.arguments()) / 2.0**40
    terms = w[0].size
    np.testing.assert_array_less(np.abs(y - exact), terms * (2 + np.abs(w).max()) * float(tiny))
    assert np.array([tiny], dtype)[0] / 2 > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_taps_that_meet_nothing_but_padding(bad: float, dtype: str) -> None:
    """They are left out, unless what they would give is no zero: an infinite weight times padding."""
    problem = Problem.parse("n3ic7oc5_ih7iw8kh3sh4ph10dh10")
    (x, w, b, dy), arguments = problem.arrays(dtype), problem.arguments()
    assert np.isfinite(fc.conv2d(x, w, b, **arguments)).all()
    grad_weight = fc.conv2d_backward(dy, x, w, **arguments)[1]
    assert np.count_nonzero(grad_weight) == np.count_nonzero(grad_weight[:, :, 1, 1]) > 0
    w[1, 2, 0, 0] = bad
    plan = fc.plan_conv2d(x.shape, w, b, **arguments)
    for y in (fc.conv2d(x, w, b, **arguments), plan(x), fc.conv2d(x, w, b, **arguments, algorithm="direct")):
        assert np.isnan(y[:, 1]).all()
        assert np.isfinite(y[:, [0, 2, 3, 4]]).all()
    assert np.isfinite(fc.conv2d_backward(dy, x, w, **arguments)[0]).all()
    dy[0, 0, 0, 0] = bad
    assert not np.isfinite(fc.conv2d_backward(dy, x, w, **arguments)[1][0]).any()
