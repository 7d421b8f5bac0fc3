"""Gradients of the operators against finite differences in float64, in the library and in the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from differences import central_difference
from test_gradients import BOTH

import fastconv as fc  # noqa: F401
from fastconv import nn

LINEAR: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("avg_pool1d", (2, 2, 9), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", (1, 2, 5, 6), {"kernel_size": (3, 2), "stride": 1, "padding": (1, 0), "count_include_pad": False}),
    ("adaptive_avg_pool1d", (2, 7), {"output_size": 3}),
    ("adaptive_avg_pool2d", (1, 1, 5, 7), {"output_size": (2, 9)}),
    ("interpolate", (1, 2, 5), {"size": 8, "mode": "linear"}),
    ("interpolate", (1, 1, 4, 5), {"scale_factor": 2, "mode": "bilinear", "align_corners": True}),
    ("interpolate", (1, 1, 4, 5), {"size": (7, 3)}),
]


@BOTH
@pytest.mark.parametrize(("name", "shape", "arguments"), LINEAR)
def test_linear_maps(module: Any, name: str, shape: tuple[int, ...], arguments: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    dy = rng.standard_normal(getattr(module, name)(x, **arguments).shape)
    kept = {} if name.startswith("adaptive") else arguments
    gradient = getattr(module, f"{name}_backward")(dy, shape, **kept)
    expected = central_difference(lambda: float(np.vdot(dy, getattr(module, name)(x, **arguments))), x, 1.0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9)


@BOTH
def test_max_pool_and_unpool(module: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.permutation(60).reshape(1, 2, 5, 6).astype(float)  # all apart by more than a step
    y, indices = module.max_pool2d(x, 3, 2, 1, return_indices=True)
    dy = rng.standard_normal(y.shape)
    expected = central_difference(lambda: float(np.vdot(dy, module.max_pool2d(x, 3, 2, 1))), x, 0.25)
    np.testing.assert_allclose(module.max_pool2d_backward(dy, indices, x.shape), expected, rtol=1e-9, atol=1e-9)

    y, indices = module.max_pool2d(x, 2, return_indices=True)
    dx = rng.standard_normal((1, 2, 4, 6))
    expected = central_difference(lambda: float(np.vdot(dx, module.max_unpool2d(y, indices, 2))), y, 1.0)
    np.testing.assert_allclose(module.max_unpool2d_backward(dx, indices), expected, rtol=1e-9, atol=1e-9)


@BOTH
@pytest.mark.parametrize(
    ("shape", "weight_shape", "arguments"),
    [
        ((2, 3, 4), (3, 2, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
        ((2, 4, 3), (4, 2, 2), {"groups": 2, "dilation": 3, "output_padding": 2}),
        ((1, 2, 3, 2), (2, 2, 3, 2), {"stride": (2, 3), "padding": (1, 0)}),
        ((2, 3, 3), (2, 1, 4, 4), {"stride": 2, "padding": 1, "groups": 2}),
    ],
)
def test_conv_transpose(module: Any, shape: tuple[int, ...], weight_shape: tuple[int, ...], arguments: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    name = f"conv_transpose{len(weight_shape) - 2}d"
    x, w, b = (rng.standard_normal(s) for s in (shape, weight_shape, (weight_shape[1] * arguments.get("groups", 1),)))
    dy = rng.standard_normal(getattr(module, name)(x, w, b, **arguments).shape)
    gradients = getattr(module, f"{name}_backward")(dy, x, w, **arguments)
    for array, gradient in zip((x, w, b), gradients, strict=True):
        expected = central_difference(lambda: float(np.vdot(dy, getattr(module, name)(x, w, b, **arguments))), array, 1.0)
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9)


@BOTH
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (3, 2, 4), (2, 2, 3, 3)])
def test_batch_norm(module: Any, shape: tuple[int, ...], training: bool) -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    w, b, mean, var = (rng.random(shape[1]) + 0.5 for _ in range(4))

    def loss() -> float:
        return float(np.vdot(dy, module.batch_norm(x, mean.copy(), var.copy(), w, b, training)))

    gradients = module.batch_norm_backward(dy, x, mean, var, w, training)
    for array, gradient in zip((x, w, b), gradients, strict=True):
        np.testing.assert_allclose(gradient, central_difference(loss, array, 1e-5), rtol=1e-6, atol=1e-6)


@BOTH
@pytest.mark.parametrize(
    ("name", "arguments", "of_output"),
    [
        ("leaky_relu", (0.1,), False), ("gelu", (), False), ("gelu", ("tanh",), False), ("sigmoid", (), True),
        ("tanh", (), True), ("softmax", (1,), True), ("log_softmax", (0,), True),
    ],
)  # fmt: skip
def test_activations(module: Any, name: str, arguments: tuple[Any, ...], of_output: bool) -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    at = getattr(module, name)(x, *arguments) if of_output else x
    gradient = getattr(module, f"{name}_backward")(dy, at, *arguments)
    expected = central_difference(lambda: float(np.vdot(dy, getattr(module, name)(x, *arguments))), x, 1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_a_network_of_all_layers() -> None:
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.ZeroPad2d(1), nn.Conv2d(2, 4, 3, rng=rng, dtype=np.float64), nn.BatchNorm2d(4, dtype=np.float64), nn.GELU(),
        nn.MaxPool2d(2), nn.ConvTranspose2d(4, 3, 3, 2, 1, rng=rng, dtype=np.float64), nn.LeakyReLU(), nn.Identity(),
        nn.Upsample(scale_factor=2, mode="bilinear"), nn.AvgPool2d(2), nn.Sigmoid(), nn.Dropout(0.0), nn.GlobalAvgPool2d(),
        nn.Flatten(), nn.Linear(3, 4, rng=rng, dtype=np.float64), nn.Tanh(), nn.LogSoftmax(),
    )  # fmt: skip
    x = rng.standard_normal((2, 2, 6, 6))
    dy = rng.standard_normal((2, 4))
    model(x)
    gradient = model.backward(dy)

    def loss() -> float:
        return float(np.vdot(dy, model(x)))

    np.testing.assert_allclose(gradient, central_difference(loss, x, 1e-6), rtol=1e-5, atol=1e-8)
    for key, parameter in model.named_parameters():
        expected = central_difference(loss, parameter.data, 1e-6)
        np.testing.assert_allclose(parameter.grad, expected, rtol=1e-5, atol=1e-8, err_msg=key)
