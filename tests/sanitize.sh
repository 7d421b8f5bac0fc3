#!/bin/bash
# Builds the extension with AddressSanitizer and UndefinedBehaviorSanitizer in a temporary directory and runs tests there.
#
#   tests/sanitize.sh                        the tests that reach every kernel
#   tests/sanitize.sh tests/test_conv.py -x  whatever pytest is told
#
# PYTHON names the interpreter: one with Cython, setuptools, NumPy and the test extra. Nothing of the tree is written.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r setup.py pyproject.toml README.md LICENSE csrc src "$work"
find "$work/src" -name '*.so' -delete
# CFLAGS reaches every object, those of the ISA targets too, and the link; setup.py's own flags follow it.
(cd "$work" && CFLAGS="-g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined" \
    "$python" setup.py -q build_ext --inplace --parallel "$(nproc)")

[ $# -gt 0 ] || set -- tests/test_conv.py tests/test_functional.py tests/test_arguments.py tests/test_footprint.py \
    tests/test_threads.py tests/test_properties.py
export PYTHONPATH="$work/src" ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}" UBSAN_OPTIONS="print_stacktrace=1"
# The sanitizer's allocator first, before Python's: an extension cannot bring it in later. It keeps no leak report,
# because an interpreter never frees everything.
preload="$("${CC:-gcc}" -print-file-name=libasan.so):$("${CC:-gcc}" -print-file-name=libubsan.so)"
PYTHONMALLOC=malloc LD_PRELOAD="$preload" "$python" -m pytest "$@"
