"""Forward convolution by FFT, for large kernels on few channels: overlap-save, a few tiles at a time.

A tile's source is transformed, multiplied by the spectra of the kernels, summed over the channels in their
order and transformed back; the outputs that no wrap-around touches are kept. Transforms are double precision
for float32 too: NumPy's are no faster in single.

A transform spreads its rounding, and a NaN, over the whole tile. So every tile is held to ``16 u S``, S the
largest of its outputs (see `_trusted`), and those that might leave it are computed again, directly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv import _core

Array = NDArray[Any]
Place = tuple[slice, slice | Array, slice]  # along an axis: where in the tile, where in x, where in y

_STACK = 1 << 16  # points transformed in one call: they stay in a second-level cache
_BANK = 1 << 22  # points of kernels whose spectra are kept at a time


def conv(
    x: Array,
    weight: Array,
    bias: Array | None,
    y: Array,
    stride: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    dilation: tuple[int, int],
    groups: int,
    padding_mode: str,
    activation: str | None,
) -> None:
    """Write the convolution of `x` with `weight` to `y`: dense arrays of one dtype, 1-D with a height of 1.

    Parameters
    ----------
    x : ndarray, shape (N, groups * IC, H, W)
    weight : ndarray, shape (groups * OC, IC, KH, KW)
    bias : ndarray, shape (groups * OC,), or None
    y : ndarray, shape (N, groups * OC, OH, OW)
    stride, dilation : (int, int)
    padding : ((top, bottom), (left, right))
    groups : int
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
    activation : {None, "relu"}

    Notes
    -----
    No arithmetic spans two examples, and tiles do not depend on their number: any batch has the same bits.
    """
    oc, ic = len(weight) // groups, weight.shape[1]
    cuts = map(_cuts, weight.shape[2:], y.shape[2:], stride, dilation)
    h, w = min(product(*cuts), key=lambda pair: _cost(ic, oc, *pair))
    work = _Work(ic, h, w)
    (top, _), (left, _) = padding
    rows = _places(h, x.shape[2], top, padding_mode)
    places = list(product(rows, _places(w, x.shape[3], left, padding_mode)))
    block = max(1, _BANK // (ic * h.length * w.length))
    with np.errstate(all="ignore"):  # what overflows is computed again
        for group, first in product(range(groups), range(0, oc, block)):
            out = slice(group * oc + first, group * oc + min(first + block, oc))
            bank = _Bank(work, weight[out], None if bias is None else bias[out], activation)
            for image, result in zip(x[:, group * ic : (group + 1) * ic], y[:, out], strict=True):
                for start in range(0, len(places), work.stack):
                    _convolve(work, bank, places[start : start + work.stack], image, result)


# ---- the cut into tiles ----------------------------------------------------------------------------------


class _Axis(NamedTuple):
    """An axis as correlations without dilation, `apart` of them: each gives every so manyth output."""

    kernel: int
    outputs: int
    stride: int  # of these correlations
    apart: int
    common: int  # divisor of the stride and the dilation that was asked for
    length: int  # of a tile, and of its transform unless the kernel has one tap
    chunk: int  # of outputs, a tile's
    number: int  # of tiles
    levels: float  # of the transform

    @property
    def within(self) -> slice:
        """The outputs of a tile in its result."""
        return slice(0, (self.chunk - 1) * self.stride + 1, self.stride)

    @property
    def used(self) -> int:
        """Elements of a tile that its windows cover."""
        return (self.chunk - 1) * self.stride + self.kernel


def _cuts(kernel: int, outputs: int, stride: int, dilation: int) -> Iterator[_Axis]:
    """For any number of tiles the shortest that are so few."""
    step = dilation if kernel > 1 else stride
    common = math.gcd(stride, step)
    stride, apart = stride // common, step // common
    phases = min(apart, outputs)
    points = outputs // phases
    fewest = points + 1
    for length in (factor << power for power in range(60) for factor in (8, 9, 10, 12, 15)):
        number = -(-points // max(1, (length - kernel) // stride + 1))
        if length >= kernel and number < fewest:
            fewest, chunk = number, -(-points // number)
            size, levels = (length, math.log2(length)) if kernel > 1 else (chunk, 0.0)
            yield _Axis(kernel, outputs, stride, apart, common, size, chunk, number * phases, levels)
        if fewest == 1:
            return


def _cost(ic: int, oc: int, h: _Axis, w: _Axis) -> float:
    """Cycles, at some 3 GHz, that a group of one example takes."""
    points, number = h.length * w.length, h.number * w.number
    cache = 4.5 * max(0, math.log2(points) - 17) + 6.6 * max(0, h.levels - 15, w.levels - 15)
    transform = points * (12 + 0.75 * (h.levels + w.levels) + cache)
    blocks = -(-oc * ic * points // _BANK)
    return transform * (ic * oc + number * (blocks * ic + oc)) + number * (3 * ic * oc * points + 4e4)


def _places(axis: _Axis, size: int, before: int, mode: str) -> list[Place]:
    places = []
    stride = axis.stride * axis.common
    for phase in range(min(axis.apart, axis.outputs)):
        points = -(-(axis.outputs - phase) // axis.apart)
        for point in range(0, points, axis.chunk):
            first = phase + min(point, points - axis.chunk) * axis.apart  # the last goes back: all are equal
            into, source = _source(first * stride - before, axis.apart * axis.common, axis.used, size, mode)
            places.append((into, source, slice(first, first + (axis.chunk - 1) * axis.apart + 1, axis.apart)))
    return places


def _source(first: int, step: int, count: int, size: int, mode: str) -> tuple[slice, slice | Array]:
    """Where elements first, first + step, ... of the padded axis go in a tile, and where x has them."""
    begin = min(max(0, -(first // step)), count)
    end = max(begin, min(-((first - size) // step), count))
    if mode == "zeros" or end - begin == count:
        start = max(0, first + begin * step)
        return slice(begin, end), slice(start, start + (end - begin) * step, step)
    index = first + step * np.arange(count)
    if mode == "reflect":
        index = size - 1 - abs(index % (2 * size - 2) - (size - 1))
    return slice(count), index % size if mode == "circular" else index.clip(0, size - 1)


# ---- transforms ------------------------------------------------------------------------------------------


class _Work:
    """What all tiles share: the axes that are transformed, and the arrays that are used in turn."""

    def __init__(self, ic: int, h: _Axis, w: _Axis) -> None:
        self.h, self.w = h, w
        self.axes = tuple(axis for axis, cut in ((-2, h), (-1, w)) if cut.kernel > 1) or (-1,)
        self.rest = "" if len(self.axes) == 2 else "ji"[self.axes[0]]  # the other axis, for einsum
        self.lengths = tuple((h, w)[axis].length for axis in self.axes)
        self.points = math.prod(self.lengths)
        self.stack = max(1, min(_STACK // (h.length * w.length), h.number * w.number))
        half = [h.length, w.length]
        half[self.axes[-1]] = self.lengths[-1] // 2 + 1
        self.source = np.empty((ic, self.stack, h.length, w.length))
        self.spectrum = np.empty((ic, self.stack, *half), complex)
        self.total, self.term = np.empty((2, self.stack, *half), complex)
        self.result = np.empty((self.stack, h.length, w.length))

    def transform(self, real: Array, out: Array | None = None) -> Array:
        return np.fft.rfftn(real, self.lengths, self.axes, out=out)

    def correlate(self, spectrum: Array, kernel: Array) -> Array:
        """The outputs of a stack of tiles: multiplied, summed over the channels, transformed back."""
        stack, rows = spectrum.shape[1], self.h.within
        total, term, result = self.total[:stack], self.term[:stack], self.result[:stack]
        np.multiply(spectrum[0], kernel[0], out=total)
        for channel in range(1, len(kernel)):
            np.multiply(spectrum[channel], kernel[channel], out=term)
            np.add(total, term, out=total)
        if len(self.axes) == 2:  # then rows: only those that are asked for
            total = np.fft.ifft(total, axis=-2, out=total)[:, rows]
            result, rows = result[:, : self.h.chunk], slice(None)
        np.fft.irfft(total, self.lengths[-1], self.axes[-1], out=result)
        return result[:, rows, self.w.within]


class _Bank:
    """Some kernels of a group: their spectra, and what `_trusted` asks of them."""

    def __init__(self, work: _Work, weight: Array, bias: Array | None, activation: str | None) -> None:
        self.weight, self.bias, self.activation = weight, bias, activation
        wide = weight.astype(np.float64)
        self.spectra = work.transform(wide)
        np.conjugate(self.spectra, out=self.spectra)
        size = np.abs(wide)
        self.l1, self.l2, self.top = size.sum((2, 3)), np.sqrt((size * size).sum((2, 3))), size.max((2, 3))
        self.shares: dict[int, Array] = {}

    def share(self, work: _Work, out: int) -> Array:
        """How much each element of a tile counts in the mean of S over the tile's outputs."""
        if out not in self.shares:
            share = np.abs(self.weight[out], dtype=np.float64)
            for axis in work.axes:
                share = _spread(share, axis, (work.h, work.w)[axis])
            self.shares[out] = share
        return self.shares[out]


def _spread(taps: Array, axis: int, cut: _Axis) -> Array:
    """The mean of the copies of `taps` that lie under the outputs of a tile: differences, summed up."""
    shape = list(taps.shape)
    shape[axis] = cut.chunk * cut.stride + cut.kernel
    spread = np.zeros(shape)
    along, taps = np.moveaxis(spread, axis, 0), np.moveaxis(taps, axis, 0) / cut.chunk
    along[: cut.kernel] = taps
    along[-cut.kernel :] -= taps
    for residue in range(cut.stride):
        np.cumsum(along[residue :: cut.stride], axis=0, out=along[residue :: cut.stride])
    return np.moveaxis(along[: -cut.stride], 0, axis)


# ---- tiles -----------------------------------------------------------------------------------------------


def _convolve(work: _Work, bank: _Bank, places: list[tuple[Place, Place]], x: Array, y: Array) -> None:
    """Convolve a stack of tiles of one image."""
    source = work.source[:, : len(places)]
    source.fill(0)
    for tile, place in enumerate(places):
        _fetch(x, place, source[:, tile])
    spectrum = work.transform(source, work.spectrum[:, : len(places)])
    trusted = np.empty((len(y), len(places)), bool)
    for out in range(len(y)):
        result = work.correlate(spectrum, bank.spectra[out])
        if bank.bias is not None:
            result += bank.bias[out]
        trusted[out] = _trusted(work, bank, out, source, result, y.dtype)
        if bank.activation is not None:
            np.maximum(result, 0, out=result)
        for tile, ((_, _, rows), (_, _, columns)) in enumerate(places):
            y[out, rows, columns] = result[tile]
    for tile, place in enumerate(places):
        if not trusted[:, tile].all():
            _directly(work, bank, np.flatnonzero(~trusted[:, tile]), place, x, y)


def _fetch(x: Array, place: tuple[Place, Place], tile: Array) -> None:
    (into_h, rows, _), (into_w, columns, _) = place
    if not isinstance(rows, slice) and not isinstance(columns, slice):
        rows = rows[:, np.newaxis]
    tile[:, into_h, into_w] = x[:, rows, columns]


def _directly(work: _Work, bank: _Bank, out: Array, place: tuple[Place, Place], x: Array, y: Array) -> None:
    """Compute these channels of a tile without a transform."""
    source = np.zeros((1, len(x), work.h.used, work.w.used), x.dtype)
    _fetch(x, place, source[0])
    bias, stride = None if bank.bias is None else bank.bias[out], (work.h.stride, work.w.stride)
    given = 2, source, bank.weight[out], bias, stride, 0, 1, 1, "zeros", bank.activation, None
    try:
        result = _core.conv(*given, "direct")
    except ValueError:  # its rows would not fit
        result = _core.conv(*given, "ref")
    y[out, place[0][2], place[1][2]] = result[0]


def _trusted(work: _Work, bank: _Bank, out: int, source: Array, result: Array, dtype: np.dtype[Any]) -> Array:
    """Whether each tile of a stack surely keeps 16 u S, and is finite.

    Half of that is for the rounding that goes with the results. The other half is for the noise that spreads:
    within 20 times a random walk's |x|_2 |w|_2 / sqrt(points) plus 4 |x|_1 |w|_1 / points, the mean of S all
    round the tile, or 6 max |x| max |w|, whichever is more (measured; the norms are the tile's and the
    kernel's). S is known to be at least any result, and at least its mean.
    """
    unit = 8 * float(np.finfo(dtype).eps / np.finfo(np.float64).eps)
    peak = np.maximum(result.max((1, 2)), -result.min((1, 2)))
    finite = peak <= np.finfo(dtype).max
    l1, l2, top = 4 * bank.l1[out], 20 * bank.l2[out], 6 * bank.top[out]
    # Of the root of the mean square no mean is more, no maximum more than sqrt(points) times; a square of
    # less than 1e-300 is lost.
    rms = np.sqrt(np.einsum(f"cbij,cbij->b{work.rest}c", source, source) / work.points + 1e-300)
    noise = (rms * np.maximum(l1 + l2, math.sqrt(work.points) * top)).sum(-1)
    trusted: Array = finite & (noise.reshape(len(result), -1).max(1) <= unit * peak)
    for tile in np.flatnonzero(finite & ~trusted):
        size = np.abs(source[:, tile, : work.h.used, : work.w.used])
        spread = size.sum(work.axes).T / work.points * l1 + rms[tile] * l2
        noise = np.maximum(spread, size.max(work.axes).T * top).sum(-1).max()
        mean = np.einsum(f"cij,cij->{work.rest}", size, bank.share(work, out)).max()
        trusted[tile] = noise <= unit * max(mean, peak[tile]) or not size.any()
    return trusted
