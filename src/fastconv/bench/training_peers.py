"""One training step of the lecture's networks in each library, as its users would write it when they want it fast.

``PEERS[name](model, threads)`` prepares everything that is prepared once, and returns a callable that does `STEPS` steps: batch of an
epoch whose examples were put in order at its start, forward, mean cross-entropy, backward, SGD, in float32. It raises ImportError
where the library is not installed. Nothing is waited for before the last of those steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np

from fastconv.bench.timing import Call
from fastconv.mnist1d.data import DTYPES, MNIST1D, SHAPES
from fastconv.mnist1d.models import WIDTHS

BATCH, LR = 100, 0.01
STEPS = 4  # in a call: few, so that what else the machine does falls between calls; an epoch is ten of them


def noise() -> MNIST1D:
    """Noise in the shape of MNIST-1D: a step takes as long on it as on the digits."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 10, shape) if name.startswith("y") else rng.standard_normal(shape)
              for name, shape in SHAPES.items()}  # fmt: skip
    return MNIST1D(**{name: array.astype(DTYPES[name]) for name, array in arrays.items()})


def _epochs(data: MNIST1D) -> Callable[[], Any]:
    """Endless epochs: the examples and labels in a new order each."""
    rng = np.random.default_rng(0)

    def ordered() -> Any:
        order = rng.permutation(len(data.x_train))
        return data.x_train[order], data.y_train[order]

    return ordered


def fastconv(model: str, threads: int, batch: int = BATCH) -> Call:
    """The step of ``fastconv mnist1d train``."""
    import fastconv as fc
    from fastconv.mnist1d.train import TrainConfig, Trainer

    fc.set_num_threads(threads)
    trainer = Trainer(TrainConfig(model=model, lr=LR, batch_size=batch), noise())
    return lambda: trainer.train_until(trainer.step + STEPS)


def torch(model: str, threads: int, compiled: bool = False) -> Call:
    """Modules, autograd and the fused SGD; `compiled`: network, loss and update through torch.compile."""
    torch = import_module("torch")
    nn = torch.nn
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    widths, layers = (1 if model == "conv" else 40, *WIDTHS[model]), []
    for narrow, wide in pairwise(widths):
        layers += [nn.Conv1d(narrow, wide, 3, 2) if model == "conv" else nn.Linear(narrow, wide), nn.ReLU()]
    layers = [*layers, nn.Flatten()] if model == "conv" else [nn.Flatten(), *layers]
    network = nn.Sequential(*layers, nn.Linear(60, 10))
    optimizer = torch.optim.SGD(network.parameters(), LR, fused=not compiled)
    criterion = nn.CrossEntropyLoss()

    def forward(x: Any, labels: Any) -> Any:
        return criterion(network(x), labels)

    update = optimizer.step
    if compiled:
        forward, update = torch.compile(forward), torch.compile(update)
    data = noise()
    x, labels = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    done = 0

    def steps() -> Any:
        nonlocal x, labels, done
        if done % len(x) == 0:
            order = torch.randperm(len(x))
            x, labels = x[order], labels[order]
        for _ in range(STEPS):
            start = done % len(x)
            value = forward(x[start : start + BATCH], labels[start : start + BATCH])
            optimizer.zero_grad()
            value.backward()
            update()
            done += BATCH
        return value.item()

    return steps


def jax(model: str, threads: int, scanned: bool = False) -> Call:
    """One jitted function for the whole step, its parameters donated; `scanned`: all steps of a call in one such function.

    How many threads it has is in the environment and in the CPUs of the process, see `machine`.
    """
    jax = import_module("jax")
    lax, jnp = jax.lax, jax.numpy
    rng = np.random.default_rng(0)
    widths = (1, *WIDTHS["conv"]) if model == "conv" else (40, *WIDTHS["fc"], 10)
    shapes = [
        (wide, narrow, *([3] if model == "conv" else [])) for narrow, wide in pairwise(widths)
    ] + ([(10, 60)] if model == "conv" else [])
    parameters = [
        (jnp.asarray(rng.normal(0, 0.1, shape), jnp.float32), jnp.zeros(shape[0], jnp.float32)) for shape in shapes
    ]

    def loss(parameters: Any, x: Any, labels: Any) -> Any:
        if model == "conv":
            for weight, bias in parameters[:-1]:
                x = jax.nn.relu(lax.conv_general_dilated(x, weight, (2,), "VALID") + bias[:, None])
        x = x.reshape(len(x), -1)
        for weight, bias in parameters[:-1] if model == "fc" else ():
            x = jax.nn.relu(x @ weight.T + bias)
        weight, bias = parameters[-1]
        logs = jax.nn.log_softmax(x @ weight.T + bias)
        return -jnp.take_along_axis(logs, labels[:, None], 1).mean()

    def step(parameters: Any, x: Any, labels: Any, start: Any) -> Any:
        batch, wanted = (lax.dynamic_slice_in_dim(array, start, BATCH) for array in (x, labels))
        value, gradients = jax.value_and_grad(loss)(parameters, batch, wanted)
        return jax.tree.map(lambda p, g: p - LR * g, parameters, gradients), value

    def several(parameters: Any, x: Any, labels: Any, start: Any) -> Any:
        starts = start + BATCH * jnp.arange(STEPS)
        parameters, values = lax.scan(lambda p, at: step(p, x, labels, at), parameters, starts)
        return parameters, values[-1]

    compiled = jax.jit(several if scanned else step, donate_argnums=0)
    ordered = _epochs(noise())
    x = labels = None
    done, taken = 0, STEPS * BATCH if scanned else BATCH

    def steps() -> Any:
        nonlocal parameters, x, labels, done
        if done % 4000 == 0:
            x, labels = map(jnp.asarray, ordered())
        for _ in range(STEPS * BATCH // taken):
            parameters, value = compiled(parameters, x, labels, done % 4000)
            done += taken
        return value.block_until_ready()

    return steps


PEERS: dict[str, Callable[[str, int], Call]] = {
    "fastconv": fastconv,
    "torch": torch,
    "torch.compile": partial(torch, compiled=True),
    "jax jit": jax,
    "jax scan": partial(jax, scanned=True),
}
