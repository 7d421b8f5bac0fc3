"""The choice of the instruction set: by name, never silently another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv as fc


@pytest.mark.parametrize("name", fc.isas())
def test_every_isa_of_this_machine_is_tested(name: str) -> None:
    if not fc.isas()[name]:
        with pytest.raises(ValueError, match=name):
            fc.use_isa(name)
        pytest.skip(f"{name}: not in this CPU or not in this build, so no test ran on it")
    with fc.use_isa(name):
        pass


def test_an_unknown_isa_is_refused() -> None:
    with pytest.raises(ValueError, match="mmx"):
        fc.use_isa("mmx")


def imported(**environment: str) -> subprocess.CompletedProcess[str]:
    """Import the package in a new process."""
    code = "import fastconv as fc; print(fc.get_num_threads())"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FASTCONV_", "OMP_"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def test_environment_isa() -> None:
    for name, available in fc.isas().items():
        done = imported(FASTCONV_ISA=name)
        assert (done.returncode == 0) == available, done.stderr
    done = imported(FASTCONV_ISA="mmx")
    assert done.returncode != 0
    assert "FASTCONV_ISA" in done.stderr
    assert "mmx" in done.stderr


def test_environment_threads() -> None:
    assert imported(FASTCONV_NUM_THREADS="1").stdout.strip() == "1"
    assert imported(OMP_NUM_THREADS="1").stdout.strip() == "1"
    assert imported(FASTCONV_NUM_THREADS="2", OMP_NUM_THREADS="1").stdout.strip() == "2"


CORE = Path(__file__).parents[1] / "csrc"
CROSS_COMPILER = shutil.which("aarch64-linux-gnu-gcc")


@pytest.mark.skipif(CROSS_COMPILER is None, reason="no cross compiler for AArch64 at hand")
def test_the_core_is_clean_c_for_aarch64() -> None:
    sources = [*sorted(CORE.glob("*.c")), CORE / "target" / "neon.c", CORE / "target" / "generic.c"]
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror"]
    done = subprocess.run(
        [str(CROSS_COMPILER), "-fsyntax-only", *flags, f"-I{CORE}", "-DFASTCONV_HAVE_NEON", *map(str, sources)],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
