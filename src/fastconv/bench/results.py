"""What a run measured, and the ratios and shares made of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fastconv.bench.peers import OURS, PACKED

FUNCTIONAL, PLAN = "fastconv", "plan"


@dataclass
class Machine:
    """What a run was on; the limits are those of all its threads together."""

    cpu: str
    threads: int
    dtype: str
    isa: str
    fma_gflops: float
    bandwidth_gbs: float
    versions: dict[str, str]
    missing: list[str]


@dataclass
class Timing:
    """One library on one pass of one problem: seconds per call, and of the very first call; error in eps * S."""

    best: float
    median: float
    rounds: int
    cold: float
    error: float


@dataclass
class Result:
    """One line of the table; bytes are those of every array of the pass, once."""

    case: str
    problem: str
    pass_: str
    flops: int
    bytes: int
    algorithm: str
    scratch_bytes: int
    timings: dict[str, Timing]

    def gflops(self, name: str = FUNCTIONAL) -> float:
        """GF/s, by the multiplications of the definition."""
        return self.flops / self.timings[name].best / 1e9

    def bound(self, machine: Machine) -> str:
        """Which limit the problem meets first: "arithmetic" or "memory"."""
        arithmetic, memory = self._limits(machine)
        return "arithmetic" if arithmetic >= memory else "memory"

    def share(self, machine: Machine, name: str = FUNCTIONAL) -> float:
        """The time that this limit asks for, divided by the time taken."""
        return max(self._limits(machine)) / self.timings[name].best

    def _limits(self, machine: Machine) -> tuple[float, float]:
        return self.flops / machine.fma_gflops / 1e9, self.bytes / machine.bandwidth_gbs / 1e9

    def rival(self, packed: bool) -> str | None:
        """The quickest rival, of all or of those that are called as a function."""
        names = [name for name in self.timings if name not in OURS and (packed or name not in PACKED)]
        return min(names, key=lambda name: self.timings[name].best, default=None)

    @property
    def functional_ratio(self) -> float | None:
        """The best rival's time for a functional call divided by ours: above 1 we are faster."""
        return self._ratio(FUNCTIONAL, packed=False)

    @property
    def packed_ratio(self) -> float | None:
        """The best time of all rivals divided by that of our plan."""
        return self._ratio(PLAN, packed=True)

    def _ratio(self, ours: str, packed: bool) -> float | None:
        rival = self.rival(packed)
        if rival is None or ours not in self.timings:
            return None
        return self.timings[rival].best / self.timings[ours].best


@dataclass
class Series:
    """The ratios of one pass and one kind of call, the worst first."""

    pass_: str
    kind: str
    ratios: list[tuple[float, str]]

    @property
    def mean(self) -> float:
        """The geometric mean."""
        return math.exp(statistics.fmean(math.log(ratio) for ratio, _ in self.ratios))


KINDS: dict[str, Callable[[Result], float | None]] = {
    "functional": lambda result: result.functional_ratio,
    "packed": lambda result: result.packed_ratio,
}


def series(results: Sequence[Result]) -> list[Series]:
    """Every series that has a ratio at all."""
    found = [
        Series(pass_, kind, sorted(_ratios(ratio, (r for r in results if r.pass_ == pass_))))
        for pass_ in dict.fromkeys(result.pass_ for result in results)
        for kind, ratio in KINDS.items()
    ]
    return [each for each in found if each.ratios]


def _ratios(
    ratio: Callable[[Result], float | None], results: Iterable[Result]
) -> Iterable[tuple[float, str]]:
    for result in results:
        value = ratio(result)
        if value is not None:
            yield value, result.case
