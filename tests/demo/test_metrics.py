"""Confusion matrix, mean IoU, average precision: cases whose answer one can count."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv.demo import metrics
from fastconv.models.detector import Detections


def test_confusion_accuracy_and_mean_iou() -> None:
    confusion = metrics.confusion_matrix([[0, 0], [1, 2]], [[0, 1], [1, 1]], 4)
    np.testing.assert_array_equal(confusion, [[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert metrics.accuracy(confusion) == 0.5
    assert metrics.mean_iou(confusion) == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)  # class 3 is nowhere


@pytest.mark.parametrize(
    ("scores", "correct", "positives", "area"),
    [
        ([0.9, 0.8], [True, True], 2, 1.0),
        ([0.9, 0.8], [True, True], 4, 0.5),
        ([0.9, 0.8], [False, True], 1, 0.5),
        ([0.8, 0.9], [True, False], 1, 0.5),  # the order is that of the scores
        ([0.9, 0.8, 0.7], [True, False, True], 2, 0.5 + 0.5 * 2 / 3),
        ([0.9, 0.8, 0.7, 0.6], [False, True, True, True], 3, 0.75),  # the envelope: 1/2 and 2/3 become 3/4
        ([], [], 3, 0.0),
    ],
)
def test_average_precision(scores: list[float], correct: list[bool], positives: int, area: float) -> None:
    assert metrics.average_precision(scores, correct, positives)[0] == pytest.approx(area)


def found(*rows: tuple[list[int], float, int]) -> Detections:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ([], [], [])
    return Detections(np.array(boxes, float).reshape(-1, 4), np.array(scores), np.array(labels, int))


def test_each_object_is_found_once() -> None:
    truth, labels = np.array([[0, 0, 10, 10], [20, 0, 30, 10]]), np.array([1, 1])
    twice = found(([0, 0, 10, 9], 0.6, 1), ([0, 0, 10, 10], 0.9, 1), ([20, 0, 30, 10], 0.5, 2), ([24, 0, 34, 10], 0.4, 1))
    np.testing.assert_array_equal(metrics.matches(twice, truth, labels, 0.5), [False, True, False, False])
    np.testing.assert_array_equal(metrics.matches(twice, truth, labels, 0.4), [False, True, False, True])


def test_mean_average_precision() -> None:
    boxes = [np.array([[0.0, 0, 10, 10], [20, 0, 30, 10]]), np.array([[0.0, 0, 10, 10]])]
    labels = [np.array([0, 1]), np.array([0])]
    right = [found(([0, 0, 10, 10], 0.9, 0), ([20, 0, 30, 10], 0.9, 1)), found(([0, 0, 10, 10], 0.8, 0))]
    assert metrics.mean_average_precision(right, boxes, labels, 3) == 1
    half = [found(([0, 0, 10, 10], 0.9, 0)), found()]
    assert metrics.mean_average_precision(half, boxes, labels, 3) == pytest.approx((0.5 + 0) / 2)
