"""Image classification: real handwritten digits, two networks, confusion matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv import models, nn
from fastconv.demo import digits, metrics, pictures
from fastconv.demo.options import Options
from fastconv.demo.training import fit, minibatches, predict, smooth

BATCH = 64
NETWORKS: dict[str, Callable[..., nn.Sequential]] = {"LeNet": models.lenet, "ResNet": models.resnet_digits}


def run(options: Options) -> list[str]:
    """Train both networks on two thirds of the digits, moved by a pixel now and then; the last third tells the accuracy."""
    data = digits.load(options.rng(0))
    drawn, axes = pictures.figure(1, 4, (15, 3.8))
    lines = []
    for index, (name, make) in enumerate(NETWORKS.items()):
        model = make(digits.CLASSES, rng=options.rng(1, index))
        rng = options.rng(2)
        order = minibatches(len(data.x_train), BATCH, rng)

        def batch(step: int, order: Any = order, rng: np.random.Generator = rng) -> tuple[Any, Any]:
            chosen = next(order)
            return digits.shifted(data.x_train[chosen], rng), data.y_train[chosen]

        losses = fit(model, nn.CrossEntropyLoss(), batch, options, name)
        predicted = predict(model, data.x_test).argmax(axis=1)
        confusion = metrics.confusion_matrix(data.y_test, predicted, digits.CLASSES)
        share = metrics.accuracy(confusion)
        lines.append(f"{name}: {100 * share:.1f} % of {len(data.x_test)} held-out digits are right")
        axes[0, 0].semilogy(smooth(losses), label=name)
        _confusion(axes[0, 1 + index], confusion, f"{name}: {100 * share:.1f} %")
    axes[0, 0].set(title="loss", xlabel="step")
    axes[0, 0].legend()
    _mistakes(axes[0, 3], data, predicted)
    pictures.save(drawn, options.picture)
    return lines


def _confusion(axes: Any, confusion: Any, title: str) -> None:
    axes.imshow(np.log1p(confusion), cmap="Blues")
    for row, column in np.argwhere(confusion):
        count = confusion[row, column]
        color = "white" if row == column else "tab:red"
        axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=color)
    axes.set(title=title, xlabel="predicted", ylabel="digit", xticks=range(10), yticks=range(10))


def _mistakes(axes: Any, data: digits.Digits, predicted: Any) -> None:
    """The ResNet's mistakes, filled up with digits that it got right."""
    order = np.argsort(predicted == data.y_test, kind="stable")[:16]
    step = digits.SIZE + 3  # a frame around each, and room for the text above it
    sheet = np.ones((4 * step, 4 * step), np.float32)
    for place, index in enumerate(order):
        top, left = step * (place // 4) + 2, step * (place % 4) + 1
        sheet[top : top + digits.SIZE, left : left + digits.SIZE] = data.x_test[index, 0]
        right = predicted[index] == data.y_test[index]
        text = f"{data.y_test[index]} as {predicted[index]}"
        axes.text(left, top - 0.9, text, fontsize=7, color="tab:green" if right else "tab:red")
    pictures.image(axes, sheet, f"ResNet: {np.count_nonzero(predicted != data.y_test)} mistakes first")
