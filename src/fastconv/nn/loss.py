"""Loss functions: ``value = loss(prediction, target)``, then ``loss.backward()`` is the gradient of the prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv.nn.parameter import Array

REDUCTIONS = ("mean", "sum")
LABELS = np.dtype(np.int64)


class _Loss:
    """Common part of the losses: the reduction, and the order of calls."""

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"reduction must be one of {', '.join(map(repr, REDUCTIONS))}, got {reduction!r}"
            )
        self.reduction = reduction
        self._saved: Any = None
        self._workspace = _core.Workspace()

    def _recall(self) -> Any:
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}.backward() before forward: call the loss first")
        return self._saved

    def _divisor(self, terms: int) -> int:
        # Of no terms the mean is 0 / 0; the loss of an empty batch is 0 here, as are its gradients.
        return max(terms, 1) if self.reduction == "mean" else 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.reduction == 'mean' else f'reduction={self.reduction!r}'})"


class CrossEntropyLoss(_Loss):
    """Softmax and negative log-likelihood of integer labels, as `torch.nn.CrossEntropyLoss`.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Over the examples of the batch, or over all places of all examples.
    """

    def __call__(self, logits: ArrayLike, labels: ArrayLike) -> float:
        """Loss of `logits` ``(N, classes, ...)`` for integer `labels` ``(N, ...)`` in ``[0, classes)``; or of one example,
        ``(classes,)``, for its label.

        Raises
        ------
        ValueError
            If the shapes do not fit each other or a label is out of range.
        TypeError
            If the labels are not integers.
        """
        scores, wanted = np.asarray(logits), np.asarray(labels)
        shape, places = scores.shape, wanted.shape
        if len(shape) == 2 and len(places) == 1 and places[0] == shape[0] and wanted.dtype is LABELS:  # as nearly always
            divisor, self._places = self._divisor(places[0]), places
            total, self._saved = _core.cross_entropy(scores, wanted, divisor, self._workspace)
            if total is not None:
                return total / divisor
        if wanted.ndim == 0 and scores.ndim == 1:  # one example is a batch of one
            scores, wanted = scores[np.newaxis], wanted[np.newaxis]
        if scores.ndim < 2 or wanted.shape != scores.shape[:1] + scores.shape[2:]:
            raise ValueError("CrossEntropyLoss takes logits (N, classes, ...) and labels (N, ...), or (classes,) and (), "
                             f"got {shape} and {places}")  # fmt: skip
        if wanted.dtype.kind not in "iu":
            raise TypeError(f"labels must be integers, got dtype {wanted.dtype}")
        classes, self._places = scores.shape[1], places
        if scores.ndim > 2:  # one row a place
            scores, wanted = np.moveaxis(scores, 1, -1).reshape(-1, classes), wanted.reshape(-1)
        divisor = self._divisor(wanted.size)
        total, self._saved = _core.cross_entropy(scores, wanted, divisor, self._workspace)
        if total is None:
            raise ValueError(f"labels must be in [0, {classes}), got {wanted[(wanted < 0) | (wanted >= classes)][0]}")
        return total / divisor

    def backward(self) -> Array:
        """Gradient of the latest loss with respect to its logits: ``(softmax - one_hot) / N``."""
        gradient: Array = self._recall()
        if not self._places:
            return self._workspace.copy(gradient)[0]
        if len(self._places) > 1:
            return np.ascontiguousarray(np.moveaxis(gradient.reshape(*self._places, -1), -1, 1))
        return self._workspace.copy(gradient)


class MSELoss(_Loss):
    """Squared difference of two arrays of one shape, as `torch.nn.MSELoss`.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Over all elements.
    """

    def __call__(self, prediction: ArrayLike, target: ArrayLike) -> float:
        """Loss of `prediction` for a `target` of the same shape.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        predicted, wanted = np.asarray(prediction), np.asarray(target)
        if predicted.shape != wanted.shape:
            raise ValueError(
                f"prediction and target must have one shape, got {predicted.shape} and {wanted.shape}"
            )
        # At least float32, so that integer targets neither wrap around nor round.
        difference = np.subtract(predicted, wanted, dtype=np.result_type(predicted, wanted, np.float32))
        self._saved = difference
        return float(np.square(difference).sum(dtype=np.float64)) / self._divisor(difference.size)

    def backward(self) -> Array:
        """Gradient of the latest loss with respect to its prediction."""
        difference: Array = self._recall()
        return difference * (2 / self._divisor(difference.size))
