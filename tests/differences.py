"""Gradients by central differences: what those of the library are held against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def central_difference(value: Callable[[], float], array: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences of `value` in every element of `array`, which it reads."""
    gradient = np.empty_like(array)
    for index in np.ndindex(*array.shape):
        kept = array[index]
        array[index] = kept + step
        above = value()
        array[index] = kept - step
        gradient[index] = (above - value()) / (2 * step)
        array[index] = kept
    return gradient
