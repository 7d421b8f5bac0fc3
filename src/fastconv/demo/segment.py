"""Semantic segmentation: a class for every pixel, by U-Net and by an hourglass without its connections."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import models, nn
from fastconv.demo import metrics, pictures, scenes
from fastconv.demo.options import Options
from fastconv.demo.training import fit, minibatches, predict, smooth

TRAINING, TEST, BATCH, WIDTH = 2000, 200, 16, 16
NETWORKS = {"U-Net": models.unet, "hourglass": models.hourglass}


def run(options: Options) -> list[str]:
    """Train both networks on the same scenes in the same order."""
    train = scenes.shape_scenes(TRAINING, options.rng(1))
    test = scenes.shape_scenes(TEST, options.rng(2))
    classes = len(scenes.SHAPES)
    lines, masks, curves = [], {}, {}
    for name, make in NETWORKS.items():
        model = make(1, classes, width=WIDTH, rng=options.rng(3))
        order = minibatches(TRAINING, BATCH, options.rng(4))

        def batch(step: int, order: Any = order) -> tuple[Any, Any]:
            chosen = next(order)
            return train.x[chosen], train.masks[chosen]

        curves[name] = fit(model, nn.CrossEntropyLoss(), batch, options, name, lr=5e-3)
        masks[name] = predict(model, test.x, 16).argmax(axis=1)
        share = metrics.mean_iou(metrics.confusion_matrix(test.masks, masks[name], classes))
        lines.append(f"{name}: mean IoU {share:.3f} of {classes} classes in {TEST} scenes")
    _draw(test, masks, curves, lines, options)
    return lines


def _draw(test: scenes.ShapeScenes, masks: dict[str, Any], curves: dict[str, list[float]], lines: list[str],
          options: Options) -> None:
    columns = 6
    drawn, axes = pictures.figure(2 + len(masks), columns, (12, 8.2))
    drawn.suptitle("; ".join(lines))
    style = {"cmap": "tab10", "vmin": 0, "vmax": 9}
    for index in range(columns - 1):
        pictures.image(axes[0, index], test.x[index, 0], "scene")
        pictures.image(axes[1, index], test.masks[index], "truth", **style)
        for row, (name, predicted) in enumerate(masks.items(), 2):
            wrong = np.mean(predicted[index] != test.masks[index])
            pictures.image(axes[row, index], predicted[index], f"{name}: {100 * wrong:.1f} % wrong", **style)
    for each in axes[1:, -1]:
        each.axis("off")
    for name, losses in curves.items():
        axes[0, -1].semilogy(smooth(losses), label=name)
    axes[0, -1].set_title("loss", fontsize=9)
    axes[0, -1].legend(fontsize=7)
    pictures.save(drawn, options.picture)
