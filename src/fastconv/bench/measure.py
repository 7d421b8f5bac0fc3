"""The process in which everything is timed: ``python -m fastconv.bench.measure JOB``.

It is one of its own because libraries read their number of threads from the environment when they are imported, and
who types ``fastconv bench`` has NumPy imported by then. The job, `Job` as JSON, is the one argument. Standard output
gets one JSON object per line: ``{"machine": ...}``, a ``{"result": ...}`` for every pass of every case, and the
machine once more, its limits corrected if they were measured better at the end.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import fastconv as fc
from fastconv import _core
from fastconv.bench import machine, peers
from fastconv.bench.accuracy import Judge
from fastconv.bench.apart import channel
from fastconv.bench.results import Machine, Result, Timing
from fastconv.bench.timing import Call, rounds
from fastconv.problem import Problem


@dataclass
class Job:
    """What to time; cases are problems' names by the names of cases."""

    cases: dict[str, str]
    passes: list[str]
    peers: list[str]
    dtype: str
    threads: int
    seconds_per_case: float


def run(job: Job) -> Iterator[Machine | Result]:
    """Time everything: the machine, a result for every pass of every case, the machine."""
    fc.set_num_threads(job.threads)
    here = _machine(job)
    yield here
    for case, name in job.cases.items():
        problem = Problem.parse(name)
        arrays = problem.arrays(job.dtype)
        for pass_ in job.passes:
            yield _measure(job, case, problem, arrays, pass_)
    here.fma_gflops = max(here.fma_gflops, job.threads * machine.fma_rate(job.dtype))
    here.bandwidth_gbs = max(here.bandwidth_gbs, machine.bandwidth(job.threads))
    yield here


def _machine(job: Job) -> Machine:
    rivals = {name: peers.version(name) for name in job.peers if name not in peers.OURS}
    versions = {name: version for name, version in rivals.items() if version is not None}
    return Machine(
        cpu=machine.cpu_name(),
        threads=job.threads,
        dtype=job.dtype,
        isa=_core.active_isa(),
        fma_gflops=job.threads * machine.fma_rate(job.dtype),
        bandwidth_gbs=machine.bandwidth(job.threads),
        versions={"fastconv": fc.__version__, "numpy": np.__version__} | versions,
        missing=[name for name, version in rivals.items() if version is None],
    )


def _measure(job: Job, case: str, problem: Problem, arrays: peers.Arrays, pass_: str) -> Result:
    judge = Judge(problem, arrays, pass_)
    calls: dict[str, Call] = {}
    cold: dict[str, float] = {}
    errors: dict[str, float] = {}
    for name in job.peers:  # ours before the others
        call = peers.prepare(name, problem, arrays, pass_)
        if call is not None:
            began = time.perf_counter()
            output = call()
            cold[name] = time.perf_counter() - began
            errors[name] = round(judge.error(name, output), 3)
            calls[name] = call
    timings = {
        name: Timing(min(times), statistics.median(times), len(times), cold[name], errors[name])
        for name, times in rounds(calls, cold, job.seconds_per_case).items()
    }
    return Result(case, str(problem), pass_, **_costs(problem, arrays, pass_), timings=timings)


def _costs(problem: Problem, arrays: peers.Arrays, pass_: str) -> dict[str, Any]:
    """What the definition asks for, and what our plans do; those of the gradients run one after the other."""
    x, w, _, dy = (array.nbytes for array in arrays)
    plans = [
        fc.explain(problem.x_shape, problem.weight_shape, **problem.arguments(), dtype=str(arrays[0].dtype), pass_=part)
        for part in (["fwd"] if pass_ == "fwd" else ["bwd_data", "bwd_weights"])
    ]  # fmt: skip
    return {
        "flops": problem.flops * len(plans),  # the gradient of the bias is a sum
        "bytes": x + w + dy if pass_ == "fwd" else 2 * (x + w) + dy,
        "algorithm": "+".join(plan.algorithm for plan in plans),
        "scratch_bytes": max(plan.scratch_bytes for plan in plans),
    }


def main() -> None:
    """Run the job of the command line."""
    with channel() as output:
        for message in run(Job(**json.loads(sys.argv[1]))):
            kind = "machine" if isinstance(message, Machine) else "result"
            print(json.dumps({kind: asdict(message)}), file=output, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
