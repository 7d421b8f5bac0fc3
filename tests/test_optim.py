"""Optimizers: PyTorch's arithmetic, bit-for-bit resumption, errors."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import nn, optim

SETTINGS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd_dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "sgd_nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "sgd_decay": ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1}),
    "adam": ("Adam", {"lr": 0.1}),
    "adam_all": ("Adam", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
}
SHAPES = [(3, 2), (4,), ()]


def parameters(dtype: type = np.float64) -> list[nn.Parameter]:
    rng = np.random.default_rng(0)
    return [nn.Parameter(rng.standard_normal(shape).astype(dtype), f"p{i}") for i, shape in enumerate(SHAPES)]


def gradients(step: int, dtype: type = np.float64) -> list[np.ndarray]:
    rng = np.random.default_rng(step + 1)
    return [rng.standard_normal(shape).astype(dtype) * np.ones(shape, dtype) for shape in SHAPES]


def advance(optimizer: optim.Optimizer, steps: range) -> None:
    for step in steps:
        for parameter, grad in zip(
            optimizer.parameters, gradients(step, optimizer.parameters[0].dtype.type), strict=True
        ):
            parameter.grad = np.asarray(grad)
        optimizer.step()


@pytest.mark.torch
@pytest.mark.parametrize("name", SETTINGS)
def test_equals_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    kind, settings = SETTINGS[name]
    ours = getattr(optim, kind)(parameters(), **settings)
    theirs = [torch.tensor(p.data, requires_grad=True) for p in parameters()]
    their_optimizer = getattr(torch.optim, kind)(theirs, **settings)
    schedule = optim.StepLR(ours, 3, 0.5)
    their_schedule = torch.optim.lr_scheduler.StepLR(their_optimizer, 3, 0.5)
    for step in range(10):
        advance(ours, range(step, step + 1))
        for tensor, grad in zip(theirs, gradients(step), strict=True):
            tensor.grad = torch.tensor(grad)
        their_optimizer.step()
        schedule.step()
        their_schedule.step()
        assert ours.lr == their_optimizer.param_groups[0]["lr"]
    for parameter, tensor in zip(ours.parameters, theirs, strict=True):
        np.testing.assert_allclose(parameter.data, tensor.detach().numpy(), rtol=1e-12)


def test_sgd_in_closed_form() -> None:
    parameter = nn.Parameter(np.array([1.0]))
    optimizer = optim.SGD([parameter], lr=0.5, momentum=0.5)
    for expected in (0.5, -0.25, -1.125):  # velocity 1, 1.5, 1.75
        parameter.grad = np.ones(1)
        optimizer.step()
        assert parameter.data[0] == expected


def test_adams_first_step_is_the_sign_of_the_gradient() -> None:
    parameter = nn.Parameter(np.zeros(3))
    optimizer = optim.Adam([parameter], lr=0.1)
    parameter.grad = np.array([1e-3, -5.0, 0.0])
    optimizer.step()
    np.testing.assert_allclose(parameter.data, [-0.1, 0.1, 0], rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_from_its_state_is_bit_for_bit_the_same(name: str, dtype: type) -> None:
    kind, settings = SETTINGS[name]
    whole = getattr(optim, kind)(parameters(dtype), **settings)
    advance(whole, range(10))
    first = getattr(optim, kind)(parameters(dtype), **settings)
    advance(first, range(4))
    second = getattr(optim, kind)(parameters(dtype), lr=7.0)  # everything comes from the state
    for ours, theirs in zip(second.parameters, first.parameters, strict=True):
        ours.data = theirs.data
    second.load_state_dict(first.state_dict())
    advance(second, range(4, 10))
    assert second.state_dict().keys() == whole.state_dict().keys()
    for a, b in zip(second.parameters, whole.parameters, strict=True):
        assert a.dtype == dtype
        np.testing.assert_array_equal(a.data, b.data)


def test_schedule_resumes() -> None:
    optimizer = optim.SGD(parameters(), lr=1.0)
    schedule = optim.StepLR(optimizer, 3)
    for _ in range(4):
        schedule.step()
    later = optim.StepLR(optim.SGD(parameters(), lr=optimizer.lr), 5)
    later.load_state_dict(schedule.state_dict())
    for _ in range(2):
        later.step()
    assert later.optimizer.lr == pytest.approx(0.01)
    with pytest.raises(ValueError, match="StepLR"):
        later.load_state_dict({})


def test_steps_allocate_nothing_and_keep_the_gradients() -> None:
    optimizer = optim.SGD(parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    advance(optimizer, range(1))
    arrays = [parameter.data for parameter in optimizer.parameters]
    buffers = [found["momentum_buffer"] for found in optimizer._buffers]
    advance(optimizer, range(1, 2))
    assert all(parameter.data is array for parameter, array in zip(optimizer.parameters, arrays, strict=True))
    assert all(found["momentum_buffer"] is b for found, b in zip(optimizer._buffers, buffers, strict=True))
    for parameter, grad in zip(optimizer.parameters, gradients(1), strict=True):
        np.testing.assert_array_equal(parameter.grad, grad)


def test_parameters_without_gradient_are_passed_over() -> None:
    optimizer = optim.Adam(parameters())
    before = [parameter.data.copy() for parameter in optimizer.parameters]
    optimizer.step()
    optimizer.zero_grad()
    for parameter, value in zip(optimizer.parameters, before, strict=True):
        np.testing.assert_array_equal(parameter.data, value)


def test_step_in_eval_is_an_error() -> None:
    layer = nn.Linear(2, 2)
    optimizer = optim.SGD(layer.parameters())
    layer.backward(np.ones_like(layer(np.ones((1, 2)))))
    layer.eval()
    with pytest.raises(RuntimeError, match="weight.*eval"):
        optimizer.step()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD(p, lr=-1), "lr.*-1"),
        (lambda p: optim.SGD(p, lr=float("nan")), "lr.*nan"),
        (lambda p: optim.SGD(p, momentum=-0.1), "momentum"),
        (lambda p: optim.SGD(p, weight_decay=-0.1), "weight_decay"),
        (lambda p: optim.SGD(p, nesterov=True), "nesterov"),
        (lambda p: optim.SGD([]), "empty"),
        (lambda p: optim.Adam(p, betas=(1.0, 0.9)), r"betas\[0\]"),
        (lambda p: optim.Adam(p, betas=(0.9, -1)), r"betas\[1\]"),
        (lambda p: optim.Adam(p, eps=-1), "eps"),
        (lambda p: optim.StepLR(optim.SGD(p), 0), "step_size"),
        (lambda p: optim.StepLR(optim.SGD(p), 1, -1), "gamma"),
    ],
)
def test_settings_out_of_range(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(parameters())


def test_states_that_do_not_fit() -> None:
    optimizer = optim.Adam(parameters())
    advance(optimizer, range(1))
    state = optimizer.state_dict()
    other = optim.Adam(parameters())
    for change in ({"exp_avg.0": np.zeros(9)}, {"other": np.zeros(1)}):
        with pytest.raises(ValueError, match="exp_avg|other"):
            other.load_state_dict(state | change)
    del state["step.1"]
    with pytest.raises(ValueError, match="parameter 1"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="missing"):
        optim.SGD(parameters()).load_state_dict({})
