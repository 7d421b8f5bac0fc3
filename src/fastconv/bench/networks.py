"""``fastconv bench --networks``: inference of whole networks on one image, all libraries in turns in one run, with the same weights."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from fastconv import models, nn
from fastconv.bench.apart import answer, installed, result_of, versions
from fastconv.bench.machine import cpu_name, slug
from fastconv.bench.network_peers import PEERS
from fastconv.bench.report import write_json
from fastconv.bench.timing import Call, rounds, seconds

#: The network, and the shape of its input.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet18": (lambda: models.resnet18(rng=0), (1, 3, 224, 224)),
    "resnet50": (lambda: models.resnet50(rng=0), (1, 3, 224, 224)),
    "vgg16": (lambda: models.vgg16(rng=0), (1, 3, 224, 224)),
    "unet": (lambda: models.unet(3, 4, rng=0), (1, 3, 256, 256)),
    "unet64": (lambda: models.unet(3, 4, width=64, depth=4, rng=0), (1, 3, 256, 256)),
}
SECONDS = 20.0  # of turns for each network
TOLERANCE = 1e-4  # of the largest output


@dataclass
class Inference:
    """Milliseconds of one network in each library, and the largest difference from our output divided by the largest output."""

    network: str
    shape: tuple[int, ...]
    best: dict[str, float] = field(default_factory=dict)
    median: dict[str, float] = field(default_factory=dict)
    difference: dict[str, float] = field(default_factory=dict)


def prepared(name: str) -> tuple[nn.Module, np.ndarray]:
    """The network in ``eval()`` and an input.

    Running statistics are those of another image: without any, activations would grow from block to block.
    """
    make, shape = NETWORKS[name]
    network, rng = make(), np.random.default_rng(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network(rng.standard_normal(shape, dtype=np.float32))
    return network.eval(), rng.standard_normal(shape, dtype=np.float32)


def measure(name: str, threads: int, limit: float) -> Inference:
    """Time the network in every library that is installed.

    Raises
    ------
    ArithmeticError
        If outputs are not the same.
    """
    network, x = prepared(name)
    result, calls, cold = Inference(name, x.shape), dict[str, Call](), dict[str, float]()
    expected = network(x).copy()
    for peer, call in installed(PEERS, network, x, threads):
        calls[peer], cold[peer] = call, seconds(call)
        result.difference[peer] = float(np.abs(call() - expected).max() / np.abs(expected).max())
        if not result.difference[peer] <= TOLERANCE:
            raise ArithmeticError(
                f"{peer}: the output of {name} differs by {result.difference[peer]:.1e} of the largest"
            )
    for peer, times in rounds(calls, cold, limit).items():
        result.best[peer], result.median[peer] = (
            round(1e3 * value, 3) for value in (min(times), statistics.median(times))
        )
    return result


def report(result: Inference) -> list[str]:
    """Lines for people."""
    ours = result.best["fastconv"]
    return [
        f"{result.network}, {'x'.join(map(str, result.shape))}",
        f"  {'':20}{'best, ms':>10}{'median, ms':>12}{'best / ours':>13}{'difference':>12}",
    ] + [
        f"  {peer:20}{best:>10.2f}{result.median[peer]:>12.2f}{best / ours:>13.2f}{result.difference[peer]:>12.0e}"
        for peer, best in result.best.items()
    ]


def run(networks: Sequence[str], threads: int = 1, out: Path | None = None) -> None:
    """Time the networks, print and keep the result.

    Raises
    ------
    ValueError
        For another name, or if this process may not use so many CPUs.
    RuntimeError
        If the process that measures failed.
    OSError
        If the file cannot be written.
    """
    for name in networks:
        if name not in NETWORKS:
            raise ValueError(f"--networks: {name!r} is none of {', '.join(NETWORKS)}")
    out = out or Path(f"networks-{threads}-{slug()}-{date.today()}.json")
    job = {"networks": networks, "threads": threads, "limit": SECONDS}
    result = result_of("fastconv.bench.networks", threads, job)
    for each in result["networks"]:
        print(*report(Inference(**each)), sep="\n")
    write_json(out, result)
    print(f"written: {out}")


def _work(job: dict[str, Any]) -> dict[str, Any]:
    measured = [asdict(measure(name, job["threads"], job["limit"])) for name in job["networks"]]
    return {
        "cpu": cpu_name(), "threads": job["threads"], "dtype": "float32", "versions": versions(), "networks": measured,
    }  # fmt: skip


if __name__ == "__main__":
    answer(_work)
