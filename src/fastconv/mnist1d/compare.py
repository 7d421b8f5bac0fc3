"""The lecture's comparison: the convolutional and the fully connected network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fastconv.mnist1d import plots
from fastconv.mnist1d.experiment import Experiment, Metrics, final_errors
from fastconv.mnist1d.models import PUBLISHED
from fastconv.mnist1d.train import Row


def draw(metrics: Mapping[str, Sequence[Sequence[Row]]], path: Path) -> None:
    """The lecture's "Performance" figure: both networks, mean and spread over seeds, published values marked."""
    figure, panels = plots.figure(len(metrics), 4.8)
    figure.suptitle("MNIST-1D: mean and standard deviation over seeds")
    for axes, (model, seeds) in zip(np.atleast_1d(panels), metrics.items(), strict=True):
        plots.error_axes(axes, f"{plots.NAMES[model]} (seeds: {len(seeds)})")
        plots.error_bands(axes, seeds, plots.COLORS[model])
        plots.mark_published(axes, model)
        axes.legend()
    plots.save(figure, path)


def remark(metrics: Metrics) -> str:
    """By how much the convolutional network is better, at least."""
    errors = final_errors(metrics)
    lead = min(fc - conv for conv, fc in zip(errors["conv"], errors["fc"], strict=True))
    return f"conv is better by {lead:.1f} points or more in every pair"


EXPERIMENT = Experiment(
    "Train both networks over several seeds, and compare.",
    {model: ["--model", model] for model in PUBLISHED},
    draw,
    seeds=10,
    published=PUBLISHED,
    remark=remark,
)
