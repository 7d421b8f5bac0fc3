"""The clock: libraries in turns.

A round times a few calls of each library, and the next round begins with another one, so that whatever else the
machine does falls on all alike; a turn begins when the threads of the one before rest, and with a call that is not
timed. The best round counts (what the code can do), the median is kept beside it (what the machine let it do). A library
that is far behind, and slow, has one look taken at it and leaves its turns to the others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

Call = Callable[[], Any]

SAMPLE_SECONDS = 1e-3  # a round calls a library as often as fits in here, at least once
SLOW_SECONDS = 2e-2  # who takes longer and is far behind gives up its turns
FAR_BEHIND = 20  # times slower than the quickest
HOPELESS_SECONDS = 3.0  # no first call takes that long by making ready alone
REST_SECONDS, MOST_RESTS = 1e-3, 200  # of one look whether anything runs; for a library whose threads never rest
FEWEST_ROUNDS, MOST_ROUNDS = 3, 200


def seconds(call: Call, repeats: int = 1) -> float:
    """Seconds per call."""
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


def rounds(calls: Mapping[str, Call], cold: Mapping[str, float], limit: float) -> dict[str, list[float]]:
    """Seconds per call of each round, given those of the first calls; `limit`, in seconds, is kept roughly."""
    looks = {name: _look(call, cold[name]) for name, call in calls.items()}
    behind = max(SLOW_SECONDS, FAR_BEHIND * min(looks.values()))
    names = [name for name in calls if looks[name] <= behind]
    samples: dict[str, list[float]] = {name: [] if name in names else [looks[name]] for name in calls}
    end = time.perf_counter() + limit
    for number in range(MOST_ROUNDS):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(_sample(calls[name], looks[name]))
        if number + 1 >= FEWEST_ROUNDS and time.perf_counter() > end:
            break
    return samples


def _look(call: Call, cold: float) -> float:
    return cold if cold > HOPELESS_SECONDS else min(seconds(call), seconds(call))


def _sample(call: Call, look: float) -> float:
    _rest()
    call()  # brings its own code and data back into the caches
    return seconds(call, max(1, int(SAMPLE_SECONDS / look)))


def _rest() -> None:
    """Wait for threads that wait for work with a core in hand: those of ONNX Runtime for 40 ms, those of PyTorch for 9."""
    for _ in range(MOST_RESTS):
        used = time.process_time()
        time.sleep(REST_SECONDS)
        if time.process_time() - used < REST_SECONDS / 2:
            return
