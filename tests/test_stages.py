"""Layers of a `Sequential` in training (docs/decisions/0059): what their own methods do, with the attributes that they have by then."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from fastconv import nn


def network() -> nn.Sequential:
    """Every kind of stage, and layers that have none of their own."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, rng=0), nn.ReLU(), nn.Conv2d(6, 6, 3, stride=2, activation="relu", rng=1), nn.BatchNorm2d(6),
        nn.ReLU(), nn.Residual(nn.Sequential(nn.Conv2d(6, 6, 1, bias=False, rng=2), nn.ReLU())), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(24, 7, rng=3), nn.ReLU(), nn.Linear(7, 3, bias=False, rng=4), nn.Flatten(0),
    )  # fmt: skip


def image(n: int = 3) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, 2, 9, 9), dtype=np.float32)


def passes(model: nn.Sequential, forward: Callable, backward: Callable) -> list[np.ndarray]:
    y = forward(image())
    return [y, backward(np.cos(y)), *[parameter.grad.copy() for parameter in model.parameters()]]


def through(model: nn.Sequential) -> list[np.ndarray]:
    return passes(model, model, model.backward)


def one_by_one(model: nn.Sequential) -> list[np.ndarray]:
    def forward(x: np.ndarray) -> np.ndarray:
        for layer in model:
            x = layer(x)
        return x

    def backward(dy: np.ndarray) -> np.ndarray:
        for layer in reversed(list(model)):
            dy = layer.backward(dy)
        return dy

    return passes(model, forward, backward)


def assert_same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)


def alike(change: Callable[[nn.Sequential], object]) -> tuple[nn.Sequential, nn.Sequential]:
    """Two networks that have been trained by a step, and then changed."""
    pair = network(), network()
    for model in pair:
        model.backward(np.ones_like(model(image())))
        model.zero_grad(set_to_none=True)
        change(model)
    return pair


def other_weights(model: nn.Sequential) -> None:
    model[0].weight = nn.Parameter(np.full((6, 2, 3, 3), 0.25, np.float32))
    model[10].weight = nn.Parameter(np.full((3, 7), 0.5, np.float32))


def patched(model: nn.Sequential) -> None:
    for index in (0, 8):
        layer = model[index]
        layer.forward = lambda x, *rest, layer=layer: 2 * type(layer).forward(layer, x, *rest)  # type: ignore[method-assign]


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "nothing": lambda model: None,
    "activation": lambda model: setattr(model[2], "activation", None),
    "settings": lambda model: (setattr(model[0], "padding", 2), setattr(model[2], "dilation", (2, 1))),
    "weights": other_weights,
    "flatten": lambda model: setattr(model[11], "start_dim", 1),
    "a_layer_in_eval": lambda model: (model[0].eval(), model[8].eval()),
    "a_norm_in_eval": lambda model: model[3].eval(),
    "conv_and_norm_in_eval": lambda model: (model[2].eval(), setattr(model[2], "activation", None), model[3].eval()),
    "patched": patched,
    "float64": lambda model: setattr(model[10], "weight", nn.Parameter(model[10].weight.data.astype(np.float64))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_same_bits_as_layer_by_layer(change: str) -> None:
    model, other = alike(CHANGES[change])
    if change == "conv_and_norm_in_eval":  # folded: the same but for rounding
        for ours, theirs in zip(through(model), one_by_one(other), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    else:
        assert_same(through(model), one_by_one(other))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
def test_copies_train_by_themselves(clone: Callable) -> None:
    model = network()
    copied = clone(model)
    for parameter in copied.parameters():
        parameter.data += 1
    ours, theirs = through(model), through(copied)
    assert_same(ours, through(network()))
    assert not np.array_equal(theirs[0], ours[0])
    copied.zero_grad()
    assert_same(theirs, through(copied)[:2] + theirs[2:])


def test_a_setting_may_be_a_property() -> None:
    class Strided(nn.Conv2d):
        @property
        def stride(self) -> int:
            return 2

        @stride.setter
        def stride(self, value: object) -> None:
            pass

    model, other = (nn.Sequential(Strided(2, 4, 3, rng=0), nn.ReLU(), nn.Flatten()) for _ in range(2))
    assert_same(through(model), one_by_one(other))
    assert model(image()).shape == (3, 64)


def test_gradients_accumulate_as_by_layers() -> None:
    model, other = network(), network()
    for _ in range(2):
        ours, theirs = through(model), one_by_one(other)
    assert_same(ours, theirs)


def test_flatten_gives_floats_of_this_machine() -> None:
    y = nn.Sequential(nn.Flatten())(image().astype(">f4"))
    assert y.dtype == np.float32 and y.dtype.isnative
    np.testing.assert_array_equal(y, image().reshape(3, -1))


def test_a_layer_with_methods_of_its_own_needs_to_save_nothing() -> None:
    model = nn.Sequential(nn.Flatten())
    model[0].forward = lambda x: x.reshape(3, -1) + 1  # type: ignore[method-assign]
    model[0].backward = lambda dy, needed=True: dy.reshape(image().shape)  # type: ignore[method-assign]
    y = model(image())
    np.testing.assert_array_equal(y, image().reshape(3, -1) + 1)
    np.testing.assert_array_equal(model.backward(y), y.reshape(image().shape))
