"""``fastconv mnist1d bench``: what it counts, and that every library trains."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from fastconv.bench import training, training_peers


def test_flops_are_those_of_the_definition() -> None:
    forward = [2 * 100 * length * 15 * taps for length, taps in ((19, 3), (9, 45), (4, 45))] + [2 * 100 * 60 * 10]
    assert training.step_flops("conv") == 3 * sum(forward) - forward[0]
    units = [40, 285, 135, 60, 10]
    forward = [2 * 100 * a * b for a, b in pairwise(units)]
    assert training.step_flops("fc") == 3 * sum(forward) - forward[0]


@pytest.mark.parametrize("model", ["conv", "fc"])
@pytest.mark.parametrize("library", ["torch", "jax jit", "jax scan"])
def test_rivals_train(library: str, model: str) -> None:
    pytest.importorskip(library.split()[0])
    steps = training_peers.PEERS[library](model, 1)
    losses = [float(steps()) for _ in range(12)]  # more than an epoch
    assert all(map(math.isfinite, losses))
    assert losses[0] == pytest.approx(math.log(10), rel=0.35)


def test_measures_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(model: str, threads: int) -> training_peers.Call:
        raise ImportError("No module named 'torch'")

    monkeypatch.setattr(training, "PEERS", {"fastconv": training_peers.fastconv, "torch": missing})
    steps = training.measure("conv", 1, 0.01)
    assert set(steps.best) == {"fastconv"}
    assert 0 < steps.best["fastconv"] <= steps.median["fastconv"]
    assert set(steps.parts) == {"batch", "forward", "loss", "backward", "update", training.ONE}
    lines = training.report(steps, 100.0)
    assert "5.97 MFLOP" in lines[0]
    assert "60 us" in lines[0]
    assert any("1.00" in line and "fastconv" in line for line in lines)
