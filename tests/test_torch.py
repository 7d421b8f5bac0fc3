"""The same numbers as PyTorch, where that is installed: another oracle, with other authors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import function
from problems import CATALOGUE, Problem

import fastconv as fc

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch


def torch_conv(problem: Problem, x: Any, w: Any, b: Any) -> Any:
    """PyTorch pads asymmetrically, and in modes, by a function of its own, last dimension first."""
    mode = "constant" if problem.padding_mode == "zeros" else problem.padding_mode
    sides = [side for pair in reversed(problem.padding) for side in pair]
    conv = getattr(torch.nn.functional, f"conv{problem.ndim}d")
    padded = torch.nn.functional.pad(x, sides, mode=mode)
    return conv(padded, w, b, stride=problem.stride, dilation=problem.dilation, groups=problem.g)


@pytest.mark.parametrize("problem", CATALOGUE, ids=str)
def test_forward_and_backward(problem: Problem) -> None:
    arrays = problem.arrays("float64")
    x, w, b = (torch.from_numpy(array).requires_grad_() for array in arrays[:3])
    y = torch_conv(problem, x, w, b)
    y.backward(torch.from_numpy(arrays[3]))
    expected = [tensor.detach().numpy() for tensor in (y, x.grad, w.grad, b.grad)]

    actual = function(fc, "conv", problem.ndim)(*arrays[:3], **problem.arguments())
    backward = function(fc, "conv_backward", problem.ndim)
    gradients = backward(arrays[3], *arrays[:2], **problem.arguments())
    for ours, theirs in zip((actual, *gradients), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_tensors_are_taken() -> None:
    """By ``__array__`` or ``__dlpack__``; those that need a gradient are refused with a word."""
    x, w = torch.randn(2, 3, 9), torch.randn(4, 3, 3)
    y = fc.conv1d(x, w)
    assert isinstance(y, np.ndarray)
    np.testing.assert_allclose(y, torch.nn.functional.conv1d(x, w).numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(TypeError, match=r"weight .* requires grad"):
        fc.conv1d(x, w.requires_grad_())
    with pytest.raises(TypeError, match="x of type Tensor"):
        fc.conv1d(x.to("meta"), w.detach())


@pytest.mark.parametrize("name", ["relu", "softmax", "log_softmax"])
def test_elementwise(name: str) -> None:
    x = np.random.default_rng(0).standard_normal((4, 10))
    options = {} if name == "relu" else {"dim": -1}
    theirs = getattr(torch.nn.functional, name)(torch.from_numpy(x), **options).numpy()
    np.testing.assert_allclose(getattr(fc, name)(x), theirs, rtol=1e-12, atol=1e-12)
