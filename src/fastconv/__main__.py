"""The command line: ``fastconv`` and ``python -m fastconv``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastconv as fc
from fastconv.bench import command as benchmark
from fastconv.bench import training as steps_benchmark
from fastconv.demo import command as demonstrations
from fastconv.mnist1d import compare, examples, kernels, locations, widths
from fastconv.mnist1d.checkpoint import UsageError
from fastconv.mnist1d.experiment import Experiment, conduct
from fastconv.mnist1d.models import ABOUT, MODELS
from fastconv.mnist1d.run import Interrupted, run
from fastconv.mnist1d.train import OPTIMIZERS, TrainConfig
from fastconv.nn.init import SCHEMES

FAILED, MISUSED = 1, 2
EXPERIMENTS: dict[str, Experiment] = {
    module.__name__.rpartition(".")[2]: module.EXPERIMENT for module in (compare, locations, widths, kernels, examples)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = vars(_parser().parse_args(arguments))
    try:
        options.pop("command")(**options)
        sys.stdout.flush()
    except Interrupted as stop:
        return _end(str(stop), 128 + stop.signum)
    except KeyboardInterrupt:
        return _end("stopped", 130)
    except UsageError as error:
        return _end(f"error: {error}", MISUSED)
    except BrokenPipeError:  # the reader, `head` say, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _end(f"error: {error.strerror or error}", FAILED)
    except (ArithmeticError, ImportError, MemoryError, RuntimeError) as error:
        return _end(f"error: {error}", FAILED)
    return 0


def _end(message: str, code: int) -> int:
    print(f"fastconv: {' '.join(message.split())}", file=sys.stderr)
    return code


def info() -> None:
    """Print version, CPU, ISA and threads."""
    fc.show_config()


def explain(**problem: Any) -> None:
    """Print which algorithm a convolution gets, and why."""
    try:
        print(fc.explain(problem.pop("x"), problem.pop("weight"), **problem))
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from error


def bench(**options: Any) -> None:
    """Time convolutions beside every installed peer, in turns."""
    try:
        benchmark.run(**options)
    except ValueError as error:
        raise UsageError(str(error)) from error


def demo(*, threads: int | None, **options: Any) -> None:
    """Run a demonstration of the lecture: train, save a picture, print a figure."""
    _set_threads(threads)
    demonstrations.run(**options)


def bench_steps(**options: Any) -> None:
    """Time a training step of both networks beside PyTorch and JAX, in turns."""
    try:
        steps_benchmark.run(**options)
    except ValueError as error:
        raise UsageError(str(error)) from error


def train(*, threads: int | None, **options: Any) -> None:
    """Train one network."""
    _set_threads(threads)
    run(**options)


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        try:
            fc.set_num_threads(threads)
        except ValueError as error:
            raise UsageError(f"--threads: {error}") from error


def conduct_experiment(*, experiment: Experiment, lr: float, eval_every: int, **options: Any) -> None:
    """Train all that an experiment asks for."""
    print(conduct(experiment, options=["--lr", str(lr), "--eval-every", str(eval_every)], **options))


def _ints(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _int_or_ints(text: str) -> int | tuple[int, ...]:
    values = _ints(text)
    return values if len(values) > 1 else values[0]


def _padding(text: str) -> int | str | tuple[int, ...]:
    return text if text.replace("_", "").isalpha() else _int_or_ints(text)


for _parse, _name in ((_ints, "list of ints"), (_int_or_ints, "int or list of ints"), (_padding, "padding")):
    _parse.__name__ = _name  # what argparse calls them in its messages


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fastconv", description="Fast convolutions on the CPU.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("info", help=info.__doc__).set_defaults(command=info)
    _explain_options(commands.add_parser("explain", help=explain.__doc__, description=explain.__doc__))
    timing = commands.add_parser("bench", help=bench.__doc__, description=bench.__doc__)
    benchmark.add_options(timing)
    timing.set_defaults(command=bench)
    shown = commands.add_parser("demo", help=demo.__doc__, description=demo.__doc__)
    demonstrations.add_options(shown)
    shown.set_defaults(command=demo)
    mnist1d = commands.add_parser("mnist1d", help="The experiment of the lecture.")
    experiments = mnist1d.add_subparsers(required=True, metavar="COMMAND")
    _train_options(
        experiments.add_parser("train", help=train.__doc__, description=train.__doc__, epilog=ABOUT)
    )
    timing = experiments.add_parser("bench", help=bench_steps.__doc__, description=bench_steps.__doc__)
    timing.add_argument("--threads", type=int, default=1, help="of every library (default: 1)")
    timing.add_argument("--seconds", dest="limit", type=float, default=20.0, help="of turns for each network (default: 20)")
    timing.add_argument("--out", type=Path, metavar="JSON", help="default: training-<threads>-<cpu>-<date>.json, here")
    timing.set_defaults(command=bench_steps)
    for name, experiment in EXPERIMENTS.items():
        about = experiment.about
        _experiment_options(experiments.add_parser(name, help=about, description=about), experiment)
    return parser


def _explain_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--x", type=_ints, required=True, metavar="N,C,H,W", help="shape of the input, also N,C,L"
    )
    parser.add_argument(
        "--weight", type=_ints, required=True, metavar="O,I,KH,KW", help="shape of the weight"
    )
    for name in ("stride", "dilation"):
        parser.add_argument(f"--{name}", type=_int_or_ints, default=1, metavar="S[,S]")
    parser.add_argument("--padding", type=_padding, default=0, metavar="P[,P] or WORD")
    parser.add_argument("--groups", type=int, default=1)
    parser.set_defaults(command=explain)


def _train_options(parser: argparse.ArgumentParser) -> None:
    default = TrainConfig()

    # Options left out are not passed on: on --resume they are the checkpoint's.
    def option(name: str, type: Any, help: str, **more: Any) -> None:
        text = f"{help} (default: {getattr(default, name)})" if name != "widths" else help
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type, default=argparse.SUPPRESS, help=text, **more)

    option("model", str, "which network", choices=[*MODELS])
    option(
        "widths",
        _ints,
        "channels or hidden units, such as 285,135,60 (default: the lecture's)",
        metavar="W,W,W",
    )
    option("steps", int, "steps of training")
    option("lr", float, "learning rate")
    option("batch_size", int, "examples per step")
    option("seed", int, "of the initial weights and the order of the examples")
    option("momentum", float, "of sgd")
    option("weight_decay", float, "factor of the weights added to their gradients")
    option("optimizer", str, "how weights are updated", choices=[*OPTIMIZERS])
    option("lr_step", int, "multiply the learning rate by --lr-gamma every so many steps; 0: never")
    option("lr_gamma", float, "see --lr-step")
    option("init", str, "scheme of the initial weights", choices=[*SCHEMES])
    option("kernel_size", int, "of the convolutions")
    option("examples", int, "training examples, drawn from all 4,000; 0: all")
    option("label_noise", float, "share of the training labels that are replaced by random ones")
    parser.add_argument(
        "--shuffled-locations", action="store_true", default=argparse.SUPPRESS,
        help="put the samples of all signals in one other, random order",
    )  # fmt: skip
    option("eval_every", int, "steps between lines of metrics")
    option("checkpoint_every", int, "steps between checkpoints")
    parser.add_argument("--threads", type=int, help="threads of the kernels")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the training")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in DIR, if there is one"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no summary")
    parser.add_argument(
        "--no-pictures", dest="pictures", action="store_false", help="no curves.png at the end"
    )
    parser.set_defaults(command=train)


def _experiment_options(parser: argparse.ArgumentParser, experiment: Experiment) -> None:
    default = TrainConfig()
    options = (
        ("--seeds", int, experiment.seeds, "number of seeds"),
        ("--steps", int, experiment.steps, "of each training"),
        ("--lr", float, default.lr, "learning rate"),
        ("--eval-every", int, default.eval_every, "steps between points of the figure"),
    )
    for name, type, value, text in options:
        parser.add_argument(name, type=type, default=value, help=f"{text} (default: {value})")
    parser.add_argument("--jobs", type=int, help="trainings at a time (default: one per core)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory of the experiment")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(command=conduct_experiment, experiment=experiment)


if __name__ == "__main__":
    sys.exit(main())
