"""Double descent: the test error falls, rises, and falls again as a fully connected network gets wider.

The rise comes where the network is just able to learn every training label by heart; wrong labels make it
visible, so 15 percent of them are replaced by random ones (as for the figure of Prince, *Understanding Deep Learning*, chapter 8,
whose networks also have two hidden layers).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastconv.mnist1d import plots
from fastconv.mnist1d.experiment import Experiment, Metrics, final_errors

WIDTHS = (2, 4, 6, 8, 10, 14, 18, 22, 30, 40, 50, 70, 100, 150, 200, 300)
LABEL_NOISE = 0.15


def draw(metrics: Metrics, path: Path) -> None:
    """Training and test error over the width."""
    figure, axes = plots.figure(1, 4.8)
    plots.error_axes(axes, "MNIST-1D, 15 % random labels: two hidden layers of one width")
    for part, color in (("train", "tab:gray"), ("test", plots.COLORS["fc"])):
        errors = final_errors(metrics, part)
        plots.band(axes, WIDTHS, np.array([errors[f"width-{w}"] for w in WIDTHS]).T, color, "o-", part)
    axes.set_xscale("log")
    ticks = WIDTHS[::3]
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.set_xlabel("hidden units in each layer")
    axes.legend()
    plots.save(figure, path)


EXPERIMENT = Experiment(
    "Sweep the width of a fully connected network with noisy labels: double descent.",
    {
        f"width-{w}": ["--model", "fc", "--widths", f"{w},{w}", "--label-noise", str(LABEL_NOISE)]
        for w in WIDTHS
    },
    draw,
    seeds=2,
    steps=40_000,
    momentum=0.9,
)
