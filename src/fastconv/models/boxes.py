"""Boxes ``(left, top, right, bottom)``: their overlap, and non-maximum suppression."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def _boxes(value: ArrayLike, name: str) -> Array:
    array = np.asarray(value, np.float64)
    if array.size == 0:
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"{name} must have shape (N, 4): left, top, right, bottom; got {array.shape}")
    return array


def iou(a: ArrayLike, b: ArrayLike) -> Array:
    """Intersection over union of each box of `a` ``(N, 4)`` with each of `b` ``(M, 4)``: shape ``(N, M)``, 0 for boxes without area."""
    first, second = _boxes(a, "a")[:, None], _boxes(b, "b")[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    common = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1) for boxes in (first, second)]
    union = areas[0] + areas[1] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def nms(boxes: ArrayLike, scores: ArrayLike, iou_threshold: float = 0.5) -> NDArray[np.intp]:
    """Non-maximum suppression: of boxes that overlap too much the one with the highest score stays, as `torchvision.ops.nms`.

    Parameters
    ----------
    boxes : array_like, shape (N, 4)
    scores : array_like, shape (N,)
    iou_threshold : float
        A box goes if its intersection over union with one that stays is larger.

    Returns
    -------
    ndarray of int
        Indices of the boxes that stay, highest score first; of equal scores the first box is taken first.

    Raises
    ------
    ValueError
        For shapes that do not fit and a threshold out of [0, 1].
    """
    given, values = _boxes(boxes, "boxes"), np.asarray(scores)
    if values.shape != given.shape[:1]:
        raise ValueError(f"scores must have shape ({len(given)},), one for each box, got {values.shape}")
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in [0, 1], got {iou_threshold!r}")
    order = np.argsort(-values, kind="stable")
    overlap = iou(given, given) > iou_threshold
    gone = np.zeros(len(given), bool)
    kept = []
    for index in order:
        if not gone[index]:
            kept.append(index)
            gone |= overlap[index]
    return np.array(kept, np.intp)
