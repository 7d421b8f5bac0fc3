"""Convolution layers in eval mode keep packed weights: the same results, and never stale ones."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from bounds import TILE, assert_within, expected
from problems import Problem, parse

import fastconv as fc
from fastconv import nn

PROBLEMS = parse("""
    n2ic3oc5_iw11kw3sw2pw1  n2ic32oc24_iw60kw3pl2  n1ic3oc4_ih8kh3ph1_reflect  n2ic64oc33_ih6kh3ph1
    n2g2ic66oc8_ih11kh3ph1
""")
problems = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


def layer_of(problem: Problem, dtype: str = "float32", **options: Any) -> nn.Conv1d | nn.Conv2d:
    """A layer with the weights of `problem`, in training mode."""
    kind = (nn.Conv1d, nn.Conv2d)[problem.ndim - 1]
    layer = kind(problem.ic, problem.oc, problem.kernel, **problem.arguments(), dtype=dtype, **options)
    layer.load_state_dict(dict(zip(("weight", "bias"), problem.arrays(dtype)[1:3], strict=True)))
    return layer


@pytest.fixture
def layer() -> nn.Conv2d:
    """A layer in eval mode whose weights are packed."""
    layer = layer_of(PROBLEMS[3]).eval()
    layer(images())
    assert layer._pack is not None
    return layer


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(shape or PROBLEMS[3].x_shape).astype(np.float32)


def assert_up_to_date(layer: nn.Conv2d, x: np.ndarray) -> None:
    """What `layer` computes is what a layer with its weights does that never had a plan."""
    fresh = copy.deepcopy(layer)
    assert fresh._pack is None
    np.testing.assert_array_equal(layer(x), fresh(x))
    np.testing.assert_allclose(layer(x), fresh.train()(x), rtol=1e-3, atol=1e-3)


# ---- the same results ------------------------------------------------------------------------------------


@problems
def test_results_keep_the_bound(problem: Problem, isa: str, dtype: str) -> None:
    layer, x = layer_of(problem, dtype).eval(), problem.arrays(dtype)[0]
    y = layer(x)
    assert layer._pack is not None
    assert_within(y, expected(problem, dtype)["fwd"], dtype, TILE)


@problems
def test_backward_is_that_of_training_mode(problem: Problem) -> None:
    x, _, _, dy = problem.arrays()
    trained, frozen = layer_of(problem), layer_of(problem).eval()
    for layer in (trained, frozen):
        layer(x)
    np.testing.assert_array_equal(frozen.backward(dy), trained.backward(dy))
    for a, b in zip(frozen.parameters(), trained.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad, b.grad)


@problems
def test_an_input_gives_the_same_bits_at_every_call(problem: Problem) -> None:
    layer, (x, *_) = layer_of(problem, activation="relu").eval(), problem.arrays()
    first = layer(x)
    for other in (x, x[:1], x[:0], x[0], x):
        layer(other)
    np.testing.assert_array_equal(layer(x), first)
    np.testing.assert_array_equal(layer(x[:1]), first[:1])
    np.testing.assert_array_equal(layer(x[0]), first[0])


def test_without_bias() -> None:
    x, layer = images(2, 3, 9, 9), nn.Conv2d(3, 4, 3, bias=False, rng=0)
    np.testing.assert_allclose(layer.eval()(x), fc.conv2d(x, layer.weight.data), rtol=1e-5, atol=1e-5)
    assert layer._pack is not None


@pytest.mark.parametrize("convert", [np.float64, ">f4", list], ids=["float64", "big-endian", "list"])
def test_inputs_that_no_plan_takes(convert: Any, layer: nn.Conv2d) -> None:
    x = images()
    pack, other = layer._pack, x.tolist() if convert is list else x.astype(convert)
    expected = fc.conv2d(other, layer.weight.data, layer.bias.data, padding=1)
    y = layer(other)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)
    assert layer._pack is pack


def test_a_bad_input_is_the_same_error(layer: nn.Conv2d) -> None:
    for shape in ((1, 65, 6, 6), (64, 6), (1, 64, 0, 6)):
        with pytest.raises(ValueError, match="x") as trained:
            copy.deepcopy(layer).train()(np.zeros(shape, np.float32))
        with pytest.raises(ValueError, match="x") as frozen:
            layer(np.zeros(shape, np.float32))
        assert str(frozen.value) == str(trained.value)
    assert_up_to_date(layer, images())


def test_many_threads_and_shapes() -> None:
    model = nn.Sequential(layer_of(PROBLEMS[3]), nn.ReLU(), nn.Conv2d(33, 8, 3, rng=0)).eval()
    inputs = [images(1 + n % 3, 64, 5 + n % 2, 6) for n in range(8)]
    alone = [model(x).tobytes() for x in inputs]

    def repeatedly(x: np.ndarray) -> set[bytes]:
        return {model(x).tobytes() for _ in range(20)}

    with ThreadPoolExecutor(len(inputs)) as pool:
        assert list(pool.map(repeatedly, inputs)) == [{bits} for bits in alone]


# ---- one plan, kept as long as it is right ---------------------------------------------------------------


def test_the_plan_is_kept_for_a_shape_and_dropped_by_train(layer: nn.Conv2d) -> None:
    plan = layer._pack.plan
    layer(images())
    assert layer.eval()._pack.plan is plan
    layer(images(1, 64, 5, 5))
    assert layer._pack.plan is not plan
    assert layer._pack.plan.x_shape == (1, 64, 5, 5)
    model = nn.Sequential(nn.Sequential(layer))
    assert model.train()[0][0]._pack is None
    model(images())
    assert layer._pack is None


def test_changes_in_training_mode(layer: nn.Conv2d) -> None:
    x, before = images(), layer(images())
    layer.train().weight.data *= 2
    layer.bias.data[...] = 0
    y = layer.eval()(x)
    assert np.abs(y - before).max() > 1
    assert_up_to_date(layer, x)


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_load_state_dict_replaces_the_plan(name: str, layer: nn.Conv2d) -> None:
    x, before, plan = images(), layer(images()), layer._pack.plan
    layer.load_state_dict({name: layer.state_dict()[name] + 2}, strict=False)
    assert np.abs(layer(x) - before).max() > 1
    assert_up_to_date(layer, x)
    assert layer._pack.plan is not plan


def test_frozen_arrays_cannot_be_written_to(layer: nn.Conv2d) -> None:
    for parameter in (layer.weight, layer.bias, *copy.deepcopy(layer).parameters()):
        with pytest.raises(ValueError, match="read-only"):
            parameter.data[...] = 0
        with pytest.raises(ValueError, match="read-only"):
            parameter.data -= 1
        for array in (parameter.data, parameter.data[:]):
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
    assert_up_to_date(layer, images())


def test_another_parameter(layer: nn.Conv2d) -> None:
    """Assigned in eval mode it is not frozen, so its array may change at any time."""
    x = images()
    layer.weight = nn.Parameter(np.zeros_like(layer.weight.data))
    assert_up_to_date(layer, x)
    layer.weight.data[...] = 1
    assert_up_to_date(layer, x)
    layer.eval().bias = None
    assert_up_to_date(layer, x)
    assert layer._pack.bias is None


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_parameter_that_a_model_in_training_shares(name: str, layer: nn.Conv2d) -> None:
    x, twin = images(), layer_of(PROBLEMS[3])
    setattr(twin, name, getattr(layer, name))
    twin.train()
    for _ in range(2):
        getattr(twin, name).data += 1
        assert_up_to_date(layer, x)
    twin.eval()
    assert_up_to_date(layer, x)


@pytest.mark.parametrize(
    ("name", "value"),
    [("stride", (2, 2)), ("padding", 0), ("padding", "same"), ("dilation", (2, 2)), ("padding_mode", "reflect"),
     ("activation", "relu")],
)  # fmt: skip
def test_settings_that_change(name: str, value: Any, layer: nn.Conv2d) -> None:
    layer(images())
    setattr(layer, name, value)
    assert_up_to_date(layer, images())


def test_lists_that_change() -> None:
    x, padding = images(1, 3, 9, 9), [[1, 1], [0, 2]]
    layer = nn.Conv2d(3, 4, 3, padding=padding, rng=0).eval()
    y = layer(x)
    padding[0][0] = 2
    np.testing.assert_array_equal(layer(x), y)
    layer.padding = padding
    assert layer(x).shape == (1, 4, 10, 9)
    padding[0][0] = 3
    assert layer(x).shape == (1, 4, 11, 9)


def test_strict_and_isa_are_those_of_the_call(layer: nn.Conv2d) -> None:
    x, before = images(), layer(images())
    with fc.strict():
        assert_up_to_date(layer, x)
        assert layer._pack.plan.algorithm != "winograd"
    with fc.use_isa("generic"):
        assert_up_to_date(layer, x)
    np.testing.assert_array_equal(layer(x), before)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_make_plans_of_their_own(clone: Any, layer: nn.Conv2d) -> None:
    x, pack = images(), layer._pack
    twin = clone(layer)
    assert twin._pack is None
    assert layer._pack is pack
    np.testing.assert_array_equal(twin(x), layer(x))
    assert twin._pack.plan is not pack.plan
    model = clone(nn.Sequential(layer, nn.ReLU()))
    np.testing.assert_array_equal(model(x), np.maximum(layer(x), 0))
