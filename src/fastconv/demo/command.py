"""The list of demonstrations, and the command that runs one."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastconv.demo import (
    classify,
    conv_matrix,
    denoise,
    detect,
    equivariance,
    pictures,
    receptive_field,
    residual,
    segment,
    timing,
)
from fastconv.demo.options import Options
from fastconv.mnist1d.checkpoint import UsageError

OUT = Path("runs/demo")


class Demo(NamedTuple):
    """What runs, what it shows, and its number of steps: of training for most, else of repetitions or shifts."""

    run: Callable[[Options], list[str]]
    about: str
    steps: int


DEMOS = {
    "classify": Demo(classify.run, "LeNet and a small ResNet on scikit-learn's digits, confusion matrix", 800),
    "residual": Demo(residual.run, "depth 4 to 40 with and without residual connections, curves", 150),
    "detect": Demo(detect.run, "a grid detector on scenes of digits, boxes, mean average precision", 1000),
    "segment": Demo(segment.run, "U-Net and hourglass on scenes of shapes, masks, mean IoU", 240),
    "denoise": Demo(denoise.run, "a 1-D U-Net that takes noise from signals", 400),
    "receptive-field": Demo(receptive_field.run, "receptive fields of the models, predicted and measured", 1),
    "conv-matrix": Demo(conv_matrix.run, "convolutions as matrices of fully connected layers", 1),
    "equivariance": Demo(equivariance.run, "what a translation does to outputs, with and without stride and pooling", 16),
    "timing": Demo(timing.run, "AlexNet, VGG-16, ResNet-18 and -50 layer by layer, batch 1", 5),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options of `run` to argparse."""
    parser.add_argument("name", nargs="?", choices=[*DEMOS], metavar="NAME", help=f"one of {', '.join(DEMOS)}")
    parser.add_argument("--list", action="store_true", dest="listed", help="print what there is, and stop")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where the picture goes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of data, weights and order (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="steps of training, or repetitions (default: see --list)")
    parser.add_argument("--threads", type=int, help="threads of the kernels")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(name: str | None, *, listed: bool, out: Path, seed: int, steps: int | None, quiet: bool) -> None:
    """Run one demonstration, or list all.

    Raises
    ------
    UsageError
        For options that cannot be.
    ImportError
        If an extra is missing; it is named.
    """
    if listed or name is None:
        print("\n".join(f"{each:16s} {demo.about} (steps: {demo.steps})" for each, demo in DEMOS.items()))
        if name is None and not listed:
            raise UsageError("demo needs a NAME")
        return
    demo = DEMOS[name]
    for option, value, least in (("--seed", seed, 0), ("--steps", steps, 1)):
        if value is not None and value < least:
            raise UsageError(f"{option} must be {least} or more, got {value}")
    pictures.require()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"--out {out} is not a directory") from None
    began = time.perf_counter()
    options = Options(out / f"{name}.png", seed, steps or demo.steps, quiet)
    print("\n".join(demo.run(options)))
    print(f"{time.perf_counter() - began:.1f} s; picture: {options.picture}")
