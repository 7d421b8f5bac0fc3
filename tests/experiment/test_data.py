"""MNIST-1D: what it is, how it is cached, and that it leaves no trace."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastconv.mnist1d import data
from fastconv.mnist1d.data import MNIST1D
from fastconv.serialization import load_state, save_state


class TestData:
    def test_is_what_the_lecture_says(self, dataset: MNIST1D) -> None:
        assert dataset.x_train.shape == (4000, 1, 40)
        assert dataset.x_test.shape == (1000, 1, 40)
        assert dataset.x_train.dtype == np.float32
        assert dataset.y_train.dtype == np.int64
        assert set(dataset.y_train) == set(dataset.y_test) == set(range(10))

    def test_is_what_the_package_makes(self, dataset: MNIST1D) -> None:
        fresh = data.generate()
        for name in data.SHAPES:
            np.testing.assert_array_equal(getattr(fresh, name), getattr(dataset, name))

    def test_global_random_states_are_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        np.random.seed(123)  # the global state is the subject here
        random.seed(123)
        before, before_python = np.random.get_state(), random.getstate()
        data.generate()
        np.testing.assert_equal(np.random.get_state(), before)
        assert random.getstate() == before_python

        def broken(args: Any) -> None:
            np.random.seed(0)
            random.seed(0)
            raise ValueError("broken")

        monkeypatch.setattr("mnist1d.data.make_dataset", broken)
        with pytest.raises(ValueError, match="broken"):
            data.generate()
        np.testing.assert_equal(np.random.get_state(), before)
        assert random.getstate() == before_python

    def test_damaged_cache_is_made_again(
        self,
        dataset: MNIST1D,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(data, "generate", lambda: dataset)  # it takes a second or two
        path = tmp_path / "mnist1d.npz"
        data.load(tmp_path)
        good = load_state(path)
        changed = good["x_test"].copy()
        changed[0, 0, 0] += 1e-6
        damages = [
            good | {"x_test": changed},
            good | {"y_train": good["y_train"][::-1]},
            {"x_test": good["x_test"]},
        ]
        damages += [
            good | {"x_train": good["x_train"] * np.float32(np.nan)},
            good | {"x_test": good["x_test"] * 2.0},
        ]
        for damaged in damages:
            save_state(path, damaged)
            np.testing.assert_array_equal(data.load(tmp_path).x_test, dataset.x_test)
            assert "made again" in capsys.readouterr().out
        path.write_bytes(path.read_bytes()[:1000])
        data.load(tmp_path)
        assert "made again" in capsys.readouterr().out
        data.load(tmp_path)
        assert capsys.readouterr().out == ""

    def test_cache_that_cannot_be_written_is_a_line_and_no_more(
        self,
        dataset: MNIST1D,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(data, "generate", lambda: dataset)
        (tmp_path / "file").touch()
        data.load(tmp_path / "file")
        assert "could not be cached" in capsys.readouterr().out

    def test_cache_directory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FASTCONV_CACHE", "/a")
        monkeypatch.setenv("XDG_CACHE_HOME", "/b")
        assert data.cache_directory() == Path("/a")
        monkeypatch.delenv("FASTCONV_CACHE")
        assert data.cache_directory() == Path("/b/fastconv")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert data.cache_directory() == Path.home() / ".cache" / "fastconv"
