"""Width and kernel size of the convolutional network; the lengths 40 -> 19 -> 9 -> 4 of its layers stay (20, 10, 5 for kernel 1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastconv.mnist1d import plots
from fastconv.mnist1d.experiment import Experiment, Metrics, final_errors

CHANNELS, KERNELS = (4, 8, 15, 30), (1, 3, 5, 7, 11)


def draw(metrics: Metrics, path: Path) -> None:
    """Test error over the kernel size, a line for each width."""
    figure, axes = plots.figure(1, 4.8)
    plots.error_axes(axes, "MNIST-1D, convolutional: test error by kernel size and channels")
    errors = final_errors(metrics)
    for channels, color in zip(CHANNELS, ("tab:gray", "tab:olive", plots.COLORS["conv"], "tab:red"), strict=True):
        values = np.array([errors[f"channels-{channels}-kernel-{kernel}"] for kernel in KERNELS])
        plots.band(axes, KERNELS, values.T, color, "o-", f"{channels} channels")
    axes.set_xticks(KERNELS)
    axes.set_xlabel("kernel size")
    axes.legend()
    plots.save(figure, path)


EXPERIMENT = Experiment(
    "Sweep the kernel size and the channels of the convolutional network.",
    {
        f"channels-{channels}-kernel-{kernel}": [
            *["--model", "conv", "--widths", ",".join([str(channels)] * 3), "--kernel-size", str(kernel)]
        ]
        for channels in CHANNELS
        for kernel in KERNELS
    },
    draw,
    seeds=2,
    steps=20_000,
    momentum=0.9,
)
