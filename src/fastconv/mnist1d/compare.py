"""The lecture's comparison: both networks, several seeds; each training has a process and a directory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fastconv.mnist1d import data, plots
from fastconv.mnist1d.checkpoint import UsageError
from fastconv.mnist1d.models import PUBLISHED
from fastconv.mnist1d.run import Interrupted, StopRequest, read_metrics
from fastconv.mnist1d.train import Row
from fastconv.serialization import atomic_write

TABLE, PICTURE = "table.csv", "performance.png"
POLL_SECONDS = 0.5


@dataclass
class Run:
    """One training, to be started, running or done."""

    model: str
    seed: int
    out: Path
    process: subprocess.Popen[bytes] | None = None
    errors: IO[bytes] | None = None

    def start(self, options: Sequence[str]) -> None:
        command = [
            sys.executable,
            *["-m", "fastconv", "mnist1d", "train", "--resume", "--quiet", "--no-pictures", "--threads", "1"],
        ]
        command += ["--model", self.model, "--seed", str(self.seed), "--out", str(self.out)]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # open for as long as the process may write
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we pass it on once.
        self.process = subprocess.Popen([*command, *options], stderr=self.errors, start_new_session=True)

    def failure(self) -> str | None:
        """The last words of a process that ended with an error."""
        if self.process is None or self.errors is None or not self.process.returncode:
            return None
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return f"{self.out.name}: {lines[-1] if lines else f'exit code {self.process.returncode}'}"

    def step(self) -> int:
        rows = read_metrics(self.out)
        return rows[-1].step if rows else 0


def compare(
    out: Path,
    *,
    seeds: int,
    steps: int,
    jobs: int | None = None,
    quiet: bool = False,
    options: Sequence[str] = (),
) -> str:
    """Train both networks with seeds 0, 1, ...; write a table and a picture; trainings already there go on.

    Parameters
    ----------
    out : Path
        Holds one directory per training, ``table.csv`` and ``performance.png``.
    seeds, steps : int
        How many seeds, and how many steps each.
    jobs : int, optional
        Trainings at a time; by default one per core.
    quiet : bool
        No progress bar.
    options : sequence of str
        More words for the command line of each training.

    Returns
    -------
    str
        The table, for people.

    Raises
    ------
    UsageError, OSError
        If `out` cannot be used.
    RuntimeError
        If a training failed.
    Interrupted
        If Ctrl-C or SIGTERM came; all trainings are saved.
    """
    if seeds < 1 or steps < 1 or (jobs is not None and jobs < 1):
        raise UsageError(f"--seeds, --steps and --jobs must be 1 or more, got {seeds}, {steps}, {jobs}")
    plots.require()
    data.load()  # once, rather than by all processes at the same time
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} cannot be used: {error.strerror}") from error
    # Seed by seed and model by model, so that a comparison cut short is one of fewer seeds.
    runs = [Run(model, seed, out / f"{model}-seed{seed}") for seed in range(seeds) for model in PUBLISHED]
    with StopRequest() as stop:
        _train_all(runs, [*options, "--steps", str(steps)], jobs or cores(), stop, steps, quiet)
    if stop.signum is not None:
        raise Interrupted(stop.signum, "stopped, and all trainings are saved; the same command goes on")
    if failures := [failure for run in runs if (failure := run.failure())]:
        raise RuntimeError("; ".join(failures))
    metrics = {model: [read_metrics(run.out) for run in runs if run.model == model] for model in PUBLISHED}
    plots.performance(metrics, out / PICTURE)
    return _table(metrics, out / TABLE)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _train_all(
    runs: Sequence[Run], options: Sequence[str], jobs: int, stop: StopRequest, steps: int, quiet: bool
) -> None:
    waiting, running = list(runs), list[Run]()
    bar = None if quiet else _bar(steps * len(runs))
    try:
        while (waiting or running) and stop.signum is None:
            running = [run for run in running if run.process is not None and run.process.poll() is None]
            while waiting and len(running) < jobs:
                running.append(waiting.pop(0))
                running[-1].start(options)
            if bar is not None:
                bar.update(sum(run.step() for run in runs) - bar.n)
            time.sleep(POLL_SECONDS)
    finally:
        if bar is not None:
            bar.close()
        for run in running:
            assert run.process is not None
            run.process.terminate()  # it saves, and ends; of a process that has ended this is nothing
        for run in running:
            assert run.process is not None
            run.process.wait()


def _bar(total: int) -> Any:
    try:
        from tqdm import tqdm  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError(
            'the progress bar needs an extra (or --quiet): pip install "fastconv[mnist1d]"'
        ) from error
    return tqdm(total=total, unit="step")


def _table(metrics: dict[str, list[list[Row]]], path: Path) -> str:
    """Write the figures as CSV, and return them as lines for people."""
    errors = {model: [rows[-1].test_error for rows in seeds] for model, seeds in metrics.items()}
    rows: list[tuple[str, ...]] = [("model", "seeds", "mean", "spread", "lowest", "highest", "published")]
    for model, values in errors.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        figures = (statistics.fmean(values), spread, min(values), max(values), PUBLISHED[model])
        rows.append((model, str(len(values)), *(f"{figure:.2f}" for figure in figures)))
    with atomic_write(path) as file:
        file.write("".join(",".join(row) + "\n" for row in rows).encode())
    lead = min(fc - conv for conv, fc in zip(errors["conv"], errors["fc"], strict=True))
    lines = ["".join(f"{cell:>11}" for cell in row) for row in rows]
    return "\n".join(
        [*lines, f"test error in percent; conv is better by {lead:.1f} points or more in every pair"]
    )
