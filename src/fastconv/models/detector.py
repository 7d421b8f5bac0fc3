"""A small one-stage detector (in the manner of Redmon et al. 2016, arXiv:1506.02640): the image is cut into cells of 8x8 pixels.

Each cell says whether it holds the centre of an object, where and how large that is, and of which class. Channels of the
output: 0 the logit of an object, 1 and 2 its centre in the cell (x, y in [0, 1)), 3 and 4 the logarithm of width and height in
cells, from 5 on the logits of the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastconv as fc
from fastconv import nn
from fastconv.models._layers import conv_bn_relu
from fastconv.models.boxes import iou, nms
from fastconv.nn._checks import positive
from fastconv.nn.init import RNG, seeded

__all__ = ["CELL", "Detections", "DetectorLoss", "Targets", "decode", "detector", "encode", "iou", "nms"]

Array = NDArray[Any]

CELL = 8  # pixels of a cell's side: three poolings
#: Convolutions of each stage, and how many times `width` channels they have.
STAGES = ((1, 1), (2, 2), (2, 4), (2, 4))
BOX = slice(1, 5)
CLASSES = slice(5, None)


def detector(num_classes: int = 10, in_channels: int = 1, *, width: int = 16, rng: RNG = None) -> nn.Sequential:
    """Stages of one and three times two convolutions with pooling between them, and a 1x1 convolution.

    Parameters
    ----------
    num_classes, in_channels : int
    width : int
        Channels of the first stage; the others have twice, four and four times as many.
    rng : numpy.random.Generator, int or None, keyword only
        Where the initial weights are drawn from.

    Returns
    -------
    Sequential
        ``(N, in_channels, H, W)``, multiples of 8, to ``(N, 5 + num_classes, H / 8, W / 8)``. Keys ``backbone.0.weight``, ...,
        ``head.bias``.
    """
    positive(num_classes, "num_classes")
    w, generator = positive(width, "width"), seeded(rng)
    layers: list[nn.Module] = []
    channels = positive(in_channels, "in_channels")
    for stage, (convolutions, factor) in enumerate(STAGES):
        layers += [nn.MaxPool2d(2)] if stage else []
        for _ in range(convolutions):
            layers += conv_bn_relu(channels, factor * w, generator)
            channels = factor * w
    backbone = nn.Sequential(*layers)
    head = nn.Conv2d(channels, 5 + num_classes, 1, rng=generator)
    head.bias.data[0] = -3.0  # type: ignore[union-attr]  # most cells are empty: begin by saying so
    return nn.Sequential(backbone, head).keyed(backbone=backbone, head=head)


class Targets(NamedTuple):
    """What a detector ought to say of N images of R rows and C columns of cells.

    Attributes
    ----------
    objects : ndarray of bool, shape (N, R, C)
    boxes : ndarray, shape (N, 4, R, C)
        Channels 1 to 4 of the output; 0 where there is no object.
    labels : ndarray of int, shape (N, R, C)
    """

    objects: Array
    boxes: Array
    labels: Array


class Detections(NamedTuple):
    """What was found in one image, highest score first: boxes ``(n, 4)`` in pixels, scores ``(n,)`` and labels ``(n,)``."""

    boxes: Array
    scores: Array
    labels: Array


def encode(boxes: Sequence[ArrayLike], labels: Sequence[ArrayLike], size: tuple[int, int]) -> Targets:
    """The objects of images as targets of the detector.

    Parameters
    ----------
    boxes : sequence of array_like, shape (n, 4)
        Of each image: left, top, right, bottom in pixels, centres inside of the image. Of two in one cell the latter counts.
    labels : sequence of array_like of int, shape (n,)
    size : pair of int
        Height and width of the images, multiples of 8.
    """
    if any(n % CELL or n < CELL for n in size):
        raise ValueError(f"size must be multiples of {CELL}, got {size}")
    shape = len(boxes), size[0] // CELL, size[1] // CELL
    targets = Targets(np.zeros(shape, bool), np.zeros((shape[0], 4, *shape[1:]), np.float32), np.zeros(shape, np.int64))
    for image, (its_boxes, its_labels) in enumerate(zip(boxes, labels, strict=True)):
        for (left, top, right, bottom), label in zip(np.asarray(its_boxes), np.asarray(its_labels), strict=True):
            x, y = (left + right) / 2 / CELL, (top + bottom) / 2 / CELL
            row, column = int(y), int(x)
            targets.objects[image, row, column] = True
            targets.labels[image, row, column] = label
            extent = np.log((right - left) / CELL), np.log((bottom - top) / CELL)
            targets.boxes[image, :, row, column] = x - column, y - row, *extent
    return targets


def decode(output: ArrayLike, threshold: float = 0.3, iou_threshold: float = 0.5) -> list[Detections]:
    """What a detector has found: cells above a threshold, as boxes in pixels, after non-maximum suppression in each class.

    Parameters
    ----------
    output : array_like, shape (N, 5 + classes, R, C)
    threshold : float
        On the score, the probability of an object times that of its class.
    iou_threshold : float
        See `nms`.
    """
    array = np.asarray(output, np.float64)
    if array.ndim != 4 or array.shape[1] < 6:
        raise ValueError(f"output must have shape (N, 5 + classes, rows, columns), got {array.shape}")
    classes = fc.softmax(array[:, CLASSES], axis=1)
    scores = fc.sigmoid(array[:, 0]) * classes.max(axis=1)
    labels = classes.argmax(axis=1)
    return [_decode(*parts, threshold, iou_threshold) for parts in zip(array[:, BOX], scores, labels, strict=True)]


def _decode(box: Array, scores: Array, labels: Array, threshold: float, iou_threshold: float) -> Detections:
    rows, columns = np.nonzero(scores >= threshold)
    x, y, width, height = box[:, rows, columns]
    centre = np.stack([columns + x, rows + y], axis=1) * CELL
    half = np.exp(np.minimum([width, height], 10)).T * CELL / 2  # without the limit a wild guess is inf
    boxes, found, names = np.concatenate([centre - half, centre + half], axis=1), scores[rows, columns], labels[rows, columns]
    groups = [np.flatnonzero(names == label) for label in np.unique(names)]
    kept = np.concatenate([np.empty(0, np.intp), *(group[nms(boxes[group], found[group], iou_threshold)] for group in groups)])
    kept = kept[np.argsort(-found[kept], kind="stable")]
    return Detections(boxes[kept], found[kept], names[kept])


class DetectorLoss:
    """Cross-entropy of object or not in all cells; in those with an object also of the class, and the squared error of the box.

    Each is summed and divided by the number of objects in the batch.

    Parameters
    ----------
    box_weight : float
        Factor of the squared error.
    """

    def __init__(self, box_weight: float = 5.0) -> None:
        self.box_weight = box_weight
        self._saved: Array | None = None

    def __call__(self, output: ArrayLike, targets: Targets) -> float:
        """Loss of the detector's `output` ``(N, 5 + classes, R, C)`` for `targets` (see `encode`)."""
        array, there = np.asarray(output), targets.objects
        if array.ndim != 4 or (array.shape[0], *array.shape[2:]) != there.shape:
            raise ValueError(f"output must have shape (N, 5 + classes, R, C) with (N, R, C) = {there.shape}, got {array.shape}")
        gradient = np.zeros_like(array)
        logits = array[:, 0]
        value = np.sum(np.logaddexp(0, logits) - there * logits)
        gradient[:, 0] = fc.sigmoid(logits) - there

        image, row, column = np.nonzero(there)
        cells = image, slice(None), row, column  # an index that gives (objects, channels)
        off = array[cells][:, BOX] - targets.boxes[cells]
        classes = nn.CrossEntropyLoss(reduction="sum")
        value += self.box_weight * np.sum(off**2) + classes(array[cells][:, CLASSES], targets.labels[there])
        of_objects = np.concatenate([gradient[cells][:, :1], 2 * self.box_weight * off, classes.backward()], axis=1)
        gradient[cells] = of_objects
        count = max(len(image), 1)
        self._saved = gradient / array.dtype.type(count)
        return float(value) / count

    def backward(self) -> Array:
        """Gradient of the latest loss with respect to the output."""
        if self._saved is None:
            raise RuntimeError("DetectorLoss.backward() before forward: call the loss first")
        return self._saved
