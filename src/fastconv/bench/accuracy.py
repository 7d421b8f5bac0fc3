"""How far a result is from the exact one."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

import fastconv as fc
from fastconv import reference
from fastconv.bench.peers import WITHOUT_BIAS, Arrays, functions
from fastconv.problem import Problem


class Judge:
    """Knows the results of one pass of a problem, and S, the sum of the absolute values of their terms.

    Exact results are those in float64 by this library, whose own correctness the tests establish. Against float64 it
    cannot judge itself: there they are those of the plain NumPy of `fastconv.reference`, which rounds as well.
    """

    def __init__(self, problem: Problem, arrays: Arrays, pass_: str) -> None:
        self._problem, self._arrays, self._pass = problem, arrays, pass_

    @cached_property  # not before a result is there: its call is to be the first with this shape
    def _with_bias(self) -> _Exact:
        return _Exact(self._problem, self._arrays, self._pass)

    @cached_property
    def _without_bias(self) -> _Exact:
        x, w, b, dy = self._arrays
        return _Exact(self._problem, (x, w, np.zeros_like(b), dy), self._pass)

    def error(self, name: str, output: Any) -> float:
        """The largest error of a library's results in units of eps * S; those without any term are passed over."""
        exact = self._without_bias if name in WITHOUT_BIAS else self._with_bias
        worst = 0.0
        for actual, value, size in zip(_results(output), exact.values, exact.magnitudes, strict=True):
            if actual.shape != value.shape:
                raise ValueError(f"{name} computes {actual.shape} for {self._problem}, not {value.shape}")
            there = size > 0
            worst = max(worst, float(np.max(np.abs(actual - value)[there] / size[there], initial=0)))
        return worst / float(np.finfo(self._arrays[0].dtype).eps)


class _Exact:
    def __init__(self, problem: Problem, arrays: Arrays, pass_: str) -> None:
        exact = tuple(array.astype(np.float64) for array in arrays)
        judge = reference if arrays[0].dtype == np.float64 else fc
        self.values = _results(functions(judge, problem, exact, pass_)())
        self.magnitudes = _results(functions(fc, problem, tuple(map(np.abs, exact)), pass_)())


def _results(output: Any) -> tuple[np.ndarray, ...]:
    """What a call returned, as a tuple of arrays."""
    return tuple(map(np.asarray, output)) if isinstance(output, tuple | list) else (np.asarray(output),)
