"""``fastconv bench``: options in, tables, JSON and picture out; `measure` times in a process of its own."""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from fastconv.bench import cases as shapes
from fastconv.bench import networks as whole
from fastconv.bench import picture, report
from fastconv.bench.machine import confined, environment, slug
from fastconv.bench.measure import Job
from fastconv.bench.peers import PEERS, RIVALS
from fastconv.bench.results import Machine, Result, Timing

PASSES = ("fwd", "bwd")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    files = parser.add_mutually_exclusive_group()
    files.add_argument(
        "--file", type=Path, default=shapes.CASES, help="shapes (default: those of the package)"
    )
    files.add_argument("--random", dest="file", action="store_const", const=shapes.RANDOM_CASES,
                       help="the package's 60 shapes drawn at random")  # fmt: skip
    files.add_argument("--networks", type=_names, metavar="NAMES",
                       help=f"inference of whole networks, of {','.join(whole.NETWORKS)}: with --threads and --out alone")  # fmt: skip
    parser.add_argument("--cases", type=_names, default=["*"], metavar="PATTERNS",
                        help="such as 'tiny,r50_*' (default: all)")  # fmt: skip
    parser.add_argument("--pass", dest="passes", choices=PASSES, action="append", help="default: both")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="default: float32")
    parser.add_argument("--threads", type=int, default=1, help="of every library (default: 1)")
    parser.add_argument("--peers", type=_names, metavar="NAMES", help=f"of {','.join(RIVALS)} (default: all)")
    parser.add_argument("--seconds-per-case", type=float, default=1.0, metavar="SECONDS",
                        help="a limit for each pass, kept roughly (default: 1)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="JSON", help="default: <shapes>-<cpu>-<date>.json, here")
    parser.add_argument(
        "--plot", type=Path, metavar="PNG", help="draw the ratio of every shape, and the roofline"
    )
    parser.add_argument("--markdown", action="store_true", help="a short table once more, for a document")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def run(
    *,
    file: Path = shapes.CASES,
    networks: Sequence[str] | None = None,
    cases: Sequence[str] = ("*",),
    passes: Sequence[str] | None = None,
    dtype: str = "float32",
    threads: int = 1,
    peers: Sequence[str] | None = None,
    seconds_per_case: float = 1.0,
    out: Path | None = None,
    plot: Path | None = None,
    markdown: bool = False,
) -> None:
    """Time, print and keep what the options ask for.

    Raises
    ------
    ValueError
        For options that cannot be.
    ImportError
        If `plot` is asked for and Matplotlib is not installed.
    OSError
        If a file cannot be read or written.
    RuntimeError
        If the process that measures failed.
    """
    if networks is not None:
        whole.run(networks, threads, out)
        return
    if not 0 < seconds_per_case < math.inf:
        raise ValueError(f"--seconds-per-case must be positive, got {seconds_per_case}")
    names = _libraries(peers)
    job = Job(_chosen(file, cases), list(passes or PASSES), names, dtype, threads, seconds_per_case)
    out = out or Path(f"{file.stem}-{slug()}-{date.today()}.json")
    if plot is not None:
        picture.require()
    for path in filter(None, (out, plot)):
        path.parent.mkdir(parents=True, exist_ok=True)
    machine: Machine | None = None
    results: list[Result] = []
    try:
        for message in _measured(job):
            if isinstance(message, Machine):
                if machine is None:
                    print(report.header(message, names), flush=True)
                machine = message
            elif machine is not None:
                results.append(message)
                print(report.row(message, machine, names), flush=True)
    finally:  # what there is, if it was cut short
        if machine is not None and results:
            _keep(machine, results, file.stem, out, plot)
    print(*report.summary(results), sep="\n")
    if markdown:
        print("", *report.markdown(results), sep="\n")


def _keep(machine: Machine, results: Sequence[Result], name: str, out: Path, plot: Path | None) -> None:
    report.save(out, machine, results, name)
    if plot is not None:
        picture.draw(plot, machine, results, name)
    print("\nwritten: " + ", ".join(str(path) for path in (out, plot) if path is not None))


def _libraries(wanted: Sequence[str] | None) -> list[str]:
    """Our own calls before the others: the first call of a shape is to be the first."""
    for name in wanted or ():
        if name not in PEERS:
            raise ValueError(f"--peers: {name!r} is none of {', '.join(PEERS)}")
    ours = ["fastconv", "plan"]
    return [*ours, *(name for name in (RIVALS if wanted is None else wanted) if name not in ours)]


def _chosen(file: Path, patterns: Sequence[str]) -> dict[str, str]:
    try:
        everything = shapes.read(file)
    except OSError as error:
        raise ValueError(f"--file {file}: {error.strerror}") from error
    chosen = {
        name: str(problem)
        for name, problem in everything.items()
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    }
    if not chosen:
        raise ValueError(f"--cases: {file.name} has no case called {' or '.join(patterns)}")
    return chosen


def _measured(job: Job) -> Iterator[Machine | Result]:
    """What `measure` says, while it runs."""
    command = [sys.executable, "-m", "fastconv.bench.measure", json.dumps(asdict(job))]
    with confined(job.threads):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | environment(job.threads)
        )
    with process:  # which closes its output at the end, and waits
        try:
            assert process.stdout is not None
            yield from map(_message, process.stdout)
            if process.wait():
                raise RuntimeError(f"the process that measures ended with exit code {process.returncode}")
        finally:
            process.kill()  # of a process that has ended this is nothing


def _message(line: str) -> Machine | Result:
    message: dict[str, Any] = json.loads(line)
    if "machine" in message:
        return Machine(**message["machine"])
    result = message["result"]
    timings = {name: Timing(**timing) for name, timing in result.pop("timings").items()}
    return Result(**result, timings=timings)
