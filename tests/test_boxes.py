"""Boxes, non-maximum suppression, and the detector's targets, answers and loss, on cases made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from differences import central_difference

from fastconv import models
from fastconv.models.detector import Targets


def test_iou() -> None:
    a = [[0, 0, 2, 2], [5, 5, 6, 7], [1, 1, 1, 3]]
    b = [[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 2], [0, 0, 4, 4]]
    np.testing.assert_allclose(models.iou(a, b), [[1, 1 / 7, 0, 1 / 4], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert models.iou([], b).shape == (0, 4)
    assert models.iou([[3, 3, 1, 1]], [[1, 1, 3, 3]]) == 0  # the wrong way round it has no area


FIVE = [[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 2, 10, 12], [21, 1, 30, 10]]


class TestNMS:
    def test_the_best_of_those_that_overlap_stay(self) -> None:
        np.testing.assert_array_equal(models.nms(FIVE, [0.5, 0.9, 0.3, 0.8, 0.7]), [1, 4])

    def test_one_that_is_gone_suppresses_no_other(self) -> None:
        chain = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]  # neighbours overlap by 6/14, the ends by 2/18
        np.testing.assert_array_equal(models.nms(chain, [0.9, 0.8, 0.7], 0.4), [0, 2])

    def test_threshold(self) -> None:
        pair = [[0, 0, 2, 2], [0, 0, 2, 1]]  # overlap 1/2: not more than a threshold of 1/2
        np.testing.assert_array_equal(models.nms(pair, [1, 2], 0.5), [1, 0])
        np.testing.assert_array_equal(models.nms(pair, [1, 2], 0.49), [1])
        np.testing.assert_array_equal(models.nms(FIVE, [1, 1, 1, 1, 1], 1.0), range(5))

    def test_equal_scores_and_none(self) -> None:
        np.testing.assert_array_equal(models.nms(FIVE[:2], [1, 1]), [0])
        assert models.nms([], []).shape == (0,)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(([[1, 2, 3]], [1]), r"boxes must have shape \(N, 4\)"), (([[0, 0, 1, 1]], [1, 2]), "scores"),
         (([[0, 0, 1, 1]], [1], 1.5), "iou_threshold")],
    )  # fmt: skip
    def test_bad_arguments_are_named(self, arguments: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            models.nms(*arguments)


BOXES = [np.array([[3.0, 5, 13, 21], [20, 2, 30, 10]]), np.empty((0, 4)), np.array([[8.0, 16, 16, 24]])]
LABELS = [np.array([2, 0]), np.empty(0, int), np.array([1])]


def perfect(targets: Targets) -> np.ndarray:
    """The output of a detector of three classes that knows."""
    output = np.zeros((3, 8, 3, 4))
    output[:, 0] = np.where(targets.objects, 9, -9)
    output[:, 1:5] = targets.boxes
    output[:, 5:] = 9 * (targets.labels[:, None] == np.arange(3)[:, None, None])
    return output


def test_encode_and_decode_are_inverses() -> None:
    targets = models.encode(BOXES, LABELS, (24, 32))
    assert [np.argwhere(image).tolist() for image in targets.objects] == [[[0, 3], [1, 1]], [], [[2, 1]]]
    np.testing.assert_allclose(targets.boxes[0, :, 1, 1], [0, 5 / 8, np.log(10 / 8), np.log(2)], rtol=1e-6)
    for found, boxes, labels in zip(models.decode(perfect(targets)), BOXES, LABELS, strict=True):
        order = np.argsort(found.boxes[:, 0])
        np.testing.assert_allclose(found.boxes[order], boxes, atol=1e-5)
        np.testing.assert_array_equal(found.labels[order], labels)
        assert (found.scores > 0.99).all()


def test_decode_suppresses_within_a_class_alone() -> None:
    output = np.full((1, 7, 1, 2), -9.0)
    output[0, 0, 0] = [2.0, 1.0]
    output[0, 1:5, 0] = [[0.9, 0.0], [0.5, 0.5], [1.0, 1.0], [1.0, 1.0]]
    output[0, 5] = 9
    assert len(models.decode(output)[0].scores) == 1
    output[0, 5:, 0, 1] = [-9, 9]
    found = models.decode(output)[0]
    np.testing.assert_array_equal(found.labels, [0, 1])
    assert len(models.decode(output, threshold=0.99)[0].scores) == 0


def test_loss_and_its_gradient() -> None:
    targets, loss = models.encode(BOXES, LABELS, (24, 32)), models.DetectorLoss()
    assert loss(perfect(targets), targets) < 0.01
    output = np.random.default_rng(0).standard_normal((3, 8, 3, 4))
    assert loss(output, targets) > 1
    gradient = loss.backward()
    np.testing.assert_allclose(gradient, central_difference(lambda: loss(output, targets), output), rtol=1e-5, atol=1e-7)
    empty = models.encode([[]], [[]], (8, 8))
    assert loss(np.zeros((1, 8, 1, 1)), empty) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: models.encode([], [], (20, 32)), ValueError, "multiples of 8"),
        (lambda: models.decode(np.zeros((1, 5, 2, 2))), ValueError, "5 \\+ classes"),
        (lambda: models.DetectorLoss()(np.zeros((1, 8, 2, 2)), models.encode([[]], [[]], (8, 8))), ValueError, r"\(1, 1, 1\)"),
        (lambda: models.DetectorLoss().backward(), RuntimeError, "before forward"),
    ],
)
def test_bad_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
