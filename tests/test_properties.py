"""Random problems in random memory layouts, on every ISA, within the promised error.

``pytest --hypothesis-profile=thorough`` runs thousands.
"""

from __future__ import annotations

import numpy as np
from bounds import PASSES, TILE, assert_within, expected_from, function, run
from hypothesis import given
from hypothesis import strategies as st
from problems import Problem
from strategies import AVAILABLE_ISAS, LAYOUTS, layouts, problems

import fastconv as fc

dtypes = st.sampled_from(("float32", "float64"))
isas = st.sampled_from(AVAILABLE_ISAS)
seeds = st.integers(0, 2**16)


@given(problems(), dtypes, isas, st.integers(1, 3), seeds)
def test_every_pass_keeps_the_bound(problem: Problem, dtype: str, isa: str, threads: int, seed: int) -> None:
    arrays = problem.arrays(dtype, seed)
    with fc.use_isa(isa), fc.threads(threads):
        actual = run(fc, problem, arrays)
    expected = expected_from(problem, arrays)
    for name in PASSES:
        assert_within(actual[name], expected[name], dtype, TILE if name in ("fwd", "bwd_data") else 1)


@given(problems(), dtypes, isas, st.tuples(layouts, layouts, layouts, layouts), seeds)
def test_any_layout(problem: Problem, dtype: str, isa: str, chosen: tuple[str, ...], seed: int) -> None:
    arrays = problem.arrays(dtype, seed)
    moved = tuple(LAYOUTS[name](array) for name, array in zip(chosen, arrays, strict=True))
    with fc.use_isa(isa):
        actual = run(fc, problem, moved)
    for array, original in zip(moved, arrays, strict=True):
        np.testing.assert_array_equal(array, original, "an input was written to")
    expected = expected_from(problem, arrays)
    for name in PASSES:
        assert_within(actual[name], expected[name], dtype, TILE if name in ("fwd", "bwd_data") else 1)


@given(
    problems(), dtypes, isas, st.sampled_from(("contiguous", "fortran", "negative", "strided", "misaligned"))
)
def test_out_in_any_layout(problem: Problem, dtype: str, isa: str, layout: str) -> None:
    x, w, b, dy = problem.arrays(dtype)
    conv = function(fc, "conv", problem.ndim)
    out = LAYOUTS[layout](np.full_like(dy, np.nan))
    with fc.use_isa(isa):
        y = conv(x, w, b, **problem.arguments())
        assert conv(x, w, b, **problem.arguments(), out=out) is out
    np.testing.assert_array_equal(out, y)
