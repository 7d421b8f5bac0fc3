"""The names of problems, and that the catalogue is what it says."""

from __future__ import annotations

import pytest
from bounds import function
from hypothesis import given
from problems import CATALOGUE, Problem
from strategies import problems

from fastconv import reference


@pytest.mark.parametrize(
    "name",
    [
        "n1ic64oc64_ih56kh3ph1",
        "n100ic1oc15_iw40kw3sw2",
        "n2g4ic8oc4_ih9iw7kh3kw1sh2pt1pb2pl0pr1dw3_reflect",
        "n1ic1oc1_iw9kw3pl2_circular",
    ],
)
def test_names_round_trip(name: str) -> None:
    assert str(Problem.parse(name)) == name


@pytest.mark.parametrize(
    "name", ["", "n1ic1oc1", "n1ic1oc1_ih3zz4", "n1n2ic1oc1_ih3kh1", "n1ic1oc1_ih3kh", "n-1ic1oc1_ih3"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a problem"):
        Problem.parse(name)


@given(problems())
def test_any_problem_round_trips(problem: Problem) -> None:
    assert Problem.parse(str(problem)) == problem


def test_the_width_defaults_to_the_height() -> None:
    problem = Problem.parse("n2ic4oc6_ih8kh3sh2ph1")
    assert problem.x_shape == (2, 4, 8, 8)
    assert problem.weight_shape == (6, 4, 3, 3)
    assert problem.output_shape == (2, 6, 4, 4)
    assert problem.flops == 2 * (2 * 6 * 16) * (4 * 9)


@pytest.mark.parametrize("problem", CATALOGUE, ids=str)
def test_output_shapes_are_the_library_s(problem: Problem) -> None:
    x, w, b, _ = problem.arrays()
    y = function(reference, "conv", problem.ndim)(x, w, b, **problem.arguments())
    assert y.shape == problem.output_shape


def test_the_catalogue_has_no_problem_twice() -> None:
    assert len(set(CATALOGUE)) == len(CATALOGUE)
