"""The experiments beside the lecture's: what they vary, what they train, what they draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastconv import nn
from fastconv.__main__ import EXPERIMENTS, _parser
from fastconv.mnist1d import experiment, models
from fastconv.mnist1d.data import MNIST1D
from fastconv.mnist1d.train import Row, TrainConfig, Trainer, varied


class TestVaried:
    def test_by_default_the_data_are_what_they_are(self, dataset: MNIST1D) -> None:
        same = varied(dataset, TrainConfig())
        assert same.x_train is dataset.x_train
        assert same.y_train is dataset.y_train

    def test_locations_are_shuffled_in_one_way_for_all(self, dataset: MNIST1D) -> None:
        shuffled = varied(dataset, TrainConfig(shuffled_locations=True, seed=1))
        ramp = np.arange(40.0)[None, None]
        numbers = MNIST1D(ramp, dataset.y_train, ramp, dataset.y_test)
        order = varied(numbers, TrainConfig(shuffled_locations=True, seed=1)).x_test[0, 0].astype(int)
        assert sorted(order) == list(range(40))
        assert (order != np.arange(40)).sum() > 30
        np.testing.assert_array_equal(shuffled.x_train, dataset.x_train[:, :, order])
        np.testing.assert_array_equal(shuffled.x_test, dataset.x_test[:, :, order])
        other = varied(dataset, TrainConfig(shuffled_locations=True, seed=2))
        assert (other.x_test != shuffled.x_test).any()

    def test_examples_keep_their_labels(self, dataset: MNIST1D) -> None:
        fewer = varied(dataset, TrainConfig(examples=250))
        label_of = {x.tobytes(): y for x, y in zip(dataset.x_train, dataset.y_train, strict=True)}
        assert len(fewer.x_train) == 250
        assert len({x.tobytes() for x in fewer.x_train}) == 250
        assert [label_of[x.tobytes()] for x in fewer.x_train] == list(fewer.y_train)
        assert fewer.x_test is dataset.x_test
        with pytest.raises(ValueError, match="examples must be at most 4000"):
            varied(dataset, TrainConfig(examples=4001))

    def test_noise_replaces_its_share_of_training_labels_and_nothing_else(self, dataset: MNIST1D) -> None:
        noisy = varied(dataset, TrainConfig(label_noise=0.5))
        changed = (noisy.y_train != dataset.y_train).mean()
        assert 0.42 < changed < 0.48  # a tenth of the random labels are right
        assert noisy.y_test is dataset.y_test
        assert noisy.x_train is dataset.x_train
        assert set(noisy.y_train) == set(range(10))
        np.testing.assert_array_equal(noisy.y_train, varied(dataset, TrainConfig(label_noise=0.5, lr=1.0)).y_train)

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"label_noise": 1.5}, "label_noise"), ({"examples": -1}, "examples"), ({"kernel_size": 0}, "kernel_size"),
         ({"kernel_size": 5, "model": "fc"}, "kernel_size is an option of conv")],
    )  # fmt: skip
    def test_options_out_of_range(self, options: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            TrainConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kernel_size", [3, 5, 7, 11])
def test_longer_kernels_keep_the_lengths(kernel_size: int, dataset: MNIST1D) -> None:
    model = models.build("conv", kernel_size=kernel_size, rng=0)
    lengths = []
    x = dataset.x_test[:2]
    for layer in model:
        x = layer(x)
        lengths += [x.shape[-1]] if isinstance(layer, nn.Conv1d) else []
    assert lengths == [19, 9, 4]


def command_line(words: list[str]) -> TrainConfig:
    options = vars(_parser().parse_args(["mnist1d", "train", "--out", "x", *words]))
    return TrainConfig(**{name: value for name, value in options.items() if name in TrainConfig.__dataclass_fields__})


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_case_is_a_training_of_its_own(name: str, dataset: MNIST1D) -> None:
    configs = [command_line([*words]) for words in EXPERIMENTS[name].cases.values()]
    assert len(set(configs)) == len(configs)
    for config in configs:
        assert np.isfinite(Trainer(config, dataset).train_step())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_pictures_and_tables(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    about = EXPERIMENTS[name]
    metrics = {
        case: [[Row(step, 1.0, 1.0, 40.0, 1.0, float(50 + rng.random())) for step in (10, 20)] for _ in range(2)]
        for case in about.cases
    }
    about.draw(metrics, tmp_path / experiment.PICTURE)
    assert (tmp_path / experiment.PICTURE).read_bytes().startswith(b"\x89PNG")
    text = experiment._table(about, metrics, tmp_path / experiment.TABLE)
    lines = (tmp_path / experiment.TABLE).read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["case", *about.cases]
    values = [rows[-1].test_error for rows in metrics[next(iter(about.cases))]]
    assert lines[1].split(",")[1:3] == ["2", f"{sum(values) / 2:.2f}"]
    assert all(case in text for case in about.cases)
