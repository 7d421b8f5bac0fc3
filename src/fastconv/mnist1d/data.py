"""The MNIST-1D data set: made by the ``mnist1d`` package, cached as ``.npz``, verified on every load.

How it is verified. The order of the labels is the last thing that the generator draws, so their checksum
(integers, the same everywhere) stands for the whole stream of random numbers; it is kept here in the source. The
signals go through floating-point code of NumPy and SciPy whose last bit may differ between versions and
processors; for them the source holds two sums with a tolerance, and the checksum that proves a cache whole is
kept in the cache itself.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.serialization import load_state, save_state

Array = NDArray[Any]

CLASSES = 10
LENGTH = 40
LABELS_SHA256 = "6feec4a017698c7fe237c8854cbd2e338c6dd5c16240f6fa79daefaaa129e169"
# Sum of x[i] * cos(i) over the flattened training and test signals, in float64.
PROBES = {"x_train": 209.986, "x_test": -172.436}
PROBE_TOLERANCE = 0.01


@dataclass(frozen=True)
class MNIST1D:
    """The arrays, read-only: signals ``(examples, 1, 40)`` float32, labels ``(examples,)`` int64 in 0..9."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


SHAPES = {"x_train": (4000, 1, LENGTH), "y_train": (4000,), "x_test": (1000, 1, LENGTH), "y_test": (1000,)}
DTYPES = {"x_train": np.float32, "y_train": np.int64, "x_test": np.float32, "y_test": np.int64}


def cache_directory() -> Path:
    """``$FASTCONV_CACHE``, else ``$XDG_CACHE_HOME/fastconv``, else ``~/.cache/fastconv``."""
    if chosen := os.environ.get("FASTCONV_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastconv"


def load(cache: str | os.PathLike[str] | None = None) -> MNIST1D:
    """MNIST-1D from the cache, or freshly made (about a second) and then cached.

    Parameters
    ----------
    cache : path_like, optional
        Directory of the cache; by default `cache_directory()`.

    Returns
    -------
    MNIST1D

    Raises
    ------
    ImportError
        If there is no cache yet and the ``mnist1d`` package is not installed.
    RuntimeError
        If the package makes other data than it should.
    """
    path = (Path(cache) if cache is not None else cache_directory()) / "mnist1d.npz"
    if path.exists():
        try:
            return _read(path)
        except ValueError as error:
            print(f"The cached data set is not usable and is made again: {error}")
    data = generate()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_state(path, {**_arrays(data), "sha256": np.array(_checksum(*_arrays(data).values()))})
    except OSError as error:  # worth a line, but no reason not to train
        print(f"The data set could not be cached: {error.strerror}")
    return data


def generate() -> MNIST1D:
    """Make MNIST-1D by the package's default settings and seed; global random states stay as they are."""
    try:
        from mnist1d.data import get_dataset_args, make_dataset  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError('MNIST-1D needs an extra: pip install "fastconv[mnist1d]"') from error
    with _random_states_kept():
        made = make_dataset(get_dataset_args())
    data = _frozen(
        x_train=made["x"].reshape(-1, 1, LENGTH).astype(np.float32),
        y_train=made["y"].astype(np.int64),
        x_test=made["x_test"].reshape(-1, 1, LENGTH).astype(np.float32),
        y_test=made["y_test"].astype(np.int64),
    )
    try:
        _verify(data)
    except ValueError as error:
        raise RuntimeError(
            f"the installed mnist1d package makes other data than MNIST-1D: {error}"
        ) from error
    return data


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """The package seeds the global generators of NumPy and Python; put both back, whatever happens."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def _read(path: Path) -> MNIST1D:
    state = load_state(path)
    missing = [name for name in (*SHAPES, "sha256") if name not in state]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}")
    data = _frozen(**{name: state[name] for name in SHAPES})
    _verify(data)
    if _checksum(*_arrays(data).values()) != str(state["sha256"]):
        raise ValueError(f"{path} does not have the checksum that it was written with")
    return data


def _frozen(**arrays: Array) -> MNIST1D:
    for array in arrays.values():
        array.flags.writeable = False
    return MNIST1D(**arrays)


def _arrays(data: MNIST1D) -> dict[str, Array]:
    return {field.name: getattr(data, field.name) for field in fields(data)}


def _verify(data: MNIST1D) -> None:
    for name, array in _arrays(data).items():
        if array.shape != SHAPES[name] or array.dtype != DTYPES[name]:
            raise ValueError(
                f"{name} should be {SHAPES[name]} {np.dtype(DTYPES[name])}, not {array.shape} {array.dtype}"
            )
    if _checksum(data.y_train, data.y_test) != LABELS_SHA256:
        raise ValueError("the labels are not those of MNIST-1D with its default seed")
    for name, expected in PROBES.items():
        probe = _probe(getattr(data, name))
        if not abs(probe - expected) <= PROBE_TOLERANCE:  # this way round a NaN fails too
            raise ValueError(
                f"{name} is not that of MNIST-1D with its default seed: probe {probe}, not {expected}"
            )


def _checksum(*arrays: Array) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _probe(signals: Array) -> float:
    flat = signals.astype(np.float64).ravel()
    return float(flat @ np.cos(np.arange(flat.size)))
