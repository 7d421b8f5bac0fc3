"""The comparison of the two networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastconv.__main__ import main
from fastconv.mnist1d import experiment, run


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("error::ResourceWarning")
def test_compare_trains_all_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mnist1d", "compare", "--quiet", "--seeds", "2", "--eval-every", "20", "--out", str(tmp_path)]
    assert main([*words, "--steps", "20"]) == 0
    assert main([*words, "--steps", "40"]) == 0
    assert "better by" in capsys.readouterr().out
    for name in ("conv-seed0", "conv-seed1", "fc-seed0", "fc-seed1"):
        assert [row.step for row in run.read_metrics(tmp_path / name)] == [20, 40]
    lines = (tmp_path / experiment.TABLE).read_text().splitlines()
    assert lines[0] == "case,seeds,mean,spread,lowest,highest,train,published"
    assert [line.split(",")[0] for line in lines[1:]] == ["conv", "fc"]
    assert (tmp_path / experiment.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert main([*words, "--steps", "40", "--lr", "0.5"]) == 1
    assert "lr was 0.01 and is now 0.5" in capsys.readouterr().err
