"""The loop that all demonstrations train with: Adam, a learning rate that rises and falls, batches in a seeded order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import nn, optim
from fastconv.demo.options import Options

Array = NDArray[Any]

WARMUP = 0.1  # share of the steps in which the learning rate rises


def rate(step: int, steps: int) -> float:
    """Factor of the learning rate: up in a straight line, then down along half a cosine."""
    done = (step + 0.5) / steps
    return done / WARMUP if done < WARMUP else 0.5 + 0.5 * math.cos(math.pi * (done - WARMUP) / (1 - WARMUP))


def minibatches(count: int, size: int, rng: np.random.Generator) -> Iterator[Array]:
    """Indices of batches without end, each epoch in a new order; what does not fill a batch sits an epoch out."""
    size = min(size, count)
    while True:
        order = rng.permutation(count)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]


def fit(model: nn.Module, loss: Any, batch: Callable[[int], tuple[Array, Any]], options: Options, label: str,
        lr: float = 3e-3) -> list[float]:
    """Train `model` for ``options.steps`` steps on ``batch(step) -> (x, target)``; returns the loss of each.

    Raises
    ------
    FloatingPointError
        If the loss is no longer finite.
    """
    optimizer = optim.Adam(model.parameters(), lr)
    losses = list[float]()
    model.train()
    bar = options.progress(range(options.steps), label)
    for step in bar:
        x, target = batch(step)
        value = loss(model(x), target)
        if not math.isfinite(value):
            raise FloatingPointError(f"the training of {label} diverged at step {step}")
        optimizer.zero_grad(set_to_none=True)
        model.backward(loss.backward(), need_input_grad=False)
        optimizer.lr = lr * rate(step, options.steps)
        optimizer.step()
        losses.append(value)
        if not options.quiet:
            bar.set_postfix_str(f"loss {np.mean(losses[-20:]):.4f}", refresh=False)
    return losses


def predict(model: nn.Module, x: Array, size: int = 64) -> Array:
    """Outputs of `model` in eval mode, for `size` inputs at a time."""
    model.eval()
    return np.concatenate([model(x[start : start + size]) for start in range(0, len(x), size)])


def smooth(values: list[float], window: int = 15) -> Array:
    """The means of the last so many values, for curves."""
    sums = np.cumsum([0.0, *values])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - window, 0)
    return (sums[last] - sums[first]) / (last - first)
