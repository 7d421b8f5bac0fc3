"""An experiment: several trainings, each with a process and a directory of its own; a table and a picture at the end.

::

    DIR/<case>-seed<n>/   a training, see `run`; the same command goes on with those that are not done
    DIR/table.csv         the test errors at the end
    DIR/figure.png
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fastconv.mnist1d import data, plots
from fastconv.mnist1d.checkpoint import UsageError
from fastconv.mnist1d.run import Interrupted, StopRequest, read_metrics
from fastconv.mnist1d.train import Row
from fastconv.serialization import atomic_write

TABLE, PICTURE = "table.csv", "figure.png"
POLL_SECONDS = 0.5

Metrics = dict[str, list[list[Row]]]  # by case, the metrics of each seed


@dataclass(frozen=True)
class Experiment:
    """What to train, and what to make of it.

    Attributes
    ----------
    about : str
        One line.
    cases : mapping of str to sequence of str
        For each case, the words of its trainings' command line.
    draw : callable
        Draws the metrics into a file.
    seeds, steps : int
        Defaults of the command.
    momentum : float
        Of all trainings. 0.9 brings as far in a tenth of the steps as none does.
    published : mapping of str to float
        Test errors in percent to stand beside ours in the table.
    remark : callable, optional
        A line to stand below the table.
    """

    about: str
    cases: Mapping[str, Sequence[str]]
    draw: Callable[[Metrics, Path], None]
    seeds: int = 5
    steps: int = 100_000
    momentum: float = 0.0
    published: Mapping[str, float] = field(default_factory=dict)
    remark: Callable[[Metrics], str] | None = None


@dataclass
class Run:
    """One training, to be started, running or done."""

    case: str
    words: Sequence[str]
    out: Path
    process: subprocess.Popen[bytes] | None = None
    errors: IO[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            *["-m", "fastconv", "mnist1d", "train", "--resume", "--quiet", "--no-pictures", "--threads", "1"],
            *["--out", str(self.out), *self.words],
        ]
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115  # open for as long as the process may write
        # A session of its own: Ctrl-C in the terminal reaches us alone, and we pass it on once.
        self.process = subprocess.Popen(command, stderr=self.errors, start_new_session=True)

    def failure(self) -> str | None:
        """The last words of a process that ended with an error."""
        if self.process is None or self.errors is None:
            return None
        with self.errors:
            self.errors.seek(0)
            lines = self.errors.read().decode(errors="replace").strip().splitlines()
        if not self.process.returncode:
            return None
        return f"{self.out.name}: {lines[-1] if lines else f'exit code {self.process.returncode}'}"

    def step(self) -> int:
        rows = read_metrics(self.out)
        return rows[-1].step if rows else 0


def conduct(
    experiment: Experiment,
    out: Path,
    *,
    seeds: int,
    steps: int,
    jobs: int | None = None,
    quiet: bool = False,
    options: Sequence[str] = (),
) -> str:
    """Train every case with seeds 0, 1, ...; write a table and a picture; trainings already there go on.

    Parameters
    ----------
    experiment : Experiment
    out : Path
        Holds one directory per training, ``table.csv`` and ``figure.png``.
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
    always = [*options, "--steps", str(steps), "--momentum", str(experiment.momentum)]
    # Seed by seed and case by case, so that an experiment cut short is one of fewer seeds.
    runs = [
        Run(case, [*words, *always, "--seed", str(seed)], out / f"{case}-seed{seed}")
        for seed in range(seeds)
        for case, words in experiment.cases.items()
    ]
    with StopRequest() as stop:
        _train_all(runs, jobs or cores(), stop, steps, quiet)
    failures = [failure for run in runs if (failure := run.failure())]
    if stop.signum is not None:
        raise Interrupted(stop.signum, "stopped, and all trainings are saved; the same command goes on")
    if failures:
        raise RuntimeError("; ".join(failures))
    metrics = {case: [read_metrics(run.out) for run in runs if run.case == case] for case in experiment.cases}
    experiment.draw(metrics, out / PICTURE)
    return _table(experiment, metrics, out / TABLE)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _train_all(runs: Sequence[Run], jobs: int, stop: StopRequest, steps: int, quiet: bool) -> None:
    waiting, running = list(runs), list[Run]()
    bar = None if quiet else _bar(steps * len(runs))
    try:
        while (waiting or running) and stop.signum is None:
            running = [run for run in running if run.process is not None and run.process.poll() is None]
            while waiting and len(running) < jobs:
                running.append(waiting.pop(0))
                running[-1].start()
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


def final_errors(metrics: Metrics, part: str = "test") -> dict[str, list[float]]:
    """The error in percent of each seed at the end, by case."""
    return {case: [getattr(rows[-1], f"{part}_error") for rows in seeds] for case, seeds in metrics.items()}


def _table(experiment: Experiment, metrics: Metrics, path: Path) -> str:
    """Write the figures as CSV, and return them as lines for people."""
    rows: list[tuple[str, ...]] = [("case", "seeds", "mean", "spread", "lowest", "highest", "train")]
    rows[0] += ("published",) if experiment.published else ()
    train = final_errors(metrics, "train")
    for case, values in final_errors(metrics).items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        figures = [statistics.fmean(values), spread, min(values), max(values), statistics.fmean(train[case])]
        figures += [experiment.published[case]] if case in experiment.published else []
        rows.append((case, str(len(values)), *(f"{figure:.2f}" for figure in figures)))
    with atomic_write(path) as file:
        file.write("".join(",".join(row) + "\n" for row in rows).encode())
    width = max(11, 2 + max(len(row[0]) for row in rows))
    lines = [f"{row[0]:>{width}}" + "".join(f"{cell:>11}" for cell in row[1:]) for row in rows]
    lines.append("test error in percent at the end; train: the mean training error")
    return "\n".join(lines + ([experiment.remark(metrics)] if experiment.remark else []))
