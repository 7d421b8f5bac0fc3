"""Gradients against finite differences in float64, for every variant, in the library and in the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import function
from differences import central_difference
from problems import Problem

import fastconv as fc
from fastconv import reference

BOTH = pytest.mark.parametrize("module", [fc, reference], ids=["library", "reference"])

VARIANTS = [
    "n2ic2oc3_iw7kw3",
    "n3ic3oc2_iw9kw3sw2",
    "n2ic2oc3_iw8kw3pw1dw2",
    "n1ic2oc2_iw6kw3pl2",
    "n1ic2oc2_iw9kw2sw4",
    "n2g2ic4oc2_iw6kw3pw1",
    "n1g3ic3oc6_iw7kw3pw1",
    "n1ic2oc2_iw6kw3pl2pr1_reflect",
    "n1ic2oc2_iw5kw3sw2pw6_replicate",
    "n1ic2oc2_iw5kw4pl3pr5dw2_circular",
    "n2ic2oc3_ih5kh3ph1",
    "n1ic3oc2_ih4kh1",
    "n1ic2oc2_ih7iw6kh3kw2sh2sw3ph1pw0",
    "n1ic2oc2_ih5iw4kh3ph2dh2dw1",
    "n1ic2oc1_ih4kh2pt0pb2pl1pr0",
    "n1g2ic4oc6_ih4kh3ph1",
    "n1g4ic4oc4_ih5kh3sh2ph1",
    "n1ic1oc2_ih4kh4",
    "n1ic1oc2_ih3kh3ph4",
    "n1ic2oc1_ih4iw3kh3ph2_reflect",
    "n1ic1oc2_ih3kh3ph2dh2_replicate",
    "n1ic1oc2_ih3iw4kh3kw2sh2ph3pw1_circular",
]


@BOTH
@pytest.mark.parametrize("name", VARIANTS)
def test_conv(module: Any, name: str) -> None:
    problem = Problem.parse(name)
    x, w, b, dy = problem.arrays("float64")
    conv = function(module, "conv", problem.ndim)

    def loss() -> float:
        return float(np.vdot(dy, conv(x, w, b, **problem.arguments())))

    gradients = function(module, "conv_backward", problem.ndim)(dy, x, w, **problem.arguments())
    for array, gradient in zip((x, w, b), gradients, strict=True):
        # The loss is linear in each of them, so a step of 1 has no error but rounding.
        np.testing.assert_allclose(gradient, central_difference(loss, array, 1.0), rtol=1e-9, atol=1e-9)


@BOTH
def test_conv_and_relu(module: Any) -> None:
    problem = Problem.parse("n2ic2oc3_iw7kw3")
    x, w, b, dy = problem.arrays("float64")

    def loss() -> float:
        return float(np.vdot(dy, module.conv1d(x, w, b, activation="relu")))

    y = module.conv1d(x, w, b, activation="relu")
    gradients = module.conv1d_backward(module.relu_backward(dy, y), x, w)
    for array, gradient in zip((x, w, b), gradients, strict=True):
        np.testing.assert_allclose(gradient, central_difference(loss, array, 1e-6), rtol=1e-6, atol=1e-6)


@BOTH
@pytest.mark.parametrize("shape", [(3, 4), (4,), (2, 2, 4)])
def test_linear(module: Any, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, w, b, dy = (rng.standard_normal(s) for s in (shape, (5, 4), (5,), (*shape[:-1], 5)))

    def loss() -> float:
        return float(np.vdot(dy, module.linear(x, w, b)))

    for array, gradient in zip((x, w, b), module.linear_backward(dy, x, w), strict=True):
        np.testing.assert_allclose(gradient, central_difference(loss, array, 1.0), rtol=1e-9, atol=1e-9)
