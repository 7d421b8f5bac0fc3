"""Generated data: seeded, and what its boxes and masks say is there."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv.demo import denoise, digits, scenes
from fastconv.demo.training import minibatches, rate, smooth


def squares() -> np.ndarray:
    """Ten "digits" whose ink fills columns 2 to 5."""
    images = np.zeros((10, 1, 8, 8), np.float32)
    images[..., 2:6] = 1
    return images


def test_scenes_of_digits() -> None:
    made = scenes.digit_scenes(20, squares(), np.arange(10), np.random.default_rng(0))
    again = scenes.digit_scenes(20, squares(), np.arange(10), np.random.default_rng(0))
    np.testing.assert_array_equal(made.x, again.x)
    assert made.x.shape == (20, 1, 64, 64)
    assert {len(labels) for labels in made.labels} >= {1, 3}
    for image, boxes, labels in zip(made.x[:, 0], made.boxes, made.labels, strict=True):
        assert len(boxes) == len(labels)
        outside = np.ones(image.shape, bool)
        for left, top, right, bottom in boxes.astype(int):
            assert 0 <= left < right <= 64
            assert 0 <= top < bottom <= 64
            assert image[top:bottom, left:right].mean() > 0.4
            outside[top:bottom, left - 1 : right + 1] = False
        assert image[outside].mean() < 0.35
        for index, box in enumerate(boxes):
            for other in boxes[:index]:
                assert (box[:2] >= other[2:]).any() or (other[:2] >= box[2:]).any()


def test_scenes_of_shapes() -> None:
    made = scenes.shape_scenes(30, np.random.default_rng(0))
    assert made.x.shape == (30, 1, 48, 48)
    assert made.x.dtype == np.float32
    assert set(np.unique(made.masks)) == set(range(len(scenes.SHAPES)))
    assert made.x[:, 0][made.masks > 0].mean() > 0.6
    assert made.x[:, 0][made.masks == 0].mean() < 0.2
    np.testing.assert_array_equal(made.masks, scenes.shape_scenes(30, np.random.default_rng(0)).masks)


@pytest.mark.parametrize("name", [*scenes.SHAPES][1:])
def test_shapes_are_within_their_radius(name: str) -> None:
    x, y = np.meshgrid(np.linspace(-2, 2, 81), np.linspace(-2, 2, 81))
    inside = scenes.SHAPES[name](x, y)
    assert 0.05 < inside[np.hypot(x, y) <= 1.2].mean() < 0.9
    assert not inside[np.hypot(x, y) > 1.2].any()


def test_signals_and_noise() -> None:
    clean = denoise.signals(50, np.random.default_rng(0))
    assert clean.shape == (50, 1, 256)
    np.testing.assert_allclose(clean.mean(axis=-1), 0, atol=1e-5)
    noisy = denoise.noisy(clean, np.random.default_rng(1))
    assert np.std(noisy - clean) == pytest.approx(denoise.NOISE, rel=0.02)
    assert denoise.decibels(clean, clean + np.std(clean)) == pytest.approx(0, abs=0.1)
    np.testing.assert_allclose(denoise.averaged(clean, 1), clean, atol=1e-6)
    np.testing.assert_allclose(denoise.averaged(clean, 3)[..., 1], clean[..., :3].mean(axis=-1), atol=1e-5)


def test_digits_are_split_without_overlap() -> None:
    pytest.importorskip("sklearn", reason="needs the extra fastconv[demo]")
    data = digits.load(np.random.default_rng(0))
    assert (len(data.x_train), len(data.x_test)) == (1198, 599)
    assert data.x_train.max() == 1
    together = np.concatenate([data.x_train, data.x_test]).reshape(1797, -1)
    assert len(np.unique(together, axis=0)) == 1797
    moved = digits.shifted(data.x_train[:200], np.random.default_rng(0))
    assert moved.shape == (200, 1, 8, 8)
    same = (moved == data.x_train[:200]).all(axis=(1, 2, 3)).mean()
    assert 0 < same < 0.3


def test_order_rate_and_smoothing() -> None:
    batches = minibatches(10, 4, np.random.default_rng(0))
    epoch = np.concatenate([next(batches), next(batches)])
    assert len(set(epoch)) == 8
    assert sorted(next(minibatches(3, 8, np.random.default_rng(0)))) == [0, 1, 2]
    rates = [rate(step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(1, abs=0.1)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 0.001 < rates[0]
    np.testing.assert_allclose(smooth([1, 2, 3, 7], 2), [1, 1.5, 2.5, 5])
