"""Procedural scenes: digits scattered over a noisy ground, with boxes; shapes on a textured one, with masks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastconv as fc

Array = NDArray[Any]

SIZE = 64  # pixels of the sides of a scene of digits
SHAPE_SIZE = 48  # and of one of shapes
NOISE = 0.08  # standard deviation


class DigitScenes(NamedTuple):
    """Images ``(n, 1, 64, 64)`` float32; of each image boxes ``(k, 4)`` (left, top, right, bottom) and labels ``(k,)``."""

    x: Array
    boxes: list[Array]
    labels: list[Array]


def digit_scenes(count: int, digits: Array, labels: Array, rng: np.random.Generator) -> DigitScenes:
    """Scenes of one to five of `digits` ``(n, 1, 8, 8)``, 10 to 24 pixels high, brighter or darker, apart from one another."""
    scenes = DigitScenes(_ground(count, SIZE, rng), [], [])
    for canvas in scenes.x[:, 0]:
        boxes, names = list[Array](), list[int]()
        for index in rng.integers(0, len(digits), rng.integers(1, 6)):
            box = _stamp(canvas, digits[index], boxes, rng)
            if box is not None:
                boxes.append(box)
                names.append(labels[index])
        scenes.boxes.append(np.array(boxes))
        scenes.labels.append(np.array(names))
    return scenes


def _ground(count: int, size: int, rng: np.random.Generator) -> Array:
    """Light and dark clouds of a quarter of the size, and noise."""
    clouds = rng.uniform(0, 0.3, (count, 1, 5, 5)).astype(np.float32)
    noise = rng.normal(0, NOISE, (count, 1, size, size)).astype(np.float32)
    return fc.interpolate(clouds, size=size, mode="bilinear", align_corners=True) + noise


def _stamp(canvas: Array, digit: Array, others: list[Array], rng: np.random.Generator) -> Array | None:
    """Add a digit where there is room; returns the box around its ink, None if no room was found."""
    side = int(rng.integers(10, 25))
    ink = fc.interpolate(digit, size=side, mode="bilinear")[0]
    rows, columns = (np.flatnonzero((ink > 0.3).any(axis=axis)) for axis in (1, 0))
    inner = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    for _ in range(20):
        left, top = rng.integers(0, SIZE - side + 1, 2)
        box = inner + [left, top, left, top]
        if all((box[:2] >= other[2:]).any() or (other[:2] >= box[2:]).any() for other in others):
            canvas[top : top + side, left : left + side] += ink * rng.uniform(0.6, 1.1)
            return box
    return None


class ShapeScenes(NamedTuple):
    """Images ``(n, 1, 48, 48)`` float32 and a class for every pixel ``(n, 48, 48)``."""

    x: Array
    masks: Array


#: Class 0 is the ground. A shape holds the points (x, y), turned at random, for which this is true; it is within [-1, 1].
SHAPES = {
    "ground": None,
    "disk": lambda x, y: x**2 + y**2 < 1,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) < 0.75,
    "triangle": lambda x, y: (y > -0.5) & (y < 1 - 1.732 * abs(x)),
    "ring": lambda x, y: (x**2 + y**2 < 1) & (x**2 + y**2 > 0.4),
    "cross": lambda x, y: (np.minimum(abs(x), abs(y)) < 0.25) & (np.maximum(abs(x), abs(y)) < 1),
}


def shape_scenes(count: int, rng: np.random.Generator) -> ShapeScenes:
    """Scenes of two to four shapes of 12 to 22 pixels, of any brightness; they may touch, later ones in front of earlier ones."""
    x, masks = _ground(count, SHAPE_SIZE, rng), np.zeros((count, SHAPE_SIZE, SHAPE_SIZE), np.int64)
    rows, columns = np.mgrid[:SHAPE_SIZE, :SHAPE_SIZE]
    names = list(SHAPES)
    for canvas, mask in zip(x[:, 0], masks, strict=True):
        for label, centre_x, centre_y, radius in _places(rng, len(names)):
            right, down = (columns - centre_x) / radius, (rows - centre_y) / radius
            angle = rng.uniform(0, 2 * np.pi)
            turned = np.cos(angle) * right + np.sin(angle) * down, np.cos(angle) * down - np.sin(angle) * right
            inside = SHAPES[names[label]](*turned)  # type: ignore[misc]
            canvas[inside] = rng.uniform(0.5, 1.0) + rng.normal(0, NOISE, np.count_nonzero(inside))
            mask[inside] = label
    return ShapeScenes(x, masks)


def _places(rng: np.random.Generator, classes: int) -> list[tuple[int, float, float, float]]:
    """Class, centre and radius of shapes that are nearly apart; one for which twenty tries find no room is left out."""
    placed: list[tuple[int, float, float, float]] = []
    for label in rng.integers(1, classes, rng.integers(2, 5)):
        radius = rng.uniform(6, 11)
        for x, y in rng.uniform(6, SHAPE_SIZE - 6, (20, 2)):
            if all(np.hypot(x - px, y - py) > 0.85 * (radius + pr) for _, px, py, pr in placed):
                placed.append((label, x, y, radius))
                break
    return placed
