"""The handwritten digits that scikit-learn brings along: 1,797 images of 8x8 pixels (Alpaydin and Kaynak 1998, UCI)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SIZE, CLASSES = 8, 10
WHITE = 16  # the largest value of a pixel


class Digits(NamedTuple):
    """Images ``(n, 1, 8, 8)`` float32 in [0, 1] and labels ``(n,)`` in 0..9; `test` is a third that training never sees."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def load(rng: np.random.Generator) -> Digits:
    """The digits in a random order, the last third held out.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError('the digits need an extra: pip install "fastconv[demo]"') from error
    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    x = (images[order] / WHITE).astype(np.float32).reshape(-1, 1, SIZE, SIZE)
    y = labels[order].astype(np.int64)
    cut = len(x) - len(x) // 3
    return Digits(x[:cut], y[:cut], x[cut:], y[cut:])


def shifted(x: Array, rng: np.random.Generator) -> Array:
    """Each image moved by up to one pixel in both directions: what a training sees of it."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, x.shape[2:], axis=(2, 3))
    down, right = rng.integers(0, 3, (2, len(x)))
    return windows[np.arange(len(x)), :, down, right]
