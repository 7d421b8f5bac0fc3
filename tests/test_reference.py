"""The oracle against simpler things: the seven loops, NumPy's own functions, a matrix, the lecture."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from bounds import function
from problems import Problem

from fastconv import reference, shapes

TINY = [
    "n2ic3oc4_iw9kw3pw1",
    "n1g2ic4oc6_iw11kw2sw3pl2dw2",
    "n2ic2oc3_iw5kw3pl3pr2_reflect",
    "n1ic2oc3_iw4kw3sw2pw6_replicate",
    "n1ic1oc2_iw3kw3pl3pr1dw2_circular",
    "n2ic3oc2_ih5kh3ph1",
    "n1g3ic3oc6_ih6iw4kh3kw2sh2sw1pt1pb0pl2pr1",
    "n1ic2oc2_ih6kh2sh3ph1dh3dw2",
    "n1ic2oc3_ih4iw3kh3ph2_reflect",
    "n1ic1oc2_ih3iw4kh2ph4_replicate",
    "n1ic2oc1_ih3iw4kh3ph3_circular",
]


def source_of(position: int, size: int, mode: str) -> int | None:
    """The place that a padded place is copied from, by stepping there; None for a zero."""
    if 0 <= position < size:
        return position
    if mode == "zeros":
        return None
    if mode == "replicate":
        return 0 if position < 0 else size - 1
    if mode == "circular":
        return position % size
    return -position if position < 0 else 2 * (size - 1) - position


def seven_loops(problem: Problem, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The definition, one multiplication at a time."""
    y = np.zeros(problem.output_shape)
    starts = [before for before, _ in problem.padding]
    in_group, out_group = problem.ic // problem.g, problem.oc // problem.g
    for n, o, *position in np.ndindex(*y.shape):
        y[n, o, *position] = b[o]
        for i, *tap in np.ndindex(in_group, *problem.kernel):
            source = [
                source_of(p * s + t * d - before, size, problem.padding_mode)
                for p, s, t, d, before, size in zip(
                    position, problem.stride, tap, problem.dilation, starts, problem.size, strict=True
                )
            ]
            if None not in source:
                y[n, o, *position] += w[o, i, *tap] * x[n, o // out_group * in_group + i, *source]
    return y


@pytest.mark.parametrize("name", TINY)
def test_forward_is_the_seven_loops(name: str) -> None:
    problem = Problem.parse(name)
    x, w, b, _ = problem.arrays(np.float64)
    actual = function(reference, "conv", problem.ndim)(x, w, b, **problem.arguments())
    np.testing.assert_allclose(actual, seven_loops(problem, x, w, b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TINY)
def test_backward_is_the_adjoint(name: str) -> None:
    """conv is linear in x, w and b: each gradient is fixed by <dy, conv(u)> = <gradient, u> for all u."""
    problem = Problem.parse(name)
    x, w, _, dy = problem.arrays(np.float64)
    u, v, c, _ = problem.arrays(np.float64, seed=1)
    conv = function(reference, "conv", problem.ndim)
    dx, dw, db = function(reference, "conv_backward", problem.ndim)(dy, x, w, **problem.arguments())
    assert np.vdot(dx, u) == pytest.approx(np.vdot(dy, conv(u, w, **problem.arguments())))
    assert np.vdot(dw, v) == pytest.approx(np.vdot(dy, conv(x, v, **problem.arguments())))
    bias_only = conv(0 * x, w, c, **problem.arguments())
    assert np.vdot(db, c) == pytest.approx(np.vdot(dy, bias_only))


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_one_channel_is_numpy_s_correlate(mode: str) -> None:
    rng = np.random.default_rng(0)
    signal, kernel = rng.standard_normal(20), rng.standard_normal(5)
    padding = {"full": 4, "same": 2, "valid": 0}[mode]
    actual = reference.conv1d(signal[None], kernel[None, None], padding=padding)[0]
    np.testing.assert_allclose(actual, np.correlate(signal, kernel, mode))
    flipped = reference.conv1d(signal[None], kernel[None, None, ::-1], padding=padding)[0]
    np.testing.assert_allclose(flipped, np.convolve(signal, kernel, mode))


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "options"),
    [
        ((2, 7), (3, 2, 3), {}),
        ((2, 7), (3, 2, 2), {"stride": 2, "padding": (0, 3), "dilation": 2}),
        ((1, 6), (1, 1, 3), {"padding": "causal", "stride": 2}),
        ((2, 5, 4), (3, 2, 3, 2), {"stride": (2, 1), "padding": ((1, 0), 2)}),
        ((1, 5, 5), (2, 1, 3, 3), {"padding": "same", "stride": 3}),
    ],
)
def test_conv_matrix(x_shape: tuple[int, ...], w_shape: tuple[int, ...], options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    y = function(reference, "conv", len(x_shape) - 1)(x, w, **options)
    matrix = shapes.conv_matrix(w, x_shape[1:], **options)
    np.testing.assert_allclose(matrix @ x.ravel(), y.ravel())


def test_conv_matrix_shares_its_weights() -> None:
    """The lecture: fully connected 36 weights, convolution 3."""
    matrix = shapes.conv_matrix(np.array([[[1.0, 2.0, 3.0]]]), 6, padding=1)
    assert matrix.shape == (6, 6)
    assert set(matrix[matrix != 0]) == {1.0, 2.0, 3.0}


@pytest.mark.parametrize(
    ("size", "kernel", "options", "expected"),
    [
        (11, 3, {"padding": 1, "stride": 2}, 6),
        (13, 3, {"stride": 3}, 4),
        (11, 1, {"stride": 2}, 6),
        (12, 1, {"stride": 2}, 6),
        (40, 3, {"stride": 2}, 19),
        (19, 3, {"stride": 2}, 9),
        (9, 3, {"stride": 2}, 4),
        (9, 3, {"dilation": 3}, 3),
        (9, 4, {"padding": "same"}, 9),
        (10, 3, {"padding": "same", "stride": 4}, 3),
        (10, 3, {"padding": "same_lower", "stride": 4}, 3),
        (10, 3, {"padding": "causal", "stride": 4, "dilation": 2}, 3),
        (10, 1, {"padding": "same", "stride": 4}, 3),
        (10, 3, {"padding": (0, 2)}, 10),
        ((10, 8), 3, {}, (8, 6)),
        ((10, 8), (3, 1), {"padding": (1, (0, 2))}, (10, 10)),
        ((10,), 3, {}, (8,)),
    ],
)
def test_conv_output_size(size: Any, kernel: Any, options: dict[str, Any], expected: Any) -> None:
    assert shapes.conv_output_size(size, kernel, **options) == expected


def test_conv_output_size_names_its_own_arguments() -> None:
    with pytest.raises(ValueError, match=r"^kernel_size=3 with dilation=1 spans .* padded size \(2,\) \(size=2, padding=0\)"):
        shapes.conv_output_size(2, 3)


def test_same_puts_the_extra_zero_after_and_same_lower_before() -> None:
    x, w = np.arange(1.0, 5.0)[None], np.array([[[1.0, 10.0]]])
    np.testing.assert_array_equal(reference.conv1d(x, w, padding="same"), [[21, 32, 43, 4]])
    np.testing.assert_array_equal(reference.conv1d(x, w, padding="same_lower"), [[10, 21, 32, 43]])
    np.testing.assert_array_equal(reference.conv1d(x, w, padding="causal"), [[10, 21, 32, 43]])


def test_linear_is_a_convolution_over_the_whole_input() -> None:
    rng = np.random.default_rng(0)
    x, w, b, dy = (rng.standard_normal(shape) for shape in ((5, 6), (4, 6), 4, (5, 4)))
    as_conv = reference.conv1d(x[..., None], w[..., None], b)[..., 0]
    np.testing.assert_allclose(reference.linear(x, w, b), as_conv)
    conv_grads = reference.conv1d_backward(dy[..., None], x[..., None], w[..., None])
    for actual, expected in zip(reference.linear_backward(dy, x, w), conv_grads, strict=True):
        np.testing.assert_allclose(actual, expected.reshape(actual.shape))


def test_softmax() -> None:
    x = np.array([[1000.0, 1000.0 + np.log(3)], [-1000.0, 1000.0]])
    np.testing.assert_allclose(reference.softmax(x), [[0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(reference.log_softmax(x), [[np.log(0.25), np.log(0.75)], [-2000, 0]])
    np.testing.assert_allclose(reference.softmax(x, axis=0).sum(axis=0), 1)


def test_relu() -> None:
    x = np.array([-1.0, 0.0, 2.0, np.nan], np.float32)
    np.testing.assert_array_equal(reference.relu(x), [0, 0, 2, np.nan])
    np.testing.assert_array_equal(reference.relu_backward(np.full(4, 5.0), x), [0, 0, 5, 0])


def test_docstrings() -> None:
    result = doctest.testmod(shapes)
    assert result.attempted > 0
    assert result.failed == 0
