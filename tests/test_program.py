"""Inference by layers that keeps nothing runs from a list of calls: the same results, and never stale ones."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import models, nn
from fastconv.nn.program import Program

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lenet": (lambda: models.lenet(rng=0), (2, 1, 8, 8)),
    "resnet_digits": (lambda: models.resnet_digits(rng=0), (2, 1, 8, 8)),
    "resnet50": (lambda: models.resnet50(10, width=8, rng=0), (2, 3, 32, 32)),
    "deep": (lambda: models.deep(8, rng=0), (2, 1, 8, 8)),
    "unet": (lambda: models.unet(3, 4, width=8, depth=2, rng=0), (1, 3, 16, 16)),
    "hourglass": (lambda: models.hourglass(3, 4, width=8, depth=2, rng=0), (1, 3, 16, 16)),
}
networks = pytest.mark.parametrize("network", NETWORKS)

LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv1d(2, 3, 3, rng=0), (2, 2, 8)), (nn.Conv2d(2, 3, 3, padding=[(1, 1), (0, 2)], rng=0), (2, 2, 8, 8)),
    (nn.ConvTranspose1d(2, 3, 3, rng=0), (2, 2, 8)), (nn.ConvTranspose2d(2, 3, 3, padding=[1, 0], rng=0), (2, 2, 8, 8)),
    (nn.Linear(8, 3, rng=0), (2, 8)), (nn.Flatten(), (2, 2, 8)), (nn.ReLU(), (2, 8)), (nn.LeakyReLU(), (2, 8)), (nn.GELU(), (2, 8)),
    (nn.Sigmoid(), (2, 8)), (nn.Tanh(), (2, 8)), (nn.Softmax(), (2, 8)), (nn.LogSoftmax(), (2, 8)), (nn.Dropout(0.5), (2, 8)),
    (nn.MaxPool1d([2]), (2, 2, 8)), (nn.MaxPool2d([2, 1], [1, 1]), (2, 2, 8, 8)), (nn.AvgPool1d(2), (2, 2, 8)),
    (nn.AvgPool2d(np.array([2, 1])), (2, 2, 8, 8)), (nn.AdaptiveAvgPool1d([3]), (2, 2, 8)), (nn.AdaptiveAvgPool2d([3, 2]), (2, 2, 8, 8)),
    (nn.GlobalAvgPool1d(), (2, 2, 8)), (nn.GlobalAvgPool2d(), (2, 2, 8, 8)), (nn.BatchNorm1d(2), (2, 2, 8)), (nn.BatchNorm2d(2), (2, 2, 8, 8)),
    (nn.ZeroPad1d((1, 2)), (2, 2, 8)), (nn.ZeroPad2d(1), (2, 2, 8, 8)), (nn.Identity(), (2, 8)), (nn.Upsample(scale_factor=[2.0]), (2, 2, 8)),
    (nn.Upsample(size=[9, 4], mode="bilinear"), (2, 2, 8, 8)), (nn.Residual(nn.ReLU()), (2, 8)), (nn.Concat(nn.ReLU(), nn.Identity()), (2, 8)),
    (nn.Residual(nn.Sequential(nn.Conv1d(2, 2, 1, rng=0), nn.ReLU(), nn.Conv1d(2, 2, 1, rng=0)), nn.Conv1d(2, 2, 1, rng=0), "relu"), (2, 2, 8)),
]  # fmt: skip


def data(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(dtype)


def prepared(network: str) -> tuple[nn.Sequential, np.ndarray]:
    """A network in eval mode with statistics of its own, and an input."""
    make, shape = NETWORKS[network]
    model, x = make(), data(shape)
    for _ in range(2):
        model(2 * x + 1)
    return model.eval(), x


def inferred(model: nn.Module, x: np.ndarray) -> np.ndarray:
    with fc.no_grad():
        return model(x)


def assert_up_to_date(model: nn.Sequential, x: np.ndarray) -> None:
    """What `model` infers is what it computes layer by layer, and what a copy infers that never had a program."""
    expected = copy.deepcopy(model)(x)
    for _ in range(2):
        np.testing.assert_array_equal(inferred(model, x), expected)
    np.testing.assert_array_equal(inferred(copy.deepcopy(model), x), expected)


@pytest.fixture
def model() -> nn.Sequential:
    """Convolution, batch normalization, ReLU, residual block with a shortcut, pooling, linear layer; with a program."""
    rng = np.random.default_rng(0)
    body = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, rng=rng), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 1, rng=rng), nn.BatchNorm2d(5))
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.Residual(body, nn.Conv2d(4, 5, 1, rng=rng), "relu"),
        nn.Dropout(0.5), nn.MaxPool2d(2), nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(5, 3, rng=rng), nn.ReLU(),
    )  # fmt: skip
    x = data((3, 2, 9, 8))
    model(x)
    assert_up_to_date(model.eval(), x)
    assert model._program is not None
    return model


class Kept(nn.Identity):
    """Has its inputs for whoever asks."""

    def __init__(self) -> None:
        self._inputs: list[np.ndarray] = []

    def _trace(self, trace: Any, x: Any, *arguments: Any) -> Any:
        return trace.call(self._keep, x)

    def _keep(self, x: np.ndarray) -> np.ndarray:
        self._inputs.append(x)
        return x


# ---- the same results ------------------------------------------------------------------------------------


@networks
def test_results_are_those_of_the_layers(network: str, isa: str) -> None:
    model, x = prepared(network)
    assert_up_to_date(model, x)
    program = model._program
    assert program is not None
    inferred(model, x + 1)
    assert model._program is program


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer_has_a_program_that_lasts(layer: nn.Module, shape: tuple[int, ...], dtype: Any) -> None:
    model, x = nn.Sequential(copy.deepcopy(layer), nn.Identity()).eval(), data(shape, dtype)
    expected = model(x)
    results = [inferred(model, x)]
    program = model._program
    assert program is not None
    for given in (x, x[::-1], x[..., ::-1].copy()[..., ::-1]):
        results.append(inferred(model, given))
        assert model._program is program
    for y in (*results[:2], results[3]):
        np.testing.assert_array_equal(y, expected)
        assert y.dtype == expected.dtype
    np.testing.assert_array_equal(results[2], model(x[::-1]))


def test_nothing_is_kept(model: nn.Sequential) -> None:
    x = data((3, 2, 9, 8))
    y = model(x)
    model.backward(np.ones_like(y))
    inferred(model, x)
    assert all(module._saved is None for module in model.modules())
    with pytest.raises(RuntimeError, match="forward"):
        model.backward(np.ones_like(y))


def test_many_threads_and_shapes(model: nn.Sequential) -> None:
    inputs = [data((1 + n % 3, 2, 5 + n % 2, 6)) for n in range(8)]
    alone = [inferred(model, x).tobytes() for x in inputs]

    def repeatedly(x: np.ndarray) -> set[bytes]:
        return {inferred(model, x).tobytes() for _ in range(30)}

    with ThreadPoolExecutor(len(inputs)) as pool:
        assert list(pool.map(repeatedly, inputs)) == [{bits} for bits in alone]


@pytest.mark.parametrize("x", [np.zeros((3, 9, 9, 8), np.float32), np.zeros((3, 2, 0, 8)), np.zeros(4, np.float32), np.zeros((3, 2, 9, 8), int), "x", None],
                         ids=["channels", "empty", "rank", "dtype", "word", "None"])  # fmt: skip
def test_errors_are_those_of_the_layers(x: Any, model: nn.Sequential) -> None:
    with pytest.raises((ValueError, TypeError)) as layers:
        model(x)
    for _ in range(2):
        with pytest.raises(layers.type) as program:
            inferred(model, x)
        assert str(program.value) == str(layers.value)
    assert_up_to_date(model, data((3, 2, 9, 8)))


def test_results_that_the_caller_holds_stay(model: nn.Sequential) -> None:
    held = inferred(model, data((3, 2, 9, 8)))
    before = held.copy()
    inferred(model, 1 - data((3, 2, 9, 8)))
    np.testing.assert_array_equal(held, before)


def test_sums_go_where_nobody_looks_again() -> None:
    """A convolution at the end of a residual block may write over the other branch: not over the input, nor what is read or held elsewhere."""
    def block() -> nn.Module:
        return nn.Residual(nn.Sequential(nn.Conv2d(3, 3, 1, rng=1), nn.Conv2d(3, 3, 1, rng=2)), activation="relu")

    kept = Kept()
    models = [
        nn.Sequential(block(), block(), block()),
        nn.Sequential(nn.Identity(), block(), nn.Identity(), block()),
        nn.Sequential(block(), nn.Concat(block(), nn.Identity(), block()), nn.Conv2d(9, 3, 1, rng=3), block()),
        nn.Sequential(block(), nn.Residual(nn.Sequential(nn.Conv2d(3, 3, 1, rng=4)))),
        nn.Sequential(nn.Residual(nn.Sequential(block(), nn.Conv2d(3, 3, 1, rng=5))), block()),
        nn.Sequential(nn.Conv2d(3, 3, 1, rng=6), kept, block()),
    ]
    for model in models:
        x = data((2, 3, 7, 16))
        assert_up_to_date(model.eval(), x)
        np.testing.assert_array_equal(x, data((2, 3, 7, 16)))
    for held in kept._inputs:
        np.testing.assert_array_equal(held, models[-1][0](x))
    assert len(kept._inputs) >= 2


# ---- one program, kept as long as it is right ------------------------------------------------------------


def _scaled(key: str) -> Callable[[nn.Sequential], Any]:
    return lambda m: m.load_state_dict({key: 3 * m.state_dict()[key] + 1}, strict=False)


def _shared_with_training(m: nn.Sequential) -> None:
    twin = nn.Conv2d(2, 4, 3)
    twin.weight = m[0].weight
    twin.train().weight.data += 1


def _locked(m: nn.Sequential) -> None:
    """A parameter that its owner made read-only, and may open again."""
    m[0].weight = nn.Parameter(2 * m[0].weight.data)
    m[0].weight.data.flags.writeable = False
    inferred(m, data((3, 2, 9, 8)))
    m[0].weight.data.flags.writeable = True
    m[0].weight.data[...] = 1


CHANGES: dict[str, Callable[[nn.Sequential], Any]] = {
    **{key: _scaled(key) for key in ("0.weight", "0.bias", "1.weight", "1.running_mean", "3.body.1.running_var", "3.shortcut.bias", "8.weight")},
    "padding": lambda m: setattr(m[0], "padding", 0),
    "a list": lambda m: setattr(m[0], "padding", [[0, 1], [2, 0]]),
    "stride": lambda m: setattr(m[3].body[0], "stride", (1, 1)),
    "eps": lambda m: setattr(m[1], "eps", 0.5),
    "weight": lambda m: setattr(m[0], "weight", nn.Parameter(np.zeros((4, 2, 3, 3), np.float32))),
    "no bias": lambda m: setattr(m[3].shortcut, "bias", None),
    "affine": lambda m: setattr(m[1], "weight", None),
    "pooling": lambda m: setattr(m[5], "kernel_size", 3),
    "activation": lambda m: setattr(m[3], "activation", None),
    "another body": lambda m: setattr(m[3], "body", nn.Conv2d(4, 5, 1, rng=5)),
    "another shortcut": lambda m: setattr(m[3], "shortcut", nn.Conv2d(4, 5, 1, rng=5).eval()),
    "append": lambda m: m.append(nn.Linear(3, 2, rng=4)),
    "append inside": lambda m: m[3].body.append(nn.Tanh()),
    "a normalization that trains": lambda m: m[3].body[1].train(),
    "shared": _shared_with_training,
    "locked": _locked,
    "train and eval": lambda m: [m.train(), m[0].bias.data.fill(2), m.eval()],
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes(change: str, model: nn.Sequential) -> None:
    CHANGES[change](model)
    if change == "a normalization that trains":
        model[3].body[1].momentum = 0.0  # statistics of its own would be others at every call
    assert_up_to_date(model, data((3, 2, 9, 8)))


def test_lists_that_change(model: nn.Sequential) -> None:
    x, padding = data((3, 2, 9, 8)), [[1, 1], [0, 2]]
    model[0].padding = padding
    assert_up_to_date(model, x)
    padding[0][0] = 3
    assert_up_to_date(model, x)


def test_a_forward_of_its_own(model: nn.Sequential) -> None:
    """As a profiler or a test may put in place of one layer's."""
    x, seen = data((3, 2, 9, 8)), []
    expected = inferred(model, x)

    def watched(*arguments: Any) -> np.ndarray:
        seen.append(len(arguments))
        return type(model[5]).forward(model[5], *arguments)

    model[5].forward = watched
    np.testing.assert_array_equal(inferred(model, x), expected)
    del model[5].forward
    np.testing.assert_array_equal(inferred(model, x), expected)
    assert len(seen) == 1


def test_shapes_dtypes_strict_and_isa_are_those_of_the_call(model: nn.Sequential, isa: str) -> None:
    for x in (data((1, 2, 5, 6)), data((3, 2, 9, 8), np.float64), data((3, 2, 9, 8))):
        assert_up_to_date(model, x)
    with fc.strict():
        assert_up_to_date(model, x)
    with fc.use_isa("generic"):
        assert_up_to_date(model, x)
    assert_up_to_date(model, x)


class Half(nn.Module):
    """A module of a user's, whose output's shape depends on what is in the input."""

    def forward(self, x: Any) -> np.ndarray:
        return x[:, :, : x.shape[2] // (2 if x.flat[0] > 0 else 3)]


def test_modules_of_others_are_called(model: nn.Sequential) -> None:
    model = nn.Sequential(nn.Conv1d(2, 4, 3, rng=0), Half(), nn.Conv1d(4, 3, 2, rng=0), nn.ReLU()).eval()
    x = data((2, 2, 14))
    for sign in (1, -1, 1):
        np.testing.assert_array_equal(inferred(model, sign * x), model(sign * x))
    assert model._program is None


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_make_programs_of_their_own(clone: Any, model: nn.Sequential) -> None:
    x, program = data((3, 2, 9, 8)), model._program
    twin = clone(model)
    assert twin._program is None
    np.testing.assert_array_equal(inferred(twin, x), inferred(model, x))
    assert model._program is program
    assert isinstance(twin._program, Program)


def test_train_drops_it(model: nn.Sequential) -> None:
    assert model.train()._program is None
    inferred(model, data((3, 2, 9, 8)))
    assert model._program is None
