"""Losses: their values, their gradients, the errors."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import nn


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 3], ValueError, r"\[0, 3\), got 3"),
        ([0, -1], ValueError, "got -1"),
        (np.array([0, 255], np.uint8), ValueError, "got 255"),
        ([0.0, 1.0], TypeError, "integers"),
        ([True, False], TypeError, "integers"),
        ([0], ValueError, "labels"),
        ([[0, 1]], ValueError, "labels"),
    ],
)
def test_bad_labels_are_named(labels, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nn.CrossEntropyLoss()(np.zeros((2, 3), np.float32), labels)


@pytest.mark.parametrize("classes", [1, 7, 8, 10, 64, 65, 300])
@pytest.mark.parametrize("examples", [1, 7, 8, 101])
def test_cross_entropy_in_float32_and_its_gradient(isa: str, classes: int, examples: int) -> None:
    rng = np.random.default_rng(classes)
    logits, labels = 8 * rng.standard_normal((examples, classes), dtype=np.float32), rng.integers(0, classes, examples)
    loss = nn.CrossEntropyLoss()
    value, wide = loss(logits, labels), logits.astype(np.float64)
    shares = np.exp(wide - wide.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    chosen = np.arange(examples), labels
    assert value == pytest.approx(-np.log(shares[chosen]).mean(), rel=1e-5, abs=1e-6)
    shares[chosen] -= 1
    np.testing.assert_allclose(loss.backward(), shares / examples, rtol=1e-5, atol=1e-6 / examples)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_of_one_example_is_that_of_a_batch_of_one(reduction: str) -> None:
    logits = np.random.default_rng(0).standard_normal(5).astype(np.float32)
    one, batch = nn.CrossEntropyLoss(reduction), nn.CrossEntropyLoss(reduction)
    for label in (3, np.int64(3), np.array(3, np.uint8)):
        assert one(logits, label) == batch(logits[np.newaxis], [3])
        assert one.backward().shape == (5,)
        np.testing.assert_array_equal(one.backward(), batch.backward()[0])
    with pytest.raises(ValueError, match=r"\[0, 5\), got 5"):
        one(logits, 5)
    with pytest.raises(ValueError, match=r"got \(5,\) and \(1,\)"):
        one(logits, [3])
    with pytest.raises(TypeError, match="labels must be integers"):
        one(logits, 3.0)


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_the_number_of_classes() -> None:
    loss = nn.CrossEntropyLoss()
    value = loss(np.full((4, 10), 1e4, np.float32), np.arange(4, dtype=np.uint8))
    assert isinstance(value, float)
    assert value == pytest.approx(np.log(10))
    np.testing.assert_allclose(loss.backward().sum(axis=1), 0, atol=1e-7)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), nn.MSELoss()])
def test_loss_backward_before_forward_is_an_error(loss) -> None:
    with pytest.raises(RuntimeError, match="forward"):
        loss.backward()
