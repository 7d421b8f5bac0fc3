"""What tests vary: ISAs; random problems and memory layouts, for hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from problems import Problem

import fastconv as fc

AVAILABLE_ISAS = [name for name, available in fc.isas().items() if available]

# Just below, at and above the widths of vectors and blocks, where bugs cluster.
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 16, 17, 29, 31, 32, 33)
MODES = ("zeros", "zeros", "zeros", "reflect", "replicate", "circular")


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """A valid problem of at most some 10 million FLOPs; every value shrinks towards the simplest."""
    ndim = draw(st.sampled_from((1, 2)))
    groups = draw(st.sampled_from((1, 1, 1, 2, 3, 8)))
    mode = draw(st.sampled_from(MODES))
    axes = [draw(_axes(ndim, mode)) for _ in range(ndim)]
    size, kernel, stride, padding, dilation = zip(*axes, strict=True)
    channels = st.sampled_from(CHANNELS if groups == 1 else CHANNELS[:5])
    return Problem(
        n=draw(st.sampled_from((1, 2, 3, 0))),
        g=groups,
        ic=groups * draw(channels),
        oc=groups * draw(channels),
        size=size,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=mode,
    )


@st.composite
def _axes(draw: st.DrawFn, ndim: int, mode: str) -> tuple[int, int, int, tuple[int, int], int]:
    """Size, kernel, stride, padding and dilation of one dimension, so that the kernel fits."""
    kernel = draw(st.integers(1, 5 if ndim == 2 else 9))
    stride, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    extent = (kernel - 1) * dilation + 1
    least = {"reflect": max(padding) + 1, "circular": max(padding)}.get(mode, 1)
    least = max(least, extent - sum(padding), 1)
    return least + draw(st.integers(0, 12 if ndim == 2 else 40)), kernel, stride, padding, dilation


# ---- layouts: equal values, another place in memory ------------------------------------------------------


def _negative(array: np.ndarray) -> np.ndarray:
    backwards = (slice(None, None, -1),) * array.ndim
    return array[backwards].copy()[backwards]


def _transposed(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.swapaxes(0, -1)).swapaxes(0, -1)


def _channels_last(array: np.ndarray) -> np.ndarray:
    return array if array.ndim < 3 else np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1)


def _strided(array: np.ndarray) -> np.ndarray:
    room = np.full(tuple(2 * size for size in array.shape), np.nan, array.dtype)
    view = room[(slice(None, None, 2),) * array.ndim]
    view[...] = array
    return view


def _misaligned(array: np.ndarray) -> np.ndarray:
    moved = np.ndarray(array.shape, array.dtype, bytearray(array.nbytes + 1), offset=1)
    moved[...] = array
    return moved


def _read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def _big_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder(">"))


def _wild(array: np.ndarray) -> np.ndarray:
    """Strides that would lead anywhere, on the axes where they mean nothing."""
    strides = (
        1 << 40 if size == 1 else stride for size, stride in zip(array.shape, array.strides, strict=True)
    )
    return np.lib.stride_tricks.as_strided(array, strides=tuple(strides))


LAYOUTS = {
    "contiguous": np.ascontiguousarray,
    "fortran": np.asfortranarray,
    "negative": _negative,
    "transposed": _transposed,
    "channels_last": _channels_last,
    "strided": _strided,
    "misaligned": _misaligned,
    "read_only": _read_only,
    "big_endian": _big_endian,
    "wild": _wild,
}

layouts = st.sampled_from(list(LAYOUTS))
