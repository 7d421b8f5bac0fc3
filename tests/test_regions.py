"""Where most of every window lies in padding, regions of the outputs are solved one by one, and nothing shows it."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from bounds import TILE, assert_within, expected, function
from problems import Problem, parse

import fastconv as fc

# In the fourth most outputs meet no tap, in the sixth most windows of the gradient are padding; in the seventh the cut axis lies beside
# one with strides; in the last line no tap meets anything.
PROBLEMS = parse("""
    n1ic30oc20_ih2iw90kh10kw4ph9pw0  n2ic20oc24_ih3iw200kh3sh2sw1ph40pw1dh20dw1
    n1ic12oc20_ih30kh5sh2ph80dh20  n2ic10oc16_ih40iw30kh9kw7ph50  n2ic60oc61_iw40kw3pw400dw20
    n1g2ic160oc40_ih40iw40kh3kw9ph1pw0dh1dw4  n1ic24oc6_ih60iw24kh3kw22sh2sw1ph1pw0
    n2ic80oc2_ih4iw30kh2ph3dh7  n2g7ic7oc7_ih4iw29kh2kw1sh4ph5pw0dh10dw8  n2ic3oc4_ih1kh1sh2ph1  n3ic4oc5_iw2kw2pw4dw8
""")
problems = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


@problems
def test_within_the_bound(problem: Problem, isa: str, dtype: str) -> None:
    x, w, b, dy = problem.arrays(dtype)
    y = function(fc, "conv", problem.ndim)(x, w, b, **problem.arguments())
    assert_within(y, expected(problem, dtype)["fwd"], dtype, TILE)
    dx, _, _ = function(fc, "conv_backward", problem.ndim)(
        dy, x, w, **problem.arguments(), need=(True, False, False)
    )
    assert_within(dx, expected(problem, dtype)["bwd_data"], dtype, TILE)


@problems
def test_activation_out_and_batch(problem: Problem, dtype: str) -> None:
    x, w, b, _ = problem.arrays(dtype)
    conv, arguments = function(fc, "conv", problem.ndim), problem.arguments()
    y = conv(x, w, b, **arguments)
    out = np.full_like(y, np.nan)
    assert conv(x, w, b, **arguments, activation="relu", out=out) is out
    np.testing.assert_array_equal(out, np.maximum(y, 0))
    np.testing.assert_array_equal(conv(x[0], w, b, **arguments), y[0])
    for threads in (1, 3):
        with fc.threads(threads):
            np.testing.assert_array_equal(conv(x, w, b, **arguments), y)


def test_gradient_through_relu() -> None:
    x, w, _, dy = Problem.parse("n1ic20oc40_ih11iw90kh10kw4").arrays("float32")
    x = np.maximum(x, 0)
    layer = fc.nn.Conv2d(20, 40, (10, 4), bias=False)
    layer.weight.data[...] = w
    layer(x)
    dx = layer.backward(dy).copy()
    layer(x)
    np.testing.assert_array_equal(layer.backward(dy, through_relu=True), np.where(x > 0, dx, 0))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_times_padding(bad: float, dtype: str) -> None:
    """An infinite weight times a zero of the padding is NaN: the whole problem is solved."""
    problem = Problem.parse("n2ic10oc16_ih40iw30kh9kw7ph50")
    x, w, b, _ = problem.arrays(dtype)
    w[3, 2, 0, 0] = bad
    y = fc.conv2d(x, w, b, **problem.arguments())
    assert not np.isfinite(y[:, 3]).any()
    assert np.isfinite(np.delete(y, 3, axis=1)).all()


@problems
def test_that_they_are_solved_one_by_one(problem: Problem) -> None:
    script = (
        "import sys, fastconv as fc\n"
        "from fastconv.problem import Problem\n"
        "p = Problem.parse(sys.argv[1])\n"
        "x, w, b, dy = p.arrays('float32')\n"
        "getattr(fc, f'conv{p.ndim}d')(x, w, b, **p.arguments())\n"
        "getattr(fc, f'conv{p.ndim}d_backward')(dy, x, w, **p.arguments(), need=(True, False, False))\n"
    )
    environment = {**os.environ, "FASTCONV_VERBOSE": "1"}
    told = subprocess.run(
        [sys.executable, "-c", script, str(problem)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in (told.stdout + told.stderr).splitlines() if line.startswith("fastconv,")]
    assert len(lines) != 2 or any(f",{problem}," not in line for line in lines)


@problems
def test_a_plan_does_the_same(problem: Problem, isa: str, dtype: str) -> None:
    x, w, b, _ = problem.arrays(dtype)
    conv, plan_conv = function(fc, "conv", problem.ndim), function(fc, "plan_conv", problem.ndim)
    for activation in (None, "relu"):
        y = conv(x, w, b, **problem.arguments(), activation=activation)
        plan = plan_conv(x.shape, w, b, **problem.arguments(), activation=activation)
        assert plan.packed_bytes > 0
        out = np.full_like(y, np.nan)
        assert plan(x, out=out) is out
        for threads in (1, 3):
            with fc.threads(threads):
                np.testing.assert_array_equal(plan(x), out)
        if plan.algorithm == fc.explain(x.shape, w.shape, **problem.arguments(), dtype=dtype).algorithm:
            np.testing.assert_array_equal(out, y)
        elif activation is None:  # a plan counts what a network leaves in the caches, and may choose otherwise
            assert_within(out, expected(problem, dtype)["fwd"], dtype, TILE)


def test_a_residual_around_regions() -> None:
    problem = Problem.parse("n1ic20oc20_ih3iw200kh3sh1sw1ph40pw1dh40dw1")
    x, w, b, _ = problem.arrays("float32")
    body = fc.nn.Conv2d(20, 20, 3, padding=(40, 1), dilation=(40, 1))
    body.weight.data[...], body.bias.data[...] = w, b
    layer = fc.nn.Residual(fc.nn.Sequential(body), activation="relu")
    trained = layer(x).copy()
    layer.eval()
    np.testing.assert_allclose(layer(x), trained, rtol=1e-5, atol=1e-4)
