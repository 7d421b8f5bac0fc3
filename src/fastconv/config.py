"""Threads, ISA and strictness: settings of the process, read from the environment once, at import."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from fastconv import _arguments, _core
from fastconv.problem import Problem

THREAD_VARIABLES = ("FASTCONV_NUM_THREADS", "OMP_NUM_THREADS")
OFF = ("", "0", "false", "no", "off")
"""What a variable that switches something on may say to leave it off, in capitals or not."""


def get_num_threads() -> int:
    """The most threads that one call uses."""
    return _core.get_threads()


def set_num_threads(n: int) -> None:
    """Let one call use up to `n` threads. Results are the same bits for any number.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        For anything else.
    """
    _core.set_threads(min(_arguments.integer(n, "n", 1), 2**31 - 1))


@contextmanager
def threads(n: int) -> Iterator[None]:
    """``with threads(2): ...`` sets the number of threads of the process and puts it back."""
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


def set_strict(flag: bool) -> None:
    """Keep ``algorithm="auto"`` to sums in the order of the definition, or allow transforms again.

    Winograd and FFT multiply less and round differently: within 16 u S, with u = eps / 2 and S = abs(x) * abs(w)
    taken as the largest over the transform's tile. Without them every element stays within
    min(n + 2, 6 sqrt(n) + 12) u S for n terms, and sums of small integers are exact. Of the process; `FASTCONV_STRICT=1`
    sets it at import. An algorithm that is asked for by name runs either way.

    Parameters
    ----------
    flag : bool
        True: without transforms.

    Raises
    ------
    TypeError
        For anything but a bool.
    """
    if not isinstance(flag, bool):
        raise TypeError(f"flag must be True or False, got {flag!r}")
    _core.set_strict(flag)


@contextmanager
def strict() -> Iterator[None]:
    """``with strict(): ...`` is `set_strict` for the block."""
    before = _core.get_strict()
    _core.set_strict(True)
    try:
        yield
    finally:
        _core.set_strict(before)


def isas() -> dict[str, bool]:
    """Every ISA that the library knows, best first, and whether it can be used here: built in, and this CPU has it."""
    return {name: built and supported for name, (built, supported) in _core.isa_table().items()}


class use_isa:
    """Run kernels of the named ISA from now on, or within a ``with`` block.

    Raises
    ------
    TypeError, ValueError
        If the name is none, unknown, or this build or CPU lacks it: never a silent fallback.
    """

    def __init__(self, name: str) -> None:
        table = _core.isa_table()
        built, supported = table[_arguments.choice(name, "name", table)]
        if not (built and supported):
            reason = "this CPU lacks it" if built else "it is not in this build"
            raise ValueError(f"name must be of an ISA that can be used here (see isas()), got {name!r}: {reason}")
        self._before = _core.active_isa()
        _core.select_isa(name)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _core.select_isa(self._before)


def show_config() -> None:
    """Print version, ISA, threads and what they come from."""
    import fastconv

    table = _core.isa_table()
    states = {name: "active" if name == _core.active_isa() else "available" if built and supported
              else "not on this CPU" if built else "not built" for name, (built, supported) in table.items()}
    print(f"fastconv {fastconv.__version__}")
    print("ISA      " + ", ".join(f"{name}: {state}" for name, state in states.items()))
    print(f"threads  {get_num_threads()} (CPUs this process may use: {_core.available_threads()})")
    print(f"strict   {_core.get_strict()}")
    for variable in (*THREAD_VARIABLES, "FASTCONV_ISA", "FASTCONV_STRICT", "FASTCONV_VERBOSE"):
        if variable in os.environ:
            print(f"{variable}={os.environ[variable]}")


def configure() -> None:
    """Apply the environment: called once by the package."""
    name = os.environ.get("FASTCONV_ISA")
    try:
        use_isa(name or next(isa for isa, usable in isas().items() if usable))
    except ValueError as error:
        raise ImportError(f"FASTCONV_ISA={name}: {error}") from None
    _core.set_threads(_threads_wanted())
    _core.set_strict(_switched_on("FASTCONV_STRICT"))
    if _switched_on("FASTCONV_VERBOSE"):
        _core.set_report(_print_call)


def _print_call(numbers: dict[str, Any], used: int, algorithm: str, seconds: float) -> None:
    """One line for one convolution, as ``FASTCONV_VERBOSE=1`` asks."""
    words = dict(numbers)
    kind, dtype = words.pop("pass"), words.pop("dtype")
    if words["size"][0] == words["kernel"][0] == 1 and words["padding"][0] == (0, 0):  # a signal
        words |= {name: words[name][1:] for name in ("size", "kernel", "stride", "padding", "dilation")}
    print(f"fastconv,{kind},{dtype},{_core.active_isa()},{algorithm},{Problem(**words)},"
          f"threads:{used},{seconds * 1e6:.1f}us", file=sys.stderr)


def _switched_on(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in OFF


def _threads_wanted() -> int:
    for variable in THREAD_VARIABLES:
        text = os.environ.get(variable, "").split(",")[0].strip()  # OMP_NUM_THREADS may hold a list, one per level
        if not text:
            continue
        if text.isdecimal() and int(text) >= 1:
            return min(int(text), 2**31 - 1)
        if variable.startswith("FASTCONV"):
            raise ImportError(f"{variable} must be a positive integer, got {os.environ[variable]!r}")
    return _core.available_threads()
