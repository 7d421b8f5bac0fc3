"""States (mappings of names to arrays) on disk, as ``.npz`` or ``.safetensors``; nothing is ever pickled.

A file is replaced as a whole or not at all: `atomic_write` is the one way in which this package writes anything that
must survive a crash.
"""

from __future__ import annotations

import io
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
PathLike = str | os.PathLike[str]


@contextmanager
def atomic_write(path: PathLike) -> Iterator[IO[bytes]]:
    """Open a binary file that takes the place of `path` when the block ends well, and vanishes when it does not.

    After a crash at any moment, power failure included, `path` is the old file or the new one, whole.

    Raises
    ------
    OSError
        Naming `path`, which is as it was (disk full, no permission, not a directory ...).
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_directory(target.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise type(error)(
                error.errno, f"cannot write {path} ({reason}); what was there is unchanged"
            ) from error
        raise


def _sync_directory(directory: Path) -> None:
    """Make a rename durable; Windows can neither open directories nor needs to."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_npz(state: dict[str, Array], file: IO[bytes]) -> None:
    # numpy.savez takes the names as keywords and so cannot store one called "file"; the format is this simple anyway.
    # The entries carry the zip format's earliest date, so equal states are equal files.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for key, array in state.items():
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read_npz(content: bytes) -> dict[str, Array]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        # NumPy reads only as much as an array's header asks for, and so can miss the checksum at the end.
        if (damaged := archive.zip.testzip()) is not None:
            raise ValueError(f"bad checksum of {damaged}")
        state = {key: archive[key] for key in archive.files}
    if not all(isinstance(array, np.ndarray) for array in state.values()):
        raise ValueError("it holds something other than arrays")
    return state


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError('.safetensors files need an extra: pip install "fastconv[safetensors]"') from error
    return safetensors.numpy


def _write_safetensors(state: dict[str, Array], file: IO[bytes]) -> None:
    file.write(_safetensors().save(state))


def _read_safetensors(content: bytes) -> dict[str, Array]:
    return dict(_safetensors().load(content))


Writer = Callable[[dict[str, Array], IO[bytes]], None]
Reader = Callable[[bytes], dict[str, Array]]
FORMATS: dict[str, tuple[Writer, Reader]] = {
    ".npz": (_write_npz, _read_npz),
    ".safetensors": (_write_safetensors, _read_safetensors),
}


def _format(path: PathLike) -> tuple[Writer, Reader]:
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise ValueError(
            f"the name of a state file must end in {' or '.join(FORMATS)}, got {os.fspath(path)!r}"
        )
    return FORMATS[suffix]


def _storable(key: str, value: ArrayLike) -> Array:
    array = np.asarray(value, order="C")
    if array.dtype.hasobject:
        raise TypeError(
            f"{key!r} is an array of Python objects; only numbers, bools and strings can be stored"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def save_state(path: PathLike, state: Mapping[str, ArrayLike]) -> None:
    """Write a state to a file, atomically: on any error the old file is left as it was.

    Parameters
    ----------
    path : path_like
        Ending in ``.npz`` or ``.safetensors`` (extra ``fastconv[safetensors]``).
    state : mapping of str to array_like
        What a ``state_dict()`` gives.

    Raises
    ------
    ValueError
        For another ending.
    TypeError
        For arrays that the format cannot hold.
    OSError
        If the file cannot be written; the message names it.
    """
    write, _ = _format(path)
    if write is _write_safetensors:
        _safetensors()  # before the file is opened
    arrays = {key: _storable(key, value) for key, value in state.items()}
    try:
        with atomic_write(path) as file:
            write(arrays, file)
    except KeyError as error:  # how safetensors says that it has no such dtype
        raise TypeError(f"{path} cannot hold arrays of dtype {error}") from error


def load_state(path: PathLike) -> dict[str, Array]:
    """Read a state from a file that `save_state`, NumPy or PyTorch's safetensors wrote.

    Parameters
    ----------
    path : path_like
        Ending in ``.npz`` or ``.safetensors`` (extra ``fastconv[safetensors]``).

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ValueError
        For another ending, and for a file that is damaged or of another kind; the message names it.
    OSError
        If the file cannot be read.
    """
    _, read = _format(path)
    if read is _read_safetensors:
        _safetensors()
    content = Path(path).read_bytes()
    try:
        return read(content)
    except Exception as error:
        # The bytes are in memory, so whatever a parser makes of them (and they raise all sorts) the bytes are to blame.
        raise ValueError(f"{path} is damaged, or not a {Path(path).suffix} file: {error}") from error
