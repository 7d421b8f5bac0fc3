"""`strict` keeps `auto` to sums in the order of the definition."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from problems import Problem

import fastconv as fc
from fastconv import _core

SHAPES = (1, 64, 28, 28), (64, 64, 3, 3)


def test_the_choice_follows() -> None:
    assert not _core.get_strict()
    assert fc.explain(*SHAPES, padding=1).algorithm == "winograd"
    with fc.strict():
        assert fc.explain(*SHAPES, padding=1).algorithm != "winograd"
        assert fc.explain(*SHAPES, padding=1, algorithm="winograd").algorithm == "winograd"
        with fc.strict():
            pass
        assert _core.get_strict()
    assert not _core.get_strict()


def test_set_strict() -> None:
    fc.set_strict(True)
    try:
        assert fc.explain(*SHAPES, padding=1).algorithm != "winograd"
    finally:
        fc.set_strict(False)
    with pytest.raises(TypeError, match="flag must be True or False, got 1"):
        fc.set_strict(1)  # type: ignore[arg-type]


def test_strict_keeps_the_bound_of_every_element(isa: str) -> None:
    problem = Problem.parse("n1ic64oc17_ih28kh3ph1")
    x, w, b, _ = problem.arrays("float32")
    x[..., ::2] *= np.float32(1e-6)  # where a tile's largest outputs are far above the others
    exact = tuple(array.astype(np.float64) for array in (x, w, b))
    with fc.strict():
        y = fc.conv2d(x, w, b, padding=1)
        error = np.abs(y - fc.conv2d(*exact, padding=1))
    magnitude = fc.conv2d(*map(np.abs, exact), padding=1)
    terms = 64 * 9
    assert (error <= (6 * np.sqrt(terms) + 12) * np.finfo(np.float32).eps / 2 * magnitude).all()


@pytest.mark.parametrize(("value", "expected"), [("1", "True"), ("on", "True"), *((off, "False") for off in ("0", "", "false", "False", "no", "OFF"))])
def test_environment(value: str, expected: str) -> None:
    code = "from fastconv import _core; print(_core.get_strict())"
    env = {**os.environ, "FASTCONV_STRICT": value}
    output = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    assert output.stdout.strip() == expected
