"""Whatever goes wrong in a training is one line and an exit code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastconv.__main__ import main
from fastconv.mnist1d import run
from fastconv.serialization import load_state, save_state


class TestMessages:
    @pytest.fixture
    def trained(self, tmp_path: Path) -> Path:
        assert self.train(tmp_path / "run", "--steps", "20") == 0
        return tmp_path / "run"

    @staticmethod
    def train(out: Path, *words: str) -> int:
        return main(["mnist1d", "train", "--quiet", "--no-pictures", "--out", str(out), *words])

    @staticmethod
    def line(capsys: pytest.CaptureFixture[str]) -> str:
        text = capsys.readouterr().err
        assert text.startswith("fastconv: error: ")
        assert text.count("\n") == 1
        return text

    def test_out_already_holds_a_training(self, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.train(trained) == 2
        assert "--resume" in self.line(capsys)

    def test_out_is_a_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "file").touch()
        for out in (tmp_path / "file", tmp_path / "file" / "below"):
            assert self.train(out) == 2
            assert "not a directory" in self.line(capsys)

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
    def test_out_is_not_writable(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tmp_path.chmod(0o500)
        assert self.train(tmp_path / "run") == 2
        assert "cannot be written" in self.line(capsys)

    def test_out_is_in_use(self, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
        pytest.importorskip("fcntl")
        with run._locked(trained):
            assert self.train(trained, "--resume") == 2
        assert "in use" in self.line(capsys)

    def test_damaged_checkpoint(self, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = trained / "checkpoint.npz"
        good = load_state(path)
        for damaged in (b"", path.read_bytes()[:500]):
            path.write_bytes(damaged)
            assert self.train(trained, "--resume") == 2
            assert "checkpoint.npz is damaged" in self.line(capsys)
        changes: list[dict[str, Any]] = [
            {"meta": "{"},
            {"model.0.weight": np.zeros(3)},
            {"optimizer.x": np.zeros(3)},
        ]
        for change in changes:
            save_state(path, good | change)
            assert self.train(trained, "--resume") == 2
            assert "checkpoint.npz is damaged" in self.line(capsys)
        save_state(path, {"meta": good["meta"]})
        assert self.train(trained, "--resume") == 2
        assert "checkpoint.npz is damaged" in self.line(capsys)

    def test_other_options(self, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.train(trained, "--resume", "--lr", "0.5", "--seed", "3") == 2
        message = self.line(capsys)
        assert "lr was 0.01 and is now 0.5; seed was 0 and is now 3" in message
        assert self.train(trained, "--resume", "--steps", "10") == 2
        assert "step 20 already" in self.line(capsys)

    def test_full_disk(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(descriptor: int) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr(os, "fsync", full)
        assert self.train(tmp_path / "run", "--steps", "20") == 1
        message = self.line(capsys)
        assert "checkpoint.npz" in message
        assert os.strerror(28) in message

    def test_divergence(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.train(tmp_path / "run", "--steps", "200", "--lr", "1e6", "--model", "fc") == 1
        assert "diverged" in self.line(capsys)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--steps", "0"], "steps must be 1 or more"),
            (["--seed", "-1"], "seed"),
            (["--batch-size", "5000"], "batch_size must be at most the 4000"),
            (["--lr", "-1"], "lr"),
            (["--widths", "1,0"], "widths"),
            (["--optimizer", "adam", "--momentum", "0.9"], "momentum"),
        ],
    )
    def test_options_out_of_range(
        self, words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.train(tmp_path / "run", *words) == 2
        assert message in self.line(capsys)
