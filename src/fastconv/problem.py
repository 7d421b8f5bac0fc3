"""One textual name per convolution: the same in tests, benchmarks, ``FASTCONV_VERBOSE`` lines and bug reports.

A problem's name is made of words and numbers, defaults left out: ``n1ic64oc64_ih56kh3ph1`` is a batch of 1,
64 channels in and out, 56 x 56 pixels, kernel 3 x 3, padding 1; ``n100ic1oc15_iw40kw3sw2`` is 1-D.

=========== ======================= ==========================================================
words       meaning                 default
=========== ======================= ==========================================================
n g ic oc   batch, groups, channels 1
ih iw       input size              no ``ih``: 1-D; no ``iw``: that of ``ih``, and likewise below
kh kw       kernel size             1, but always written
sh sw       stride                  1
ph pw       padding on both sides   0
pt pb pl pr padding on one side     that of ``ph`` and ``pw``; ``pl`` and ``pr`` that of ``pt`` and ``pb``
dh dw       dilation                1
=========== ======================= ==========================================================

A padding mode other than zeros is a last word of its own: ``n1ic1oc1_iw9kw3pw1_circular``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

_WORDS = {"n", "g", "ic", "oc", "pt", "pb", "pl", "pr"} | {size + axis for size in "ikspd" for axis in "hw"}
_MODES = ("reflect", "replicate", "circular")


@dataclass(frozen=True)
class Problem:
    """One convolution; tuples have one entry per spatial dimension."""

    n: int
    g: int
    ic: int
    oc: int
    size: Ints
    kernel: Ints
    stride: Ints
    padding: Pairs
    dilation: Ints
    padding_mode: str = "zeros"

    @classmethod
    def parse(cls, name: str) -> Problem:
        """Read a problem's name.

        Raises
        ------
        ValueError
            For what is none.
        """
        parts = name.split("_")
        mode = parts.pop() if parts[-1] in _MODES else "zeros"
        found = re.findall(r"([a-z]+)(\d+)", "".join(parts))
        words = {word: int(number) for word, number in found}
        all_read = "".join(map("".join, found)) == "".join(parts) and len(words) == len(found)
        if not all_read or not set(words) <= _WORDS or not {"ih", "iw"} & {*words}:
            raise ValueError(f"not a problem: {name!r}")

        def sizes(letter: str, default: int) -> Ints:
            if "ih" not in words:
                return (words.get(letter + "w", default),)
            height = words.get(letter + "h", default)
            return height, words.get(letter + "w", height)

        return cls(
            n=words.get("n", 1),
            g=words.get("g", 1),
            ic=words.get("ic", 1),
            oc=words.get("oc", 1),
            size=sizes("i", 1),
            kernel=sizes("k", 1),
            stride=sizes("s", 1),
            padding=_parse_padding(words),
            dilation=sizes("d", 1),
            padding_mode=mode,
        )

    def __str__(self) -> str:
        groups = f"g{self.g}" if self.g > 1 else ""
        mode = "" if self.padding_mode == "zeros" else f"_{self.padding_mode}"
        return (
            f"n{self.n}{groups}ic{self.ic}oc{self.oc}_"
            + _size_words("i", self.size, None)
            + _size_words("k", self.kernel, None)
            + _size_words("s", self.stride, 1)
            + _padding_words(self.padding)
            + _size_words("d", self.dilation, 1)
            + mode
        )

    @property
    def ndim(self) -> int:
        """Number of spatial dimensions."""
        return len(self.size)

    @property
    def x_shape(self) -> Ints:
        """Batched shape of the input, (N, C, ...)."""
        return (self.n, self.ic, *self.size)

    @property
    def weight_shape(self) -> Ints:
        """Shape of the weight, (O, C / groups, ...)."""
        return (self.oc, self.ic // self.g, *self.kernel)

    @property
    def output_shape(self) -> Ints:
        """Shape of the output, (N, O, ...)."""
        # Counted, not computed: the windows that fit. The library's formula is not to be tested with itself.
        spatial = (
            len(range(0, i + sum(p) - (k - 1) * d, s))
            for i, k, s, p, d in zip(
                self.size, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        return (self.n, self.oc, *spatial)

    @property
    def flops(self) -> int:
        """Multiplications and additions of one pass, those with padding included."""
        return 2 * math.prod(self.output_shape) * math.prod(self.weight_shape[1:])

    def arrays(self, dtype: Any = np.float32, seed: int = 0) -> tuple[np.ndarray, ...]:
        """Return normally distributed x, w, b and dy."""
        rng = np.random.default_rng(seed)
        shapes = self.x_shape, self.weight_shape, (self.oc,), self.output_shape
        return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of the public functions."""
        return {
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.g,
            "padding_mode": self.padding_mode,
        }


def _parse_padding(words: dict[str, int]) -> Pairs:
    if "ih" not in words:
        both = words.get("pw", 0)
        return ((words.get("pl", both), words.get("pr", both)),)
    both = words.get("ph", 0)
    top, bottom = words.get("pt", both), words.get("pb", both)
    left, right = words.get("pl", words.get("pw", top)), words.get("pr", words.get("pw", bottom))
    return (top, bottom), (left, right)


def _size_words(letter: str, values: Ints, default: int | None) -> str:
    """``ih56iw28``, without the words that `parse` would assume."""
    height, width = values if len(values) == 2 else (default, values[0])
    words = ((f"{letter}h", height, default), (f"{letter}w", width, height))
    return "".join(f"{word}{value}" for word, value, assumed in words if value != assumed)


def _padding_words(padding: Pairs) -> str:
    if all(before == after for before, after in padding):
        return _size_words("p", tuple(before for before, _ in padding), 0)
    (top, bottom), (left, right) = padding if len(padding) == 2 else ((0, 0), padding[0])
    words = (("pt", top, 0), ("pb", bottom, 0), ("pl", left, top), ("pr", right, bottom))
    return "".join(f"{word}{value}" for word, value, default in words if value != default)
