"""Options of the benchmarks; shapes and peers are those of `fastconv.bench`."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--threads", type=int, default=1, help="threads of every library (default: 1)")


def pytest_configure(config: pytest.Config) -> None:
    threads = config.getoption("--threads")
    os.environ["OPENBLAS_NUM_THREADS"] = str(threads)  # NumPy's, which comes in with fastconv
    from fastconv.bench.machine import environment

    os.environ |= environment(threads)  # the others are imported later


@pytest.fixture(scope="session", autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    import fastconv as fc
    from fastconv.bench.machine import confined

    number = int(request.config.getoption("--threads"))
    fc.set_num_threads(number)
    with confined(number):
        yield number
