"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from fastconv.bench.peers import OURS
from fastconv.bench.results import FUNCTIONAL, Machine, Result, series
from fastconv.serialization import atomic_write

LEGEND = """\
times in us; limit: share of what multiply-adds (F) or memory (M) allow, whichever bounds; ratio: the best functional
call of a peer / fastconv; packed: the best of all peers / plan; error in eps * S; scratch in KiB; cold: our first call"""
COLUMNS = "   GF/s    limit   ratio  packed  error scratch     cold"


def header(machine: Machine, names: Sequence[str]) -> str:
    """Where, with what and without what, and the names of the columns."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    lines = [
        f"{machine.cpu}, {machine.isa}, threads: {machine.threads}, {machine.dtype}",
        f"limits: {machine.fma_gflops:.0f} GF/s, {machine.bandwidth_gbs:.1f} GB/s",
        versions,
    ]
    if machine.missing:
        missing = ", ".join(machine.missing)
        lines.append(f'not installed: {missing} (all peers: pip install "fastconv[bench]")')
    titles = " ".join([*map(_title, names), COLUMNS])
    return "\n".join([*lines, LEGEND, "", f"{'case':<19}{'pass':<4}{titles}"])


def row(result: Result, machine: Machine, names: Sequence[str]) -> str:
    """One line of the table."""
    times = [f"{_time(result, name):>{len(_title(name))}}" for name in names]
    ours = result.timings[FUNCTIONAL]
    bound = {"arithmetic": "F", "memory": "M"}[result.bound(machine)]
    cells = [
        f"{result.gflops():7.1f}",
        f"{100 * result.share(machine):4.0f} % {bound}",
        f"{_ratio(result.functional_ratio):>7}",
        f"{_ratio(result.packed_ratio):>7}",
        f"{ours.error:6.2f}",
        f"{result.scratch_bytes / 1024:7.0f}",
        f"{microseconds(ours.cold):>8}",
    ]
    return f"{result.case:<19}{result.pass_:<4}" + " ".join([*times, *cells])


def summary(results: Sequence[Result]) -> list[str]:
    """Geometric means and worst cases."""
    lines = []
    for each in series(results):
        worst, case = each.ratios[0]
        below = sum(ratio < 1 for ratio, _ in each.ratios)
        lines.append(
            f"{each.pass_}, {each.kind}: geometric mean {each.mean:.2f}, worst {worst:.2f} ({case}), "
            f"below 1: {below} of {len(each.ratios)}"
        )
    return lines


def markdown(results: Sequence[Result]) -> list[str]:
    """A short table of functional calls, for a document."""
    rows: dict[str, list[str]] = {}
    for result in results:
        cells = rows.setdefault(result.case, [result.case, f"`{result.problem}`"])
        rival = result.rival(packed=False)
        best = f"{microseconds(result.timings[rival].best)} ({rival})" if rival else "-"
        cells += [microseconds(result.timings[FUNCTIONAL].best), best]
    passes = dict.fromkeys(result.pass_ for result in results)
    columns = [f"{who}, {pass_}" for pass_ in passes for who in (FUNCTIONAL, "best peer")]
    table = [["case", "problem", *columns], ["---"] * (2 + len(columns)), *rows.values()]
    return ["| " + " | ".join(cells) + " |" for cells in table]


def save(path: Path, machine: Machine, results: Sequence[Result], shapes: str) -> None:
    """Write everything as JSON; `shapes` names the file of shapes."""
    content = {
        "date": str(date.today()),
        "shapes": shapes,
        "machine": asdict(machine),
        "summary": [
            {
                "pass": each.pass_,
                "kind": each.kind,
                "geometric_mean": round(each.mean, 3),
                "worst": each.ratios[0][0],
                "worst_case": each.ratios[0][1],
            }
            for each in series(results)
        ],
        "results": [_entry(result, machine) for result in results],
    }
    write_json(path, content)


def write_json(path: Path, content: Any) -> None:
    """Write what a run found.

    Raises
    ------
    OSError
        If the file cannot be written; it is as it was then.
    """
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())


def _entry(result: Result, machine: Machine) -> dict[str, Any]:
    measured = asdict(result)
    measured["pass"] = measured.pop("pass_")
    timings = measured.pop("timings")
    for name in timings.keys() & OURS:
        share = result.share(machine, name)
        timings[name] |= {"gflops": round(result.gflops(name), 2), "share_of_limit": round(share, 4)}
    return measured | {
        "bound": result.bound(machine),
        "functional_ratio": result.functional_ratio,
        "packed_ratio": result.packed_ratio,
        "best_functional_peer": result.rival(packed=False),
        "best_peer": result.rival(packed=True),
        "timings": timings,
    }


def microseconds(seconds: float) -> str:
    """For a table."""
    return f"{seconds * 1e6:.1f}" if seconds < 1e-4 else f"{seconds * 1e6:,.0f}"


def _title(name: str) -> str:
    return f"{name:>10}"


def _time(result: Result, name: str) -> str:
    return microseconds(result.timings[name].best) if name in result.timings else "-"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"
