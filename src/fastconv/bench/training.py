"""``fastconv mnist1d bench``: microseconds per training step of the lecture's networks, all libraries in turns in one run.

Everything is timed in a process of its own, ``python -m fastconv.bench.training JOB``, which is confined to as many CPUs as it gets
threads and has that number in its environment before any library is imported. (JAX on one thread: one CPU, and
``--xla_cpu_multi_thread_eigen=false``.)
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from fastconv.bench.apart import answer, installed, result_of, versions
from fastconv.bench.machine import cpu_name, fma_rate, slug
from fastconv.bench.report import write_json
from fastconv.bench.timing import Call, seconds
from fastconv.bench.training_peers import BATCH, PEERS, STEPS, fastconv
from fastconv.mnist1d.models import MODELS, build

WARM = 3  # calls that bring code and data back into the caches, after which times stay as they are
ONE = "whole step on one example"  # what a step costs beside the arithmetic


@dataclass
class Steps:
    """Times of one network, in microseconds per step.

    `flops` are those of the definition for a step, without the gradient of the network's input; `parts` is what a step of ours
    consists of, each timed alone, and our whole step on a batch of one example: interpreter, seam, planning and the like.
    """

    model: str
    flops: int
    best: dict[str, float] = field(default_factory=dict)
    median: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)


def step_flops(model: str) -> int:
    """FLOPs of forward, of the gradients of all weights, and of all activations but the network's input."""
    import numpy as np

    network, total = build(model, rng=0), 0
    x, first = np.zeros((BATCH, 1, 40), np.float32), True
    for layer in network:
        x = layer(x)
        if layer.has_parameters():
            weight = next(layer.parameters())
            # an output element of a layer meets each of its weights once at every position
            products = x.size * weight.size // weight.shape[0]
            total += 2 * products * (2 if first else 3)
            first = False
    return total


def measure(model: str, threads: int, limit: float) -> Steps:
    """Time the steps of every library that is installed."""
    calls = dict(installed(PEERS, model, threads))
    result = Steps(model, step_flops(model))
    for name, times in _turns(calls, limit).items():
        result.best[name], result.median[name] = (
            round(1e6 * value / STEPS, 2) for value in (min(times), statistics.median(times))
        )
    result.parts = _parts(model, threads, limit / 8)
    return result


def _turns(calls: Mapping[str, Call], limit: float) -> dict[str, list[float]]:
    """Seconds of a call in each round, for `limit` seconds; a round begins with another library than the one before."""
    for call in calls.values():  # two epochs, in which libraries compile
        for _ in range(20):
            call()
    samples: dict[str, list[float]] = {name: [] for name in calls}
    names, end = deque(calls), time.perf_counter() + limit
    while time.perf_counter() < end or not samples[names[0]]:
        for name in names:
            for _ in range(WARM):
                calls[name]()
            samples[name].append(seconds(calls[name]))
        names.rotate()
    return samples


def _parts(model: str, threads: int, limit: float) -> dict[str, float]:
    """The parts of our step, each repeated alone on a batch that stays: best times in microseconds."""
    import fastconv as fc
    from fastconv.bench.training_peers import noise
    from fastconv.mnist1d.train import TrainConfig, Trainer

    fc.set_num_threads(threads)
    trainer = Trainer(TrainConfig(model=model, batch_size=BATCH), noise())
    trainer.train_until(10)
    network, loss, optimizer = trainer.model, trainer.loss, trainer.optimizer
    x, labels = trainer.batches[0]
    logits = network(x)
    loss(logits, labels)
    gradient = loss.backward()

    def backward() -> None:
        optimizer.zero_grad(set_to_none=True)
        network.backward(gradient, need_input_grad=False)

    calls: dict[str, Call] = {
        "batch": lambda: trainer.batches[1],
        "forward": lambda: network(x),
        "loss": lambda: (loss(logits, labels), loss.backward()),
        "backward": backward,
        "update": optimizer.step,
    }
    best = {name: round(1e6 * min(times), 2) for name, times in _turns(calls, limit).items()}
    one = _turns({ONE: fastconv(model, threads, batch=1)}, limit)
    return best | {ONE: round(1e6 * min(one[ONE]) / STEPS, 2)}


def report(steps: Steps, fma_gflops: float) -> list[str]:
    """Lines for people."""
    limit = steps.flops / fma_gflops / 1e3
    ours = steps.best["fastconv"]
    lines = [
        f"{steps.model}: {steps.flops / 1e6:.2f} MFLOP a step, {limit:.0f} us at the FMA peak of {fma_gflops:.0f} GF/s",
        f"  {'':16}{'best, us':>10}{'median, us':>12}{'of limit':>10}{'best / ours':>13}",
    ]
    lines += [
        f"  {name:16}{best:>10.1f}{steps.median[name]:>12.1f}{100 * limit / best:>8.0f} %{best / ours:>13.2f}"
        for name, best in steps.best.items()
    ]
    overhead = steps.parts[ONE]
    parts = ", ".join(f"{name} {value:.1f}" for name, value in steps.parts.items() if name != ONE)
    return [
        *lines,
        f"  ours on one example: {overhead:.1f} us, so kernels take {ours - overhead:.1f} us of a step",
        f"  parts of ours, each alone: {parts}",
    ]


def run(*, threads: int = 1, limit: float = 20.0, out: Path | None = None) -> None:
    """Time both networks, print and keep the result.

    Raises
    ------
    ValueError
        If this process may not use so many CPUs.
    RuntimeError
        If the process that measures failed.
    OSError
        If the file cannot be written.
    """
    out = out or Path(f"training-{threads}-{slug()}-{date.today()}.json")
    result = result_of("fastconv.bench.training", threads, {"threads": threads, "limit": limit})
    for steps in result["steps"]:
        print(*report(Steps(**steps), result["fma_gflops"]), sep="\n")
    write_json(out, result)
    print(f"written: {out}")


def _work(job: dict[str, Any]) -> dict[str, Any]:
    rate = fma_rate()
    steps = [asdict(measure(model, job["threads"], job["limit"])) for model in MODELS]
    return {
        "cpu": cpu_name(), "threads": job["threads"], "batch": BATCH, "dtype": "float32",
        "fma_gflops": round(job["threads"] * max(rate, fma_rate()), 1), "versions": versions(), "steps": steps,
    }  # fmt: skip


if __name__ == "__main__":
    answer(_work)
