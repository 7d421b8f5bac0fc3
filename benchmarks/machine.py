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


def sgemm_rate(threads: int, size: int = 2048, repeats: int = 4) -> float:
    """The best rate, in GF/s, of a float32 matrix product of `size` by NumPy's BLAS and, if installed, PyTorch's.

    A stand-in for the processor's peak, which it approaches to within some percent. It is the arithmetic that a direct
    convolution cannot beat; an algorithm that needs fewer multiplications can.
    """
    import numpy as np

    a = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    products = [lambda: a @ a]
    try:
        import torch
    except ImportError:
        pass
    else:
        torch.set_num_threads(threads)
        tensor = torch.from_numpy(a)
        products.append(lambda: tensor @ tensor)
    best = float("inf")
    for product in products:
        product()
        for _ in range(repeats):
            began = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best / 1e9
