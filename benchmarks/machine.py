"""The machine that a benchmark runs on: its name, how many of its CPUs every library gets, and how fast it multiplies."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTCONV_NUM_THREADS", "NPROC")


def limit_threads(threads: int) -> None:
    """Give every library `threads` threads. To be called before NumPy and its like are imported.

    Where a library has a function for it, `peers` calls that too. The process is confined to as many CPUs, so that none
    can take more than it was given.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if threads == 1:  # JAX reads this once, when it starts
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        if threads > len(cpus):
            raise SystemExit(f"--threads {threads}: this process may use {len(cpus)} CPUs")
        os.sched_setaffinity(0, cpus[:threads])


def cpu_name() -> str:
    """What the processor calls itself."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def fma_rate(repeats: int = 20) -> float:
    """The processor's peak, in GF/s of one core in float32: the best rate of multiply-adds on registers alone.

    It is the arithmetic that a direct convolution cannot beat; an algorithm that needs fewer multiplications can.
    """
    from fastconv import _core

    best = 0.0
    for _ in range(repeats):
        began = time.perf_counter()
        flops = _core.multiply_adds(200_000)
        best = max(best, flops / (time.perf_counter() - began))
    return best / 1e9
