"""Equivariance (the output moves with the input) and invariance (the output stays): measured, with and without stride and pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import nn
from fastconv.demo import pictures
from fastconv.demo.options import Options

Array = NDArray[Any]

LENGTH, CHANNELS = 64, 8


def _conv(channels: int, rng: np.random.Generator, **options: Any) -> nn.Module:
    return nn.Conv1d(channels, CHANNELS, 3, padding=1, padding_mode="circular", rng=rng, **options)


#: Networks on a circle, where a translation loses nothing at the ends.
NETWORKS: dict[str, Callable[[np.random.Generator], list[nn.Module]]] = {
    "convolutions": lambda rng: [_conv(1, rng), nn.ReLU(), _conv(CHANNELS, rng), nn.ReLU()],
    "stride 2": lambda rng: [_conv(1, rng, stride=2), nn.ReLU(), _conv(CHANNELS, rng), nn.ReLU()],
    "stride 2, twice": lambda rng: [_conv(1, rng, stride=2), nn.ReLU(), _conv(CHANNELS, rng, stride=2), nn.ReLU()],
    "max pooling by 2": lambda rng: [_conv(1, rng), nn.ReLU(), nn.MaxPool1d(2), _conv(CHANNELS, rng), nn.ReLU()],
    "average pooling by 2": lambda rng: [_conv(1, rng), nn.ReLU(), nn.AvgPool1d(2), _conv(CHANNELS, rng), nn.ReLU()],
}


def equivariance_error(model: nn.Module, x: Array, shift: int) -> float:
    """How far ``model(moved x)`` is from ``moved model(x)``, relative to the spread of the outputs.

    Outputs are moved by `shift` over the stride, rounded to a whole number: a shift that the stride divides loses nothing.
    """
    y = model(x)
    stride = x.shape[-1] // y.shape[-1]
    moved = model(np.roll(x, shift, axis=-1))
    return _distance(moved, np.roll(y, round(shift / stride), axis=-1), y)


def invariance_error(model: nn.Module, x: Array, shift: int) -> float:
    """How far the channels' means of the outputs are from where they were, relative to their spread."""
    y, moved = model(x).mean(axis=-1), model(np.roll(x, shift, axis=-1)).mean(axis=-1)
    return _distance(moved, y, y)


def _distance(a: Array, b: Array, scale: Array) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)) / np.std(scale))


def run(options: Options) -> list[str]:
    """Move signals by 0 to ``options.steps`` samples."""
    x = options.rng(0).standard_normal((64, 1, LENGTH))
    x = np.cumsum(x - x.mean(axis=-1, keepdims=True), axis=-1)  # smooth, as signals are, and closed to a circle
    shifts = range(options.steps + 1)
    drawn, axes = pictures.figure(1, 3, (14, 4))
    lines = []
    for name, layers in NETWORKS.items():
        model = nn.Sequential(*layers(options.rng(1))).eval()
        rows = {
            "equivariance": [equivariance_error(model, x, shift) for shift in shifts],
            "invariance": [invariance_error(model, x, shift) for shift in shifts],
        }
        for each, errors in zip(axes[0, 1:], rows.values(), strict=True):
            each.plot(shifts, errors, "o-", markersize=3, label=name)
        lines.append(f"{name}: " + ", ".join(f"{kind} error {max(errors):.2g} at most" for kind, errors in rows.items()))
    _example(axes[0, 0], x, options)
    axes[0, 1].set(title="equivariance: outputs move along", xlabel="shift (samples)", ylabel="error / spread")
    axes[0, 2].set(title="invariance: the means over all places stay", xlabel="shift (samples)")
    axes[0, 1].legend(fontsize=8)
    pictures.save(drawn, options.picture)
    return lines


def _example(axes: Any, x: Array, options: Options) -> None:
    """One channel before and after a shift of one, with stride 1 and 2."""
    for offset, (name, color) in enumerate({"convolutions": "C0", "stride 2": "C1"}.items()):
        model = nn.Sequential(*NETWORKS[name](options.rng(1))).eval()
        y, moved = (model(np.roll(x[:1], shift, axis=-1))[0, :, :] for shift in (0, 1))
        channel = y.std(axis=-1).argmax()
        places = np.arange(y.shape[-1]) * (LENGTH // y.shape[-1])
        height = np.ptp(y[channel])
        for values, style in ((y, "-"), (moved, "--")):
            label = name + ", input moved by 1" * (style == "--")
            axes.plot(places, values[channel] / height - 1.5 * offset, style, color=color, label=label)
    axes.set(title="a channel of the output", xlabel="sample", yticks=[])
    axes.legend(fontsize=7)
