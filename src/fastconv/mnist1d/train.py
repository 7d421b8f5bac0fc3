"""Training: the options, the batches and the step. Nothing here knows of files, signals or the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv import nn, optim
from fastconv.mnist1d.data import CLASSES, LENGTH, MNIST1D
from fastconv.mnist1d.models import KERNEL_SIZE, MODELS, WIDTHS, build
from fastconv.nn.module import no_grad

Array = NDArray[Any]

# What the children of the seed are for: independent streams, by name.
INIT, SHUFFLE, LOCATIONS, EXAMPLES, NOISE = range(5)
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class TrainConfig:
    """All that the result of a training depends on; the defaults are the lecture's.

    Attributes
    ----------
    model : {"conv", "fc"}
    widths : tuple of int
        Channels or hidden units; by default the lecture's.
    kernel_size : int
        Of the convolutions.
    shuffled_locations : bool
        Whether the samples of all signals stand in one other, random order.
    examples : int
        How many training examples there are, drawn from all; 0: all.
    label_noise : float
        The share of training labels that are replaced by random ones.
    steps, batch_size : int
    lr, momentum, weight_decay : float
    optimizer : {"sgd", "adam"}
        Momentum is SGD's.
    lr_step, lr_gamma : int, float
        Multiply the learning rate by `lr_gamma` every `lr_step` steps; 0 keeps it constant.
    init : str
        A scheme of `fastconv.nn.init`.
    seed : int
        Of the initial weights, of the order of the examples, and of whatever else is drawn.
    eval_every, checkpoint_every : int
        In steps.
    """

    model: str = "conv"
    widths: tuple[int, ...] = ()
    steps: int = 100_000
    lr: float = 0.01
    batch_size: int = 100
    seed: int = 0
    momentum: float = 0.0
    weight_decay: float = 0.0
    optimizer: str = "sgd"
    lr_step: int = 0
    lr_gamma: float = 0.1
    init: str = "he_uniform"
    eval_every: int = 1000
    checkpoint_every: int = 5000
    kernel_size: int = KERNEL_SIZE
    shuffled_locations: bool = False
    examples: int = 0
    label_noise: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (("model", MODELS), ("optimizer", OPTIMIZERS), ("init", nn.init.SCHEMES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, got {getattr(self, name)}")
        if self.kernel_size != KERNEL_SIZE and self.model != "conv":
            raise ValueError(f"kernel_size is an option of conv, not of {self.model}")
        if not 0 <= self.label_noise <= 1:
            raise ValueError(f"label_noise must be from 0 to 1, got {self.label_noise}")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum is an option of sgd, not of {self.optimizer}")
        object.__setattr__(self, "widths", tuple(self.widths) or WIDTHS[self.model])


LEAST = {
    "steps": 1, "batch_size": 1, "seed": 0, "lr_step": 0, "eval_every": 1, "checkpoint_every": 1, "kernel_size": 1,
    "examples": 0,
}  # fmt: skip

OPTIMIZERS: dict[str, Callable[[nn.Module, TrainConfig], optim.Optimizer]] = {
    "sgd": lambda model, c: optim.SGD(
        model.parameters(), c.lr, momentum=c.momentum, weight_decay=c.weight_decay
    ),
    "adam": lambda model, c: optim.Adam(model.parameters(), c.lr, weight_decay=c.weight_decay),
}


class Row(NamedTuple):
    """One line of the metrics. `loss` is the mean over the training batches since the line before; errors in percent."""

    step: int
    loss: float
    train_loss: float
    train_error: float
    test_loss: float
    test_error: float


def generator(seed: int, *purpose: int) -> np.random.Generator:
    """The random generator for one purpose: a child of the seed, independent of all others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=purpose)))


def varied(data: MNIST1D, config: TrainConfig) -> MNIST1D:
    """The data as `config` wants them: other locations, fewer training examples, noisy training labels."""
    x_train, y_train, x_test = data.x_train, data.y_train, data.x_test
    if config.shuffled_locations:
        order = generator(config.seed, LOCATIONS).permutation(LENGTH)
        x_train, x_test = (np.ascontiguousarray(x[:, :, order]) for x in (x_train, x_test))
    if config.examples:
        if config.examples > len(x_train):
            raise ValueError(f"examples must be at most {len(x_train)}, got {config.examples}")
        chosen = generator(config.seed, EXAMPLES).permutation(len(x_train))[: config.examples]
        x_train, y_train = x_train[chosen], y_train[chosen]
    if config.label_noise:
        rng = generator(config.seed, NOISE)
        noisy = rng.random(len(y_train)) < config.label_noise
        y_train = np.where(noisy, rng.integers(0, CLASSES, len(y_train)), y_train)
    return MNIST1D(x_train, y_train, x_test, data.y_test)


class Batches:
    """The batch of every step: each epoch a new order of the examples, cut into batches of one size.

    The order of epoch e is a function of the seed and e alone, so a training can be taken up at any step with no state
    but the step. Examples that do not fill a batch sit that epoch out.
    """

    def __init__(self, x: Array, y: Array, batch_size: int, seed: int) -> None:
        if batch_size > len(x):
            raise ValueError(f"batch_size must be at most the {len(x)} training examples, got {batch_size}")
        self._x, self._y, self._size, self._seed = x, y, batch_size, seed
        self._per_epoch = len(x) // batch_size
        self._epoch = -1
        # The epoch's examples in their order: gathered once, so that a batch is a slice.
        self._x_ordered, self._y_ordered = np.empty_like(x), np.empty_like(y)
        cuts = [slice(start, start + batch_size) for start in range(0, self._per_epoch * batch_size, batch_size)]
        self._batches = [(self._x_ordered[cut], self._y_ordered[cut]) for cut in cuts]

    def __getitem__(self, step: int) -> tuple[Array, Array]:
        """Examples and labels of a step, valid until a step of another epoch is asked for."""
        epoch, index = divmod(step, self._per_epoch)
        if epoch != self._epoch:
            order = generator(self._seed, SHUFFLE, epoch).permutation(len(self._x))
            np.take(
                self._x, order, axis=0, out=self._x_ordered, mode="clip"
            )  # "raise" would go through a buffer
            np.take(self._y, order, axis=0, out=self._y_ordered, mode="clip")
            self._epoch = epoch
        return self._batches[index]


class Trainer:
    """A network in training.

    Parameters
    ----------
    config : TrainConfig
    data : MNIST1D
    """

    def __init__(self, config: TrainConfig, data: MNIST1D) -> None:
        self.config, self.data = config, varied(data, config)
        self.model = build(
            config.model, config.widths, config.kernel_size, init=config.init, rng=generator(config.seed, INIT)
        )
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = OPTIMIZERS[config.optimizer](self.model, config)
        self.schedule = (
            optim.StepLR(self.optimizer, config.lr_step, config.lr_gamma) if config.lr_step else None
        )
        self.batches = Batches(self.data.x_train, self.data.y_train, config.batch_size, config.seed)
        self.step = 0
        self.loss_sum, self.loss_count = 0.0, 0
        self.rows: list[Row] = []

    def train_step(self) -> float:
        """One step of training; returns the loss of its batch."""
        x, labels = self.batches[self.step]
        value = self.loss(self.model(x), labels)
        self.optimizer.zero_grad(set_to_none=True)
        self.model.backward(self.loss.backward(), need_input_grad=False)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        self.step += 1
        return value

    def train_until(self, step: int) -> None:
        """Train up to and including step number `step`."""
        while self.step < step:
            self.loss_sum += self.train_step()
            self.loss_count += 1

    @property
    def mean_loss(self) -> float:
        """Mean loss of the batches since the latest row of metrics."""
        return self.loss_sum / self.loss_count if self.loss_count else math.nan

    def record(self) -> Row:
        """Evaluate, append a row of metrics, and begin a new mean of the loss.

        Raises
        ------
        FloatingPointError
            If the training has diverged.
        """
        row = Row(self.step, self.mean_loss, *self.evaluate("train"), *self.evaluate("test"))
        if not all(map(math.isfinite, row)):
            raise FloatingPointError(
                f"the training diverged: the loss is {row.loss} at step {self.step}; a smaller learning rate may help"
            )
        self.rows.append(row)
        self.loss_sum, self.loss_count = 0.0, 0
        return row

    def evaluate(self, part: str) -> tuple[float, float]:
        """Mean loss and error in percent on the ``"train"`` or the ``"test"`` examples."""
        x, labels = getattr(self.data, f"x_{part}"), getattr(self.data, f"y_{part}")
        loss = nn.CrossEntropyLoss(reduction="sum")
        total, wrong = 0.0, 0
        self.model.eval()
        with no_grad():
            for start in range(0, len(x), EVALUATION_BATCH):
                rows = slice(start, start + EVALUATION_BATCH)
                logits = self.model(x[rows])
                total += loss(logits, labels[rows])
                wrong += int(np.count_nonzero(logits.argmax(axis=1) != labels[rows]))
        self.model.train()
        return total / len(x), 100 * wrong / len(x)
