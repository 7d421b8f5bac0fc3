"""One textual name per convolution, and the catalogue of those that tests and benchmarks share.

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

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path
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
        """Read a problem's name."""
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
            *(words.get(word, 1) for word in ("n", "g", "ic", "oc")),
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
        return (self.n, self.ic, *self.size)

    @property
    def weight_shape(self) -> Ints:
        return (self.oc, self.ic // self.g, *self.kernel)

    @property
    def output_shape(self) -> Ints:
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


def from_csv(path: str | Path) -> dict[str, Problem]:
    """Read problems by their names from a table such as ``benchmarks/perf_cases.csv``."""
    with open(path, newline="") as file:
        return {row["name"]: _from_row(row) for row in csv.DictReader(file)}


def _from_row(row: dict[str, str]) -> Problem:
    axes = "w" if row["dim"] == "1" else "hw"
    pads = (int(row["p" + axis]) for axis in axes)
    return Problem(
        n=int(row["N"]),
        g=int(row["g"]),
        ic=int(row["C"]),
        oc=int(row["O"]),
        size=tuple(int(row[axis.upper()]) for axis in axes),
        kernel=tuple(int(row["k" + axis]) for axis in axes),
        stride=tuple(int(row["s" + axis]) for axis in axes),
        padding=tuple((pad, pad) for pad in pads),
        dilation=tuple(int(row["d" + axis]) for axis in axes),
    )


_NAMES = """
    n1ic1oc1_iw1kw1  n1ic1oc1_iw2kw2  n2ic2oc3_iw8kw3  n3ic3oc4_iw9kw3pw1  n1ic7oc8_iw17kw3pw1
    n2ic8oc9_iw16kw5pw2  n1ic13oc14_iw31kw3  n1ic14oc15_iw33kw3pw1  n2ic15oc17_iw15kw3pw1
    n1ic16oc16_iw64kw3pw1  n1ic17oc29_iw29kw2  n1ic31oc32_iw32kw1  n1ic33oc31_iw65kw3pw1
    n1ic64oc65_iw13kw3pw1  n1ic65oc64_iw7kw4

    n100ic1oc15_iw40kw3sw2  n100ic15oc15_iw19kw3sw2  n100ic15oc15_iw9kw3sw2
    n7ic15oc15_iw9kw3sw2  n5ic3oc17_iw4kw3  n33ic2oc5_iw3kw3

    n1ic1oc1_iw300kw101pw50  n2ic1oc3_iw257kw101sw3pw50  n2g4ic4oc4_iw150kw31pw15  n1ic4oc5_iw200kw15sw2pw7
    n1ic2oc3_iw21kw2sw4  n1ic3oc2_iw20kw1sw3  n2ic3oc4_iw23kw3sw3pw1  n1ic4oc4_iw33kw3pw4dw4
    n1ic2oc2_iw40kw2pl16dw16  n2g2ic4oc6_iw18kw3pl2  n1ic3oc3_iw10kw3pr3  n1ic2oc2_iw5kw3pw7
    n2ic3oc4_iw12kw5pw2_reflect  n2ic3oc4_iw12kw5sw2pw3_replicate  n2ic3oc4_iw12kw5pl4pr1dw2_circular
    n1ic2oc3_iw3kw3pw3_circular  n1ic2oc3_iw1kw3pw4_replicate

    n1ic1oc1_ih1kh1  n1ic1oc1_ih4kh3  n1ic1oc4_ih9kh3ph1  n1ic3oc4_ih8kh3ph1  n2ic2oc7_ih7kh3ph1
    n1ic8oc8_ih9kh3ph1  n1ic9oc13_ih13kh3ph1  n1ic14oc14_ih15kh3ph1  n1ic15oc15_ih14kh3  n2ic16oc17_ih16kh3ph1
    n1ic17oc16_ih17kh3ph1  n1ic29oc31_ih9kh3ph1  n1ic32oc33_ih8kh3ph1  n1ic33oc64_ih7kh3ph1
    n1ic65oc29_ih6kh3ph1  n1ic5oc3_ih5iw33kh3ph1  n1ic3oc5_ih33iw4kh3ph1  n1ic4oc64_ih3iw65kh3ph1
    n1ic1oc2_ih3iw130kh3ph1

    n1ic3oc16_ih24kh7sh2ph3  n2ic3oc9_ih17kh7sh2ph3  n1ic17oc9_ih15kh3sh2ph1  n1ic8oc15_ih13kh3sh3ph1
    n1ic4oc8_ih16kh4sh4  n1ic4oc7_ih14kh2sh3  n2ic5oc6_ih11kh1sh2  n1ic3oc4_ih12iw13kh3kw5sw2ph1pw2
    n1ic3oc4_ih13iw12kh5kw1sh2sw1ph2pw0  n1ic2oc3_ih10kh3sh4ph1

    n1ic16oc17_ih14kh1  n2ic64oc15_ih7kh1  n1ic7oc33_ih5iw9kh1  n1ic1100oc9_ih3kh1  n1ic1024oc8_ih2kh1
    n1ic9oc17_ih5kh1ph1

    n1ic600oc5_ih4kh3ph1  n1ic5oc600_ih4kh3ph1  n4ic128oc16_ih4kh3ph1  n1ic64oc8_ih5kh4  n1ic40oc130_ih6kh3ph1

    n1ic3oc4_ih12kh3ph2dh2  n1ic8oc17_ih15kh3sh2ph3dh3  n1ic2oc3_ih11iw17kh3kw2ph1pw4dw4  n1ic4oc4_ih9kh2dh5

    n2g2ic4oc6_ih8kh3ph1  n1g3ic9oc51_ih7kh3ph1  n1g32ic128oc128_ih6kh3ph1  n1g4ic64oc68_ih5kh3sh2ph1
    n2g17ic17oc17_ih9kh3ph1  n1g8ic8oc8_ih33kh3ph1  n1g32ic32oc32_ih14kh3sh2ph1  n1g8ic8oc24_ih9kh5ph2
    n1g5ic5oc10_ih12kh5sh2ph2  n1g3ic3oc3_ih15kh7ph3  n1g16ic16oc16_ih8kh3ph2dh2

    n1ic1oc1_ih20kh15ph7  n1ic2oc3_ih16kh15  n1ic1oc1_ih15kh15  n1ic3oc4_ih6kh6  n1ic17oc5_ih4iw3kh4kw3
    n1ic2oc3_ih3kh3ph5  n1ic2oc3_ih8kh3pb1  n1ic3oc4_ih9iw8kh3kw5pt2pl1pr3  n2ic3oc5_ih10kh3sh2pb1
    n1ic3oc4_ih8kh3ph1_reflect  n1ic2oc3_ih7iw9kh5pt4pb1pl2pr3_reflect  n1ic3oc4_ih8kh3sh2ph2_replicate
    n1ic17oc3_ih6kh3ph1_circular  n2g2ic4oc4_ih6kh3pt3pb2pl1pr6dh2_circular
"""

CATALOGUE = [Problem.parse(name) for name in _NAMES.split()]
