"""Residual networks: the same layers with and without the connections around them, from 4 to 40 deep."""

from __future__ import annotations

from typing import Any

from fastconv import models, nn
from fastconv.demo import digits, metrics, pictures
from fastconv.demo.options import Options
from fastconv.demo.training import fit, minibatches, predict, smooth

DEPTHS = (4, 10, 20, 40)
BATCH, WIDTH = 64, 16
KINDS = {"plain": False, "residual": True}


def run(options: Options) -> list[str]:
    """Train every depth both ways, with the same initial weights and batches."""
    data = digits.load(options.rng(0))
    drawn, axes = pictures.figure(1, 3, (13, 3.8))
    reached: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for column, (kind, residual) in enumerate(KINDS.items()):
        for depth in DEPTHS:
            losses, share = _train(data, depth, residual, options, f"{kind}, depth {depth}")
            reached[kind].append(100 * share)
            axes[0, column].plot(smooth(losses), label=f"depth {depth}")
        axes[0, column].set(title=f"{kind}: loss in training", xlabel="step", ylim=(0, 2.6))
        axes[0, column].legend()
        axes[0, 2].plot(DEPTHS, reached[kind], "o-", label=kind)
    axes[0, 2].axhline(100 / digits.CLASSES, color="gray", linestyle=":", label="chance")
    axes[0, 2].set(title="held-out digits that are right (%)", xlabel="depth (layers)", xticks=DEPTHS, ylim=(0, 101))
    axes[0, 2].legend()
    pictures.save(drawn, options.picture)
    return [
        f"depth {depth:2d}: plain {plain:5.1f} %, residual {beside:5.1f} % of the held-out digits are right"
        for depth, plain, beside in zip(DEPTHS, *reached.values(), strict=True)
    ]


def _train(data: digits.Digits, depth: int, residual: bool, options: Options, label: str) -> tuple[list[float], float]:
    model = models.deep(depth, residual, digits.CLASSES, width=WIDTH, rng=options.rng(1))
    order = minibatches(len(data.x_train), BATCH, options.rng(2))

    def batch(step: int) -> tuple[Any, Any]:
        chosen = next(order)
        return data.x_train[chosen], data.y_train[chosen]

    losses = fit(model, nn.CrossEntropyLoss(), batch, options, label, lr=2e-3)
    predicted = predict(model, data.x_test).argmax(axis=1)
    return losses, metrics.accuracy(metrics.confusion_matrix(data.y_test, predicted, digits.CLASSES))
