"""What layers keep between calls (docs/decisions/0030): nothing that a caller holds is written to, nothing is allocated."""

from __future__ import annotations

import copy
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn, optim

BATCH, CLASSES = 64, 10
LARGEST = BATCH * 8 * 18 * 4  # bytes of the first activation of `conv`


def conv() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(1, 8, 3, 2, rng=0), nn.ReLU(), nn.Conv1d(8, 8, 3, 2, rng=1, activation="relu"), nn.Flatten(),
        nn.Linear(64, 16, rng=2), nn.ReLU(), nn.Linear(16, CLASSES, rng=3),
    )  # fmt: skip


def separate() -> nn.Sequential:
    """ReLUs that no layer takes over, and a sum."""
    return nn.Sequential(
        nn.ReLU(), nn.Conv1d(1, 8, 3, 2, rng=0), nn.Sequential(nn.ReLU()), nn.Residual(nn.Sequential(nn.ReLU()), activation="relu"),
        nn.Flatten(), nn.Linear(144, CLASSES, rng=1),
    )  # fmt: skip


class Training:
    """Steps on batches of noise; `step` returns all that a caller can get hold of."""

    def __init__(self, model: nn.Sequential, make: Callable[..., optim.Optimizer] = optim.SGD) -> None:
        self.model, self.loss, self.optimizer = model, nn.CrossEntropyLoss(), make(model.parameters(), lr=0.01)
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((8, BATCH, 1, 37), dtype=np.float32)
        self.labels = rng.integers(0, CLASSES, (8, BATCH))
        self.count = 0

    def step(self) -> list[np.ndarray]:
        x, labels = self.x[self.count % 8], self.labels[self.count % 8]
        self.count += 1
        y = self.model(x)
        self.loss(y, labels)
        dy = self.loss.backward()
        self.optimizer.zero_grad(set_to_none=True)
        dx = self.model.backward(dy)
        self.optimizer.step()
        return [y, dy, dx, *(parameter.grad for parameter in self.model.parameters())]


@pytest.mark.parametrize("model", [conv, separate])
def test_results_that_a_caller_holds_are_never_written_to(model: Callable[[], nn.Sequential]) -> None:
    training = Training(model())
    held: list[tuple[Any, np.ndarray]] = []
    for count in range(12):
        results = training.step()
        if count % 3:  # the others are given back, and used again meanwhile
            held += [(result, result.copy()) for result in results]
        else:  # a part of each, and through the buffer protocol
            held += [(result[0:1], result[0:1].copy()) for result in results]
            held += [(memoryview(result), result.copy()) for result in results]
    for _ in range(20):
        training.step()
    for result, before in held:
        np.testing.assert_array_equal(np.asarray(result), before)


@pytest.mark.parametrize("layer", [nn.Conv1d(1, 3, 3, rng=0), nn.Linear(37, 3, rng=0), nn.ReLU()], ids=repr)
def test_layers_called_many_times_give_each_caller_his_own(layer: nn.Module) -> None:
    inputs = [np.full((2, 1, 37), value, np.float32) for value in range(20)]
    outputs = [layer(x) for x in inputs]
    gradients = [layer.backward(np.full_like(outputs[0], value)) for value in range(20)]
    for x, y in zip(inputs, outputs, strict=True):
        np.testing.assert_array_equal(y, copy.deepcopy(layer)(x))
    assert len({y.ctypes.data for y in outputs + gradients}) == 40


def test_a_pass_uses_the_memory_of_the_one_before() -> None:
    """Without the gradients of a step between them."""
    network, x = nn.Sequential(nn.Conv1d(2, 3, 3, rng=0), nn.ReLU(), nn.Conv1d(3, 3, 3, rng=1)), np.ones((2, 2, 9), np.float32)
    network(x)
    address = network[1]._saved.ctypes.data
    network(x)
    assert network[1]._saved.ctypes.data == address


def test_results_that_nobody_holds_are_used_again() -> None:
    training = Training(conv())
    addresses = [{result.ctypes.data for result in training.step()} for _ in range(8)]
    assert set.union(*addresses[4:]) <= set.union(*addresses[:4])


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
@pytest.mark.parametrize("model", [conv, separate])
def test_steps_allocate_nothing(model: Callable[[], nn.Sequential], make: Callable[..., optim.Optimizer]) -> None:
    training = Training(model(), make)
    for _ in range(3):
        training.step()
    tracemalloc.start()
    try:
        for _ in range(20):  # Python's own free lists fill
            training.step()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(200):
            training.step()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2000, "something stays behind at every step"
    assert peak - before < LARGEST / 4, "an array was allocated on the way"


def test_the_measure_sees_an_array() -> None:
    """A test that cannot fail would show nothing."""
    training = Training(conv())
    for _ in range(3):
        training.step()
    tracemalloc.start()
    try:
        held = training.step(), training.step(), training.step()
        assert tracemalloc.get_traced_memory()[1] > LARGEST / 4
    finally:
        tracemalloc.stop()
    assert held


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_resident_memory_stays_flat() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1])  # pages

    training = Training(conv())
    for _ in range(200):
        training.step()
    before = resident()
    for _ in range(4000):
        training.step()
    assert resident() - before < 64


def test_settings_may_change_between_calls() -> None:
    """The problem of the latest call serves the next only where it is the same."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, 15), dtype=np.float32)
    layer = nn.Conv1d(4, 6, 3, rng=0)

    def check() -> None:
        for _ in range(2):
            settings = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups", "padding_mode")}
            bias = None if layer.bias is None else layer.bias.data
            expected = fc.conv1d(x, layer.weight.data, bias, **settings)
            np.testing.assert_array_equal(layer(x), expected)
            gradient = fc.conv1d_backward(expected, x, layer.weight.data, **settings)[0]
            np.testing.assert_array_equal(layer.backward(expected), gradient)

    check()
    for name, value in [("stride", (2,)), ("padding", 1), ("padding", "same_lower"), ("padding", [(2, 0)]),
                        ("padding_mode", "circular"), ("dilation", 2), ("stride", 1000)]:  # fmt: skip
        setattr(layer, name, value)
        check()
    layer.stride, layer.padding = (1,), [(0, 1)]
    check()
    layer.padding[0] = (2, 2)  # not another object, and yet another padding
    check()
    layer.bias = nn.Parameter(np.zeros(5), "bias")
    with pytest.raises(ValueError, match="bias"):
        layer(x)
    layer.bias = None
    check()
    x = x.astype(np.float64)
    check()
    x = x[0]
    check()
    with pytest.raises(ValueError, match="grad_output"):
        layer.backward(np.ones((1, 2)))


def test_sequential_fuses_what_is_appended() -> None:
    x = np.random.default_rng(0).standard_normal((3, 1, 37), dtype=np.float32)
    whole, grown = conv(), nn.Sequential()
    for layer in conv():
        grown(np.zeros((3, 1, 37), np.float32))  # a use between the appends
        grown.append(layer)
    y = whole(x)
    np.testing.assert_array_equal(grown(x), y)
    np.testing.assert_array_equal(grown.backward(y), whole.backward(y))
    assert grown[1]._saved is not None


def test_a_frozen_parameter_stops_a_step_before_anything_changes() -> None:
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Linear(3, 2, rng=1))
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    model.backward(np.ones_like(model(np.ones((1, 3), np.float32))))
    optimizer.step()
    model[1].eval()
    before = {**model.state_dict(), **optimizer.state_dict()}
    with pytest.raises(RuntimeError, match="weight.*eval"):
        optimizer.step()
    for key, value in {**model.state_dict(), **optimizer.state_dict()}.items():
        np.testing.assert_array_equal(value, before[key])
