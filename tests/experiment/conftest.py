"""The data set, made once for all tests of the experiment; without the extra they skip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fastconv.mnist1d import data
from fastconv.mnist1d.data import MNIST1D


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mnist1d", reason="needs the extra fastconv[mnist1d]")
    path = tmp_path_factory.mktemp("cache")
    data.load(path)
    return path


@pytest.fixture
def dataset(cache: Path) -> MNIST1D:
    return data.load(cache)


@pytest.fixture(autouse=True, scope="session")
def use_cache(cache: Path) -> Iterator[None]:
    """Here and in the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTCONV_CACHE", str(cache))
        yield
