"""Activations that lie batch-last (docs/decisions/0050): the same bits as images, held results untouched, any caller served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core, nn
from fastconv.mnist1d.models import build
from fastconv.nn.container import Sequential

# Layers of (name, channels in, channels out, settings), and the input's size.
CASES: dict[str, tuple[type[nn.Module], int, int, dict[str, Any], tuple[int, ...]]] = {
    "mnist1d": (nn.Conv1d, 15, 15, {"kernel_size": 3, "stride": 2}, (19,)),
    "padded": (nn.Conv1d, 5, 7, {"kernel_size": 3, "padding": 1}, (6,)),
    "longer_than_its_input": (nn.Conv1d, 4, 4, {"kernel_size": 5, "padding": 3}, (2,)),
    "samples_left_over": (nn.Conv1d, 7, 9, {"kernel_size": 3, "stride": 3}, (11,)),
    "dilated": (nn.Conv1d, 4, 17, {"kernel_size": 3, "dilation": 2, "padding": 2}, (9,)),
    "many_terms": (nn.Conv1d, 40, 33, {"kernel_size": 3, "padding": 1, "stride": 2}, (5,)),
    "grouped": (nn.Conv1d, 12, 9, {"kernel_size": 3, "groups": 3, "padding": [(0, 2)]}, (7,)),
    "one_point": (nn.Conv1d, 9, 5, {"kernel_size": 1}, (4,)),
    "two_dimensions": (nn.Conv2d, 4, 6, {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1}, (5, 4)),
    "without_bias": (nn.Conv2d, 4, 5, {"kernel_size": 2, "bias": False}, (4, 4)),
}


def network(case: str, dtype: str) -> nn.Sequential:
    kind, channels, results, settings, size = CASES[case]
    point = {"kernel_size": 1, "rng": 0, "dtype": dtype}
    first = kind(2, channels, **point)
    layer = kind(channels, results, rng=1, dtype=dtype, **settings)
    features = layer(np.zeros((1, channels, *size), dtype)).size
    return nn.Sequential(first, nn.ReLU(), layer, nn.ReLU(), nn.Flatten(), nn.Linear(features, 3, rng=2, dtype=dtype))


def batch(case: str, dtype: str, images: int) -> np.ndarray:
    return np.random.default_rng(images).standard_normal((images, 2, *CASES[case][4])).astype(dtype)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Has networks made from now on lie batch-last wherever they can, or nowhere."""
    outputs = Sequential._batch_last_outputs

    def choose(last: bool) -> None:
        monkeypatch.setattr(Sequential, "_batch_last_outputs", outputs if last else lambda self: set())
        _core.set_batch_last(1 if last else 0)

    yield choose
    _core.set_batch_last(-1)


def passes(model: nn.Sequential, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    y = model(x)
    dx = model.backward(np.cos(y))
    assert dx is not None
    return y, dx, [p.grad for p in model.parameters() if p.grad is not None]


def lies_batch_last(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.strides[0] == a.itemsize


@pytest.mark.parametrize("images", [2, 16, 37, 100])
@pytest.mark.parametrize("case", CASES)
def test_same_bits_as_images(isa: str, dtype: str, case: str, images: int, always: Callable[[bool], None]) -> None:
    x = batch(case, dtype, images)
    always(False)
    y, dx, gradients = passes(network(case, dtype), x)
    always(True)
    model = network(case, dtype)
    y_last, dx_last, gradients_last = passes(model, x)
    assert lies_batch_last(model[1]._saved) and lies_batch_last(model[3]._saved)
    np.testing.assert_array_equal(y_last, y)
    np.testing.assert_array_equal(dx_last, dx)
    for ours, theirs in zip(gradients_last, gradients, strict=True):  # sums over the batch, in another order
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=np.finfo(dtype).eps * 64 * (1 + np.abs(theirs).max()))


@pytest.mark.parametrize("case", CASES)
def test_same_bits_for_any_number_of_threads(case: str, always: Callable[[bool], None]) -> None:
    always(True)
    x, results = batch(case, "float32", 600), []
    for threads in (1, 2, 3):
        with fc.threads(threads):
            results.append(passes(network(case, "float32"), x))
    for y, dx, gradients in results[1:]:
        for ours, first in zip([y, dx, *gradients], [results[0][0], results[0][1], *results[0][2]], strict=True):
            np.testing.assert_array_equal(ours, first)


def test_activations_can_be_held_and_used_like_any_array(always: Callable[[bool], None]) -> None:
    always(True)
    model, held = network("mnist1d", "float32"), []
    for step in range(6):
        x = batch("mnist1d", "float32", 16) + step
        model(x)
        for index in (1, 3):
            y = model[index]._saved
            held += [(y, y.copy()), (y[3:5, 1:], y[3:5, 1:].copy())]
        model.backward(np.ones((16, 3), np.float32))
    for array, before in held:
        np.testing.assert_array_equal(array, before)
    y = held[0][0]
    np.testing.assert_array_equal(y + 0, np.ascontiguousarray(y))
    assert y.reshape(16, -1).shape == (16, y[0].size)


def test_only_a_chain_from_the_first_layer_to_a_linear_one_lies_batch_last() -> None:
    conv = {"kernel_size": 3, "rng": 0}
    layers = [nn.Conv1d(1, 4, **conv), nn.ReLU(), nn.Conv1d(4, 4, **conv), nn.Flatten(), nn.Linear(20, 2, rng=0)]
    assert nn.Sequential(*layers)._batch_last_outputs() == {0, 2}
    assert nn.Sequential(*layers[:3])._batch_last_outputs() == set()
    assert nn.Sequential(layers[0], nn.MaxPool1d(2), *layers[2:])._batch_last_outputs() == set()
    assert nn.Sequential(*layers[:4], nn.ReLU(), layers[4])._batch_last_outputs() == set()


@pytest.mark.parametrize("need_input_grad", [False, True])
def test_a_network_whose_input_has_a_gradient_stays_with_images(need_input_grad: bool) -> None:
    model = build("conv", rng=0)
    x = np.random.default_rng(0).standard_normal((64, 1, 40), dtype=np.float32)
    for _ in range(2):
        y = model(x)
        last = lies_batch_last(model[1]._saved)
        model.backward(np.ones_like(y), need_input_grad)
    assert last != need_input_grad
