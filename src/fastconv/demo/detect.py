"""Object detection: digits of several sizes in a scene, found by a one-stage detector."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import models
from fastconv.demo import digits, metrics, pictures, scenes
from fastconv.demo.options import Options
from fastconv.demo.training import fit, minibatches, predict
from fastconv.models.detector import Detections

TRAINING, TEST, BATCH = 4000, 300, 16
THRESHOLD = 0.05  # for the precision at all recalls; boxes are drawn from SHOWN on
SHOWN = 0.4


def run(options: Options) -> list[str]:
    """Train on scenes of two thirds of the digits, and look for the others in other scenes."""
    data = digits.load(options.rng(0))
    train = scenes.digit_scenes(TRAINING, data.x_train, data.y_train, options.rng(1))
    test = scenes.digit_scenes(TEST, data.x_test, data.y_test, options.rng(2))
    targets = models.encode(train.boxes, train.labels, (scenes.SIZE, scenes.SIZE))
    order = minibatches(TRAINING, BATCH, options.rng(3))

    def batch(step: int) -> tuple[Any, Any]:
        chosen = next(order)
        return train.x[chosen], type(targets)(*(part[chosen] for part in targets))

    model = models.detector(digits.CLASSES, rng=options.rng(4))
    fit(model, models.DetectorLoss(), batch, options, "detector", lr=4e-3)
    found = models.decode(predict(model, test.x), THRESHOLD)
    precision = metrics.mean_average_precision(found, test.boxes, test.labels, digits.CLASSES)
    _draw(test, found, f"mAP@0.5 {precision:.3f} on {TEST} scenes; dashed: truth, solid: found", options)
    count = sum(map(len, test.labels))
    return [f"mAP@0.5 {precision:.3f} for {count} held-out digits in {TEST} scenes"]


def _draw(test: scenes.DigitScenes, found: list[Detections], title: str, options: Options) -> None:
    drawn, axes = pictures.figure(2, 5, (13, 5.8))
    drawn.suptitle(title)
    for index, each in enumerate(axes.flat):
        pictures.image(each, test.x[index, 0], vmin=-0.2, vmax=1.2)
        for box in test.boxes[index]:
            _box(each, box, color="tab:green", linestyle="--")
        shown = found[index].scores >= SHOWN
        for box, score, label in zip(*(part[shown] for part in found[index]), strict=True):
            _box(each, box, color="tab:orange")
            each.text(box[0], box[1] - 1, f"{label} {score:.2f}", color="tab:orange", fontsize=8)
    pictures.save(drawn, options.picture)


def _box(axes: Any, box: Any, **style: Any) -> None:
    left, top, right, bottom = np.asarray(box) - 0.5  # the edges of pixels, whose centres are whole numbers
    axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], linewidth=1.2, **style)
