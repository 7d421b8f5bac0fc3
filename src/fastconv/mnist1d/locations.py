"""Shuffled locations: what is left of the convolutional network's lead when neighbours are no neighbours any more.

One random order of the 40 samples, the same for all examples, tells a fully connected network nothing and takes nothing from it. A
convolution supposes that what stands side by side belongs together; here it does not.
"""

from __future__ import annotations

from pathlib import Path

from fastconv.mnist1d import plots
from fastconv.mnist1d.experiment import Experiment, Metrics, final_errors

CASES = {
    f"{model}-{order}": ["--model", model, *(["--shuffled-locations"] if order == "shuffled" else [])]
    for model in plots.NAMES
    for order in ("ordered", "shuffled")
}


def draw(metrics: Metrics, path: Path) -> None:
    """Test error over the steps, a panel for each network."""
    figure, panels = plots.figure(len(plots.NAMES), 4.8)
    figure.suptitle("MNIST-1D with shuffled locations: test error, mean and standard deviation over seeds")
    for axes, (model, name) in zip(panels, plots.NAMES.items(), strict=True):
        plots.error_axes(axes, f"{name} (seeds: {len(metrics[f'{model}-ordered'])})")
        for order, color in (("ordered", plots.COLORS[model]), ("shuffled", "tab:gray")):
            plots.error_bands(axes, metrics[f"{model}-{order}"], color, {"test": "-"}, f"{order}, ")
        axes.legend()
    plots.save(figure, path)


def remark(metrics: Metrics) -> str:
    """What the shuffling costs each network."""
    errors = {case: sum(values) / len(values) for case, values in final_errors(metrics).items()}
    costs = [f"{model} {errors[f'{model}-shuffled'] - errors[f'{model}-ordered']:+.1f}" for model in plots.NAMES]
    return f"shuffled locations change the mean test error by (points): {', '.join(costs)}"


EXPERIMENT = Experiment(
    "Shuffle the locations of all signals in the same way: the bias of convolutions is gone.", CASES, draw, seeds=3,
    remark=remark,
)  # fmt: skip
