"""Fixtures: every dtype, every ISA that this machine can run; hypothesis profiles."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest
from strategies import AVAILABLE_ISAS

import fastconv as fc

hypothesis.settings.register_profile("small", max_examples=60, deadline=None)
hypothesis.settings.register_profile("thorough", max_examples=5000, deadline=None)
hypothesis.settings.load_profile("small")

@pytest.fixture(params=AVAILABLE_ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each ISA in turn, active during the test; `test_isa.py` shows those that are absent as skipped."""
    with fc.use_isa(request.param):
        yield request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return request.param
