"""Plans: the results of the functions, and the same bits whoever computes them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from bounds import ALGORITHMS, TRANSFORMS, assert_within, expected, function, or_none
from problems import CATALOGUE, Problem, parse
from strategies import AVAILABLE_ISAS, LAYOUTS
from test_conv import LARGER
from test_footprint import PROBLEMS as FOOTPRINTS
from test_footprint import places

import fastconv as fc
from fastconv import reference
from fastconv._core import Plan

# One of each kind of packing: none, both sizes of tile in 2-D, 1-D, groups.
PROBLEMS = parse("""
    n2ic3oc5_iw11kw3sw2pw1  n2ic17oc9_ih9kh3ph1  n2ic64oc33_ih16kh3ph1  n2ic40oc24_iw60kw3pw1
    n2g2ic66oc8_ih11kh3ph1  n1ic30oc20_ih7kh3ph1
""")
problems = pytest.mark.parametrize("problem", PROBLEMS, ids=str)


def make(problem: Problem, arrays: tuple[np.ndarray, ...], **options: Any) -> Plan:
    x, w, b, _ = arrays
    return function(fc, "plan_conv", problem.ndim)(x.shape, w, b, **problem.arguments() | options)


def every_plan(problem: Problem, arrays: tuple[np.ndarray, ...]) -> Iterator[tuple[str, Plan]]:
    """A plan for each algorithm that applies, under the name that was asked for."""
    for algorithm in ALGORITHMS:
        plan = or_none(make, problem, arrays, algorithm=algorithm)
        if plan is not None:
            yield algorithm, plan


# ---- numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", CATALOGUE, ids=str)
def test_catalogue(problem: Problem, isa: str, dtype: str) -> None:
    arrays = problem.arrays(dtype)
    for algorithm, plan in every_plan(problem, arrays):
        assert algorithm in ("auto", plan.algorithm)
        assert plan.x_shape == problem.x_shape
        assert plan.output_shape == problem.output_shape
        assert plan.dtype == dtype
        y = plan(arrays[0])
        assert_within(y, expected(problem, dtype)["fwd"], dtype, TRANSFORMS.get(algorithm, 1))


@problems
def test_strict_is_that_of_planning(problem: Problem, isa: str, dtype: str) -> None:
    """A strict plan keeps to the definition, to which small integers are exact, and the switch is not asked again."""
    rng = np.random.default_rng(0)
    arrays = tuple(rng.integers(-3, 4, array.shape).astype(dtype) for array in problem.arrays(dtype))
    exact = function(reference, "conv", problem.ndim)(*arrays[:3], **problem.arguments())
    free = make(problem, arrays)
    with fc.strict():
        strict = make(problem, arrays)
        y = free(arrays[0])
    assert strict.algorithm not in TRANSFORMS
    np.testing.assert_array_equal(strict(arrays[0]), exact)
    assert free(arrays[0]).tobytes() == y.tobytes()


def test_strict_leaves_no_transform_to_auto() -> None:
    problem = Problem.parse("n1ic64oc64_ih28kh3ph1")
    arrays = problem.arrays()
    assert make(problem, arrays).algorithm == "winograd"
    with fc.strict():
        assert make(problem, arrays).algorithm != "winograd"
        assert make(problem, arrays, algorithm="winograd").algorithm == "winograd"


@pytest.mark.parametrize("problem", FOOTPRINTS, ids=str)
def test_footprint(problem: Problem, isa: str, dtype: str) -> None:
    """A NaN or Inf reaches exactly the outputs whose window covers it."""
    arrays = problem.arrays(dtype)
    conv, ones = function(reference, "conv", problem.ndim), np.ones_like(arrays[1])
    plans = dict(every_plan(problem, arrays))
    for place, poison in zip(places(problem.x_shape), cycle((np.nan, np.inf, -np.inf)), strict=False):
        poisoned, mark = arrays[0].copy(), np.zeros_like(arrays[0])
        poisoned[place], mark[place] = poison, 1
        covered = conv(mark, ones, **problem.arguments()) > 0
        for algorithm, plan in plans.items():
            np.testing.assert_array_equal(~np.isfinite(plan(poisoned)), covered, err_msg=algorithm)


@problems
def test_activation_and_no_bias(problem: Problem, isa: str) -> None:
    x, w, b, dy = problem.arrays()
    for algorithm, plan in every_plan(problem, (x, w, b, dy)):
        rectified = make(problem, (x, w, b, dy), activation="relu", algorithm=algorithm)
        np.testing.assert_array_equal(rectified(x), np.maximum(plan(x), 0))
        bare = make(problem, (x, w, None, dy), algorithm=algorithm)
        zero = make(problem, (x, w, np.zeros_like(b), dy), algorithm=algorithm)
        np.testing.assert_array_equal(bare(x), zero(x))


@problems
def test_what_is_added_as_results_are_stored(problem: Problem, isa: str, dtype: str) -> None:
    arrays = problem.arrays(dtype)
    beside = np.random.default_rng(3).standard_normal(problem.output_shape).astype(dtype)
    exact = expected(problem, dtype)["fwd"]
    exact = exact._replace(value=exact.value + beside, terms=exact.terms + 1, magnitude=exact.magnitude + np.abs(beside))
    for algorithm, plan in every_plan(problem, arrays):
        assert_within(plan.added(arrays[0], beside), exact, dtype, TRANSFORMS.get(algorithm, 1))
        rectified = make(problem, arrays, activation="relu", algorithm=algorithm)
        np.testing.assert_array_equal(rectified.added(arrays[0], beside), np.maximum(plan.added(arrays[0], beside), 0))
        spare = beside.copy()
        written = plan.added(arrays[0], spare, True)
        np.testing.assert_array_equal(written, plan.added(arrays[0], beside))
        if algorithm != "auto":
            assert (written is spare) == (algorithm in ("direct", "gemm"))
        np.testing.assert_array_equal(spare, written if written is spare else beside)
    with pytest.raises(ValueError, match="one shape"):
        plan.added(arrays[0], beside[..., 1:])


# ---- the same bits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["gemm", "direct"])
def test_threads_share_whole_tiles_of_packed_rows(algorithm: str, isa: str) -> None:
    problem = Problem.parse("n1ic160oc323_ih7kh1")  # fewer columns than rows: the threads divide these
    arrays = problem.arrays()
    plan = make(problem, arrays, algorithm=algorithm)
    with fc.threads(1):
        alone = plan(arrays[0])
    assert_within(alone, expected(problem, "float32")["fwd"], "float32")
    for threads in (2, 3, 4):
        with fc.threads(threads):
            np.testing.assert_array_equal(plan(arrays[0]), alone)


# Rows of 1 to 4 columns that fill no tile: one tile, several, none left alone; cut channels; tiles of two heights in blocks of rows.
LAST_COLUMNS = parse("""
    ic64oc1_ih7kh1  ic64oc40_ih7kh1  ic1100oc101_ih7kh1  ic300oc35_ih6kh3ph1  g2ic80oc54_ih14kh1  ic65oc47_iw35kw2  ic64oc13_iw19kw3pw1
""")


@pytest.mark.parametrize("problem", LAST_COLUMNS, ids=str)
def test_the_last_columns_are_those_of_any_batch(problem: Problem, isa: str, dtype: str) -> None:
    x, w, b, _ = arrays = replace(problem, n=3).arrays(dtype)
    beside = np.random.default_rng(1).standard_normal(replace(problem, n=3).output_shape).astype(dtype)
    together = make(replace(problem, n=3), arrays, algorithm="gemm", activation="relu").added(x, beside)
    exact = expected(problem, dtype)["fwd"]
    assert_within(make(problem, problem.arrays(dtype), algorithm="gemm")(problem.arrays(dtype)[0]), exact, dtype)
    for image in range(3):
        alone = make(problem, (x[image : image + 1], w, b, None), algorithm="gemm", activation="relu")
        np.testing.assert_array_equal(alone.added(x[image : image + 1], beside[image : image + 1])[0], together[image])


@pytest.mark.parametrize("problem", PROBLEMS + LARGER, ids=str)
def test_same_bits_for_any_number_of_threads(problem: Problem) -> None:
    arrays = problem.arrays()
    plans = []
    for threads in (1, 2, 3):
        with fc.threads(threads):
            plans.append(make(problem, arrays))
    with fc.threads(1):
        alone = plans[0](arrays[0]).tobytes()
    for threads in (1, 2, 3):
        with fc.threads(threads):
            assert all(plan(arrays[0]).tobytes() == alone for plan in plans)


@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize("name", ["n4ic32oc32_ih28kh3ph1", "n100ic15oc15_iw19kw3sw2"])
def test_one_plan_called_from_many_threads(name: str, inner: int) -> None:
    problem = Problem.parse(name)
    plan = make(problem, problem.arrays())
    inputs = [problem.arrays(seed=seed)[0] for seed in range(8)]
    alone = [plan(x).tobytes() for x in inputs]

    def repeatedly(x: np.ndarray) -> list[bytes]:
        return [plan(x).tobytes() for _ in range(20)]

    with fc.threads(inner), ThreadPoolExecutor(len(inputs)) as pool:
        for bits, results in zip(alone, pool.map(repeatedly, inputs), strict=True):
            assert set(results) == {bits}


@problems
def test_the_isa_is_that_of_planning(problem: Problem) -> None:
    arrays = problem.arrays()
    made = {}
    for isa in AVAILABLE_ISAS:
        with fc.use_isa(isa):
            made[isa] = [(plan, plan(arrays[0]).tobytes()) for _, plan in every_plan(problem, arrays)]
    for active in AVAILABLE_ISAS:
        with fc.use_isa(active):
            for plans in made.values():
                assert all(plan(arrays[0]).tobytes() == bits for plan, bits in plans)


@problems
def test_weights_are_copied(problem: Problem) -> None:
    x, w, b, dy = problem.arrays()
    for _, plan in every_plan(problem, (x, w, b, dy)):
        before, kept = plan(x).tobytes(), (w.copy(), b.copy())
        w[...], b[...] = np.nan, np.nan
        assert plan(x).tobytes() == before
        w[...], b[...] = kept


@problems
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(problem: Problem, layout: str) -> None:
    x, w, b, dy = problem.arrays()
    moved = tuple(LAYOUTS[layout](array) for array in (x, w, b, dy))
    same = make(problem, (x, w, b, dy))(x)
    np.testing.assert_array_equal(make(problem, (x, w, b, dy))(moved[0]), same)
    np.testing.assert_array_equal(make(problem, moved)(x), same)
