"""State files: round trips, damage, and writes that fail half way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from fastconv import nn
from fastconv.serialization import load_state, save_state

SUFFIXES = [".npz", ".safetensors"]
STATE = {
    "0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "0.bias": np.array([-0.0, np.nan, np.inf]),
    "scalar": np.array(3.5),
    "empty": np.empty((0, 3), np.float32),
    "file": np.arange(3),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(10.0)[::-2],
    "big_endian": np.arange(3, dtype=">f4"),
}


def need(suffix: str) -> None:
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(suffix: str, tmp_path: Path) -> None:
    need(suffix)
    path = tmp_path / f"state{suffix}"
    save_state(path, STATE)
    loaded = load_state(path)
    assert loaded.keys() == STATE.keys()
    for key, value in STATE.items():
        assert loaded[key].dtype == value.dtype.newbyteorder("=")
        np.testing.assert_array_equal(loaded[key], value)
    assert os.listdir(tmp_path) == [path.name]


def test_equal_states_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_state(tmp_path / name, STATE)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_comes_back(suffix: str, tmp_path: Path) -> None:
    need(suffix)
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    save_state(tmp_path / f"m{suffix}", source.state_dict())
    target.load_state_dict(load_state(tmp_path / f"m{suffix}"))
    np.testing.assert_array_equal(source.weight.data, target.weight.data)


@pytest.mark.torch
def test_pytorch_reads_what_we_write_and_the_other_way_round(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch_files = pytest.importorskip("safetensors.torch")
    ours, theirs = nn.Sequential(nn.Linear(3, 2)), torch.nn.Sequential(torch.nn.Linear(3, 2))
    save_state(tmp_path / "ours.safetensors", ours.state_dict())
    theirs.load_state_dict(torch_files.load_file(tmp_path / "ours.safetensors"))
    np.testing.assert_array_equal(theirs[0].weight.detach().numpy(), ours[0].weight.data)
    torch_files.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours.load_state_dict(load_state(tmp_path / "theirs.safetensors"))


def test_numpy_reads_what_we_write(tmp_path: Path) -> None:
    save_state(tmp_path / "state.npz", STATE)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as loaded:
        np.testing.assert_array_equal(loaded["0.weight"], STATE["0.weight"])


def test_every_truncation_and_flipped_byte_is_an_error_that_names_the_file_or_harmless(
    tmp_path: Path,
) -> None:
    path, state = tmp_path / "state.npz", {"weight": np.arange(6, dtype=np.float32), "bias": np.ones(2)}
    save_state(path, state)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    damaged = [content[:length] for length in range(0, len(content), 7)]
    for position in rng.integers(0, len(content), 300):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(flipped))
    errors = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            loaded = load_state(path)
        except ValueError as error:
            assert "state.npz is damaged" in str(error)  # most, but not all of them, are errors
            errors += 1
        else:  # the name of an entry, its date and the like; never a value
            for value, expected in zip(loaded.values(), state.values(), strict=False):
                np.testing.assert_array_equal(value, expected)
    assert errors > len(damaged) / 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_files_are_an_error_that_names_the_file(suffix: str, tmp_path: Path) -> None:
    need(suffix)
    path = tmp_path / f"state{suffix}"
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    for content in (b"", b"hello", (tmp_path / "objects.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path.name} is damaged"):
            load_state(path)


def test_pickled_arrays_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'x'.*objects"):
        save_state(tmp_path / "state.npz", {"x": np.array([{}])})
    np.savez(tmp_path / "state.npz", x=np.array([{}], object))
    with pytest.raises(ValueError, match="state.npz"):
        load_state(tmp_path / "state.npz")


def test_unknown_suffix(tmp_path: Path) -> None:
    for call in (lambda p: save_state(p, STATE), load_state):
        with pytest.raises(ValueError, match=r"\.npz or \.safetensors.*state\.pt"):
            call(tmp_path / "state.pt")


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_state(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError, match=r"none/state\.npz"):
        save_state(tmp_path / "none" / "state.npz", STATE)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.npz"
    save_state(path, {"a": np.zeros(3)})
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"state\.npz.*No space left") as caught:
        save_state(path, STATE)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no symbolic links")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.npz"
    link.symlink_to(tmp_path / "real" / "state.npz")
    save_state(link, STATE)
    assert link.is_symlink()
    assert load_state(tmp_path / "real" / "state.npz").keys() == STATE.keys()
