"""Builds the one extension: the Cython seam, the C core, and one object for each ISA that the compiler can make."""

from __future__ import annotations

import os
import platform
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError

CORE = ["problem", "trim", "regions", "plan", "forward", "channels", "col2im", "planes", "batch", "transforms", "windows", "scale",
        "backward", "run", "operators", "band", "cpu", "threads"]
X86 = "-mprefer-vector-width=512 -mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma"
TARGETS = {  # what takes longest to compile comes first
    "avx512": {"machines": {"x86_64", "AMD64"}, "flags": X86},
    "avx2": {"machines": {"x86_64", "AMD64"}, "flags": "-mavx2 -mfma"},
    "generic": {"machines": None, "flags": ""},
    "neon": {"machines": {"aarch64", "arm64"}, "flags": ""},
}
# gnu11 with contraction is what gives fused multiply-adds; -std=c11 gives none. No -ffast-math, no -march=native.
FLAGS = shlex.split("-O3 -std=gnu11 -ffp-contract=fast -fno-math-errno -fno-tree-loop-distribute-patterns "
                    "-fvisibility=hidden -pthread -g0")
HEADERS = [str(path) for path in Path("csrc").rglob("*.h")]


class build_ext_targets(build_ext):
    """Compiles each target with flags of its own, side by side; one that the compiler refuses is left out with a printed line."""

    def build_extension(self, ext: Extension) -> None:
        def compiled(name: str) -> list[str]:
            try:
                return self.compiler.compile(
                    [f"csrc/target/{name}.c"], output_dir=self.build_temp, include_dirs=["csrc"],
                    extra_postargs=FLAGS + shlex.split(TARGETS[name]["flags"]), depends=HEADERS)
            except CCompilerError as error:
                print(f"fastconv: built without {name}: {error}")
                return []

        names = [name for name, target in TARGETS.items() if not target["machines"] or platform.machine() in target["machines"]]
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # each takes minutes
            for name, objects in zip(names, pool.map(compiled, names)):
                ext.extra_objects += objects
                ext.define_macros += [(f"FASTCONV_HAVE_{name.upper()}", "1")] if objects else []
        super().build_extension(ext)


extension = Extension(
    "fastconv._core",
    ["src/fastconv/_core.pyx", *(f"csrc/{name}.c" for name in CORE)],
    include_dirs=["csrc", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    extra_compile_args=FLAGS, extra_link_args=["-pthread"], depends=HEADERS)

setup(ext_modules=cythonize([extension], language_level=3, include_path=["src"]),
      cmdclass={"build_ext": build_ext_targets})
