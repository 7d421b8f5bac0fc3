"""The operators and their layers give PyTorch's numbers: values, indices, gradients, running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from operators import Call, Transposed, linear_maps, pools, transposed

import fastconv as fc
from fastconv import nn

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.torch

F = torch.nn.functional
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def gradient_of(y: Any, x: Any, dy: np.ndarray) -> np.ndarray:
    y.backward(torch.from_numpy(dy))
    return x.grad.numpy()


@given(pools("max_pool"))
def test_max_pool(call: Call) -> None:
    if call.shape[0] == 0:
        return
    x = call.x("float64")
    tensor = torch.from_numpy(x).requires_grad_()
    theirs, their_indices = call.function(F)(tensor, **call.arguments, return_indices=True)
    y, indices = call.function(fc)(x, **call.arguments, return_indices=True)
    np.testing.assert_array_equal(y, theirs.detach())
    np.testing.assert_array_equal(indices, their_indices)
    dy = np.random.default_rng(0).standard_normal(y.shape)
    np.testing.assert_allclose(call.function(fc, "_backward")(dy, indices, x.shape), gradient_of(theirs, tensor, dy), **CLOSE)


@given(linear_maps)
def test_linear_maps(call: Call) -> None:
    if call.shape[0] == 0:
        return
    x = call.x("float64")
    tensor = torch.from_numpy(x).requires_grad_()
    theirs = call.function(F)(tensor, **call.arguments)
    y = call.function(fc)(x, **call.arguments)
    np.testing.assert_allclose(y, theirs.detach(), **CLOSE)
    dy = np.random.default_rng(0).standard_normal(y.shape)
    arguments = {} if call.name == "adaptive_avg_pool" else call.arguments
    dx = call.function(fc, "_backward")(dy, x.shape, **arguments)
    np.testing.assert_allclose(dx, gradient_of(theirs, tensor, dy), **CLOSE)


@given(transposed())
def test_conv_transpose(call: Transposed) -> None:
    if call.shape[0] == 0:
        return
    arrays = call.arrays("float64")
    tensors = [torch.from_numpy(array).requires_grad_() for array in arrays]
    theirs = call.function(F)(*tensors, **call.arguments)
    y = call.function(fc)(*arrays, **call.arguments)
    np.testing.assert_allclose(y, theirs.detach(), **CLOSE)
    dy = np.random.default_rng(0).standard_normal(y.shape)
    theirs.backward(torch.from_numpy(dy))
    gradients = call.function(fc, "_backward")(dy, *arrays[:2], **call.arguments)
    for ours, tensor in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(ours, tensor.grad, **CLOSE)


# ---- layers ----------------------------------------------------------------------------------------------


def both(name: str, *arguments: Any, **keywords: Any) -> tuple[Any, Any]:
    return getattr(nn, name)(*arguments, **keywords), getattr(torch.nn, name)(*arguments, **keywords)


LAYERS = {
    "max_pool2d": (both("MaxPool2d", 3, 2, 1), (2, 3, 9, 8)),
    "max_pool1d": (both("MaxPool1d", 2, ceil_mode=True), (2, 3, 9)),
    "avg_pool2d": (both("AvgPool2d", (3, 2), 2, 1, count_include_pad=False), (2, 3, 9, 8)),
    "avg_pool1d": (both("AvgPool1d", 3, 1, 1), (2, 3, 9)),
    "adaptive2d": (both("AdaptiveAvgPool2d", (3, 4)), (2, 3, 9, 8)),
    "adaptive1d": (both("AdaptiveAvgPool1d", 5), (2, 3, 9)),
    "upsample": (both("Upsample", scale_factor=2, mode="bilinear"), (2, 3, 5, 4)),
    "upsample1d": (both("Upsample", size=13, mode="linear", align_corners=True), (2, 3, 5)),
    "transpose2d": (both("ConvTranspose2d", 4, 6, 3, 2, 1, 1, 2), (2, 4, 5, 6)),
    "transpose1d": (both("ConvTranspose1d", 4, 6, 4, stride=2, padding=1, bias=False), (2, 4, 7)),
    "batch_norm2d": (both("BatchNorm2d", 3, momentum=None), (4, 3, 5, 6)),
    "batch_norm1d": (both("BatchNorm1d", 3, eps=1e-3), (4, 3, 9)),
    "batch_norm_rows": (both("BatchNorm1d", 30, affine=False), (14, 30)),
    "batch_norm_untracked": (both("BatchNorm1d", 3, track_running_stats=False), (4, 3, 9)),
    "leaky_relu": (both("LeakyReLU", 0.2), (4, 9)),
    "gelu": (both("GELU"), (4, 9)),
    "gelu_tanh": (both("GELU", approximate="tanh"), (4, 9)),
    "sigmoid": (both("Sigmoid"), (4, 9)),
    "tanh": (both("Tanh"), (4, 9)),
    "softmax": (both("Softmax", dim=1), (2, 5, 3)),
    "log_softmax": (both("LogSoftmax", dim=-1), (2, 5, 3)),
    "zero_pad2d": (both("ZeroPad2d", (1, 2, 0, 3)), (2, 3, 4, 5)),
    "zero_pad1d": (both("ZeroPad1d", 2), (2, 3, 4)),
    "identity": (both("Identity"), (2, 3)),
}


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_their_states(name: str, mode: str) -> None:
    (ours, theirs), shape = LAYERS[name]
    state = {key: value.numpy() for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == {k: v.shape for k, v in state.items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in ours.state_dict().items()})
    getattr(ours, mode)(), getattr(theirs, mode)()
    for seed in range(2):
        x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        tensor = torch.from_numpy(x).requires_grad_()
        y, their_y = ours(x), theirs(tensor)
        np.testing.assert_allclose(y, their_y.detach(), rtol=1e-5, atol=1e-5)
        dy = np.random.default_rng(9).standard_normal(y.shape).astype(np.float32)
        ours.zero_grad(), theirs.zero_grad()
        np.testing.assert_allclose(ours.backward(dy), gradient_of(their_y, tensor, dy), rtol=1e-4, atol=1e-5)
        for parameter, their_parameter in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(parameter.grad, their_parameter.grad, rtol=1e-4, atol=1e-4)
        for key, value in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[key], value, rtol=1e-5, atol=1e-6, err_msg=key)
    ours.train(), theirs.train()


@pytest.mark.parametrize("output_size", [None, (6, 8), (7, 9), (2, 3, 7, 9)])
def test_unpool_layers(output_size: tuple[int, ...] | None) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 8) if output_size in (None, (6, 8)) else (2, 3, 7, 9))
    y, indices = nn.MaxPool2d(2, return_indices=True)(x)
    theirs, their_indices = torch.nn.MaxPool2d(2, return_indices=True)(torch.from_numpy(x))
    expected = torch.nn.MaxUnpool2d(2)(theirs, their_indices, output_size)
    np.testing.assert_array_equal(nn.MaxUnpool2d(2)(y, indices, output_size), expected)
