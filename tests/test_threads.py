"""Threads inside the library, threads and forks around it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bounds import run
from problems import Problem

import fastconv as fc
from fastconv import _core


def test_threads_is_a_setting_and_a_context() -> None:
    before = fc.get_num_threads()
    assert before >= 1
    with fc.threads(1):
        assert fc.get_num_threads() == 1
        with fc.threads(3):
            assert fc.get_num_threads() == 3
        assert fc.get_num_threads() == 1
    assert fc.get_num_threads() == before
    with pytest.raises(KeyError), fc.threads(1):
        raise KeyError
    assert fc.get_num_threads() == before
    fc.set_num_threads(2)
    assert fc.get_num_threads() == 2
    fc.set_num_threads(before)


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)],
)
def test_bad_numbers_of_threads(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        fc.set_num_threads(value)


@pytest.mark.parametrize(
    "name", ["n4ic32oc32_ih28kh3ph1", "n100ic15oc15_iw19kw3sw2", "n2g16ic16oc16_ih40kh3ph1"]
)
@pytest.mark.parametrize("inner", [1, 2])
def test_concurrent_calls(name: str, inner: int) -> None:
    """Many Python threads, each with its own arrays, all get what one thread alone gets."""
    problem = Problem.parse(name)
    inputs = [problem.arrays("float32", seed) for seed in range(8)]
    alone = [run(fc, problem, arrays) for arrays in inputs]

    def repeatedly(arrays: tuple[np.ndarray, ...]) -> list[dict[str, np.ndarray]]:
        return [run(fc, problem, arrays) for _ in range(5)]

    with fc.threads(inner), ThreadPoolExecutor(len(inputs)) as pool:
        for expected, results in zip(alone, pool.map(repeatedly, inputs), strict=True):
            for actual in results:
                for key, array in expected.items():
                    assert actual[key].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "name",
    [
        "n1ic64oc96_ih28kh3ph1",
        "n1ic67oc70_ih41kh3sh2ph1",
        "n2g2ic132oc96_ih13kh4ph1",
        "n1ic33oc64_ih61kh7sh3ph3_reflect",
        "n1ic64oc64_iw900kw9sw2pw4",
        "n1ic130oc301_ih14kh3ph1",
    ],
)
@pytest.mark.parametrize("algorithm", ["winograd", "gemm"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sources_that_threads_share(name: str, algorithm: str, dtype: str) -> None:
    """Few tiles or columns: the source is transformed by all threads together, or packed by each for all of its rows; the bits are those
    of one thread."""
    problem = Problem.parse(name)
    x, w, b, dy = problem.arrays(dtype)
    conv, plan = (getattr(fc, f"{kind}{problem.ndim}d") for kind in ("conv", "plan_conv"))

    def results() -> list[np.ndarray]:
        settings = problem.arguments()
        kept = plan(x.shape, w, b, algorithm=algorithm, **settings)
        arrays = [conv(x, w, b, algorithm=algorithm, **settings), kept(x)]
        if problem.stride == (1,) * problem.ndim:
            options = {"need": (True, False, False), "data_algorithm": algorithm}
            arrays.append(_core.conv_backward(problem.ndim, dy, x, w, **settings, **options)[0])
        return arrays

    with fc.threads(1):
        alone = results()
    for count in (2, 3, 7):
        with fc.threads(count):
            for expected, actual in zip(alone, results(), strict=True):
                assert actual.tobytes() == expected.tobytes()


def test_idle_threads_sleep() -> None:
    """Workers look for more to do for a moment only."""
    x, w = np.ones((1, 64, 56, 56), np.float32), np.ones((64, 64, 3, 3), np.float32)
    with fc.threads(2):
        fc.conv2d(x, w)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


@pytest.mark.parametrize("algorithm", ["auto", "direct", "gemm"])
def test_no_point_to_share(algorithm: str) -> None:
    """Padding and stride so large that no output meets the input: no tasks, however many threads ask for some."""
    x, w = np.ones((2000, 1, 2, 2), np.float32), np.ones((1, 1, 2, 2), np.float32)
    settings = {"stride": (1, 4), "padding": 2}
    y = fc.conv2d(x, w, **settings)
    with fc.threads(2):
        dx = _core.conv_backward(
            2, y, x, w, (1, 4), 2, 1, 1, "zeros", (True, False, False), data_algorithm=algorithm
        )[0]
    assert not dx.any()


FORK = """
import os, sys
import numpy as np
import fastconv as fc

fc.set_num_threads(2)
x, w = np.ones((4, 32, 28, 28), np.float32), np.ones((32, 32, 3, 3), np.float32)
expected = fc.conv2d(x, w, padding=1)          # the pool is running
for _ in range(3):
    pid = os.fork()
    good = np.array_equal(fc.conv2d(x, w, padding=1), expected)
    fc.conv2d_backward(expected, x, w, padding=1)
    if pid == 0:
        os._exit(0 if good else 3)
    assert os.waitpid(pid, 0)[1] == 0, "child"
    assert good, "parent"
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_fork_after_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, check=False, text=True, timeout=60
    )
    assert done.stdout.split() == ["done"], done.stderr


def test_laying_out_the_weights_of_groups_at_once() -> None:
    """Of 1 x 1 kernels they are moved in squares, and the last rows of a group are no multiple of one: nothing may be written to the next group's."""
    rng = np.random.default_rng(0)
    weight, grad_output = rng.standard_normal((74, 33, 1)), rng.standard_normal((8, 74, 378))
    x = np.empty((8, 66, 754))

    def gradient() -> np.ndarray:
        return fc.conv1d_backward(grad_output, x, weight, stride=2, padding=[(0, 1)], groups=2, padding_mode="replicate", need=(True, False, False))[0]

    with fc.threads(1):
        expected = gradient()
    with fc.threads(4):
        for _ in range(300):
            np.testing.assert_array_equal(gradient(), expected)
