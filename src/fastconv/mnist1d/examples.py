"""Sample efficiency: how many training examples each network needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastconv.mnist1d import plots
from fastconv.mnist1d.experiment import Experiment, Metrics, final_errors

SIZES = (125, 250, 500, 1000, 2000, 4000)


def draw(metrics: Metrics, path: Path) -> None:
    """Test error over the number of examples, both networks."""
    figure, axes = plots.figure(1, 4.8)
    plots.error_axes(axes, "MNIST-1D: test error by number of training examples")
    errors = final_errors(metrics)
    for model, name in plots.NAMES.items():
        values = np.array([errors[f"{model}-{size}"] for size in SIZES])
        plots.band(axes, SIZES, values.T, plots.COLORS[model], "o-", name)
    axes.set_xscale("log")
    axes.set_xticks(SIZES, map(str, SIZES))
    axes.minorticks_off()
    axes.set_xlabel("training examples")
    axes.legend()
    plots.save(figure, path)


EXPERIMENT = Experiment(
    "Train both networks on fewer and fewer examples.",
    {
        f"{model}-{size}": ["--model", model, "--examples", str(size)]
        for size in SIZES
        for model in plots.NAMES
    },
    draw,
    seeds=3,
    steps=20_000,
    momentum=0.9,
)
