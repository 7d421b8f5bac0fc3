"""A measurement in a process of its own, which is confined to as many CPUs as it gets threads and has that number in its environment
before any library is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from fastconv.bench.machine import confined, environment
from fastconv.bench.timing import Call

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
    """Do the job of the command line; its result goes to standard output."""
    job = json.loads(sys.argv[1])
    with channel() as output:
        print(json.dumps(work(job)), file=output)


@contextmanager
def channel() -> Iterator[IO[str]]:
    """Standard output for results alone: libraries may print what they like, from here on to standard error."""
    with os.fdopen(os.dup(1), "w") as output:
        os.dup2(2, 1)
        yield output


def installed(peers: Mapping[str, Callable[..., Call]], *arguments: Any) -> Iterator[tuple[str, Call]]:
    """Name and call of each peer, made of `arguments`; one whose library is not installed is said to be left out."""
    for name, make in peers.items():
        try:
            call = make(*arguments)
        except ImportError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        yield name, call


def versions() -> dict[str, str]:
    """Of the libraries that have been imported."""
    return {name: str(sys.modules[name].__version__) for name in LIBRARIES if name in sys.modules}
