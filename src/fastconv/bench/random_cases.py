"""The generator of ``random_cases.csv``: shapes over the whole space, for the corners that nobody thought of.

::

    python -m fastconv.bench.random_cases --seed 1 --count 100 > other.csv      # for fastconv bench --file other.csv

Sizes are log-uniform: as many between 1 and 10 as between 10 and 100. What would take too long, or no time at all, is
drawn again.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence

from fastconv.bench.cases import write
from fastconv.problem import Problem

SEED, COUNT = 1, 60
FLOPS = 1e5, 3e9
MOST_ELEMENTS = 1.6e7  # of x, weight and y together


class _Dice:
    """Draws made of `random.Random.random` alone, the only one whose stream Python promises to keep."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def log(self, low: int, high: int) -> int:
        """An integer of [low, high], log-uniform."""
        return min(high, int(low * ((high + 1) / low) ** self._random.random()))

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability


def generate(seed: int = SEED, count: int = COUNT) -> dict[str, Problem]:
    """Return `count` problems by their names, the same for the same seed."""
    dice = _Dice(seed)
    cases: dict[str, Problem] = {}
    while len(cases) < count:
        problem = _draw(dice)
        if _is_fit(problem):
            cases[f"r{len(cases):02d}_{_kind(problem)}"] = problem
    return cases


def _draw(dice: _Dice) -> Problem:
    ndim = 1 if dice.chance(0.4) else 2
    g, ic, oc = _channels(dice)
    size = (dice.log(8, 1_000_000),) if ndim == 1 else _both_axes(dice, 4, 1024, equal=0.5)
    kernel = (dice.log(1, 128),) if ndim == 1 else _both_axes(dice, 1, 31, equal=0.75)
    stride = (1,) * ndim if dice.chance(0.65) else _both_axes(dice, 2, 4, equal=0.75)[:ndim]
    one_tap = max(kernel) == 1  # which nothing can dilate
    dilation = (1,) * ndim if one_tap or dice.chance(0.6) else _both_axes(dice, 2, 16, equal=0.75)[:ndim]
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    pads = [0] * ndim if dice.chance(0.25) else [r // 2 for r in reach]
    if dice.chance(0.15):
        pads = [dice.log(1, r + 1) - 1 for r in reach]
    n = 1 if dice.chance(0.4) else dice.log(2, 128)
    return Problem(n, g, ic, oc, size, kernel, stride, tuple((pad, pad) for pad in pads), dilation)


def _channels(dice: _Dice) -> tuple[int, int, int]:
    """Groups, channels in and out: dense for a half, depthwise and grouped for a quarter each."""
    if dice.chance(0.5):
        return 1, dice.log(1, 1024), dice.log(1, 1024)
    if dice.chance(0.5):
        g = dice.log(2, 1024)
        return g, g, g * (1 if dice.chance(0.8) else 2)
    g = dice.log(2, 64)
    return g, g * dice.log(1, 64), g * dice.log(1, 64)


def _both_axes(dice: _Dice, low: int, high: int, equal: float) -> tuple[int, int]:
    height = dice.log(low, high)
    return height, height if dice.chance(equal) else dice.log(low, high)


def _is_fit(problem: Problem) -> bool:
    if not all(problem.output_shape):
        return False
    shapes = problem.x_shape, problem.weight_shape, problem.output_shape
    return FLOPS[0] <= problem.flops <= FLOPS[1] and sum(map(math.prod, shapes)) <= MOST_ELEMENTS


def _kind(problem: Problem) -> str:
    """``2d_dw_s2``: dimensions, depthwise or groups, stride and dilation."""
    words = [f"{problem.ndim}d"]
    if problem.g > 1:
        words.append("dw" if problem.g == problem.ic else f"g{problem.g}")
    for letter, values in (("s", problem.stride), ("d", problem.dilation)):
        if max(values) > 1:
            words.append(letter + "x".join(map(str, dict.fromkeys(values))))
    return "_".join(words)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a file of random shapes."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args(arguments)
    print(write(generate(options.seed, options.count)), end="")


if __name__ == "__main__":
    main()
