"""Residual and Concat; batch normalization folded into convolutions; keys of other trees; cross-entropy of places."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from differences import central_difference

import fastconv as fc
from fastconv import nn

D = np.float64


def unet_like(dtype: Any = D) -> nn.Sequential:
    """A convolution, a skip around pooling, convolution and upsampling, a residual block, one with a shortcut."""
    rng = np.random.default_rng(0)

    def conv(*arguments: Any, **options: Any) -> nn.Conv1d:
        return nn.Conv1d(*arguments, rng=rng, dtype=dtype, **options)

    below = nn.Sequential(nn.AvgPool1d(2), conv(3, 4, 3, padding=1), nn.Tanh(), nn.ConvTranspose1d(4, 2, 2, 2, rng=rng, dtype=dtype))
    return nn.Sequential(
        conv(2, 3, 3, padding=1),
        nn.Concat(nn.Identity(), below),
        nn.Residual(nn.Sequential(conv(5, 5, 3, padding=1), nn.Tanh(), conv(5, 5, 1)), activation="relu"),
        nn.Residual(conv(5, 4, 3, stride=2, padding=1), conv(5, 4, 1, stride=2)),
    )


@pytest.mark.parametrize("training", [True, False])
def test_gradients_equal_finite_differences(training: bool) -> None:
    model, rng = unet_like().train(training), np.random.default_rng(1)
    x = rng.standard_normal((2, 2, 8))
    dy = rng.standard_normal(model(x).shape)
    dx = model.backward(dy)

    def value() -> float:
        return float(np.vdot(dy, model(x)))

    np.testing.assert_allclose(dx, central_difference(value, x), rtol=1e-6, atol=1e-7)
    if training:
        for key, parameter in model.named_parameters():
            expected = central_difference(value, parameter.data)
            np.testing.assert_allclose(parameter.grad, expected, rtol=1e-6, atol=1e-7, err_msg=key)


def test_what_branches_compute() -> None:
    x = np.arange(12.0).reshape(1, 2, 6) - 4
    np.testing.assert_array_equal(nn.Residual(nn.ReLU())(x), x + np.maximum(x, 0))
    np.testing.assert_array_equal(nn.Residual(nn.Identity(), nn.ReLU(), "relu")(x), np.maximum(x + np.maximum(x, 0), 0))
    concat = nn.Concat(nn.Identity(), nn.ReLU(), nn.Identity())
    np.testing.assert_array_equal(concat(x), np.concatenate([x, np.maximum(x, 0), x], axis=1))
    np.testing.assert_array_equal(concat.backward(np.ones((1, 6, 6))), 2 + (x > 0))
    assert nn.Concat(nn.Identity(), nn.MaxPool1d(2), dim=-1)(x).shape == (1, 2, 9)


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("size", [0, 1, 1061, 1_000_003])  # the last is worth two threads
def test_sums_are_numpys(isa: str, size: int, activation: str | None) -> None:
    x = np.random.default_rng(0).standard_normal((1, size), dtype=np.float32)
    x[0, ::5] = np.nan
    expected = x + np.maximum(x, 0)
    if activation:
        expected = np.maximum(expected, 0)
    layer = nn.Residual(nn.Identity(), nn.ReLU(), activation)
    for threads in (1, 2):
        with fc.threads(threads):
            np.testing.assert_array_equal(layer(x), expected)
    assert layer(x.astype(np.float64)).dtype == np.float64


def test_keys_are_the_names_of_the_parts() -> None:
    keys = [key for key in unet_like().state_dict() if key.endswith("weight")]
    assert keys == ["0.weight", "1.1.1.weight", "1.1.3.weight", "2.body.0.weight", "2.body.2.weight", "3.body.weight", "3.shortcut.weight"]


def test_no_input_gradient_where_none_is_needed() -> None:
    model, twin = unet_like(), unet_like()
    x = np.random.default_rng(1).standard_normal((2, 2, 8))
    dy = np.ones_like(model(x))
    twin(x)
    twin.backward(dy)
    assert model.backward(dy, need_input_grad=False) is None
    for ours, full in zip(model.parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(ours.grad, full.grad)
    concat = nn.Concat(nn.Identity(), nn.ReLU())
    concat(x)
    assert concat.backward(np.ones((2, 4, 8)), need_input_grad=False) is None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: nn.Residual(len), TypeError, "Residual takes modules"),
        (lambda x: nn.Residual(nn.ReLU(), np.ones(2)), TypeError, "Residual takes modules"),
        (lambda x: nn.Residual(nn.ReLU(), activation="tanh"), ValueError, "activation must be None or 'relu', got 'tanh'"),
        (lambda x: nn.Residual(nn.MaxPool1d(2))(x), ValueError, r"\(1, 2, 3\) from body and \(1, 2, 6\)"),
        (lambda x: nn.Concat(), ValueError, "one branch or more"),
        (lambda x: nn.Concat("relu"), TypeError, "Concat takes modules, got 'relu'"),
        (lambda x: nn.Concat(nn.Identity(), nn.MaxPool1d(2))(x), ValueError, "agree in all axes but 1"),
        (lambda x: nn.Concat(nn.Identity(), dim=3)(x), ValueError, "dim=3"),
        (lambda x: nn.Concat(nn.Identity()).backward(x), RuntimeError, "forward"),
        (lambda x: nn.Residual(nn.Identity()).backward(x), RuntimeError, "forward"),
        (lambda x: nn.Sequential(nn.Conv1d(1, 1, 1), a := nn.Linear(1, 1)).keyed(a=a), ValueError, "all parameters"),
    ],
)
def test_bad_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(np.ones((1, 2, 6)))


def test_a_gradient_of_another_shape_is_an_error() -> None:
    concat = nn.Concat(nn.Identity(), nn.Identity())
    concat(np.ones((1, 2, 6)))
    with pytest.raises(ValueError, match=r"\(1, 4, 6\), got \(1, 2, 6\)"):
        concat.backward(np.ones((1, 2, 6)))


def test_keyed_state_goes_back_and_forth() -> None:
    first, second = nn.Linear(2, 2, rng=0), nn.BatchNorm1d(2)
    model = nn.Sequential(nn.Sequential(first), second).keyed(norm=second, fc=first)
    keys = ["norm.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "fc.weight", "fc.bias"]
    assert list(model.state_dict()) == keys
    twin = copy.deepcopy(model)
    state = {key: value + 1 for key, value in model.state_dict().items()}
    twin.load_state_dict(state)
    np.testing.assert_array_equal(twin[0][0].weight.data, first.weight.data + 1)
    assert {key for key, _ in twin.named_parameters()} == set(keys) - set(keys[2:5])
    with pytest.raises(ValueError, match="keyed"):
        twin.append(nn.Linear(2, 2))
    assert len(twin.append(nn.ReLU())) == 3


# ---- batch normalization folded in ------------------------------------------------------------------------


def folding(ndim: int = 2, relu: bool = True, bias: bool = True, affine: bool = True, **options: Any) -> nn.Sequential:
    """Convolution, batch normalization with statistics that matter, perhaps ReLU."""
    rng = np.random.default_rng(4)
    conv, norm = ((nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d))[ndim - 1]
    layer = norm(6, affine=affine)
    model = nn.Sequential(conv(4, 6, 3, padding=1, bias=bias, rng=rng, **options), layer, *[nn.ReLU()] * relu)
    layer.running_mean.data = rng.normal(0, 1, 6)
    layer.running_var.data = rng.uniform(0.2, 3, 6)
    if affine:
        layer.weight.data = rng.normal(0, 1, 6)
        layer.bias.data = rng.normal(0, 1, 6)
    return model


def unfolded(model: nn.Sequential, x: np.ndarray) -> np.ndarray:
    """The layers one by one."""
    for layer in copy.deepcopy(model):
        x = layer(x)
    return x


def images(ndim: int = 2) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((3, 4, *(7, 9)[:ndim])).astype(np.float32)


@pytest.mark.parametrize("options", [{}, {"relu": False}, {"bias": False}, {"affine": False}, {"groups": 2}, {"ndim": 1, "stride": 2}])
def test_folded_outputs_and_gradients_are_those_of_the_layers(options: dict[str, Any]) -> None:
    model = folding(**options).eval()
    x = images(options.get("ndim", 2))
    y = model(x)
    assert model[0]._fold is not None
    np.testing.assert_allclose(y, unfolded(model, x), rtol=1e-5, atol=1e-5)

    layers = copy.deepcopy(model)
    dy = np.random.default_rng(6).standard_normal(y.shape).astype(np.float32)
    expected = x
    for layer in layers:
        expected = layer(expected)
    gradient = dy
    for layer in reversed(list(layers)):
        gradient = layer.backward(gradient)
    np.testing.assert_allclose(model.backward(dy), gradient, rtol=1e-5, atol=1e-5)
    for (key, ours), theirs in zip(model.named_parameters(), layers.parameters(), strict=True):
        np.testing.assert_allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4, err_msg=key)


def residual(relu: bool, last: str, shortcut: bool, channels: int = 4) -> nn.Residual:
    """A residual block in eval mode whose body ends with a convolution, or with what follows one."""
    rng = np.random.default_rng(8)
    ends = {"conv": [], "norm": [nn.BatchNorm2d(channels)], "tanh": [nn.Tanh()], "relu": [nn.ReLU()]}[last]
    body = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, rng=rng), nn.ReLU(), nn.Conv2d(6, channels, 1, rng=rng), *ends)
    block = nn.Residual(body, nn.Conv2d(4, channels, 1, rng=rng) if shortcut else None, "relu" if relu else None)
    if last == "norm":
        ends[0].running_mean.data, ends[0].running_var.data = rng.normal(0, 1, channels), rng.uniform(0.2, 3, channels)
    return block.eval()


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("last", ["conv", "norm", "tanh", "relu"])
@pytest.mark.parametrize("shortcut", [False, True])
def test_a_sum_in_eval_mode_and_its_gradient_are_those_of_the_parts(relu: bool, last: str, shortcut: bool) -> None:
    block, x = residual(relu, last, shortcut), images()
    parts = copy.deepcopy(block)
    expected = unfolded(parts.body, x) + (parts.shortcut(x) if parts.shortcut else x)
    y = block(x)
    np.testing.assert_allclose(y, np.maximum(expected, 0) if relu else expected, rtol=1e-5, atol=1e-5)

    dy = np.random.default_rng(6).standard_normal(y.shape).astype(np.float32)
    through = dy * (y > 0) if relu else dy
    parts.body(x)
    expected = parts.body.backward(through) + (parts.shortcut.backward(through) if parts.shortcut else through)
    np.testing.assert_allclose(block.backward(dy), expected, rtol=1e-5, atol=1e-5)


def test_a_sum_of_other_dtypes_and_shapes() -> None:
    block, x = residual(True, "norm", False), images()
    assert block(x.astype(np.float64)).dtype == np.float64
    np.testing.assert_allclose(block(x.astype(np.float64)), block(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="one shape"):
        residual(True, "conv", False, channels=5)(x)


@pytest.mark.parametrize("training", [False, True])
def test_no_grad_keeps_nothing_for_backward(training: bool) -> None:
    model = unet_like(np.float32).train(training)
    x = np.random.default_rng(1).standard_normal((3, 2, 8)).astype(np.float32)
    expected = model(x).copy()
    assert any(module._saved is not None for module in model.modules())
    with fc.no_grad():
        np.testing.assert_array_equal(model(x), expected)
        assert all(module._saved is None for module in model.modules())
        with ThreadPoolExecutor(1) as pool:  # of this thread alone
            pool.submit(model, x).result()
        assert model._saved is not None
        model(x)
    with pytest.raises(RuntimeError, match="before forward"):
        model.backward(expected)
    model(x)
    model.backward(expected)


def test_no_grad_is_a_decorator_and_ends_with_an_error() -> None:
    layer = nn.Conv2d(4, 2, 1, rng=0)

    @fc.no_grad()
    def infer(x: Any) -> np.ndarray:
        return layer(x)

    infer(images())
    assert layer._saved is None
    with pytest.raises(ValueError):
        infer(np.zeros((1, 3, 2, 2), np.float32))
    layer(images())
    assert layer._saved is not None


def change(model: nn.Sequential, what: str) -> None:
    if what == "training":
        model.train()
        model(images() * 3 + 1)
        model.eval()
    elif what == "eps":
        model[1].eps = 0.5
    elif what == "norm":
        model[1].load_state_dict(folding()[1].state_dict() | {"running_var": np.full(6, 9.0, np.float32)})
    else:
        state = model.state_dict()
        model.load_state_dict(state | {what: state[what] + 1})


@pytest.mark.parametrize("what", ["training", "eps", "norm", "0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"])
def test_what_was_folded_is_never_stale(what: str) -> None:
    model, x = folding(relu=False).eval(), images()
    before = model(x)
    assert model(x) is not before
    np.testing.assert_array_equal(model(x), before)
    change(model, what)
    y = model(x)
    assert np.abs(y - before).max() > 1e-2
    np.testing.assert_allclose(y, unfolded(model, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("which", [0, 1])
def test_a_layer_that_trains_is_not_folded(which: int) -> None:
    model, x = folding().eval(), images()
    model(x)
    model[which].train()
    twin = copy.deepcopy(model)
    np.testing.assert_allclose(model(x), unfolded(twin, x), rtol=1e-5, atol=1e-5)
    if which == 1:  # its statistics moved, once
        np.testing.assert_allclose(model[1].running_mean.data, 0.9 * twin[1].running_mean.data + 0.1 * twin[0](x).mean((0, 2, 3)), rtol=1e-4)


def test_what_does_not_fit_is_not_folded() -> None:
    wide = images().astype(np.float64)
    model = folding().eval()
    assert model(wide).dtype == np.float64
    assert model[0]._fold is None
    model = nn.Sequential(nn.Conv2d(4, 6, 3, activation="relu", rng=0), nn.BatchNorm2d(6)).eval()
    np.testing.assert_array_equal(model(images()), unfolded(model, images()))
    model = nn.Sequential(nn.Conv2d(4, 6, 3, rng=0), nn.BatchNorm2d(6, track_running_stats=False)).eval()
    np.testing.assert_array_equal(model(images()), unfolded(model, images()))
    with pytest.raises(ValueError, match="C=5"):
        nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(5)).eval()(images())
    with pytest.raises(ValueError, match="N, C, H, W"):
        folding().eval()(images()[0])


def test_backward_after_train_does_not_move_the_statistics() -> None:
    model = folding().eval()
    y = model(images())
    model.train()
    before = model.state_dict()
    model.backward(np.ones_like(y))
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key], err_msg=key)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("inferred", [False, True])
def test_an_activation_that_is_set_later_comes_before_the_sum(norm: bool, inferred: bool) -> None:
    convolution, x = nn.Conv1d(2, 2, 1, rng=0), np.random.default_rng(0).standard_normal((1, 2, 6)).astype(np.float32)
    model = nn.Sequential(nn.Residual(nn.Sequential(convolution, *[nn.BatchNorm1d(2)] * norm))).eval()
    model(x)
    convolution.activation = "relu"
    body = np.maximum(fc.conv1d(x, convolution.weight, convolution.bias), 0)
    expected = x + (model[0].body[1](body) if norm else body)
    with fc.no_grad() if inferred else nullcontext():
        np.testing.assert_allclose(model(x), expected, rtol=1e-6, atol=1e-6)


# ---- cross-entropy of places ------------------------------------------------------------------------------


def test_cross_entropy_of_places_is_that_of_rows() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((2, 5, 3, 4)), rng.integers(0, 5, (2, 3, 4))
    loss, rows = nn.CrossEntropyLoss(), nn.CrossEntropyLoss()
    assert loss(logits, labels) == pytest.approx(rows(np.moveaxis(logits, 1, -1).reshape(-1, 5), labels.ravel()))
    expected = np.moveaxis(rows.backward().reshape(2, 3, 4, 5), -1, 1)
    np.testing.assert_allclose(loss.backward(), expected)
    with pytest.raises(ValueError, match=r"\(2, 5, 3, 4\) and \(2, 3\)"):
        loss(logits, labels[:, :, 0])
    with pytest.raises(ValueError, match=r"\[0, 5\), got 5"):
        loss(logits, np.full((2, 3, 4), 5))
