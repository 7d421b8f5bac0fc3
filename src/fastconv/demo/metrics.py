"""What is printed: confusion matrix, mean intersection over union, mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv.models.boxes import iou
from fastconv.models.detector import Detections

Array = NDArray[Any]


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, classes: int) -> Array:
    """Counts ``(classes, classes)``: rows are labels, columns what was predicted."""
    pairs = np.ravel(labels) * classes + np.ravel(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def accuracy(confusion: Array) -> float:
    """Share of the counts on the diagonal."""
    return float(np.trace(confusion) / confusion.sum())


def mean_iou(confusion: Array) -> float:
    """Intersection over union of the places of each class with those predicted to be, meaned over the classes that occur."""
    common = np.diagonal(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - common
    return float(np.mean(common[union > 0] / union[union > 0]))


def average_precision(scores: ArrayLike, correct: ArrayLike, positives: int) -> tuple[float, Array, Array]:
    """Area under the curve of precision over recall, precision being the best at that recall or a higher one (VOC, all points).

    Parameters
    ----------
    scores : array_like
        Of the detections of a class, in any order.
    correct : array_like of bool
        Whether each is one of the objects, and the first to be.
    positives : int
        Objects that there are.

    Returns
    -------
    (area, recall, precision)
    """
    hits = np.cumsum(np.asarray(correct, bool)[np.argsort(-np.asarray(scores), kind="stable")])
    recall, precision = hits / positives, hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * envelope)), recall, envelope


def matches(found: Detections, boxes: Array, labels: Array, threshold: float) -> Array:
    """Which detections of one image, taken by score, are an object of their class that none before them was."""
    correct, free = np.zeros(len(found.scores), bool), np.ones(len(labels), bool)
    overlaps = iou(found.boxes, boxes)
    for index in np.argsort(-found.scores, kind="stable"):
        candidates = np.where(free & (labels == found.labels[index]), overlaps[index], 0.0)
        if candidates.size and candidates.max() >= threshold:
            correct[index] = True
            free[candidates.argmax()] = False
    return correct


def mean_average_precision(found: Sequence[Detections], boxes: Sequence[Array], labels: Sequence[Array], classes: int,
                           threshold: float = 0.5) -> float:
    """Mean over the classes that occur of the average precision, a detection being right from an overlap of `threshold` on."""
    correct = np.concatenate(
        [matches(f, np.asarray(b), np.asarray(t), threshold) for f, b, t in zip(found, boxes, labels, strict=True)]
    )
    scores, names = np.concatenate([f.scores for f in found]), np.concatenate([f.labels for f in found])
    counts = np.bincount(np.concatenate(labels).astype(np.int64), minlength=classes)
    areas = [
        average_precision(scores[names == label], correct[names == label], counts[label])[0]
        for label in np.flatnonzero(counts)
    ]
    return float(np.mean(areas))
