"""Pictures. They are drawn without pyplot: no display, no global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.mnist1d.models import PUBLISHED
from fastconv.mnist1d.train import Row
from fastconv.serialization import atomic_write

NAMES = {"conv": "convolutional", "fc": "fully connected"}
COLORS = {"conv": "tab:orange", "fc": "tab:cyan"}
BOTH = {"train": "-", "test": "--"}  # parts of the data and their lines


def require() -> None:
    """Raise the ImportError of a missing matplotlib now, rather than at the end of a training."""
    figure(1, 1)


def figure(columns: int, height: float) -> tuple[Any, Any]:
    """A figure and its axes, side by side; `height` in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('pictures need an extra: pip install "fastconv[mnist1d]"') from error
    picture = Figure(figsize=(6.0 * columns, height), layout="constrained")
    return picture, picture.subplots(1, columns)


def save(picture: Any, path: Path) -> None:
    """Write a PNG, atomically."""
    with atomic_write(path) as file:
        picture.savefig(file, format="png", dpi=120)


def error_axes(axes: Any, title: str) -> None:
    """Make axes ready for errors in percent over steps."""
    axes.set(title=title, xlabel="step", ylabel="error (%)", ylim=(0, 100))
    axes.grid(alpha=0.3)


def curves(rows: Sequence[Row], model: str, title: str, path: Path) -> None:
    """Loss, and train and test error of one training, with the published test error marked.

    Parameters
    ----------
    rows : sequence of Row
        The metrics.
    model : {"conv", "fc"}
        Whose published error is marked.
    title : str
        Of the picture.
    path : Path
        Of the ``.png`` file.
    """
    picture, (left, right) = figure(2, 4.5)
    picture.suptitle(title)
    steps = [row.step for row in rows]
    left.plot(steps, [row.loss for row in rows], color="tab:gray", alpha=0.7, label="train, running batches")
    left.plot(steps, [row.train_loss for row in rows], color=COLORS[model], label="train")
    left.plot(steps, [row.test_loss for row in rows], color=COLORS[model], linestyle="--", label="test")
    left.set(title="Loss", xlabel="step", ylabel="cross-entropy (nats)")
    left.set_ylim(bottom=0)
    left.grid(alpha=0.3)
    left.legend()
    error_axes(right, "Error")
    right.plot(steps, [row.train_error for row in rows], color=COLORS[model], label="train")
    right.plot(steps, [row.test_error for row in rows], color=COLORS[model], linestyle="--", label="test")
    mark_published(right, model)
    right.legend()
    save(picture, path)


def mark_published(axes: Any, model: str) -> None:
    """A dotted line where the published error is."""
    value = PUBLISHED[model]
    axes.axhline(value, color=COLORS[model], linestyle=":", label=f"published, test, 100k steps: {value} %")


def band(axes: Any, x: Sequence[float], values: Any, color: str, style: str, label: str) -> None:
    """The mean of `values` (seeds, points) over `x`, and one standard deviation on either side."""
    mean, spread = values.mean(axis=0), values.std(axis=0)
    axes.plot(x, mean, style, color=color, label=label)
    axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.25, linewidth=0)


def error_bands(
    axes: Any, seeds: Sequence[Sequence[Row]], color: str, styles: Mapping[str, str] = BOTH, lead: str = ""
) -> None:
    """Errors over the steps, mean and spread of the seeds, with the last mean in the label behind `lead`."""
    # Of trainings that went on after an earlier end, one may have a point that another lacks.
    steps = sorted(set.intersection(*({row.step for row in rows} for rows in seeds)))
    for part, style in styles.items():
        values = np.array([[getattr(row, f"{part}_error") for row in rows if row.step in steps] for rows in seeds])
        band(axes, steps, values, color, style, f"{lead}{part}: {values[:, -1].mean():.1f} % at the end")
