"""The two networks of the lecture, of any widths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv.mnist1d.data import CLASSES, LENGTH
from fastconv.nn.init import RNG, seeded
from fastconv.shapes import conv_output_size

KERNEL_SIZE, STRIDE = 3, 2

#: Channels of the convolutional and hidden units of the fully connected network.
WIDTHS: dict[str, tuple[int, ...]] = {"conv": (15, 15, 15), "fc": (285, 135, 60)}

#: Test error in percent after 100,000 steps: where the curves of the book's corrected figure end, and what the
#: legend of the lecture's figure says in round numbers.
PUBLISHED = {"conv": 13.5, "fc": 39.8}
LEGEND = {"conv": 17, "fc": 40}

ABOUT = """\
conv: three convolutions (15 channels, kernel 3, stride 2, ReLU), lengths 40 -> 19 -> 9 -> 4, then 60 -> 10:
2,050 parameters. fc: 40 -> 285 -> 135 -> 60 -> 10 with ReLU, the hidden units of conv's layers: 59,065
parameters. The lecture's slides and the first printing of its book say 150,185 for the latter; the book's errata correct
that to 59,065, which is what these widths give, and no chain of widths that are multiples of 15 could give
150,185. Other widths: --widths 285,135,60 (channels of conv, units of fc)."""


def conv(
    widths: Sequence[int], kernel_size: int, init: str, rng: np.random.Generator, dtype: DTypeLike
) -> nn.Sequential:
    """Convolutions of the given channels, each followed by ReLU, and one linear layer.

    Padding makes up for what a kernel is longer than the lecture's, so that the lengths 40 -> 19 -> 9 -> 4 stay.
    """
    layers: list[nn.Module] = []
    padding = max(0, kernel_size - KERNEL_SIZE) // 2
    channels, length = 1, LENGTH
    for width in widths:
        if length + 2 * padding < kernel_size:
            raise ValueError(
                f"widths must be at most {len(layers) // 2} for conv: no samples are left, got {widths}"
            )
        layers += [
            nn.Conv1d(channels, width, kernel_size, STRIDE, padding, init=init, rng=rng, dtype=dtype),
            nn.ReLU(),
        ]
        channels, length = width, conv_output_size(length, kernel_size, STRIDE, padding)
    layers += [nn.Flatten(), nn.Linear(channels * length, CLASSES, init=init, rng=rng, dtype=dtype)]
    return nn.Sequential(*layers)


def fc(
    widths: Sequence[int], kernel_size: int, init: str, rng: np.random.Generator, dtype: DTypeLike
) -> nn.Sequential:
    """Linear layers of the given units, each followed by ReLU, and one more linear layer."""
    layers: list[nn.Module] = [nn.Flatten()]
    units = LENGTH
    for width in widths:
        layers += [nn.Linear(units, width, init=init, rng=rng, dtype=dtype), nn.ReLU()]
        units = width
    return nn.Sequential(*layers, nn.Linear(units, CLASSES, init=init, rng=rng, dtype=dtype))


MODELS: dict[str, Callable[..., nn.Sequential]] = {"conv": conv, "fc": fc}


def build(
    name: str,
    widths: Sequence[int] | None = None,
    kernel_size: int = KERNEL_SIZE,
    *,
    init: str = "he_uniform",
    rng: RNG = None,
    dtype: DTypeLike = np.float32,
) -> nn.Sequential:
    """A network for MNIST-1D: input ``(N, 1, 40)``, output ``(N, 10)`` logits.

    Parameters
    ----------
    name : {"conv", "fc"}
        Convolutional or fully connected.
    widths : sequence of int, optional
        Channels of each convolution, or units of each hidden layer; by default the lecture's.
    kernel_size : int
        Of the convolutions; a fully connected network has none.
    init, rng, dtype
        As of the layers; the layers draw from one generator, first layer first.

    Raises
    ------
    ValueError
        For an unknown name and for widths that cannot be.
    """
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(map(repr, MODELS))}, got {name!r}")
    chosen = tuple(WIDTHS[name] if widths is None else widths)
    if any(width < 1 for width in chosen):
        raise ValueError(f"widths must be 1 or more, got {chosen}")
    return MODELS[name](chosen, kernel_size, init, seeded(rng), dtype)


def count_parameters(model: nn.Module) -> int:
    """Number of learnable values."""
    return sum(parameter.size for parameter in model.parameters())
