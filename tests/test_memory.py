"""Not one element is read or written outside the arrays: they end, or begin, where the memory does.

A read too far is a crash, so it happens in a process of its own, which names each problem before it runs it:
``python tests/test_memory.py ISA end`` does the same by hand.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bounds import ALGORITHMS, BACKWARD, backward, forward
from problems import CATALOGUE, Problem

import fastconv as fc

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses mprotect")

PAGE = mmap.PAGESIZE
NO_ACCESS = 0  # PROT_NONE


def guarded(array: np.ndarray, side: str) -> np.ndarray:
    """A copy of `array` that touches a page without access, behind it or before it."""
    pages = -(-max(array.nbytes, 1) // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for guard in (begin, begin + (pages + 1) * PAGE):
        if libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), NO_ACCESS):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = PAGE if side == "begin" else (pages + 1) * PAGE - array.nbytes
    copy = np.ndarray(array.shape, array.dtype, memory, offset)
    copy[...] = array
    return copy


def run_guarded(problem: Problem, dtype: str, side: str) -> None:
    """Every pass and algorithm, with inputs and output at the edge of memory."""
    x, w, b, dy = (guarded(array, side) for array in problem.arrays(dtype))
    out = guarded(np.zeros(problem.output_shape, dtype), side)
    for algorithm in ALGORITHMS:
        forward(fc, problem, (x, w, b), algorithm, out=out)
    for pass_, algorithm in BACKWARD:
        backward(problem, (x, w, b, dy), pass_, algorithm)


def main(isa: str, side: str) -> None:
    with fc.use_isa(isa):
        for problem in CATALOGUE:
            for dtype in ("float32", "float64"):
                print(problem, dtype, flush=True)
                run_guarded(problem, dtype, side)


@pytest.mark.parametrize("side", ["begin", "end"])
def test_nothing_outside_is_touched(isa: str, side: str) -> None:
    paths = [str(Path(__file__).parent), str(Path(fc.__file__).parent.parent)]
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, isa, side],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"at {last}: {done.stderr}"


def test_the_guard_guards() -> None:
    """A test that cannot fail would show nothing."""
    code = (
        "import ctypes, numpy as np, test_memory as t; a = t.guarded(np.ones(3), 'end');"
        "ctypes.string_at(a.ctypes.data, 24); print('inside', flush=True);"
        "ctypes.string_at(a.ctypes.data, 25); print('outside')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["inside"], done.stderr
    assert done.returncode < 0


if __name__ == "__main__":
    main(*sys.argv[1:])
