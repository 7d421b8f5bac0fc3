"""The catalogue through every pass, algorithm, ISA and dtype: within the promised error, the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bounds import (
    ALGORITHMS,
    BACKWARD,
    PASSES,
    TILE,
    TRANSFORMS,
    assert_within,
    backward,
    expected,
    forward,
    function,
    run,
)
from problems import CATALOGUE, Problem, parse

import fastconv as fc
from fastconv import _core

# Large enough that threads share the work, and that blocks and panels are cut more than once.
LARGER = parse("""
    n1ic64oc64_ih28kh3ph1  n9ic17oc33_ih20kh3ph1  n3ic40oc24_ih29kh3sh2ph1  n2ic96oc200_ih14kh1
    n1g32ic32oc32_ih56kh3ph1  n1ic1oc1_ih200kh5ph2  n1ic1oc1_iw100000kw101pw50  n300ic15oc15_iw19kw3sw2
    n2ic8oc9_ih40iw31kh3ph2dh2_circular  n1ic8oc32_ih48kh9kw5ph4_circular
    n2ic23oc25_ih60iw56kh9kw1pt1pb7pr1dh2_replicate  n40ic200oc300_ih2kh3ph1
""")

# Padded planes that `direct` reads in place, all but their edges.
EDGES = parse("""
    n1ic1oc2_ih200kh5ph2  n2ic3oc5_ih190iw201kh3kw5ph2pw4dh2  n1ic20oc2_ih186kh3ph1
    n1ic2oc1_ih190iw200kh4kw3pt3pb1_reflect  n2g2ic2oc2_iw40000kw31pw15  n1ic4oc1_ih400kh3sh2ph1
    n1ic2oc3_ih41iw1000kh1kw9pw4_circular
""")

# Tiles of winograd for which weights are laid out tile by tile in the call: whole and cut, one group of taps and several.
MANY_TILES = parse("n1ic17oc33_ih97kh5ph2  n1ic20oc5_ih101kh3ph1  n3ic9oc31_iw1000kw7pw3  n1g2ic34oc30_ih64iw160kh3kw4")

# Far more padding than image.
PADDED = parse("n1ic16oc8_ih2iw8kh3ph1pw20000  n1g16ic16oc16_ih3iw8kh3sh2ph1pw9000  n1ic3oc4_iw9kw5pw30000")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("problem", CATALOGUE + PADDED, ids=str)
def test_fwd(problem: Problem, algorithm: str, isa: str, dtype: str) -> None:
    y = forward(fc, problem, problem.arrays(dtype), algorithm)
    if y is None:
        pytest.skip("the algorithm does not apply")
    assert_within(y, expected(problem, dtype)["fwd"], dtype, TRANSFORMS.get(algorithm, 1))


@pytest.mark.parametrize("problem", CATALOGUE, ids=str)
def test_bwd_data(problem: Problem, isa: str, dtype: str) -> None:
    x, w, _, dy = problem.arrays(dtype)
    backward = function(fc, "conv_backward", problem.ndim)
    dx, dw, db = backward(dy, x, w, **problem.arguments(), need=(True, False, False))
    assert dw is None
    assert db is None
    assert_within(dx, expected(problem, dtype)["bwd_data"], dtype, TILE)


@pytest.mark.parametrize("problem", CATALOGUE, ids=str)
def test_bwd_weights(problem: Problem, isa: str, dtype: str) -> None:
    x, w, _, dy = problem.arrays(dtype)
    backward = function(fc, "conv_backward", problem.ndim)
    dx, dw, db = backward(dy, x, w, **problem.arguments(), need=(False, True, True))
    assert dx is None
    assert_within(dw, expected(problem, dtype)["bwd_weights"], dtype)
    assert_within(db, expected(problem, dtype)["bwd_bias"], dtype)


@pytest.mark.parametrize(
    ("pass_", "algorithm"),
    [each for each in BACKWARD if each[1] != "auto"],
)
@pytest.mark.parametrize("problem", CATALOGUE + LARGER[:5], ids=str)
def test_every_kernel_of_backward(
    problem: Problem, pass_: str, algorithm: str, isa: str, dtype: str
) -> None:
    """Those too that `auto` leaves to other shapes."""
    grad = backward(problem, problem.arrays(dtype), pass_, algorithm)
    if grad is None:
        pytest.skip("the algorithm does not apply")
    assert_within(grad, expected(problem, dtype)[pass_], dtype, TRANSFORMS.get(algorithm, 1))


@pytest.mark.parametrize("problem", LARGER, ids=str)
def test_larger_problems(problem: Problem, isa: str, dtype: str) -> None:
    actual = run(fc, problem, problem.arrays(dtype))
    for name in PASSES:
        assert_within(actual[name], expected(problem, dtype)[name], dtype, TILE if name in ("fwd", "bwd_data") else 1)


@pytest.mark.parametrize("problem", MANY_TILES, ids=str)
def test_many_tiles(problem: Problem, isa: str, dtype: str) -> None:
    arrays = problem.arrays(dtype)
    assert_within(forward(fc, problem, arrays, "winograd"), expected(problem, dtype)["fwd"], dtype, TILE)
    dx = backward(problem, arrays, "bwd_data", "winograd")
    assert_within(dx, expected(problem, dtype)["bwd_data"], dtype, TILE)


# Rows that threads split, in blocks of whole tiles: 68 in tiles of 14, 91 in tiles of 13.
@pytest.mark.parametrize("problem", parse("n1ic68oc115_ih16iw12kh3kw4ph2  n3ic91oc57_ih7iw17kh6kw7pw1"), ids=str)
def test_rows_of_winograd_that_threads_split(problem: Problem, isa: str, dtype: str) -> None:
    arrays = problem.arrays(dtype)
    for threads in (1, 2, 3):
        with fc.threads(threads):
            dx = backward(problem, arrays, "bwd_data", "winograd")
            assert_within(dx, expected(problem, dtype)["bwd_data"], dtype, TILE)


# Gradients of strides: lattices of as many taps each or not, of grids that differ, with gaps between their results on one axis or both.
LATTICES = parse("""
    n1ic33oc64_ih32kh4sh2ph1  n2ic24oc40_ih25iw33kh4sh2ph2  n1ic20oc64_ih24kh6sh2ph2  n1ic17oc48_ih22kh4sh2  n3ic15oc64_ih9iw36kh1kw4sh1sw2
    n1ic18oc112_ih25iw22kh3sh2ph1  n2ic9oc40_ih26kh5sh2ph2  n1ic12oc70_iw90kw7sw3pw4  n1ic48oc64_ih12iw36kh4kw8sh2sw4ph2pw5
    n2g3ic96oc144_iw77kw6sw3pw2  n2ic30oc64_ih26iw16kh4kw2sh2sw2  n1ic10oc64_ih18kh4sh2ph5dh3  n1ic10oc112_ih18kh4sh3ph2dh2
""")


@pytest.mark.parametrize("problem", LATTICES, ids=str)
def test_winograd_of_strided_gradients(problem: Problem, isa: str, dtype: str) -> None:
    results = []
    for threads in (1, 3):
        with fc.threads(threads):
            results.append(backward(problem, problem.arrays(dtype), "bwd_data", "winograd"))
    alone, shared = results
    assert alone is not None
    assert_within(alone, expected(problem, dtype)["bwd_data"], dtype, TILE)
    assert shared.tobytes() == alone.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("problem", EDGES, ids=str)
def test_edges_of_planes_that_are_read_in_place(problem: Problem, threads: int, isa: str, dtype: str) -> None:
    x, w, _, dy = problem.arrays(dtype)
    with fc.threads(threads):
        y = forward(fc, problem, problem.arrays(dtype), "direct")
        need = (True, False, False)
        dx, _, _ = _core.conv_backward(problem.ndim, dy, x, w, **problem.arguments(), need=need, data_algorithm="direct")
    assert_within(y, expected(problem, dtype)["fwd"], dtype)
    assert_within(dx, expected(problem, dtype)["bwd_data"], dtype)


@pytest.mark.parametrize("problem", CATALOGUE, ids=str)
def test_small_integers_are_exact(problem: Problem, isa: str, dtype: str) -> None:
    """Where every partial sum is an integer that the dtype holds, there is nothing to round."""
    rng = np.random.default_rng(0)
    arrays = tuple(rng.integers(-3, 4, array.shape).astype(dtype) for array in problem.arrays(dtype))
    exact = run(fc.reference, problem, tuple(array.astype(np.float64) for array in arrays))
    for algorithm in set(ALGORITHMS) - set(TRANSFORMS):
        y = forward(fc, problem, arrays, algorithm)
        if y is not None:
            np.testing.assert_array_equal(y, exact["fwd"])
    with fc.strict():
        actual = run(fc, problem, arrays)
    for name in PASSES:
        np.testing.assert_array_equal(actual[name], exact[name])


# ---- the same bits ---------------------------------------------------------------------------------------


def assert_same_bits(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, array in expected.items():
        assert actual[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("problem", CATALOGUE + LARGER, ids=str)
def test_same_bits_for_any_number_of_threads(problem: Problem, isa: str) -> None:
    arrays = problem.arrays("float32")
    with fc.threads(1):
        alone = run(fc, problem, arrays)
    for threads in (1, 2, 3):
        with fc.threads(threads):
            assert_same_bits(run(fc, problem, arrays), alone)


def test_zeros_keep_their_sign_for_any_number_of_threads(isa: str, dtype: str) -> None:
    """Outputs of a transposed convolution that no tap meets are their bias, -0.0 too, whoever adds beside them."""
    x, w = np.ones((1, 100, 5, 5), dtype), np.ones((100, 6, 2, 1), dtype)
    b = np.full(6, -0.0, dtype)
    for threads in (1, 2, 3):
        with fc.threads(threads):
            y = fc.conv_transpose2d(x, w, b, stride=(3, 1))
        assert np.signbit(y[:, :, 2::3]).all()
        assert (y[:, :, ::3] == 100).all()


@pytest.mark.parametrize("problem", [p for p in CATALOGUE + LARGER if p.n > 1], ids=str)
def test_same_bits_for_any_split_of_the_batch(problem: Problem, isa: str, dtype: str) -> None:
    x, w, b, dy = problem.arrays(dtype)
    conv = function(fc, "conv", problem.ndim)
    backward = function(fc, "conv_backward", problem.ndim)
    whole = run(fc, problem, (x, w, b, dy))
    cut = problem.n // 2
    examples = [slice(0, 1), slice(problem.n - 1, problem.n), slice(0, cut), slice(cut, problem.n)]
    for part in examples:
        y = conv(x[part], w, b, **problem.arguments())
        dx = backward(dy[part], x[part], w, **problem.arguments(), need=(True, False, False))[0]
        assert_same_bits({"fwd": y, "bwd_data": dx}, {k: whole[k][part] for k in ("fwd", "bwd_data")})
    y = conv(x[0], w, b, **problem.arguments())
    assert y.shape == problem.output_shape[1:]
    assert y.tobytes() == whole["fwd"][0].tobytes()


@pytest.mark.parametrize("problem", [*CATALOGUE, *LARGER, *parse("n7ic17oc8_iw18kw5pw2")], ids=str)
@pytest.mark.parametrize("pass_", ["fwd", "bwd_data"])
def test_the_choice_knows_no_batch(problem: Problem, pass_: str, isa: str, dtype: str) -> None:
    def choice(n: int) -> tuple[str, float]:
        plan = fc.explain((n, *problem.x_shape[1:]), problem.weight_shape, **problem.arguments(), dtype=dtype, pass_=pass_)
        return plan.algorithm, plan.cycles / n

    alone = choice(1)
    for n in (2, 7, 100):
        algorithm, cycles = choice(n)
        assert algorithm == alone[0]
        assert cycles == pytest.approx(alone[1], rel=1e-12)
