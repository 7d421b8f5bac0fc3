"""The shapes of `fastconv.bench`, forward and backward, every library beside the others in a group of one problem.

::

    python -m pytest benchmarks/bench_conv.py --threads 1 -k "r50_28_3x3 and fwd"
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastconv.bench import cases
from fastconv.bench.accuracy import Judge
from fastconv.bench.peers import PEERS, prepare

CASES = cases.read(cases.CASES)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("pass_", ["fwd", "bwd"])
@pytest.mark.parametrize("case", CASES)
def test_conv(benchmark: Any, case: str, pass_: str, peer: str, threads: int) -> None:
    problem = CASES[case]
    arrays = problem.arrays(np.float32)
    call = prepare(peer, problem, arrays, pass_)
    if call is None:
        pytest.skip("not installed, or it cannot express this problem")
    benchmark.group = f"{problem} {pass_}"
    benchmark.extra_info["threads"] = threads
    if peer == "fastconv":
        benchmark.extra_info["error in eps*S"] = round(Judge(problem, arrays, pass_).error(peer, call()), 2)
    benchmark(call)
    if benchmark.stats:  # none with --benchmark-disable
        flops = problem.flops * (1 if pass_ == "fwd" else 2)
        benchmark.extra_info["GF/s"] = round(flops / benchmark.stats.stats.min / 1e9, 1)
