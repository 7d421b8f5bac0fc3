#!/bin/bash
# Builds the extension with AddressSanitizer and UndefinedBehaviorSanitizer in a temporary directory and runs tests on it.
#
#   tests/sanitize.sh                        the tests that reach every kernel
#   tests/sanitize.sh tests/test_conv.py -x  whatever pytest is told
#
# PYTHON names the interpreter: one with the build requirements and the test extra. Half an hour; no file of the tree
# is written.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r setup.py pyproject.toml README.md LICENSE csrc src "$work"
find "$work/src" -name '*.so' -delete
sed -i 's/-O3/-O1/; s/-g0/-g/' "$work/setup.py" # instrumented and unrolled, the tiles take ten minutes at -O3
# CFLAGS reaches every object, those of the ISA targets too, and the link.
# Three checks of every pointer are left out: what they find AddressSanitizer finds, and compiling them takes an hour.
CFLAGS="-g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=null,object-size,pointer-overflow -fno-sanitize-recover=undefined"
if ! grep -q avx512bw /proc/cpuinfo; then # its kernels run all the same: the compiler cuts their vectors into narrower ones
    sed -i 's/^X86 = .*/X86 = "-mavx2 -mfma -Wno-psabi"/' "$work/setup.py"
    CFLAGS="$CFLAGS -DFASTCONV_EMULATES_AVX512"
fi
(cd "$work" && CFLAGS="$CFLAGS" "$python" setup.py -q build_ext --inplace)

[ $# -gt 0 ] || set -- tests/test_conv.py tests/test_functional.py tests/test_arguments.py tests/test_footprint.py \
    tests/test_threads.py tests/test_properties.py tests/test_nn.py tests/test_fft.py tests/test_batch_last.py tests/test_plan.py \
    tests/test_branches.py tests/test_operators.py tests/test_regions.py tests/test_workspace.py
# The sanitizer's allocator has to come before Python's. Leaks are not looked for: an interpreter never frees everything.
export PYTHONPATH="$work/src" PYTHONMALLOC=malloc
export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1"
preload="$("${CC:-gcc}" -print-file-name=libasan.so):$("${CC:-gcc}" -print-file-name=libubsan.so)"
LD_PRELOAD="$preload" "$python" -c "
import sys, fastconv._core as core
sys.exit(not core.__file__.startswith('$work') and f'the tests would run {core.__file__}')"
LD_PRELOAD="$preload" "$python" -m pytest --capture=sys "$@" # a finding ends the process: its report must not be captured
