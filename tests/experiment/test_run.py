"""Trainings that end, stop, are killed, and go on with the same bits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fastconv.__main__ import main
from fastconv.mnist1d import models, run
from fastconv.mnist1d.data import MNIST1D
from fastconv.mnist1d.train import TrainConfig, Trainer
from fastconv.serialization import load_state


def test_a_training_learns_and_leaves_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    options = ["--steps", "300", "--eval-every", "100", "--optimizer", "adam", "--lr-step", "200"]
    assert main(["mnist1d", "train", "--out", str(out), *options]) == 0
    rows = run.read_metrics(out)
    assert [row.step for row in rows] == [100, 200, 300]
    assert rows[-1].train_loss < rows[0].train_loss < 2.4
    assert rows[-1].test_error < 75
    captured = capsys.readouterr()
    assert f"test error {rows[-1].test_error:.1f} %" in captured.out
    assert "13.5 %" in captured.out
    assert "step/s" in captured.err
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    model = models.build("conv", rng=1)
    model.load_state_dict(load_state(out / "model.npz"))
    assert {path.name for path in out.iterdir()} == {
        ".lock", "checkpoint.npz", "curves.png", "metrics.csv", "model.npz"
    }  # fmt: skip


def command(out: Path, *words: str) -> list[str]:
    always = ["--quiet", "--no-pictures", "--out", str(out)]
    return [sys.executable, "-m", "fastconv", "mnist1d", "train", *always, *words]


KILLED = [
    "--steps",
    "3000",
    "--eval-every",
    "250",
    "--checkpoint-every",
    "100",
    "--momentum",
    "0.9",
    "--widths",
    "4,4",
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(command(out, *KILLED), check=True)
    return out


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.002)


def assert_same_end(out: Path, undisturbed: Path) -> None:
    for name in ("model.npz", "metrics.csv", "checkpoint.npz"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), name


def test_killed_and_resumed_ends_with_the_same_bits(tmp_path: Path, undisturbed: Path) -> None:
    rng = random.Random(0)
    for _ in range(4):
        process = subprocess.Popen(command(tmp_path, *KILLED, "--resume"))
        wait_for(tmp_path / "metrics.csv", process)
        time.sleep(0.3 + rng.random() * 0.4)  # half of it is the start of the interpreter
        process.kill()
        process.wait()
    subprocess.run(command(tmp_path, *KILLED, "--resume"), check=True)
    assert_same_end(tmp_path, undisturbed)
    assert not list(tmp_path.glob(".*.tmp"))


def test_every_checkpoint_leads_to_the_same_bits(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Die at moments that a clock hardly hits: during a checkpoint's write, and between metrics and checkpoint."""
    options: dict[str, Any] = {"steps": 3000, "eval_every": 250, "checkpoint_every": 100, "momentum": 0.9}
    options |= {"widths": (4, 4), "quiet": True, "pictures": False}

    class Killed(BaseException):
        pass

    save, saves = run.checkpoint.save, 0

    def deadly_save(path: Path, trainer: Trainer) -> None:
        nonlocal saves
        saves += 1
        if saves % 8 == 7:
            raise Killed
        save(path, trainer)

    monkeypatch.setattr(run.checkpoint, "save", deadly_save)
    for attempt in range(20):
        try:
            run.run(tmp_path, resume=attempt > 0, **options)
            break
        except Killed:
            continue
    assert attempt > 3
    assert_same_end(tmp_path, undisturbed)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_say_how_to_go_on(signum: int, code: int, tmp_path: Path, undisturbed: Path) -> None:
    slow = ["--steps", "1000000", *KILLED[2:]]
    process = subprocess.Popen(command(tmp_path, *slow), stderr=subprocess.PIPE)
    wait_for(tmp_path / "metrics.csv", process)
    time.sleep(0.2)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert f"mnist1d train --resume --out {tmp_path}" in errors.decode()
    assert "Traceback" not in errors.decode()
    step = int(errors.decode().split("at step ")[1].split()[0])
    if (
        step <= 3000
    ):  # with nothing but the directory and the number of steps, the rest comes from the checkpoint
        assert (
            main(
                [
                    "mnist1d",
                    "train",
                    "--resume",
                    "--quiet",
                    "--no-pictures",
                    "--out",
                    str(tmp_path),
                    "--steps",
                    "3000",
                ]
            )
            == 0
        )
        for name in ("model.npz", "metrics.csv"):
            assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes(), name


def test_a_training_may_be_cut_short_or_drawn_out_by_resuming(tmp_path: Path, dataset: MNIST1D) -> None:
    options: dict[str, Any] = {"eval_every": 70, "checkpoint_every": 50, "quiet": True, "pictures": False}
    trainer = Trainer(TrainConfig(steps=200, eval_every=70, checkpoint_every=50), dataset)
    trainer.train_until(50)
    run.checkpoint.save(tmp_path / run.CHECKPOINT, trainer)
    # A checkpoint at which no row of metrics has been written yet is the end of a shorter training ...
    assert run.run(tmp_path, resume=True, **options, steps=50).step == 50
    # ... which a longer one takes up again, and which can be finished twice.
    assert [run.run(tmp_path, resume=True, quiet=True, steps=100).step for _ in range(2)] == [100, 100]
    assert [row.step for row in run.read_metrics(tmp_path)] == [50, 70, 100]
