"""Programs: what layers in eval mode call for inputs of one shape, as a flat list, for inference that keeps nothing.

Between two convolutions of a large network the interpreter is cold: weights have taken its place in the caches, and asking the tree of
modules what is to be done takes longer than some layers do. So a pass is traced once, and made again from the list, for as long as inputs
have that shape and everything in the tree is the object that it was.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

from fastconv import _core
from fastconv.nn.module import Module
from fastconv.nn.parameter import Array, Buffer

PACKAGE = __name__.rpartition(".")[0] + "."
LEFT_BEHIND = frozenset(("_saved", "_pack", "_fold", "_program"))  # attributes that passes set


class Value(NamedTuple):
    """An array of the pass that is being traced: its place among them all, and what it is this time."""

    number: int
    array: Array


class Trace:
    """A forward pass under way, and the calls that it has made so far."""

    def __init__(self) -> None:
        self.calls: list[tuple[Callable[..., Array], list[int], _core.Plan | None]] = []

    def call(self, function: Callable[..., Array], *values: Value, adds: _core.Plan | None = None) -> Value:
        """``function`` of the arrays of `values`, now and whenever the program runs; of the plan that `adds` the second, if any."""
        array = function(*[value.array for value in values])
        self.calls.append((function, [value.number for value in values], adds))
        return Value(len(self.calls), array)


class Program:
    """The calls of a pass of `module` on arrays like `x`.

    It cannot be stale: it serves for as long as every attribute of every module in the tree, and the array of every buffer, is the
    object that it was; and of arrays, plans read only frozen ones, which never change.
    """

    def __init__(self, module: Module, x: Array) -> None:
        modules = list(module.modules())
        buffers = [value for each in modules for value in vars(each).values() if isinstance(value, Buffer)]
        self._watch = _core.Watch(
            tuple((vars(each), _attributes(each)) for each in modules),
            tuple((each, "_data", each._data) for each in buffers), LEFT_BEHIND,
        )  # fmt: skip
        self._settings = _settings(x)

    def trace(self, module: Module, x: Array) -> Array:
        """Make the pass for the first time."""
        trace = Trace()
        result, y = module._trace(trace, Value(0, x))
        last = {read: place for place, (_, reads, _) in enumerate(trace.calls) for read in reads}
        calls = []
        for place, (function, reads, adds) in enumerate(trace.calls):
            done = tuple(read for read in {*reads} if last[read] == place and read != result)
            first, others = reads[0], tuple(reads[1:])
            over = adds if others and others[0] in done and others[0] not in (0, first) else None
            calls.append((function, first, others, place + 1, done, over))
        self.run = _core.Pass(tuple(calls), len(calls) + 1, result)
        return y

    def serves(self, x: Array) -> bool:
        """Whether a pass on `x` would make these calls."""
        return self._settings == _settings(x) and self._watch.unchanged()


def traceable(module: Module) -> bool:
    """Whether all in the tree are layers of this package, as they were written: their outputs' shapes follow from their inputs'."""
    return all(map(_steady, module.modules()))


def forget(module: Module) -> None:
    """Let go of all that earlier passes kept for ``backward``."""
    for each in module.modules():
        each._saved = None


def _steady(module: Module) -> bool:
    """Whether what it does is decided by which objects its attributes are, not by what is in them."""
    settings = tuple(value for name, value in vars(module).items() if name[0] != "_")
    try:
        hash(settings)
    except TypeError:
        return False
    return type(module).forward.__module__.startswith(PACKAGE) and "forward" not in vars(module)


def _attributes(module: Module) -> tuple[Any, ...]:
    """Names and values of all that passes do not set, one after the other."""
    return tuple(chain.from_iterable(item for item in vars(module).items() if item[0] not in LEFT_BEHIND))


def _settings(x: Array) -> tuple[Any, ...]:
    return x.shape, x.dtype, _core.get_strict(), _core.active_isa()
