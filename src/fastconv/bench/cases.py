"""Files of shapes: one convolution per line, 1-D with a height of 1."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from fastconv.problem import Problem

CASES = Path(__file__).with_name("cases.csv")
RANDOM_CASES = Path(__file__).with_name("random_cases.csv")
COLUMNS = ("name", "dim", "N", "C", "H", "W", "O", "kh", "kw", "sh", "sw", "ph", "pw", "dh", "dw", "g")


def read(path: str | Path) -> dict[str, Problem]:
    """Read problems by their names.

    Raises
    ------
    ValueError
        If it is not a file of shapes.
    OSError
        If it cannot be read.
    """
    with open(path, newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path} is no file of shapes: its first line must be {','.join(COLUMNS)}")
        try:
            return {row["name"]: _from_row(row) for row in rows}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {rows.line_num}: {error}") from error


def write(cases: Mapping[str, Problem]) -> str:
    """Return the text of a file that `read` turns into these problems again."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    for name, problem in cases.items():
        rows.writerow([name, problem.ndim, *_to_row(problem)])
    return file.getvalue()


def _from_row(row: dict[str, str]) -> Problem:
    axes = {"1": "w", "2": "hw"}[row["dim"]]
    pads = (int(row["p" + axis]) for axis in axes)
    return Problem(
        n=int(row["N"]),
        g=int(row["g"]),
        ic=int(row["C"]),
        oc=int(row["O"]),
        size=tuple(int(row[axis.upper()]) for axis in axes),
        kernel=tuple(int(row["k" + axis]) for axis in axes),
        stride=tuple(int(row["s" + axis]) for axis in axes),
        padding=tuple((pad, pad) for pad in pads),
        dilation=tuple(int(row["d" + axis]) for axis in axes),
    )


def _to_row(problem: Problem) -> list[int]:
    if problem.padding_mode != "zeros" or any(before != after for before, after in problem.padding):
        raise ValueError(f"the columns cannot express {problem}")
    padding = tuple(before for before, _ in problem.padding)

    def both(values: tuple[int, ...], default: int) -> tuple[int, ...]:
        return values if problem.ndim == 2 else (default, *values)

    axes = (
        *both(problem.kernel, 1),
        *both(problem.stride, 1),
        *both(padding, 0),
        *both(problem.dilation, 1),
    )
    return [problem.n, problem.ic, *both(problem.size, 1), problem.oc, *axes, problem.g]
