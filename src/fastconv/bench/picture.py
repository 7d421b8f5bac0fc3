"""The picture of a run: the ratio of every shape, and the roofline. Drawn without pyplot: no display, no global state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastconv.bench.results import FUNCTIONAL, PLAN, Machine, Result, Series, series
from fastconv.serialization import atomic_write

PASSES = {"fwd": "forward", "bwd": "backward"}
AHEAD, BEHIND = "tab:blue", "tab:red"
#: Colour and marker of our points.
STYLES = {FUNCTIONAL: ("tab:blue", "o"), PLAN: ("tab:green", "^")}


def require() -> Any:
    """Matplotlib's figures; raises the ImportError now, rather than at the end of a run."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('pictures need an extra: pip install "fastconv[bench]"') from error
    return Figure


def draw(path: Path, machine: Machine, results: Sequence[Result], title: str) -> None:
    """Write a ``.png``: a panel of bars for each series of ratios, and the roofline."""
    panels = series(results)
    passes = list(dict.fromkeys(result.pass_ for result in results))
    height = 1.5 + 0.19 * max((len(each.ratios) for each in panels), default=0)
    widths = [1.0] * len(panels) + [1.6]
    figure = require()(figsize=(4.2 * sum(widths), min(max(7.0, height), 40.0)), layout="constrained")
    figure.suptitle(f"{title}: {machine.cpu}, {machine.isa}, threads: {machine.threads}, {machine.dtype}")
    grid = figure.add_gridspec(len(passes), len(widths), width_ratios=widths)
    for column, each in enumerate(panels):
        _bars(figure.add_subplot(grid[:, column]), each)
    for row, pass_ in enumerate(passes):
        there = [result for result in results if result.pass_ == pass_]
        _roofline(figure.add_subplot(grid[row, -1]), machine, there, f"roofline, {PASSES[pass_]}")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _bars(axes: Any, each: Series) -> None:
    ratios, cases = zip(*each.ratios, strict=True)
    places = range(len(ratios))
    colors = [AHEAD if ratio >= 1 else BEHIND for ratio in ratios]
    axes.set_xscale("log")
    axes.barh(places, [ratio - 1 for ratio in ratios], left=1, color=colors, height=0.75)
    for place, ratio in zip(places, ratios, strict=True):
        right = ratio >= 1
        axes.annotate(f"{ratio:.2f}", (ratio, place), (3 if right else -3, 0), textcoords="offset points",
                      ha="left" if right else "right", va="center", fontsize=7)  # fmt: skip
    axes.axvline(1, color="black", linewidth=1)
    axes.axvline(
        each.mean,
        color="gray",
        linewidth=1,
        linestyle="--",
        zorder=0,
        label=f"geometric mean {each.mean:.2f}",
    )
    axes.set_yticks(places, cases, fontsize=7)
    axes.set_ylim(-0.7, len(ratios) - 0.3)
    low, high = 0.4 * min(1.0, *ratios), 2.5 * max(1.0, *ratios)
    axes.set_xlim(low, high)
    ticks = _powers(low, high)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(title=f"{PASSES[each.pass_]}, {each.kind} calls", xlabel="time of the best peer / ours")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", fontsize=8)


def _powers(low: float, high: float) -> list[float]:
    """Powers of two within the limits, or of four, or of eight: what there is room for."""
    first, last = math.ceil(math.log2(low)), math.floor(math.log2(high))
    step = 1 + (last - first) // 7
    return [2.0**power for power in range(first, last + 1) if power % step == 0]


def _roofline(axes: Any, machine: Machine, results: Sequence[Result], title: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    ridge = machine.fma_gflops / machine.bandwidth_gbs
    intensities = [ridge, *(result.flops / result.bytes for result in results)]
    left, right = min(intensities) / 3, max(intensities) * 3
    axes.plot([left, ridge, right], [left * machine.bandwidth_gbs, *[machine.fma_gflops] * 2], color="black",
              label=f"{machine.bandwidth_gbs:.1f} GB/s, {machine.fma_gflops:.0f} GF/s")  # fmt: skip
    for name, (color, marker) in STYLES.items():
        there = [result for result in results if name in result.timings]
        if there:
            x, y = [r.flops / r.bytes for r in there], [r.gflops(name) for r in there]
            axes.scatter(x, y, s=20, color=color, marker=marker, label=name, zorder=3)
            _to_rivals(axes, there, name, color)
    axes.plot([], [], color="gray", label="line: from us to the best peer")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.set(title=title, xlabel="FLOPs / byte, every array once", ylabel="GF/s")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)


def _to_rivals(axes: Any, results: Sequence[Result], name: str, color: str) -> None:
    """A line from each of our points to the peer that its ratio is taken to."""
    for result in results:
        rival = result.rival(packed=name == PLAN)
        if rival is not None:
            at = result.flops / result.bytes
            axes.plot(
                [at, at], [result.gflops(name), result.gflops(rival)], color=color, alpha=0.4, linewidth=1
            )
