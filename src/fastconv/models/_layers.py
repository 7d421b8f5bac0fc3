"""What the networks share: layers by number of dimensions, and the blocks that recur."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import nn

CONV = {1: nn.Conv1d, 2: nn.Conv2d}
CONV_TRANSPOSE = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d}


def dimensions(value: Any) -> int:
    """1 or 2, or an error."""
    if value not in CONV:
        raise ValueError(f"ndim must be 1 or 2, got {value!r}")
    return int(value)


def conv_bn_relu(in_channels: int, out_channels: int, rng: np.random.Generator, ndim: int = 2) -> list[nn.Module]:
    """A 3 or 3x3 convolution that keeps the size, batch normalization, ReLU."""
    return [
        CONV[ndim](in_channels, out_channels, 3, padding=1, bias=False, init="he_normal", rng=rng),
        NORM[ndim](out_channels),
        nn.ReLU(),
    ]
