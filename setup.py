"""Builds the one extension: the Cython seam, the C core, and one object for each ISA that the compiler can make."""

from __future__ import annotations

import platform
import shlex
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError

CORE = ["problem", "trim", "regions", "plan", "forward", "channels", "col2im", "planes", "batch", "transforms", "whole", "scale",
        "backward", "run", "operators", "band", "cpu", "threads"]
X86 = "-mprefer-vector-width=512 -mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma"
TARGETS = {
    "generic": {"machines": None, "flags": ""},
    "avx2": {"machines": {"x86_64", "AMD64"}, "flags": "-mavx2 -mfma"},
    "avx512": {"machines": {"x86_64", "AMD64"}, "flags": X86},
    "neon": {"machines": {"aarch64", "arm64"}, "flags": ""},
}
# gnu11 with contraction is what gives fused multiply-adds; -std=c11 gives none. No -ffast-math, no -march=native.
FLAGS = shlex.split("-O3 -std=gnu11 -ffp-contract=fast -fno-math-errno -fno-tree-loop-distribute-patterns "
                    "-fvisibility=hidden -pthread -g0")
HEADERS = [str(path) for path in Path("csrc").rglob("*.h")]


class build_ext_targets(build_ext):
    """Compiles each target with flags of its own; one that the compiler refuses is left out with a printed line."""

    def build_extension(self, ext: Extension) -> None:
        for name, target in TARGETS.items():
            if target["machines"] and platform.machine() not in target["machines"]:
                continue
            try:
                ext.extra_objects += self.compiler.compile(
                    [f"csrc/target/{name}.c"], output_dir=self.build_temp, include_dirs=["csrc"],
                    extra_postargs=FLAGS + shlex.split(target["flags"]), depends=HEADERS)
                ext.define_macros.append((f"FASTCONV_HAVE_{name.upper()}", "1"))
            except CCompilerError as error:
                print(f"fastconv: built without {name}: {error}")
        super().build_extension(ext)


extension = Extension(
    "fastconv._core",
    ["src/fastconv/_core.pyx", *(f"csrc/{name}.c" for name in CORE)],
    include_dirs=["csrc", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    extra_compile_args=FLAGS, extra_link_args=["-pthread"], depends=HEADERS)

setup(ext_modules=cythonize([extension], language_level=3, include_path=["src"]),
      cmdclass={"build_ext": build_ext_targets})
