"""A training in a directory: checkpoints, metrics, progress, signals, and the files at the end.

::

    DIR/checkpoint.npz    everything a training needs to go on; replaced atomically
    DIR/metrics.csv       one line per evaluation; made to fit the checkpoint again on resume
    DIR/model.npz         the weights at the end, under PyTorch's keys
    DIR/curves.png        loss and error
"""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Self

import numpy as np

from fastconv.mnist1d import checkpoint, data, plots
from fastconv.mnist1d.checkpoint import UsageError
from fastconv.mnist1d.models import LEGEND, PUBLISHED, count_parameters
from fastconv.mnist1d.train import Row, TrainConfig, Trainer
from fastconv.serialization import save_state

CHECKPOINT, METRICS, MODEL, CURVES = "checkpoint.npz", "metrics.csv", "model.npz", "curves.png"
LOCK = ".lock"
PROGRESS_EVERY = 100  # steps between looks at the terminal and at signals: some 20 ms


class Interrupted(Exception):
    """A signal came; the training is saved, and the message says how to go on."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signum = signum


class StopRequest:
    """Within the block, Ctrl-C and SIGTERM set `signum` instead of striking in the middle of a step.

    A second signal does what it would have done without this.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            self._previous = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc_info: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        self.__exit__()


def run(
    out: Path, *, resume: bool = False, quiet: bool = False, pictures: bool = True, **options: Any
) -> Row:
    """Train in the directory `out`, from the start or from its checkpoint, to the last step.

    Parameters
    ----------
    out : Path
        Made if it is not there.
    resume : bool
        Go on from the checkpoint in `out`; if there is none, begin. Options left out are the checkpoint's.
    quiet : bool
        No progress bar and no line at the end.
    pictures : bool
        Whether to draw the curves at the end.
    **options
        Of `TrainConfig`.

    Returns
    -------
    Row
        The metrics at the end.

    Raises
    ------
    UsageError
        If an option, `out` or the checkpoint in it cannot be used.
    Interrupted
        If Ctrl-C or SIGTERM came; the training is saved.
    OSError
        If a file cannot be written.
    """
    if pictures:
        plots.require()
    _prepare(out, resume)
    with _locked(out):
        trainer = _trainer(out, resume, options)
        began = time.perf_counter()
        with StopRequest() as stop:
            _train(trainer, out, stop, quiet)
        seconds = time.perf_counter() - began
        return _finish(trainer, out, pictures, quiet, seconds)


def _prepare(out: Path, resume: bool) -> None:
    """See to it that `out` is a directory that a training may use, before any time is spent on training."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / LOCK).touch()
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"--out {out} is not a directory") from None
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written to: {error.strerror}") from error
    if not resume and (found := [name for name in (CHECKPOINT, METRICS, MODEL) if (out / name).exists()]):
        raise UsageError(
            f"--out {out} already holds a training ({found[0]}): add --resume, or choose another directory"
        )


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep a second process out of the directory; the lock goes with the process, however that ends."""
    with open(out / LOCK, "ab") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            pass
        except BlockingIOError:
            raise UsageError(f"--out {out} is in use by another training") from None
        for left_behind in out.glob(".*.tmp"):  # by a process killed while it wrote
            left_behind.unlink(missing_ok=True)
        yield


def _trainer(out: Path, resume: bool, options: dict[str, Any]) -> Trainer:
    path = out / CHECKPOINT
    try:
        if not (resume and path.exists()):
            trainer = Trainer(TrainConfig(**options), data.load())
            checkpoint.save(path, trainer)  # from here on the directory knows its options
        else:
            saved, state = checkpoint.load(path)
            trainer = Trainer(checkpoint.merged(path, saved, options), data.load())
            checkpoint.restore(path, trainer, state)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if trainer.step > trainer.config.steps:
        raise UsageError(f"{path} is at step {trainer.step} already, beyond --steps {trainer.config.steps}")
    return trainer


def _train(trainer: Trainer, out: Path, stop: StopRequest, quiet: bool) -> None:
    config = trainer.config
    with (
        _metrics_file(out / METRICS, trainer.rows) as append,
        _progress(trainer, quiet) as show,
        np.errstate(all="ignore"),  # a training that diverges is reported once, by record()
    ):
        while trainer.step < config.steps and stop.signum is None:
            periods = (PROGRESS_EVERY, config.eval_every, config.checkpoint_every)
            trainer.train_until(min(config.steps, *(trainer.step - trainer.step % p + p for p in periods)))
            if trainer.step % config.eval_every == 0:
                append(trainer.record())
            if trainer.step % config.checkpoint_every == 0:
                checkpoint.save(out / CHECKPOINT, trainer)
            show()
        at_end = trainer.step == config.steps
        if at_end and (not trainer.rows or trainer.rows[-1].step < trainer.step):
            append(trainer.record())
    checkpoint.save(out / CHECKPOINT, trainer)
    if not at_end and stop.signum is not None:
        raise Interrupted(
            stop.signum,
            f"stopped and saved at step {trainer.step} of {config.steps}; to go on: "
            f"fastconv mnist1d train --resume --out {shlex.quote(str(out))}",
        )


@contextmanager
def _metrics_file(path: Path, rows: list[Row]) -> Iterator[Any]:
    """Write `rows` anew, without what a killed training wrote after its checkpoint; then append to them."""

    def write(*cells: object) -> None:
        try:
            file.write((",".join(map(str, cells)) + "\n").encode())
        except OSError as error:
            raise OSError(error.errno, f"cannot write {path} ({error.strerror})") from error

    with open(path, "wb", buffering=0) as file:  # unbuffered, so that others can watch
        write(*Row._fields)
        for row in rows:
            write(*row)
        yield lambda row: write(*row)


@contextmanager
def _progress(trainer: Trainer, quiet: bool) -> Iterator[Any]:
    """A progress bar with loss, error and steps per second, behind a function to call now and then."""
    if quiet:
        yield lambda: None
        return
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError('without --quiet: pip install "fastconv[mnist1d]"') from error
    config = trainer.config
    size = f"{count_parameters(trainer.model):,} parameters"
    print(f"{config.model}: {size}, step {trainer.step} of {config.steps}")
    with tqdm(total=config.steps, initial=trainer.step, unit="step", mininterval=0.2, file=sys.stderr) as bar:

        def show() -> None:
            text = f"loss {trainer.mean_loss if trainer.loss_count else trainer.rows[-1].loss:.3f}"
            text += f", test error {trainer.rows[-1].test_error:.1f} %" if trainer.rows else ""
            bar.set_postfix_str(text, refresh=False)
            bar.update(trainer.step - bar.n)

        yield show


def _finish(trainer: Trainer, out: Path, pictures: bool, quiet: bool, seconds: float) -> Row:
    config, last = trainer.config, trainer.rows[-1]
    save_state(out / MODEL, trainer.model.state_dict())
    if pictures:
        title = f"MNIST-1D, {config.model}: {config.steps:,} steps, seed {config.seed}"
        plots.curves(trainer.rows, config.model, title, out / CURVES)
    if not quiet:
        known = (
            f"published: {PUBLISHED[config.model]} %, legend: {LEGEND[config.model]} %, after 100,000 steps"
        )
        print(
            f"test error {last.test_error:.1f} % after {last.step:,} steps ({known}); this run: {seconds:.1f} s"
        )
        print(f"written to {out}: {', '.join([MODEL, METRICS, CHECKPOINT] + [CURVES] * pictures)}")
    return last


def read_metrics(out: Path) -> list[Row]:
    """The metrics of the training in `out`; none if it has none yet."""
    try:
        lines = (out / METRICS).read_text(encoding="utf-8").splitlines(keepends=True)[1:]
    except FileNotFoundError:
        return []
    values = [line.split(",") for line in lines if line.endswith("\n")]  # a line may be half written
    return [Row(int(step), *map(float, others)) for step, *others in values]
