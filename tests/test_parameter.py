"""Parameters: what they take, and what takes them."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn


def test_assignment_keeps_shape_and_dtype() -> None:
    parameter = nn.Parameter(np.zeros((2, 3), np.float32), "w")
    parameter.data = np.ones((2, 3))
    assert parameter.data.dtype == np.float32
    assert parameter.data.all()
    with pytest.raises(ValueError, match=r"w: expected shape \(2, 3\), got \(3, 2\)"):
        parameter.data = np.ones((3, 2))
    with pytest.raises(TypeError, match="complex"):
        parameter.data = np.ones((2, 3), complex)


def test_gradient_has_the_dtype_of_the_data() -> None:
    layer = nn.Linear(2, 2)
    layer.backward(np.ones_like(layer(np.ones((1, 2), np.float64))))
    assert layer.weight.grad.dtype == np.float32


def test_functions_take_parameters() -> None:
    layer, x = nn.Conv2d(2, 3, 3, rng=0), np.random.default_rng(0).standard_normal((1, 2, 5, 5), dtype=np.float32)
    for mode in (True, False):
        layer.train(mode)
        np.testing.assert_array_equal(fc.conv2d(x, layer.weight, layer.bias), fc.conv2d(x, layer.weight.data, layer.bias.data))
    assert np.shares_memory(np.asarray(layer.weight), layer.weight.data)
    assert not np.shares_memory(np.array(layer.weight), layer.weight.data)
    assert np.asarray(layer.weight, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        np.array(layer.weight, np.float64, copy=False)
