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


def require() -> None:
    """Raise the ImportError of a missing matplotlib now, rather than at the end of a training."""
    _figure(1, 1)


def _figure(columns: int, height: float) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('pictures need an extra: pip install "fastconv[mnist1d]"') from error
    figure = Figure(figsize=(6.0 * columns, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _save(figure: Any, path: Path) -> None:
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _error_axes(axes: Any, title: str) -> None:
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
    figure, (left, right) = _figure(2, 4.5)
    figure.suptitle(title)
    steps = [row.step for row in rows]
    left.plot(steps, [row.loss for row in rows], color="tab:gray", alpha=0.7, label="train, running batches")
    left.plot(steps, [row.train_loss for row in rows], color=COLORS[model], label="train")
    left.plot(steps, [row.test_loss for row in rows], color=COLORS[model], linestyle="--", label="test")
    left.set(title="Loss", xlabel="step", ylabel="cross-entropy (nats)")
    left.set_ylim(bottom=0)
    left.grid(alpha=0.3)
    left.legend()
    _error_axes(right, "Error")
    right.plot(steps, [row.train_error for row in rows], color=COLORS[model], label="train")
    right.plot(steps, [row.test_error for row in rows], color=COLORS[model], linestyle="--", label="test")
    _mark_published(right, model)
    right.legend()
    _save(figure, path)


def _mark_published(axes: Any, model: str) -> None:
    value = PUBLISHED[model]
    axes.axhline(value, color=COLORS[model], linestyle=":", label=f"published, test, 100k steps: {value} %")


def performance(runs: Mapping[str, Sequence[Sequence[Row]]], path: Path) -> None:
    """The lecture's "Performance" figure: both networks, mean and spread over seeds, published values marked.

    Parameters
    ----------
    runs : mapping of str to sequences of metrics
        For each model, the metrics of each seed.
    path : Path
        Of the ``.png`` file.
    """
    figure, panels = _figure(len(runs), 4.8)
    figure.suptitle("MNIST-1D: mean and standard deviation over seeds")
    for axes, (model, seeds) in zip(np.atleast_1d(panels), runs.items(), strict=True):
        _error_axes(axes, f"{NAMES[model]} (seeds: {len(seeds)})")
        # Of trainings that went on after an earlier end, one may have a point that another lacks.
        steps = sorted(set.intersection(*({row.step for row in rows} for rows in seeds)))
        for part, style in (("train", "-"), ("test", "--")):
            errors = np.array(
                [[getattr(row, f"{part}_error") for row in rows if row.step in steps] for rows in seeds]
            )
            mean, spread = errors.mean(axis=0), errors.std(axis=0)
            axes.plot(steps, mean, style, color=COLORS[model], label=f"{part}: {mean[-1]:.1f} % at the end")
            axes.fill_between(
                steps, mean - spread, mean + spread, color=COLORS[model], alpha=0.25, linewidth=0
            )
        _mark_published(axes, model)
        axes.legend()
    _save(figure, path)
