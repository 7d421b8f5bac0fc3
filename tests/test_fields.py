"""Receptive fields: against the lecture's numbers, and against where a NaN gets through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import models, nn


def probed(model: nn.Module, channels: int, size: int, axis: int = 0, ndim: int = 1) -> list[list[int]]:
    """For every output along an axis, the inputs that reach it: a NaN does not get lost."""
    found: list[list[int]] = []
    for place in range(size):
        x = np.zeros((1, channels, *[size] * ndim))
        x[(slice(None), slice(None), *[slice(None)] * axis, place)] = np.nan
        hit = np.isnan(model(x)).any(axis=tuple(a for a in range(2 + ndim) if a != 2 + axis))
        found = found or [[] for _ in hit]
        for seen, reached in zip(found, hit, strict=True):
            seen += [place] * bool(reached)
    return found


def conv(kernel: int, **options: Any) -> nn.Conv1d:
    return nn.Conv1d(1, 1, kernel, rng=0, dtype=np.float64, **options)


SIGNALS: dict[str, Any] = {
    "lecture": lambda: [conv(3, stride=2), nn.ReLU(), conv(3, stride=2), conv(3, stride=2)],
    "dilated": lambda: [conv(3, dilation=4, padding=4), conv(2, dilation=3, stride=3)],
    "pairs": lambda: [conv(4, padding=[(3, 1)]), conv(5, padding=2)],
    "causal": lambda: [conv(3, padding="causal", dilation=2), conv(2, padding="causal")],
    "same": lambda: [conv(4, padding="same"), conv(4, padding="same_lower"), conv(5, padding="same", stride=2)],
    "pools": lambda: [nn.MaxPool1d(3, 2, 1), conv(3), nn.AvgPool1d(2), nn.LeakyReLU(), nn.MaxPool1d(2, 1, dilation=3)],
    "padded": lambda: [nn.ZeroPad1d((3, 1)), conv(3), nn.Identity()],
    "transposed": lambda: [conv(3, stride=2), nn.ConvTranspose1d(1, 1, 4, 2, 1, rng=0, dtype=np.float64), conv(3)],
    "dilated transposed": lambda: [nn.ConvTranspose1d(1, 1, 3, 2, padding=1, dilation=3, rng=0, dtype=np.float64)],
    "nearest": lambda: [nn.MaxPool1d(2), conv(3), nn.Upsample(scale_factor=2), conv(3)],
    "linear": lambda: [nn.MaxPool1d(4), nn.Upsample(scale_factor=4, mode="linear"), conv(2)],
    "residual": lambda: [nn.Residual(nn.Sequential(conv(3, stride=2, padding=1), conv(3, padding=1)), conv(1, stride=2)), conv(2)],
    "residual identity": lambda: [nn.Residual(conv(5, padding=[(4, 0)])), nn.Residual(nn.Identity())],
    "concat": lambda: [nn.Concat(conv(3, padding="causal"), nn.Identity()), nn.Conv1d(2, 1, 2, rng=0, dtype=np.float64)],
}


@pytest.mark.parametrize("make", SIGNALS.values(), ids=SIGNALS)
def test_fields_of_signals_are_where_a_nan_gets_through(make: Any) -> None:
    size, period, model = 96, 8, nn.Sequential(*make())
    field = fc.receptive_field(model)[-1]
    begins = {i: field.start + i * field.jump for i in range(3 * size)}
    inside = [(i, seen) for i, seen in enumerate(probed(model, 1, size)) if 4 <= begins[i] < size - 4 - field.size]
    assert len(inside) > 2 * period / field.jump
    assert max(seen[-1] - seen[0] + 1 for _, seen in inside) == field.size
    for i, seen in inside:
        assert i % period or seen[0] == begins[i]


@pytest.mark.parametrize(
    ("model", "size"),
    [
        (models.lenet(rng=0)[:6], 24),
        (models.resnet_digits(width=2, rng=0)[:5], 40),
        (models.unet(1, 1, width=1, depth=2, rng=0), 80),
        (models.hourglass(1, 1, width=1, depth=1, rng=0), 40),
    ],
    ids=["lenet", "resnet", "unet", "hourglass"],
)
def test_fields_of_images_are_where_a_nan_gets_through(model: nn.Sequential, size: int) -> None:
    field = fc.receptive_field(model.eval())[-1]
    for axis in (0, 1):
        spans = [s[-1] - s[0] + 1 for s in probed(model, 1, size, axis, 2) if s and s[0] > 0 and s[-1] < size - 1]
        assert max(spans) == field.size[axis]


def test_kernels_that_are_not_square() -> None:
    model = nn.Sequential(nn.Conv2d(1, 1, (3, 5), stride=(2, 1), padding=(0, 2)), nn.ZeroPad2d((1, 0, 2, 0)), nn.MaxPool2d((2, 3), 1))
    assert [field[2:] for field in fc.receptive_field(model)] == [
        ((3, 5), (2, 1), (0, -2)),
        ((3, 5), (2, 1), (-4, -3)),
        ((5, 7), (2, 1), (-4, -3)),
    ]


def test_names_and_the_whole_input() -> None:
    model = models.lenet(rng=0)
    fields = fc.receptive_field(model)
    assert [field.name for field in fields] == [str(index) for index in range(len(model))]
    assert fields[6].size == (None, None)
    assert fc.receptive_field(model, (8, 8))[-1].size == (8, 8)
    assert fc.receptive_field(model, 8)[-1].jump == (None, None)
    assert [f.name for f in fc.receptive_field(nn.Residual(nn.Sequential(conv(1), conv(1))))] == ["body.0", "body.1", ""]


def test_known_networks() -> None:
    """Numbers of Araujo et al., Computing Receptive Fields of Convolutional Neural Networks (Distill 2019)."""
    last = {name: fc.receptive_field(getattr(models, name)(width=1, rng=0)) for name in ("alexnet", "vgg16", "resnet50")}
    before = {name: [f for f in fields if f.size[0] is not None][-1] for name, fields in last.items()}
    assert {name: (field.size[0], field.jump[0]) for name, field in before.items()} == {
        "alexnet": (195, 32),
        "vgg16": (212, 32),
        "resnet50": (427, 32),  # 483 where the stride is in the 1x1 convolutions, as Araujo et al. have it
    }


class Strange(nn.Module):
    pass


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (3, TypeError, "model must be a Module"),
        (nn.Sequential(conv(1), Strange()), TypeError, "Strange"),
        (nn.ReLU(), ValueError, "1-D or all for 2-D"),
        (nn.Sequential(conv(1), nn.Conv2d(1, 1, 1)), ValueError, "1-D or all for 2-D"),
        (nn.Residual(conv(3, stride=2)), ValueError, "different strides"),
        (nn.Sequential(conv(1), nn.Upsample(size=4)), ValueError, "scale_factor"),
    ],
)
def test_bad_models_are_named(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fc.receptive_field(model)


SHRINKING = [
    nn.Sequential(conv(3, stride=2), nn.ReLU(), conv(5)),
    nn.Sequential(nn.ZeroPad1d(1), nn.MaxPool1d(4), nn.BatchNorm1d(1), conv(3)),
    nn.Sequential(nn.AvgPool1d(2), nn.Residual(nn.Sequential(conv(3, padding="same"), nn.Upsample(scale_factor=1.0))), conv(5)),
    nn.Sequential(nn.Concat(nn.AvgPool1d(4), nn.AvgPool1d(4)), nn.ConvTranspose1d(2, 1, 2), conv(4)),
    nn.Sequential(nn.AdaptiveAvgPool1d(2), conv(3)),
]


@pytest.mark.parametrize("model", SHRINKING, ids=range(len(SHRINKING)))
def test_an_input_too_small_for_a_later_layer(model: nn.Sequential) -> None:
    x = np.zeros((1, 1, 8), np.float32)
    with pytest.raises(ValueError):
        model(x)
    with pytest.raises(ValueError, match=rf"input_size leaves \(\d,\) for layer {len(model) - 1}, Conv1d.* kernel_size"):
        fc.receptive_field(model, 8)
    assert len(fc.receptive_field(model)) >= len(model)
    assert fc.receptive_field(model[:-1], 8)


def test_bad_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="input_size"):
        fc.receptive_field(conv(3), (8, 8))
