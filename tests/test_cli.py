"""The command line: what does not need the MNIST-1D data."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import fastconv as fc
from fastconv.__main__ import main


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    "words",
    [
        ["--x", "1,64,56,56", "--weight", "64,64,3,3", "--padding", "1"],
        [
            "--x",
            "1,64,56,56",
            "--weight",
            "64,1,3,3",
            "--padding",
            "1,1",
            "--stride",
            "2,2",
            "--groups",
            "64",
        ],
        ["--x", "100,15,19", "--weight", "15,15,3", "--stride", "2"],
        ["--x", "4,3,20", "--weight", "2,3,3", "--padding", "same_lower", "--dilation", "2"],
    ],
)
def test_explain(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *words]) == 0
    assert capsys.readouterr().out.strip()


def test_explain_prints_what_the_function_says(capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "--x", "1,64,56,56", "--weight", "64,64,3,3", "--padding", "1"])
    assert (
        capsys.readouterr().out.strip() == str(fc.explain((1, 64, 56, 56), (64, 64, 3, 3), padding=1)).strip()
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--x", "1,64,56,56", "--weight", "64,63,3,3"], "63|64"),
        (["--x", "1,64,2,2", "--weight", "64,64,3,3"], "weight of shape"),
        (["--x", "1,64,56,56", "--weight", "64,64,3,3", "--padding", "sideways"], "sideways"),
    ],
)
def test_problems_that_cannot_be_are_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *words]) == 2
    text = capsys.readouterr().err
    assert re.search(message, text)
    assert text.startswith("fastconv: error: ")
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    "words", [[], ["explain"], ["mnist1d"], ["explain", "--x", "a", "--weight", "1"], ["nonsense"]]
)
def test_misuse_is_exit_code_2_with_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: fastconv" in capsys.readouterr().err


def test_help_says_why_not_150185(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["mnist1d", "train", "--help"])
    text = capsys.readouterr().out
    assert "59,065" in text
    assert "150,185" in text


def test_python_m_and_no_extra_is_imported() -> None:
    code = (
        "import sys, runpy; sys.argv = ['fastconv', 'info']\n"
        "try: runpy.run_module('fastconv', run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "extras = {'mnist1d', 'scipy', 'matplotlib', 'tqdm', 'safetensors', 'torch', 'jax', 'cv2'}\n"
        "assert not extras & set(sys.modules), extras & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("module", "call", "extra"),
    [
        ("mnist1d", "from fastconv.mnist1d.data import generate; generate()", "mnist1d"),
        ("matplotlib", "from fastconv.mnist1d.plots import require; require()", "mnist1d"),
        ("matplotlib", "from fastconv.bench.picture import require; require()", "bench"),
        (
            "safetensors",
            "from fastconv.serialization import save_state; save_state('x.safetensors', {})",
            "safetensors",
        ),
    ],
)
def test_a_missing_extra_is_named(module: str, call: str, extra: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None\n{call}"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: " in result.stderr
    assert f'pip install "fastconv[{extra}]"' in result.stderr
