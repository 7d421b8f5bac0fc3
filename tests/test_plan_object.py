"""Plans: their arguments, and what they are as objects."""

from __future__ import annotations

import copy
import os
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import Problem
from test_arguments import BAD_1D, BAD_2D, BAD_ARRAYS, GOOD_1D, GOOD_2D, describe
from test_plan import PROBLEMS, every_plan, make, problems

import fastconv as fc

# ---- arguments -------------------------------------------------------------------------------------------


@problems
def test_out(problem: Problem) -> None:
    x, w, b, dy = problem.arrays()
    for _, plan in every_plan(problem, (x, w, b, dy)):
        y = plan(x)
        dense = np.full_like(y, np.nan)
        assert plan(x, dense) is dense
        np.testing.assert_array_equal(dense, y)
        room = np.full((*y.shape[:-1], 2 * y.shape[-1]), np.nan, y.dtype)
        spread = room[..., ::2]
        assert plan(x, out=spread) is spread
        np.testing.assert_array_equal(spread, y)
        assert np.isnan(room[..., 1::2]).all()


def read_only(*shape: int) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.zeros((2, 3, 9, 9), np.float64), TypeError),
        (np.zeros((2, 3, 9, 9), np.dtype(np.float32).newbyteorder()), TypeError),
        (np.zeros((2, 3, 9, 8), np.float32), ValueError),
        (np.zeros((3, 9, 9), np.float32), ValueError),
        (read_only(2, 3, 9, 9), ValueError),
        ([0.0], TypeError),
    ],
    ids=describe,
)
def test_bad_out(out: Any, error: type[Exception]) -> None:
    problem = Problem.parse("n2ic3oc3_ih9kh3ph1")
    arrays = problem.arrays()
    with pytest.raises(error, match="out must"):
        make(problem, arrays)(arrays[0], out=out)


def test_out_must_not_overlap_x() -> None:
    problem = Problem.parse("n2ic3oc3_ih9kh3ph1")
    plan = make(problem, problem.arrays())
    memory = np.zeros((4, 3, 9, 9), np.float32)
    for out in (memory[:2], memory[1:3], memory[:2, :, ::-1]):
        with pytest.raises(ValueError, match="out must not overlap"):
            plan(memory[:2], out=out)
    plan(memory[:2], out=memory[2:])
    channels = np.zeros((2, 6, 9, 9), np.float32)
    plan(channels[:, :3], out=channels[:, 3:])


def test_out_must_not_overlap_itself() -> None:
    problem = Problem.parse("n2ic3oc3_ih9kh3ph1")
    arrays = problem.arrays()
    out = np.lib.stride_tricks.as_strided(np.zeros(9, np.float32), (2, 3, 9, 9), (0, 0, 0, 4))
    with pytest.raises(ValueError, match="out must not overlap itself"):
        make(problem, arrays)(arrays[0], out=out)


def test_x_must_be_what_was_planned_for() -> None:
    problem = Problem.parse("n2ic3oc5_ih9kh3ph1")
    x, w, b, dy = problem.arrays()
    plan = make(problem, (x, w, b, dy))
    for bad in (x[:1], x[0], x[..., :-1], np.concatenate([x, x])):
        with pytest.raises(ValueError, match=r"x must have the shape \(2, 3, 9, 9\)"):
            plan(bad)
    with pytest.raises(TypeError, match="x must have dtype float32.*got float64"):
        plan(x.astype(np.float64))
    with pytest.raises(TypeError):
        plan()


@pytest.mark.parametrize(("value", "error"), BAD_ARRAYS, ids=describe)
def test_arrays(value: Any, error: type[Exception]) -> None:
    arguments = {"x_shape": GOOD_1D["x"].shape} | {k: GOOD_1D[k] for k in ("weight", "bias", "groups")}
    with pytest.raises(error, match="x"):
        fc.plan_conv1d(**arguments)(value)
    for name in ("weight", "bias"):
        with pytest.raises(error, match=name):
            fc.plan_conv1d(**arguments | {name: value})


def test_wider_plans_take_narrower_inputs() -> None:
    problem = Problem.parse("n2ic3oc5_ih9kh3ph1")
    x, w, b, dy = problem.arrays()
    wide = fc.conv2d(*(a.astype(np.float64) for a in (x, w, b)), **problem.arguments())
    for weights in ((w.astype(np.float64), b), (w, b.astype(np.float64))):
        plan = make(problem, (x, *weights, dy))
        assert plan.dtype == np.float64
        np.testing.assert_array_equal(plan(x), wide)
        np.testing.assert_array_equal(plan(x.astype(np.float64)), wide)


@problems
def test_unbatched_and_empty(problem: Problem) -> None:
    x, w, b, dy = problem.arrays()
    whole = make(problem, (x, w, b, dy))(x)
    one = make(problem, (x[0], w, b, dy))(x[0])
    assert one.shape == problem.output_shape[1:]
    assert one.tobytes() == whole[0].tobytes()
    for _, plan in every_plan(problem, (x[:0], w, b, dy)):
        assert plan(x[:0]).shape == plan.output_shape == (0, *problem.output_shape[1:])


def bad_calls() -> Iterator[Any]:
    """Those of the functions, with the shape for x."""
    for good, bad in ((GOOD_1D, BAD_1D), (GOOD_2D, BAD_2D)):
        plan = fc.plan_conv1d if good is GOOD_1D else fc.plan_conv2d
        arguments = {"x_shape" if k == "x" else k: v.shape if k == "x" else v for k, v in good.items()}
        for name, value, error in bad:
            if name == "x" and value is not None:
                yield pytest.param(plan, arguments | {"x_shape": value.shape}, "x", error)
            elif name not in ("x", "out"):
                yield pytest.param(plan, arguments | {name: value}, name, error)
        for value, error in ((None, TypeError), (9, TypeError), ((9.0,), TypeError), ((-2,), ValueError)):
            yield pytest.param(plan, arguments | {"x_shape": value}, "x_shape", error)
        for value, error in (("fastest", ValueError), (3, TypeError), (["auto"], TypeError)):
            yield pytest.param(plan, arguments | {"algorithm": value}, "algorithm", error)


@pytest.mark.parametrize(("plan", "arguments", "name", "error"), list(bad_calls()))
def test_bad_arguments(plan: Any, arguments: dict[str, Any], name: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        plan(**arguments)


# ---- the object ------------------------------------------------------------------------------------------


def test_is_immutable_and_of_this_process() -> None:
    problem = PROBLEMS[1]
    plan = make(problem, problem.arrays())
    for name in ("x_shape", "output_shape", "dtype", "algorithm", "packed_bytes", "scratch_bytes", "other"):
        with pytest.raises(AttributeError):
            setattr(plan, name, None)
    for clone in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="plan"):
            clone(plan)
    assert plan.packed_bytes >= problem.arrays()[1].nbytes
    assert plan.scratch_bytes >= 0
    assert plan.algorithm in repr(plan)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_plans_give_their_memory_back() -> None:
    problem = Problem.parse("n1ic32oc32_ih14kh3ph1")
    arrays = problem.arrays()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def make_and_drop(count: int) -> None:
        for _ in range(count):
            make(problem, arrays, algorithm="winograd")(arrays[0])
            with pytest.raises(ValueError, match="bias"):
                make(problem, (arrays[0], arrays[1], arrays[2][1:], arrays[3]))

    make_and_drop(100)
    before = resident()
    make_and_drop(2000)
    packed = make(problem, arrays, algorithm="winograd").packed_bytes
    assert packed > 50_000
    assert resident() - before < 50 * packed


def test_memory_of_large_results_serves_again_when_nobody_holds_them() -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((1, 1, 1100, 1000), np.float32), rng.standard_normal((8, 1, 1, 1), np.float32)
    plan = fc.plan_conv2d(x.shape, weight)
    y = plan(x)
    assert y.nbytes > 2**25
    kept, address = y.copy(), y.ctypes.data
    view = y[0, 3]
    del y
    other = plan(2 * x)  # the view holds the first result
    assert other.ctypes.data != address
    np.testing.assert_array_equal(view, kept[0, 3])
    del view
    again = plan(x)
    assert again.ctypes.data == address
    np.testing.assert_array_equal(again, kept)
    np.testing.assert_array_equal(other, 2 * kept)
    again.shape = (8, 1100, 1000)  # what has another shape now is no result of this plan
    del again
    assert plan(x).shape == kept.shape


def test_layers_keep_no_large_results() -> None:
    layer = fc.nn.Conv2d(1, 8, 1, rng=0).eval()
    y = layer(np.zeros((1, 1, 1100, 1000), np.float32))
    gone = weakref.ref(y)
    layer._saved = None
    del y
    assert gone() is None
