"""Times every library on every shape of a file, in one process and in turns, and prints and keeps a table.

::

    python benchmarks/compare.py                                   # everything, forward and backward, one thread
    python benchmarks/compare.py --cases 'tiny,r50_*' --pass fwd --peers torch,onnxruntime --threads 2

In turns: a round times a few calls of each library, and the next round begins with another one, so that whatever else the
machine does falls on all alike. The best round counts (what the code can do), the median is kept beside it (what
the machine let it do).
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.metadata
import json
import math
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import machine

HERE = Path(__file__).parent
OURS = "fastconv"
PACKAGES = ("numpy", "torch", "onnxruntime", "jax", "scipy", "opencv-python-headless")
SAMPLE_SECONDS = 1e-3  # a round calls a library as often as fits in here, at least once
MOST_ROUNDS = 200


@dataclass
class Timing:
    """One library on one pass of one problem; seconds per call, error in units of eps * S."""

    best: float
    median: float
    rounds: int
    error: float


@dataclass
class Result:
    """One line of the table."""

    case: str
    problem: str
    pass_: str
    flops: int
    timings: dict[str, Timing]

    @property
    def rate(self) -> float:
        """Our GF/s, by the multiplications of the definition."""
        return self.flops / self.timings[OURS].best / 1e9

    def ratio(self, peers: set[str]) -> float | None:
        """The best time among these peers divided by ours: above 1 we are faster."""
        others = [timing.best for name, timing in self.timings.items() if name in peers]
        return min(others) / self.timings[OURS].best if others else None


def main() -> None:
    """Run the command line."""
    options = _options()
    machine.limit_threads(options.threads)
    sys.path.insert(0, str(HERE.parent / "tests"))
    from peers import PACKED, PEERS  # after limit_threads: they import NumPy
    from problems import from_csv

    names = [OURS, *(name for name in options.peers or PEERS if name != OURS)]
    everything = from_csv(options.file).items()
    cases = {n: p for n, p in everything if any(fnmatch.fnmatch(n, wanted) for wanted in options.cases)}
    rate = options.threads * machine.fma_rate()
    functional = set(names) - PACKED - {OURS}
    print(f"{machine.cpu_name()}, threads: {options.threads}, FMA peak {rate:.0f} GF/s")
    print("times in us; ratio: the best peer's time / ours, against functional calls and against packed weights too")
    _print_header(names)
    results: list[Result] = []
    for case, problem in cases.items():
        for pass_ in options.passes:
            result = _measure(case, problem, pass_, names, options.threads, options.seconds_per_case)
            results.append(result)
            _print_row(result, names, rate, functional)
    rate = max(rate, options.threads * machine.fma_rate())
    _print_summary(results, functional, set(names) - {OURS})
    if options.markdown:
        _print_markdown(results, functional)
    path = options.out or HERE / "results" / f"{_slug(machine.cpu_name())}-{date.today()}.json"
    _save(path, results, options.threads, rate)
    print(f"written to {path}")


def _names(text: str) -> list[str]:
    return text.split(",")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time convolutions by several libraries, in turns.")
    parser.add_argument("--file", type=Path, default=HERE / "perf_cases.csv", help="the shapes")
    parser.add_argument("--cases", type=_names, default=["*"], metavar="PATTERNS",
                        help="such as 'tiny,r50_*' (default: all)")  # fmt: skip
    parser.add_argument("--pass", dest="passes", choices=["fwd", "bwd"], action="append", help="default: both")
    parser.add_argument("--threads", type=int, default=1, help="of every library (default: 1)")
    parser.add_argument("--peers", type=_names, help="such as torch,jax (default: all)")
    parser.add_argument("--seconds-per-case", type=float, default=1.0, help="a limit kept roughly (default: 1)")
    parser.add_argument("--out", type=Path, help="default: results/<cpu>-<date>.json")
    parser.add_argument("--markdown", action="store_true", help="a short table once more, for a document")
    options = parser.parse_args()
    options.passes = options.passes or ["fwd", "bwd"]
    return options


def _measure(case: str, problem: Any, pass_: str, names: list[str], threads: int, seconds: float) -> Result:
    import numpy as np
    from peers import error, prepare

    arrays = problem.arrays(np.float32)
    calls: dict[str, Callable[[], Any]] = {}
    errors: dict[str, float] = {}
    for name in names:
        call = prepare(name, problem, arrays, pass_, threads)
        if call is not None:
            errors[name] = error(name, problem, arrays, pass_, call())
            calls[name] = call
    prepare(OURS, problem, arrays, pass_, threads)  # the oracle of `error` has changed the number of threads
    samples = _rounds(calls, seconds)
    timings = {
        name: Timing(min(times), statistics.median(times), len(times), round(errors[name], 3))
        for name, times in samples.items()
    }
    # Two products for the gradients of x and of weight; that of the bias is a sum.
    return Result(case, str(problem), pass_, problem.flops * (1 if pass_ == "fwd" else 2), timings)


def _seconds(call: Callable[[], Any], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


def _rounds(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, list[float]]:
    """Seconds per call of each round, the libraries in turns."""
    names = list(calls)
    repeats = {name: max(1, int(SAMPLE_SECONDS / _seconds(call, 1))) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in names}
    end = time.perf_counter() + seconds
    for number in range(MOST_ROUNDS):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            calls[name]()  # brings its own code and data back into the caches
            samples[name].append(_seconds(calls[name], repeats[name]))
        if number >= 2 and time.perf_counter() > end:
            break
    return samples


def _print_header(names: list[str]) -> None:
    columns = "".join(f"{name:>12}" for name in names)
    print(f"{'case':<18}{'pass':<5}{columns}{'GF/s':>8}{'of peak':>10}{'ratio':>7}{'packed':>8}{'error':>7}")


def _print_row(result: Result, names: list[str], rate: float, functional: set[str]) -> None:
    timings = result.timings
    columns = "".join(f"{timings[name].best * 1e6:12.1f}" if name in timings else f"{'-':>12}" for name in names)
    ratios = result.ratio(functional), result.ratio(set(names) - {OURS})
    texts = [f"{ratio:.2f}" if ratio is not None else "-" for ratio in ratios]
    print(
        f"{result.case:<18}{result.pass_:<5}{columns}{result.rate:8.1f}{100 * result.rate / rate:8.0f} %"
        f"{texts[0]:>7}{texts[1]:>8}{timings[OURS].error:7.2f}",
        flush=True,
    )


def _print_summary(results: list[Result], functional: set[str], everyone: set[str]) -> None:
    for pass_ in dict.fromkeys(result.pass_ for result in results):
        for word, peers in (("functional", functional), ("packed too", everyone)):
            ratios = [(result.ratio(peers), result.case) for result in results if result.pass_ == pass_]
            known = sorted((ratio, case) for ratio, case in ratios if ratio is not None)
            if known:
                mean = math.exp(statistics.fmean(math.log(ratio) for ratio, _ in known))
                worst, case = known[0]
                print(f"{pass_}, {word}: geometric mean {mean:.2f}, worst {worst:.2f} ({case})")


def _print_markdown(results: list[Result], functional: set[str]) -> None:
    cells: dict[str, list[str]] = {}
    for result in results:
        others = [(result.timings[name].best, name) for name in functional & result.timings.keys()]
        best = f"{_microseconds(min(others)[0])} ({min(others)[1]})" if others else "-"
        row = cells.setdefault(result.case, [result.case, f"`{result.problem}`"])
        row += [_microseconds(result.timings[OURS].best), best]
    columns = [f"{who}, {p}" for p in dict.fromkeys(r.pass_ for r in results) for who in (OURS, "best peer")]
    for row in [["case", "problem", *columns], ["---"] * (2 + len(columns)), *cells.values()]:
        print("| " + " | ".join(row) + " |")


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}" if seconds < 1e-4 else f"{seconds * 1e6:,.0f}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _versions() -> dict[str, str]:
    versions = {}
    for package in (OURS, *PACKAGES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _save(path: Path, results: list[Result], threads: int, rate: float) -> None:
    import fastconv as fc

    isa = next(name for name, available in fc.isas().items() if available)
    content = {
        "cpu": machine.cpu_name(),
        "date": str(date.today()),
        "threads": threads,
        "isa": isa,
        "fma_peak_gflops": round(rate, 1),
        "versions": _versions() | {OURS: fc.__version__},
        "results": [asdict(result) for result in results],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
