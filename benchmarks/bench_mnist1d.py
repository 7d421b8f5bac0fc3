"""A few training steps of the lecture's networks: forward, loss, backward, SGD, batch of 100; the libraries of
``fastconv mnist1d bench``, which takes turns among them and is what results are kept of.

::

    python -m pytest benchmarks/bench_mnist1d.py --threads 1
"""

from __future__ import annotations

from typing import Any

import pytest

from fastconv.bench.training_peers import BATCH, PEERS, STEPS
from fastconv.mnist1d.models import MODELS


@pytest.mark.parametrize("library", PEERS)
@pytest.mark.parametrize("model", MODELS)
def test_training_steps(benchmark: Any, model: str, library: str, threads: int) -> None:
    benchmark.group = f"{STEPS} training steps, {model}, batch {BATCH}"
    try:
        steps = PEERS[library](model, threads)
    except ImportError as error:
        pytest.skip(str(error))
    for _ in range(20):  # torch.compile compiles, JAX too
        steps()
    benchmark.extra_info["threads"] = threads
    benchmark(steps)
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["us per step"] = round(benchmark.stats.stats.min * 1e6 / STEPS, 1)
