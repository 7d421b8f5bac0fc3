"""Large networks, layer by layer: AlexNet, VGG-16, ResNet-18 and ResNet-50 on one image of 224x224 pixels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import fastconv as fc
from fastconv import models, nn
from fastconv.demo import pictures
from fastconv.demo.options import Options

NETWORKS = {"AlexNet": models.alexnet, "VGG-16": models.vgg16, "ResNet-18": models.resnet18, "ResNet-50": models.resnet50}
SIZE = 224
Times = dict[str, tuple[nn.Module, float]]


@contextmanager
def _clocks(model: nn.Module, times: Times) -> Iterator[None]:
    """Within the block, every layer's ``forward`` notes in `times` the shortest time that it has taken.

    A layer that works as part of another (ReLU and batch normalization in a convolution) is never called and has no time.
    """

    def clocked(name: str, layer: nn.Module) -> Any:
        forward = layer.forward

        def timed(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            y = forward(*arguments, **options)
            taken = time.perf_counter() - began
            times[name] = layer, min(taken, times[name][1] if name in times else taken)
            return y

        return timed

    leaves = [(name, module) for name, module in model.named_modules() if not [*module.children()]]
    for name, layer in leaves:
        vars(layer)["forward"] = clocked(name, layer)
    try:
        yield
    finally:
        for _, layer in leaves:
            del vars(layer)["forward"]


def per_layer(model: nn.Module, x: Any, repetitions: int) -> tuple[float, Times]:
    """Seconds of the whole model without clocks, and of each layer: the best of so many."""
    model(x)  # packs the weights
    whole, times = float("inf"), Times()
    for _ in range(repetitions):
        began = time.perf_counter()
        model(x)
        whole = min(whole, time.perf_counter() - began)
    with _clocks(model, times):
        for _ in range(repetitions):
            model(x)
    return whole, times


def run(options: Options) -> list[str]:
    """Time each network with random weights; the steps are repetitions."""
    x = options.rng(0).standard_normal((1, 3, SIZE, SIZE)).astype(np.float32)
    drawn, axes = pictures.figure(len(NETWORKS), 1, (13, 11))
    lines = []
    for each, (name, make) in zip(axes[:, 0], options.progress(NETWORKS.items(), "networks"), strict=True):
        model = make(rng=options.rng(1)).eval()
        parameters = sum(parameter.size for parameter in model.parameters())
        whole, times = per_layer(model, x, options.steps)
        slowest = sorted(times.items(), key=lambda item: -item[1][1])[:3]
        lines.append(f"{name}, {parameters:,} parameters: {1e3 * whole:.1f} ms; slowest layers: "
                     + "; ".join(f"{layer} {1e3 * seconds:.2f} ms" for _, (layer, seconds) in slowest))  # fmt: skip
        _bars(each, times, f"{name}: {1e3 * whole:.1f} ms, threads: {fc.get_num_threads()}")
    pictures.save(drawn, options.picture)
    return lines


def _bars(axes: Any, times: Times, title: str) -> None:
    shown = {name: entry for name, entry in times.items() if entry[1] > 2e-6}
    kinds = list(dict.fromkeys(type(layer).__name__ for layer, _ in shown.values()))
    for index, kind in enumerate(kinds):
        places = [place for place, (layer, _) in enumerate(shown.values()) if type(layer).__name__ == kind]
        heights = [1e3 * seconds for layer, seconds in shown.values() if type(layer).__name__ == kind]
        axes.bar(places, heights, color=f"C{index}", label=f"{kind}: {sum(heights):.1f} ms")
    axes.set(title=title, ylabel="ms")
    axes.set_xticks(range(len(shown)), list(shown), rotation=90, fontsize=6)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
