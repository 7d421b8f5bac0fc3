"""Optimizers and learning-rate schedules with PyTorch's arithmetic.

A step works in place, in one call and one pass in C for all parameters; the buffers are made on the first step and none
after.
``state_dict()`` is a flat mapping of arrays, ready for `fastconv.serialization.save_state`: an optimizer that is loaded
goes on bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv import _core
from fastconv._arguments import check_state_dict
from fastconv.nn.parameter import Parameter

Array = NDArray[Any]


def _check(name: str, value: float, accepted: str, valid: Callable[[float], bool]) -> float:
    if not (isinstance(value, (int, float, np.number)) and math.isfinite(value) and valid(value)):
        raise ValueError(f"{name} must be {accepted}, got {value!r}")
    return float(value)


def _non_negative(name: str, value: float) -> float:
    return _check(name, value, "a finite number >= 0", lambda v: v >= 0)


def _fraction(name: str, value: float) -> float:
    return _check(name, value, "in [0, 1)", lambda v: 0 <= v < 1)


class Optimizer:
    """Base of the optimizers.

    A subclass names the settings and the per-parameter buffers that its state consists of, and writes ``_update``.
    """

    _settings: tuple[str, ...]
    _buffer_names: tuple[str, ...]
    lr: float

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        if not isinstance(parameters, Iterable):
            raise TypeError(f"parameters must be an iterable of Parameters, got {parameters!r}")
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("the optimizer got an empty list of parameters")
        for parameter in self.parameters:
            if not isinstance(parameter, Parameter):
                raise TypeError(f"parameters must be Parameters, got {type(parameter).__name__}")
        if len(set(map(id, self.parameters))) < len(self.parameters):
            raise ValueError(f"parameters must be given once each, got {self.parameters}")
        # A parameter has no buffers until it has had a gradient, as in PyTorch.
        self._buffers: list[dict[str, Array]] = [{} for _ in self.parameters]

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        data, grads, frozen = _core.with_gradients(self.parameters)
        if frozen is not None:
            raise RuntimeError(f"{frozen} is read-only in eval(); call train() on its module before step()")
        buffers = self._buffers
        if len(data) < len(buffers):
            buffers = [kept for parameter, kept in zip(self.parameters, buffers, strict=True) if parameter.grad is not None]
        self._update(data, grads, buffers)

    def _update(self, data: list[Array], grads: list[Array], buffers: list[dict[str, Array]]) -> None:
        """Update `data` in place; each has its gradient and its buffers, which are empty before its first step."""
        raise NotImplementedError

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Zero all gradients in place, or forget them with ``set_to_none=True``."""
        for parameter in self.parameters:
            if set_to_none:
                parameter.grad = None
            else:
                parameter.zero_grad()

    def state_dict(self) -> dict[str, Array]:
        """Settings as 0-d float64 arrays, buffers under ``<name>.<index of the parameter>``; copies."""
        state = {name: np.array(getattr(self, name), np.float64) for name in self._settings}
        for index, buffers in enumerate(self._buffers):
            state |= {f"{name}.{index}": buffer.copy() for name, buffer in buffers.items()}
        return state

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Take over what ``state_dict()`` of an optimizer of the same parameters gave; on an error nothing has changed.

        Raises
        ------
        ValueError
            For missing or unexpected keys and for wrong shapes.
        TypeError
            For what is no mapping.
        """
        check_state_dict(state_dict)
        buffers: list[dict[str, Array]] = [{} for _ in self.parameters]
        for index, parameter in enumerate(self.parameters):
            for name in self._buffer_names:
                value = state_dict.get(f"{name}.{index}")
                if value is not None:
                    buffers[index][name] = self._loaded_buffer(name, np.asarray(value), parameter)
        known = set(self._settings) | {f"{n}.{i}" for i, found in enumerate(buffers) for n in found}
        # Buffers come and go together, so a parameter has all of them or none.
        incomplete = [i for i, found in enumerate(buffers) if found and len(found) < len(self._buffer_names)]
        missing = [n for n in self._settings if n not in state_dict] + [
            f"buffers of parameter {i}" for i in incomplete
        ]
        unexpected = [key for key in state_dict if key not in known]
        if missing or unexpected:
            raise ValueError(
                f"state_dict does not fit {type(self).__name__}: missing {missing}, unexpected {unexpected}"
            )
        for name in self._settings:
            setattr(self, name, type(getattr(self, name))(np.asarray(state_dict[name]).item()))
        self._buffers = buffers

    @staticmethod
    def _loaded_buffer(name: str, value: Array, parameter: Parameter) -> Array:
        shape, dtype = ((), np.float64) if name == "step" else (parameter.shape, parameter.dtype)
        if value.shape != shape:
            raise ValueError(f"{name} of {parameter}: expected shape {shape}, got {value.shape}")
        return value.astype(dtype)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as `torch.optim.SGD`.

    Parameters
    ----------
    parameters : iterable of Parameter
        Usually ``model.parameters()``.
    lr : float
        Learning rate.
    momentum : float
        The velocity ``v = momentum * v + (1 - dampening) * grad`` takes the place of the gradient.
    dampening : float
        See `momentum`; the first step is not dampened.
    weight_decay : float
        ``weight_decay * data`` is added to the gradient.
    nesterov : bool
        Look ahead along the velocity; needs momentum and no dampening.

    Raises
    ------
    ValueError
        For a setting that is out of range.
    """

    _settings = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    _buffer_names = ("momentum_buffer",)

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(parameters)
        self.lr = _non_negative("lr", lr)
        self.momentum = _non_negative("momentum", momentum)
        self.dampening = _check("dampening", dampening, "a finite number", lambda v: True)
        self.weight_decay = _non_negative("weight_decay", weight_decay)
        self.nesterov = bool(nesterov)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError("nesterov needs momentum > 0 and dampening = 0, "
                             f"got momentum={momentum!r}, dampening={dampening!r}")  # fmt: skip

    def _update(self, data: list[Array], grads: list[Array], buffers: list[dict[str, Array]]) -> None:
        velocities: list[Array] | None = None
        first: list[bool] = []
        if self.momentum:
            first = [not kept for kept in buffers]
            velocities = [
                kept.setdefault("momentum_buffer", np.zeros_like(values)) if fresh else kept["momentum_buffer"]
                for kept, values, fresh in zip(buffers, data, first, strict=True)
            ]
        _core.sgd(
            data, grads, velocities, first, self.lr, self.momentum, self.dampening, self.weight_decay, self.nesterov
        )


class Adam(Optimizer):
    """Adam with bias correction, as `torch.optim.Adam` (Kingma and Ba 2015, arXiv:1412.6980).

    Parameters
    ----------
    parameters : iterable of Parameter
        Usually ``model.parameters()``.
    lr : float
        Learning rate.
    betas : pair of float
        Decay of the running means of the gradient and of its square.
    eps : float
        Added to the denominator.
    weight_decay : float
        ``weight_decay * data`` is added to the gradient.

    Raises
    ------
    ValueError
        For a setting that is out of range.
    """

    _settings = ("lr", "beta1", "beta2", "eps", "weight_decay")
    _buffer_names = ("exp_avg", "exp_avg_sq", "step")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters)
        if not isinstance(betas, Sequence):
            raise TypeError(f"betas must be a pair of numbers, got {betas!r}")
        if len(betas) != 2:
            raise ValueError(f"betas must be a pair, got {betas!r}")
        self.lr = _non_negative("lr", lr)
        self.beta1 = _fraction("betas[0]", betas[0])
        self.beta2 = _fraction("betas[1]", betas[1])
        self.eps = _non_negative("eps", eps)
        self.weight_decay = _non_negative("weight_decay", weight_decay)

    def _update(self, data: list[Array], grads: list[Array], buffers: list[dict[str, Array]]) -> None:
        for kept, values in zip(buffers, data, strict=True):
            if not kept:
                kept |= {
                    "exp_avg": np.zeros_like(values),
                    "exp_avg_sq": np.zeros_like(values),
                    "step": np.zeros(()),
                }
            kept["step"] += 1
        means, squares, steps = ([kept[name] for kept in buffers] for name in self._buffer_names)
        _core.adam(
            data, grads, means, squares, [float(step) for step in steps], self.lr, self.beta1, self.beta2, self.eps,
            self.weight_decay,
        )  # fmt: skip


class StepLR:
    """Multiply the learning rate by `gamma` after every `step_size` calls of ``step()``, as PyTorch's StepLR.

    Parameters
    ----------
    optimizer : Optimizer
        Whose ``lr`` is changed.
    step_size : int
        In calls of ``step()``, be they steps or epochs.
    gamma : float
        The factor.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, got {optimizer!r}")
        self.optimizer = optimizer
        self.step_size = int(_check("step_size", step_size, "an int >= 1", lambda v: v >= 1 and v == int(v)))
        self.gamma = _non_negative("gamma", gamma)
        self.last_epoch = 0

    def step(self) -> None:
        """Count one, and change the learning rate if it is time."""
        self.last_epoch += 1
        if self.last_epoch % self.step_size == 0:
            self.optimizer.lr *= self.gamma

    def state_dict(self) -> dict[str, Array]:
        """The settings and the count as 0-d arrays; the learning rate belongs to the optimizer's state."""
        return {
            "step_size": np.array(self.step_size),
            "gamma": np.array(self.gamma),
            "last_epoch": np.array(self.last_epoch),
        }

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Take over what ``state_dict()`` gave."""
        check_state_dict(state_dict)
        own = self.state_dict()
        if own.keys() != state_dict.keys():
            raise ValueError(
                f"state_dict does not fit StepLR: expected {sorted(own)}, got {sorted(state_dict)}"
            )
        for name, value in state_dict.items():
            setattr(self, name, np.asarray(value).item())
