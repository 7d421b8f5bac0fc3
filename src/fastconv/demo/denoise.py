"""Denoising: a 1-D U-Net learns what signals look like, and takes away what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastconv as fc
from fastconv import models, nn
from fastconv.demo import pictures
from fastconv.demo.options import Options
from fastconv.demo.training import fit, predict, smooth

Array = NDArray[Any]

LENGTH, BATCH, TEST = 256, 32, 500
NOISE = 0.4
WINDOWS = range(1, 32, 2)  # of the moving average that is the network's rival


def signals(count: int, rng: np.random.Generator) -> Array:
    """Signals ``(count, 1, 256)``: two waves of 1 to 8 periods, up to six steps, a burst of a quick wave."""
    time = np.arange(LENGTH) / LENGTH
    periods, phases, heights = (rng.uniform(low, high, (count, 2, 1)) for low, high in ((1, 8), (0, 1), (0, 0.5)))
    clean = np.sum(heights * np.sin(2 * np.pi * (periods * time + phases)), axis=1)
    jumps = rng.normal(0, 0.7, (count, LENGTH)) * (rng.random((count, LENGTH)) < 3 / LENGTH)
    clean += np.cumsum(jumps, axis=1)
    centre = rng.uniform(0, 1, (count, 1))
    clean += np.exp(-(((time - centre) / 0.05) ** 2)) * np.sin(2 * np.pi * 40 * (time - centre))
    return (clean - clean.mean(axis=1, keepdims=True))[:, None].astype(np.float32)


def noisy(clean: Array, rng: np.random.Generator) -> Array:
    """With normal noise of standard deviation `NOISE`."""
    return clean + rng.normal(0, NOISE, clean.shape).astype(np.float32)


def decibels(clean: Array, other: Array) -> float:
    """Signal to noise: power of the clean signals over that of the difference."""
    return float(10 * np.log10(np.mean(np.square(clean)) / np.mean(np.square(other - clean))))


def averaged(x: Array, window: int) -> Array:
    """Moving average."""
    kernel = np.full(window, 1 / window, np.float32)
    return fc.convolve(np.pad(x, ((0, 0), (0, 0), (window // 2, window // 2)), mode="edge"), kernel, "valid", axis=-1)


def run(options: Options) -> list[str]:
    """Train on signals made anew for every batch."""
    model = models.unet(1, 1, width=16, depth=4, ndim=1, rng=options.rng(0))
    rng = options.rng(1)

    def batch(step: int) -> tuple[Array, Array]:
        clean = signals(BATCH, rng)
        return noisy(clean, rng), clean

    losses = fit(model, nn.MSELoss(), batch, options, "1-D U-Net")
    test_rng = options.rng(2)
    clean = signals(TEST, test_rng)
    given = noisy(clean, test_rng)
    restored = predict(model, given)
    best = max(WINDOWS, key=lambda window: decibels(clean, averaged(given, window)))
    figures = {
        "noisy": decibels(clean, given),
        f"moving average of {best} (the best)": decibels(clean, averaged(given, best)),
        "1-D U-Net": decibels(clean, restored),
    }
    lines = [f"{name}: signal to noise {value:.1f} dB" for name, value in figures.items()]
    _draw(clean, given, restored, losses, lines, options)
    return lines


def _draw(clean: Array, given: Array, restored: Array, losses: list[float], lines: list[str], options: Options) -> None:
    drawn, axes = pictures.figure(2, 2, (13, 5.6))
    drawn.suptitle("; ".join(lines), fontsize=10)
    for index, each in enumerate(axes.flat[:3]):
        each.plot(given[index, 0], color="lightgray", label="noisy")
        each.plot(clean[index, 0], color="tab:green", label="clean")
        each.plot(restored[index, 0], color="tab:orange", linewidth=1, label="1-D U-Net")
    axes[0, 0].legend(fontsize=8)
    axes[1, 1].semilogy(smooth(losses))
    axes[1, 1].axhline(NOISE**2, color="gray", linestyle=":", label="the noise")
    axes[1, 1].set(title="mean squared error in training", xlabel="step")
    axes[1, 1].legend(fontsize=8)
    pictures.save(drawn, options.picture)
