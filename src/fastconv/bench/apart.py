"""A measurement in a process of its own, which is confined to as many CPUs as it gets threads and has that number in its environment
before any library is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from fastconv.bench.machine import confined, environment

LIBRARIES = ("fastconv", "numpy", "torch", "jax", "onnxruntime")


def result_of(module: str, threads: int, job: dict[str, Any]) -> Any:
    """What `answer` of ``python -m module JOB`` has to say.

    Raises
    ------
    ValueError
        If this process may not use so many CPUs.
    RuntimeError
        If that process failed.
    """
    with confined(threads):
        done = subprocess.run(
            [sys.executable, "-m", module, json.dumps(job)],
            stdout=subprocess.PIPE, text=True, env=os.environ | environment(threads), check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the process that measures ended with exit code {done.returncode}")
    return json.loads(done.stdout)


def answer(work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Do the job of the command line; its result goes to standard output, all else to standard error."""
    job = json.loads(sys.argv[1])
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)
        print(json.dumps(work(job)), file=channel)


def versions() -> dict[str, str]:
    """Of the libraries that have been imported."""
    return {name: str(sys.modules[name].__version__) for name in LIBRARIES if name in sys.modules}
