"""``fastconv bench --networks``: that all libraries run the same network, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastconv import models, nn
from fastconv.__main__ import main
from fastconv.bench import network_peers, networks

SMALL = {
    "resnet": (lambda: models.resnet50(5, width=4, rng=0), (1, 3, 96, 64)),
    "unet": (lambda: models.unet(2, 3, width=4, rng=0), (1, 2, 16, 24)),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "NETWORKS", SMALL)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's tracing
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("library", [name for name in network_peers.PEERS if name != "fastconv"])
def test_outputs_are_ours(library: str, name: str) -> None:
    pytest.importorskip(library.split()[0])
    network, x = networks.prepared(name)
    for norm in [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]:  # weights that a translation cannot leave out unseen
        assert norm.weight is not None
        norm.weight.replace(np.linspace(0.5, 1.5, norm.num_features, dtype=np.float32))
    expected = network(x)
    y = network_peers.PEERS[library](network, x, 1)()
    assert np.abs(y - expected).max() <= 1e-3 * np.abs(expected).max()
    assert np.abs(expected).max() > 0.1


def test_measures_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(network: nn.Module, x: np.ndarray, threads: int) -> network_peers.Call:
        raise ImportError("No module named 'torch'")

    monkeypatch.setattr(networks, "PEERS", {"fastconv": network_peers.fastconv, "torch": missing})
    result = networks.measure("unet", 1, 0.01)
    assert 0 < result.best["fastconv"] <= result.median["fastconv"]
    assert set(result.best) == set(result.difference) == {"fastconv"}
    lines = networks.report(result)
    assert "1x2x16x24" in lines[0]
    assert "1.00" in lines[-1]


def test_another_output_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(network: nn.Module, x: np.ndarray, threads: int) -> network_peers.Call:
        return lambda: network(x) * 1.001

    monkeypatch.setattr(networks, "PEERS", {"fastconv": network_peers.fastconv, "wrong": wrong})
    with pytest.raises(ArithmeticError, match="wrong: the output of unet differs by 1"):
        networks.measure("unet", 1, 0.01)


def test_unknown_names_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "--networks", "lenet", "--out", str(tmp_path / "x.json")]) == 2
    assert "'lenet' is none of resnet, unet" in capsys.readouterr().err
