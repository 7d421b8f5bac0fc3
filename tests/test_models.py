"""The networks: shapes, parameters, errors; and that they are PyTorch's: the same keys, outputs and gradients."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastconv import models, nn


class Case(NamedTuple):
    """Our network, the arguments of PyTorch's in `torch_models`, and the shape of an input."""

    ours: Callable[[], nn.Sequential]
    theirs: Callable[[Any], Any]
    shape: tuple[int, ...]
    outputs: tuple[int, ...]


CASES = {
    "lenet": Case(lambda: models.lenet(7, size=12, rng=0), lambda t: t.lenet(7, 12), (2, 1, 12, 12), (2, 7)),
    "alexnet": Case(lambda: models.alexnet(5, width=4, rng=0), lambda t: t.AlexNet(5, 4), (2, 3, 95, 80), (2, 5)),
    "vgg16": Case(lambda: models.vgg16(5, width=4, rng=0), lambda t: t.VGG16(5, 4), (2, 3, 40, 64), (2, 5)),
    "resnet18": Case(
        lambda: models.resnet18(5, width=4, rng=0), lambda t: t.ResNet(t.BasicBlock, (2, 2, 2, 2), 5, 4), (2, 3, 64, 50), (2, 5)
    ),
    "resnet50": Case(
        lambda: models.resnet50(5, width=4, rng=0), lambda t: t.ResNet(t.Bottleneck, (3, 4, 6, 3), 5, 4), (2, 3, 64, 50), (2, 5)
    ),
    "resnet_digits": Case(
        lambda: models.resnet_digits(width=4, rng=0), lambda t: t.ResNet(t.BasicBlock, (1, 1, 1), 10, 4, True), (3, 1, 8, 8), (3, 10)
    ),
    "unet": Case(lambda: models.unet(2, 3, width=4, rng=0), lambda t: t.UNet(2, 3, 4, 3, 2, True), (2, 2, 16, 24), (2, 3, 16, 24)),
    "unet1d": Case(
        lambda: models.unet(1, 1, width=4, depth=4, ndim=1, rng=0), lambda t: t.UNet(1, 1, 4, 4, 1, True), (2, 1, 64), (2, 1, 64)
    ),
    "hourglass": Case(
        lambda: models.hourglass(2, 3, width=4, rng=0), lambda t: t.UNet(2, 3, 4, 3, 2, False), (2, 2, 16, 24), (2, 3, 16, 24)
    ),
    "detector": Case(lambda: models.detector(6, width=4, rng=0), lambda t: t.Detector(6, 4), (2, 1, 24, 32), (2, 11, 3, 4)),
    "deep": Case(lambda: models.deep(10, width=4, rng=0), lambda t: t.deep(10, True, 4), (3, 1, 8, 8), (3, 10)),
    "plain": Case(lambda: models.deep(8, False, width=4, rng=0), lambda t: t.deep(8, False, 4), (3, 1, 8, 8), (3, 10)),
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def inputs(case: Case) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(case.shape).astype(np.float32)


@cases
def test_outputs_gradients_and_seeds(case: Case) -> None:
    model, x = case.ours(), inputs(case)
    y = model(x)
    assert y.shape == case.outputs
    assert y.dtype == np.float32
    assert model.backward(np.ones_like(y)).shape == x.shape
    assert all(parameter.grad is not None for parameter in model.parameters())
    for key, value in case.ours().state_dict().items():
        if "running" not in key and "tracked" not in key:
            np.testing.assert_array_equal(value, model.state_dict()[key])


@cases
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_copies_are_independent_and_equal(case: Case, clone: Any) -> None:
    model, x = case.ours().eval(), inputs(case)
    y = model(x)
    twin = clone(model)
    np.testing.assert_array_equal(twin(x), y)
    assert list(twin.state_dict()) == list(model.state_dict())
    for parameter in twin.train().parameters():
        parameter.data[...] = 0
    np.testing.assert_array_equal(model(x), y)


@pytest.mark.torch
@cases
def test_states_of_pytorch_and_ours_are_one(case: Case) -> None:
    torch = pytest.importorskip("torch")
    import torch_models

    torch.manual_seed(0)
    ours, theirs, x = case.ours(), case.theirs(torch_models), inputs(case)
    with torch.no_grad():
        for name, value in theirs.named_buffers():  # statistics that are not those of a network without training
            if "running" in name:
                value += torch.rand(value.shape)
    state = theirs.state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {k: v.shape for k, v in ours.state_dict().items()}
    ours.load_state_dict({key: value.numpy() for key, value in state.items()})
    theirs.eval()
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(ours.eval()(x), expected, rtol=1e-4, atol=1e-4 * scale)

        other = case.ours()
        theirs.load_state_dict({key: torch.from_numpy(value) for key, value in other.state_dict().items()})
        expected = theirs(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(other.eval()(x), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.torch
@cases
def test_training_is_that_of_pytorch(case: Case) -> None:
    """In float64, where two orders of summation cannot be told from two networks."""
    torch = pytest.importorskip("torch")
    import torch_models

    ours, theirs, x = case.ours(), case.theirs(torch_models).double(), inputs(case).astype(np.float64)
    for layer in (*ours.modules(), *theirs.modules()):
        if type(layer).__name__ == "Dropout":
            layer.p = 0.0
    for _, value in ours._tree():
        if value.dtype == np.float32:
            value._data = value.data.astype(np.float64)
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in ours.state_dict().items()})
    their_x = torch.from_numpy(x).requires_grad_()
    expected = theirs(their_x)
    dy = np.random.default_rng(1).standard_normal(expected.shape)
    expected.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(ours(x), expected.detach().numpy(), rtol=1e-8, atol=1e-9)
    dx = ours.backward(dy)
    np.testing.assert_allclose(dx, their_x.grad.numpy(), rtol=1e-6, atol=1e-8 * np.abs(dx).max())
    gradients = dict(theirs.named_parameters())
    for key, parameter in ours.named_parameters():
        theirs_ = gradients[key].grad.numpy()
        np.testing.assert_allclose(parameter.grad, theirs_, rtol=1e-6, atol=1e-8 * max(1, np.abs(theirs_).max()), err_msg=key)


@pytest.mark.parametrize(
    ("make", "parameters"), [(models.resnet18, 11_689_512), (models.resnet50, 25_557_032), (models.alexnet, 61_100_840)]
)
def test_parameters_are_torchvisions(make: Any, parameters: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in nn.init.SCHEMES:  # random numbers would take seconds
        monkeypatch.setitem(nn.init.SCHEMES, scheme, lambda shape, *_: (np.zeros(shape, np.float32), np.zeros(shape[0])))
    assert sum(parameter.size for parameter in make(rng=0).parameters()) == parameters


def test_plain_and_residual_networks_differ_in_the_connections_alone() -> None:
    plain, residual = (models.deep(6, kind, rng=0) for kind in (False, True))
    for a, b in zip(plain.parameters(), residual.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: models.lenet(size=10), ValueError, "size must be a multiple of 4, got 10"),
        (lambda: models.lenet(0), ValueError, "num_classes"),
        (lambda: models.resnet18(width=0), ValueError, "width must be 1 or more, got 0"),
        (lambda: models.resnet50(2.5), TypeError, "num_classes must be an int, got 2.5"),
        (lambda: models.alexnet(width="x"), TypeError, "width"),
        (lambda: models.vgg16(True), TypeError, "num_classes"),
        (lambda: models.deep(5), ValueError, "even number of layers, 4 or more, got 5"),
        (lambda: models.deep(2), ValueError, "depth"),
        (lambda: models.unet(1, 1, ndim=3), ValueError, "ndim must be 1 or 2, got 3"),
        (lambda: models.hourglass(1, 1, depth=0), ValueError, "depth"),
        (lambda: models.unet(1, 1, width=2)(np.zeros((2, 1, 20, 20), np.float32)), ValueError, "branches of Concat"),
        (lambda: models.detector(0), ValueError, "num_classes"),
    ],
)
def test_bad_arguments_are_named(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
