"""Figures without pyplot (no display, no global state), and the way they are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastconv.serialization import atomic_write


def require() -> Any:
    """Matplotlib's Figure; raises the ImportError of a missing one now, rather than at the end of a training."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('pictures need an extra: pip install "fastconv[demo]"') from error
    return Figure


def figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Any, Any]:
    """A figure of `size` inches and its axes, always an array of `rows` and `columns`."""
    drawn = require()(figsize=size, layout="constrained")
    return drawn, drawn.subplots(rows, columns, squeeze=False, **options)


def save(drawn: Any, path: Path) -> None:
    """Write a ``.png``, whole or not at all."""
    with atomic_write(path) as file:
        drawn.savefig(file, format="png", dpi=80)


def image(axes: Any, pixels: Any, title: str = "", **options: Any) -> None:
    """An image without ticks, gray by default."""
    axes.imshow(pixels, **{"cmap": "gray", "interpolation": "nearest", **options})
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=9)
