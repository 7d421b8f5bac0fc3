"""`fastconv bench`: its files of shapes, its figures and its command. How long anything takes is not tested."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv as fc
from fastconv.__main__ import main
from fastconv.bench import cases, machine, random_cases
from fastconv.bench.accuracy import Judge
from fastconv.bench.peers import prepare
from fastconv.bench.results import Machine, Result, Timing, series
from fastconv.bench.timing import rounds
from fastconv.problem import Problem

FILES = [cases.CASES, cases.RANDOM_CASES]
TINY = Problem.parse("n1ic3oc4_ih8kh3ph1")


class TestShapes:
    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
    def test_the_package_has_its_files(self, file: Path) -> None:
        everything = cases.read(file)
        assert len(everything) == {"cases": 36, "random_cases": 60}[file.stem]
        for problem in everything.values():
            assert Problem.parse(str(problem)) == problem
            plan = fc.explain(problem.x_shape, problem.weight_shape, **problem.arguments())
            assert (plan.output_shape, plan.flops) == (problem.output_shape, problem.flops)
        assert cases.write(everything) == file.read_text()

    def test_known_cases(self) -> None:
        known = cases.read(cases.CASES)
        assert str(known["r50_56_3x3"]) == "n1ic64oc64_ih56kh3ph1"
        assert str(known["mnist1d_l1"]) == "n100ic1oc15_iw40kw3sw2"
        assert str(known["mbnet_dw14"]) == "n1g512ic512oc512_ih14kh3ph1"

    def test_the_generator_makes_the_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        random_cases.main([])
        assert capsys.readouterr().out == cases.RANDOM_CASES.read_text()
        assert random_cases.generate(seed=2) != random_cases.generate()

    def test_random_cases_cover_the_space(self) -> None:
        problems = list(cases.read(cases.RANDOM_CASES).values())
        low, high = random_cases.FLOPS
        assert all(low <= problem.flops <= high for problem in problems)
        for seldom in (
            lambda p: p.ndim == 1,
            lambda p: p.ndim == 2,
            lambda p: 1 < p.g == p.ic,
            lambda p: 1 < p.g < p.ic,
            lambda p: max(p.stride) > 1,
            lambda p: max(p.dilation) > 1,
            lambda p: p.n > 1,
            lambda p: p.flops > 1e8,
            lambda p: p.flops < 1e6,
        ):
            assert 5 <= sum(map(seldom, problems)) <= 55

    @pytest.mark.parametrize(
        "text", ["", "name,N\n", ",".join(cases.COLUMNS) + "\na,2,1\n", ",".join(cases.COLUMNS) + "\na,b" + 14 * ",1"]
    )  # fmt: skip
    def test_other_files_are_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "shapes.csv").write_text(text)
        with pytest.raises(ValueError, match=r"shapes\.csv"):
            cases.read(tmp_path / "shapes.csv")

    def test_what_the_columns_cannot_express(self) -> None:
        with pytest.raises(ValueError, match="cannot express"):
            cases.write({"causal": Problem.parse("n1ic1oc1_iw9kw3pl2")})


class TestFigures:
    MACHINE = Machine("a cpu", 1, "float32", "generic", 100.0, 10.0, {}, [])

    @staticmethod
    def result(pass_: str = "fwd", **seconds: float) -> Result:
        timings = {name: Timing(time, time, 3, time, 1.0) for name, time in seconds.items()}
        return Result("tiny", str(TINY), pass_, 10**9, 10**8, "direct", 0, timings)

    def test_functions_stand_beside_functions_and_plans_beside_all(self) -> None:
        result = self.result(fastconv=2.0, plan=1.0, reference=0.1, torch=4.0, onnxruntime=3.0)
        assert (result.functional_ratio, result.packed_ratio) == (2.0, 3.0)
        assert (result.rival(packed=False), result.rival(packed=True)) == ("torch", "onnxruntime")

    def test_without_rivals_or_plan_there_is_no_ratio(self) -> None:
        assert self.result(fastconv=2.0, onnxruntime=1.0).functional_ratio is None
        assert self.result(fastconv=2.0, torch=1.0).packed_ratio is None

    def test_the_longer_limit_bounds(self) -> None:
        result = self.result(fastconv=0.02)
        assert result.gflops() == 50.0
        assert (result.bound(self.MACHINE), result.share(self.MACHINE)) == ("arithmetic", pytest.approx(0.5))
        result.bytes *= 2
        assert (result.bound(self.MACHINE), result.share(self.MACHINE)) == ("memory", pytest.approx(1.0))

    def test_series(self) -> None:
        results = [self.result(fastconv=1.0, torch=time) for time in (4.0, 1.0)]
        (only,) = series([*results, self.result("bwd", fastconv=1.0)])
        assert (only.pass_, only.kind, only.ratios[0][0], only.mean) == ("fwd", "functional", 1.0, 2.0)

    def test_rounds_take_turns(self) -> None:
        order: list[str] = []
        calls = {name: functools.partial(order.append, name) for name in ("one", "other")}
        samples = rounds(calls, dict.fromkeys(calls, 0.0), 0.01)
        assert len(samples["one"]) == len(samples["other"]) >= 3
        changes = [name for name, _ in itertools.groupby(order)]
        assert changes[:5] == ["one", "other", "one", "other", "one"]

    def test_who_is_hopeless_is_not_called_again(self) -> None:
        calls = {"quick": lambda: None, "hopeless": lambda: pytest.fail("called")}
        assert rounds(calls, {"quick": 0.1, "hopeless": 5.0}, 0.01)["hopeless"] == [5.0]

    @pytest.mark.parametrize("pass_", ["fwd", "bwd"])
    def test_the_judge_sees_an_error(self, pass_: str, dtype: str) -> None:
        arrays = TINY.arrays(dtype)
        call = prepare("fastconv", TINY, arrays, pass_)
        assert call is not None
        output, judge = call(), Judge(TINY, arrays, pass_)
        assert judge.error("fastconv", output) < 8
        (output if pass_ == "fwd" else output[0])[0, 0, 0, 0] += 1
        assert judge.error("fastconv", output) > 1e4

    def test_the_judge_sees_a_wrong_shape(self) -> None:
        arrays = TINY.arrays()
        with pytest.raises(ValueError, match="torch computes"):
            Judge(TINY, arrays, "fwd").error("torch", arrays[0])


@pytest.mark.parametrize("pass_", ["fwd", "bwd"])
@pytest.mark.parametrize("peer", ["fastconv", "plan", "reference", "numpy"])
@pytest.mark.parametrize("name", [str(TINY), "n1ic1oc1_iw40kw5pw2", "n1ic1oc1_iw9kw1"])
def test_peers_compute_the_problem(peer: str, pass_: str, name: str) -> None:
    problem = Problem.parse(name)
    arrays = problem.arrays()
    call = prepare(peer, problem, arrays, pass_)
    if call is not None:
        assert Judge(problem, arrays, pass_).error(peer, call()) < 8


def test_limits_are_positive_and_cpus_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COPIED_BYTES", 1 << 20)
    assert machine.fma_rate("float64", 1) > 0
    assert machine.bandwidth(2, 1) > 0
    if hasattr(os, "sched_getaffinity"):
        before = os.sched_getaffinity(0)
        with machine.confined(1):
            assert len(os.sched_getaffinity(0)) == 1
        assert os.sched_getaffinity(0) == before


class TestCommand:
    @staticmethod
    def bench(*words: str) -> int:
        return main(["bench", "--seconds-per-case", "0.01", "--cases", "tiny", *words])

    @pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.filterwarnings("error::ResourceWarning")
    def test_from_end_to_end(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        out, picture = tmp_path / "new" / "bench.json", tmp_path / "bench.png"
        can_draw = importlib.util.find_spec("matplotlib") is not None
        words = ["--plot", str(picture)] if can_draw else []
        assert self.bench("--peers", "numpy", "--markdown", "--out", str(out), *words) == 0
        text = capfd.readouterr().out
        assert f"| tiny | `{TINY}` |" in text
        assert "written: " + ", ".join(map(str, [out, picture] if can_draw else [out])) in text
        if can_draw:
            assert picture.read_bytes().startswith(b"\x89PNG")
        content = json.loads(out.read_text())
        assert content["machine"].keys() >= {
            "cpu",
            "isa",
            "threads",
            "dtype",
            "fma_gflops",
            "bandwidth_gbs",
            "missing",
        }
        assert [(r["case"], r["pass"], r["problem"]) for r in content["results"]] == [
            ("tiny", pass_, str(TINY)) for pass_ in ("fwd", "bwd")
        ]
        for result in content["results"]:
            assert result.keys() >= {
                "flops",
                "bytes",
                "bound",
                "scratch_bytes",
                "functional_ratio",
                "packed_ratio",
            }
            ours = result["timings"]["fastconv"]
            assert ours.keys() == {"best", "median", "rounds", "cold", "error", "gflops", "share_of_limit"}
            assert 0 < ours["best"] <= ours["median"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--peers", "abacus"], "abacus"),
            (["--cases", "nonesuch"], "nonesuch"),
            (["--threads", "100000"], "--threads 100000"),
            (["--threads", "0"], "--threads 0"),
            (["--file", "nonesuch.csv"], "nonesuch.csv"),
            (["--seconds-per-case", "-1"], "--seconds-per-case must be positive, got -1"),
            (["--seconds-per-case", "nan"], "--seconds-per-case must be positive, got nan"),
        ],
    )
    def test_what_cannot_be_is_one_line(
        self, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.bench(*words) == 2
        text = capsys.readouterr().err
        assert text.startswith("fastconv: error: ")
        assert message in text
        assert text.count("\n") == 1

    def test_missing_peers_are_said_to_be_missing(self) -> None:
        code = (
            "import sys; sys.modules.update(dict.fromkeys(('torch', 'cv2')))\n"
            "from fastconv.bench import measure\n"
            "measure.machine.COPIED_BYTES = 1 << 20\n"
            f"job = measure.Job({{'tiny': '{TINY}'}}, ['fwd'], ['fastconv', 'torch', 'opencv'], 'float32', 1, 0.0)\n"
            "here, result, _ = measure.run(job)\n"
            "assert here.missing == ['torch', 'opencv'], here\n"
            "assert [*result.timings] == ['fastconv']\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
