"""One training step of the lecture's networks: forward, loss, backward, SGD, batch of 100. Compare the medians.

::

    python -m pytest benchmarks/bench_mnist1d.py --threads 1
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

BATCH, LR = 100, 0.01


def _data() -> Any:
    """Noise in the shape of MNIST-1D: a step takes as long on it as on the digits."""
    from fastconv.mnist1d.data import DTYPES, MNIST1D, SHAPES

    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 10, shape) if name.startswith("y") else rng.standard_normal(shape)
              for name, shape in SHAPES.items()}  # fmt: skip
    return MNIST1D(**{name: array.astype(DTYPES[name]) for name, array in arrays.items()})


def fastconv(model: str, threads: int) -> Callable[[], Any]:
    """The step of ``fastconv mnist1d train``."""
    import fastconv as fc
    from fastconv.mnist1d.train import TrainConfig, Trainer

    fc.set_num_threads(threads)
    return Trainer(TrainConfig(model=model, lr=LR, batch_size=BATCH), _data()).train_step


def torch(model: str, threads: int) -> Callable[[], Any]:
    """The same step in PyTorch, examples put in order once per epoch as in ours."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.set_num_threads(threads)
    conv = [nn.Conv1d(1, 15, 3, 2), nn.ReLU(), nn.Conv1d(15, 15, 3, 2), nn.ReLU(), nn.Conv1d(15, 15, 3, 2),
            nn.ReLU(), nn.Flatten(), nn.Linear(60, 10)]  # fmt: skip
    fc = [nn.Flatten(), nn.Linear(40, 285), nn.ReLU(), nn.Linear(285, 135), nn.ReLU(), nn.Linear(135, 60),
          nn.ReLU(), nn.Linear(60, 10)]  # fmt: skip
    network = nn.Sequential(*{"conv": conv, "fc": fc}[model])
    data = _data()
    x, labels = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(network.parameters(), LR)
    batches = len(x) // BATCH
    count = 0

    def step() -> float:
        nonlocal x, labels, count
        if count % batches == 0:
            order = torch.randperm(len(x))
            x, labels = x[order], labels[order]
        rows = slice(count % batches * BATCH, (count % batches + 1) * BATCH)
        value = loss(network(x[rows]), labels[rows])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        count += 1
        return float(value.item())

    return step


@pytest.mark.parametrize("library", [fastconv, torch], ids=lambda function: function.__name__)
@pytest.mark.parametrize("model", ["conv", "fc"])
def test_training_step(
    benchmark: Any, model: str, library: Callable[[str, int], Callable[[], Any]], threads: int
) -> None:
    benchmark.group = f"training step, {model}, batch {BATCH}"
    step = library(model, threads)
    for _ in range(50):
        step()
    benchmark.extra_info["threads"] = threads
    benchmark(step)
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["us per step"] = round(benchmark.stats.stats.median * 1e6, 1)
