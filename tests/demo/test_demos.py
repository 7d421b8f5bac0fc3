"""Every demonstration, much shortened; the command around them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastconv import models, nn
from fastconv.__main__ import main
from fastconv.demo import classify, denoise, detect, equivariance, receptive_field, residual, segment, timing
from fastconv.demo.command import DEMOS
from fastconv.demo.options import Options
from fastconv.demo.training import fit

pytest.importorskip("matplotlib", reason="needs the extra fastconv[demo]")

#: What is made smaller, and what the lines must say.
SHORT: dict[str, tuple[list[tuple[Any, str, Any]], str]] = {
    "classify": ([], r"LeNet: [\d.]+ % of 599 .*\nResNet: [\d.]+ % of 599"),
    "residual": ([(residual, "DEPTHS", (4, 6))], r"depth  4: plain .*\ndepth  6: plain"),
    "detect": ([(detect, "TRAINING", 20), (detect, "TEST", 12), (detect, "BATCH", 4)], r"mAP@0\.5 \d\.\d+ for \d+ held-out digits in 12"),
    "segment": (
        [(segment, "TRAINING", 8), (segment, "TEST", 6), (segment, "BATCH", 4), (segment, "WIDTH", 4)],
        r"U-Net: mean IoU \d\.\d+ .*\nhourglass: mean IoU \d\.\d+",
    ),
    "denoise": ([(denoise, "TEST", 8), (denoise, "BATCH", 4)], r"noisy: .* dB\nmoving average .* dB\n1-D U-Net: .* dB"),
    "receptive-field": (
        [(receptive_field, "MODELS", {"LeNet": receptive_field.MODELS["LeNet"]})],
        r"lecture's network: size 15, jump 8; .* sees 15\n.*size 14, jump 2; .* sees 14\nLeNet: size 10 x 10, .* sees 10 x 10\n",
    ),
    "conv-matrix": ([], r"kernel 3, padding 1: 12x12 matrix of 3 numbers for 144"),
    "equivariance": ([], r"convolutions: equivariance error 0 at most, .*\nstride 2: equivariance error 0\.[1-9]"),
    "timing": (
        [(timing, "NETWORKS", {"ResNet-18": lambda rng: models.resnet18(width=4, rng=rng)}), (timing, "SIZE", 64)],
        r"ResNet-18, [\d,]+ parameters: [\d.]+ ms; slowest layers: .* ms; .* ms; .* ms",
    ),
}


@pytest.mark.parametrize("name", DEMOS)
def test_demonstration(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if name in ("classify", "residual", "detect"):
        pytest.importorskip("sklearn", reason="needs the extra fastconv[demo]")
    changes, said = SHORT[name]
    for module, constant, value in changes:
        monkeypatch.setattr(module, constant, value)
    assert main(["demo", name, "--out", str(tmp_path / "new"), "--steps", "2", "--seed", "3", "--quiet"]) == 0
    assert re.search(said, capsys.readouterr().out)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"{name}.png"]
    assert (tmp_path / "new" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_seed_gives_the_same_lines_and_another_seed_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for constant in ("TEST", "BATCH"):
        monkeypatch.setattr(denoise, constant, 4)
    monkeypatch.setattr(denoise, "_draw", lambda *_: None)
    first, again, other = (denoise.run(Options(tmp_path / "x.png", seed, 2, True)) for seed in (1, 1, 2))
    assert first == again != other


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--list"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{text}" for name in DEMOS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs a NAME"),
        (["conv-matrix", "--steps", "0"], "--steps must be 1 or more, got 0"),
        (["conv-matrix", "--seed", "-1"], "--seed must be 0 or more, got -1"),
        (["conv-matrix", "--threads", "0"], "--threads"),
        (["conv-matrix", "--out", __file__], "is not a directory"),
    ],
)
def test_misuse_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *words]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_progress_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm", reason="needs the extra fastconv[demo]")
    model = nn.Sequential(nn.Linear(2, 1, rng=0))
    fit(model, nn.MSELoss(), lambda step: (np.ones((1, 2)), np.ones((1, 1))), Options(tmp_path, steps=3), "a line")
    assert "a line: 100%" in capsys.readouterr().err


def test_divergence_is_an_error(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 1, rng=0))
    with pytest.raises(FloatingPointError, match="a line diverged at step 0"):
        fit(model, nn.MSELoss(), lambda step: (np.full((1, 2), np.nan), np.ones((1, 1))), Options(tmp_path, quiet=True), "a line")


def test_equivariance_of_convolutions_is_exact() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 1, 64))
    whole = nn.Sequential(*equivariance.NETWORKS["convolutions"](rng)).eval()
    halved = nn.Sequential(*equivariance.NETWORKS["stride 2"](rng)).eval()
    assert [equivariance.equivariance_error(whole, x, shift) for shift in (1, 5)] == [0, 0]
    assert equivariance.equivariance_error(halved, x, 2) == 0
    assert equivariance.equivariance_error(halved, x, 1) > 0.1
    assert equivariance.invariance_error(whole, x, 3) < 1e-12


def test_layers_are_timed_once_each_and_left_as_they_were() -> None:
    model = models.resnet_digits(width=2, rng=0).eval()
    x = np.zeros((1, 1, 8, 8), np.float32)
    whole, times = timing.per_layer(model, x, 2)
    assert 0 < sum(seconds for _, seconds in times.values()) < 100 * whole
    kinds = {type(layer).__name__ for layer, _ in times.values()}
    assert kinds == {"Conv2d", "GlobalAvgPool2d", "Flatten", "Linear"}  # the rest works within convolutions
    assert not any("forward" in vars(layer) for layer in model.modules())


@pytest.mark.parametrize(("module", "words"), [("matplotlib", "conv-matrix"), ("sklearn", "classify"), ("tqdm", "denoise")])
def test_a_missing_extra_is_named(module: str, words: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\nfrom fastconv.__main__ import main\n"
        f"sys.exit(main(['demo', {words!r}, '--out', {str(tmp_path)!r}, '--steps', '1']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert 'pip install "fastconv[demo]"' in result.stderr


def test_classify_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a few seconds most of what the whole demonstration reaches."""
    pytest.importorskip("sklearn", reason="needs the extra fastconv[demo]")
    monkeypatch.setattr(classify, "NETWORKS", {"ResNet": models.resnet_digits})
    lines = classify.run(Options(tmp_path / "x.png", 0, 60, True))
    assert float(lines[0].split()[1]) > 90
