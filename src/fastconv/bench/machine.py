"""The machine that a run is on: what every library gets of it, its name, and its two limits."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fastconv import _core

THREAD_VARIABLES = (
    "FASTCONV_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NPROC",
)
COPIED_BYTES = 128 << 20  # of each of two arrays: together more than a processor keeps in its caches


def environment(threads: int) -> dict[str, str]:
    """The variables that limit every library to `threads` threads, for a process that has not imported NumPy yet."""
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if threads == 1:  # JAX reads this once, when it starts
        variables["XLA_FLAGS"] = (
            f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
        )
    return variables


@contextmanager
def confined(threads: int) -> Iterator[None]:
    """Keep threads and processes begun in here to as many CPUs, so that none can take more than it was given.

    Raises
    ------
    ValueError
        If this process may not use so many.
    """
    most = _core.available_threads()
    if not 1 <= threads <= most:
        raise ValueError(f"--threads {threads}: this process may use 1 to {most} CPUs")
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_name() -> str:
    """What the processor calls itself."""
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def slug() -> str:
    """That name, for the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-")


def fma_rate(dtype: str = "float32", repeats: int = 20) -> float:
    """The arithmetic limit, in GF/s of one core: the best rate of multiply-adds on registers alone.

    No direct convolution can pass it; an algorithm that needs fewer multiplications can.
    """
    best = 0.0
    for _ in range(repeats):
        began = time.perf_counter()
        flops = _core.multiply_adds(200_000, dtype == "float64")
        best = max(best, flops / (time.perf_counter() - began))
    return best / 1e9


def bandwidth(threads: int = 1, repeats: int = 5) -> float:
    """The limit of memory, in GB/s: the best rate of a copy, bytes read and bytes written.

    Arrays that a cache still holds can come faster.
    """
    source, target = (np.zeros(COPIED_BYTES, np.uint8) for _ in range(2))
    source[:], target[:] = 1, 2  # memory of their own for both
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats):
            began = time.perf_counter()
            list(pool.map(lambda part: np.copyto(*part), parts))
            best = max(best, 2 * COPIED_BYTES / (time.perf_counter() - began))
    return best / 1e9
