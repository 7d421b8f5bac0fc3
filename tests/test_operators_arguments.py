"""Every bad argument of the operators is a ValueError or TypeError that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import models, nn, optim, reference

IMAGE = np.ones((2, 3, 8, 9), np.float32)
SIGNAL = np.ones((2, 3, 8), np.float32)
ROWS = np.ones((4, 3), np.float32)
MEAN = np.ones(3, np.float32)
WEIGHT = np.ones((3, 2, 3, 3), np.float32)
POOLED, INDICES = fc.max_pool2d(IMAGE, 2, return_indices=True)
HUGE = 2**62

PARAMETER = nn.Parameter(MEAN)


def step_with_gradient(grad: np.ndarray) -> None:
    """A step on float32 data."""
    parameter = nn.Parameter(MEAN)
    parameter.grad = grad
    optim.SGD([parameter]).step()


BAD: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (TypeError, "x must have dtype", lambda: fc.max_pool2d(IMAGE.astype(int), 2)),
    (ValueError, "x must have shape", lambda: fc.max_pool2d(SIGNAL[0], 2)),
    (ValueError, "x must have no empty spatial axis", lambda: fc.max_pool2d(IMAGE[:, :, :0], 2)),
    (ValueError, "kernel_size must be at least 1", lambda: fc.max_pool2d(IMAGE, 0)),
    (TypeError, "kernel_size must be an integer", lambda: fc.max_pool2d(IMAGE, 2.5)),
    (ValueError, "kernel_size must have one value per dimension", lambda: fc.max_pool2d(IMAGE, (2, 2, 2))),
    (ValueError, "kernel_size.* spans more", lambda: fc.max_pool2d(IMAGE, 20)),
    (ValueError, "kernel_size must be at most", lambda: fc.max_pool2d(IMAGE, HUGE)),
    (ValueError, "stride must be at least 1", lambda: fc.max_pool2d(IMAGE, 2, 0)),
    (ValueError, "padding must be at most half", lambda: fc.max_pool2d(IMAGE, 2, 2, 2)),
    (ValueError, "padding must be at least 0", lambda: fc.avg_pool1d(SIGNAL, 2, 2, -1)),
    (ValueError, "dilation must be at least 1", lambda: fc.max_pool1d(SIGNAL, 2, 2, 0, 0)),
    (ValueError, "dilation", lambda: fc.max_pool1d(SIGNAL[..., :2], 2, 1, 1, 3)),
    (ValueError, "indices must lie", lambda: fc.max_pool2d_backward(POOLED, INDICES + 999, IMAGE.shape)),
    (ValueError, "indices must have shape", lambda: fc.max_pool2d_backward(POOLED, INDICES[:1], IMAGE.shape)),
    (TypeError, "indices must be an array of integers", lambda: fc.max_pool2d_backward(POOLED, POOLED, IMAGE.shape)),
    (ValueError, "input_size must", lambda: fc.max_pool2d_backward(POOLED, INDICES, (5, 3, 8, 9))),
    (TypeError, "input_size must", lambda: fc.max_pool2d_backward(POOLED, INDICES, 8)),
    (ValueError, "overflow", lambda: fc.max_pool2d_backward(POOLED, INDICES, (2, 3, HUGE, HUGE))),
    (ValueError, "indices must lie", lambda: fc.max_unpool2d(POOLED, INDICES - 1, 2)),
    (ValueError, "output_size must be less than a stride", lambda: fc.max_unpool2d(POOLED, INDICES, 2, output_size=(20, 9))),
    (ValueError, "padding", lambda: fc.max_unpool1d(SIGNAL[..., :1], SIGNAL[..., :1].astype(int), 2, padding=1)),
    (ValueError, "indices", lambda: fc.max_unpool2d_backward(IMAGE, INDICES[0])),
    (ValueError, "grad_output has shape", lambda: fc.avg_pool2d_backward(IMAGE, IMAGE.shape, 2)),
    (ValueError, "input_size must have shape", lambda: fc.avg_pool2d_backward(IMAGE, (8, 9), 2)),
    (ValueError, "input_size must have no empty", lambda: reference.avg_pool1d_backward(SIGNAL, (3, 0), 2)),
    (ValueError, "more than the padded input_size", lambda: fc.avg_pool2d_backward(IMAGE, (2, 3, 4, 5), 9)),
    (ValueError, "leaves an empty result for input_size", lambda: fc.interpolate_backward(IMAGE, IMAGE.shape, scale_factor=0.01)),
    (ValueError, "output_size must be at least 1", lambda: fc.adaptive_avg_pool2d(IMAGE, 0)),
    (ValueError, "overflow", lambda: fc.adaptive_avg_pool2d(IMAGE, (HUGE, HUGE))),
    (ValueError, "either size or scale_factor", lambda: fc.interpolate(IMAGE)),
    (ValueError, "either size or scale_factor", lambda: fc.interpolate(IMAGE, 3, 2)),
    (ValueError, "mode must be one of", lambda: fc.interpolate(IMAGE, 3, mode="cubic")),
    (ValueError, "x must have shape", lambda: fc.interpolate(IMAGE, 3, mode="linear")),
    (ValueError, "align_corners", lambda: fc.interpolate(IMAGE, 3, align_corners=True)),
    (ValueError, "scale_factor must be positive", lambda: fc.interpolate(IMAGE, scale_factor=-1)),
    (ValueError, "scale_factor must be positive", lambda: fc.interpolate(IMAGE, scale_factor=float("nan"))),
    (TypeError, "scale_factor must be a number", lambda: fc.interpolate(IMAGE, scale_factor="2")),
    (ValueError, "scale_factor=0.01 leaves an empty", lambda: fc.interpolate(IMAGE, scale_factor=0.01)),
    (ValueError, "overflow", lambda: fc.interpolate(IMAGE, scale_factor=1e18)),
    (ValueError, "size must be at least 1", lambda: fc.interpolate(IMAGE, (3, 0))),
    (ValueError, "x must have shape", lambda: fc.interpolate(MEAN, 3)),
    (ValueError, "x must have shape", lambda: fc.interpolate(IMAGE[np.newaxis], 3)),
    (ValueError, "running_mean and running_var must be given", lambda: fc.batch_norm(ROWS, None, None)),
    (ValueError, "running_mean must have shape", lambda: fc.batch_norm(ROWS, MEAN[:2], MEAN)),
    (ValueError, "weight must have shape", lambda: fc.batch_norm(ROWS, MEAN, MEAN, MEAN[:1])),
    (ValueError, "more than 1 value", lambda: fc.batch_norm(ROWS[:1], None, None, training=True)),
    (ValueError, "x must have shape", lambda: fc.batch_norm(MEAN, MEAN, MEAN)),
    (TypeError, "running_mean must be a numpy.ndarray", lambda: fc.batch_norm(ROWS, [1.0, 1.0, 1.0], None, training=True)),
    (ValueError, "running_var must be writeable", lambda: fc.batch_norm(ROWS, None, np.broadcast_to(MEAN, 3), training=True)),
    (TypeError, "momentum must be a number", lambda: fc.batch_norm(ROWS, MEAN, MEAN, momentum="x")),
    (ValueError, "eps must not be negative", lambda: fc.batch_norm(ROWS, MEAN, MEAN, eps=-1)),
    (ValueError, "grad_output must have shape", lambda: fc.batch_norm_backward(ROWS[:2], ROWS, MEAN, MEAN)),
    (ValueError, "need must be three", lambda: fc.batch_norm_backward(ROWS, ROWS, MEAN, MEAN, need=(True,))),
    (ValueError, "weight must have 3 input channels", lambda: fc.conv_transpose2d(IMAGE, WEIGHT[:2])),
    (ValueError, "weight must have shape", lambda: fc.conv_transpose2d(IMAGE, MEAN)),
    (ValueError, "groups must divide", lambda: fc.conv_transpose2d(IMAGE, WEIGHT, groups=2)),
    (ValueError, "bias must have shape", lambda: fc.conv_transpose2d(IMAGE, WEIGHT, MEAN)),
    (ValueError, "output_padding must be smaller", lambda: fc.conv_transpose2d(IMAGE, WEIGHT, output_padding=1)),
    (ValueError, "padding=9 leaves an empty", lambda: fc.conv_transpose2d(IMAGE, WEIGHT, padding=9)),
    (ValueError, "overflow", lambda: fc.conv_transpose2d(IMAGE, WEIGHT, stride=HUGE)),
    (ValueError, "overflow", lambda: fc.conv_transpose2d(IMAGE, WEIGHT, dilation=2**63 - 5)),
    (ValueError, "grad_output has shape", lambda: fc.conv_transpose2d_backward(IMAGE, IMAGE, WEIGHT)),
    (TypeError, "negative_slope must be a number", lambda: fc.leaky_relu(ROWS, "x")),
    (ValueError, "approximate must be one of", lambda: fc.gelu(ROWS, "erf")),
    (ValueError, "grad_output must have shape", lambda: fc.tanh_backward(ROWS[:1], ROWS)),
    (ValueError, "axis must name one", lambda: fc.softmax(ROWS, 2)),
    (TypeError, "axis must be an int", lambda: fc.softmax(ROWS, 0.5)),
    (ValueError, "no empty axis", lambda: fc.log_softmax(ROWS[:0], 0)),
    (TypeError, "x must have dtype", lambda: fc.convolve(np.arange(3), MEAN)),
    (TypeError, "real and its imaginary", lambda: fc.correlate(MEAN, MEAN * 1j)),
    (ValueError, "mode must be one of", lambda: fc.convolve(MEAN, MEAN, "best")),
    (ValueError, "kernel must have 1 axes", lambda: fc.convolve(MEAN, ROWS)),
    (ValueError, "1 or 2 axes unless axis", lambda: fc.convolve(SIGNAL, MEAN)),
    (ValueError, "axis", lambda: fc.convolve(MEAN, MEAN, axis=1)),
    (ValueError, "axis must name one axis or two", lambda: fc.convolve(SIGNAL, MEAN, axis=(0, 1, 2))),
    (TypeError, "axis must be an int", lambda: fc.convolve(MEAN, MEAN, axis="a")),
    (TypeError, "axis must be an int", lambda: reference.correlate(SIGNAL, MEAN, axis=0.5)),
    (ValueError, "mode must be one of", lambda: reference.convolve(MEAN, MEAN, "foo")),
    (ValueError, "axis must name one", lambda: reference.softmax(ROWS, 7)),
    (TypeError, "axis must be an int", lambda: reference.log_softmax_backward(ROWS, ROWS, "a")),
    (ValueError, "must not be empty", lambda: fc.convolve(MEAN[:0], MEAN)),
    (ValueError, "kernel must fit inside x", lambda: fc.convolve(ROWS, np.ones((2, 5)), "valid")),
    (ValueError, "num_features must be 1 or more", lambda: nn.BatchNorm1d(0)),
    (ValueError, r"x must have shape \(N, C, H, W\)", lambda: nn.BatchNorm2d(3)(ROWS)),
    (TypeError, "dtype must be float32", lambda: nn.BatchNorm1d(3, dtype=int)),
    (ValueError, "p must be a probability", lambda: nn.Dropout(1.5)),
    (ValueError, "padding must be at least 0", lambda: nn.ZeroPad2d(-1)),
    (TypeError, "state_dict must be a mapping", lambda: nn.Linear(2, 2).load_state_dict([1])),
    (TypeError, "state_dict must be a mapping", lambda: nn.Sequential().load_state_dict("x.npz")),
    (TypeError, "state_dict must be a mapping", lambda: optim.SGD(nn.Linear(2, 2).parameters()).load_state_dict(None)),
    (TypeError, "state_dict must be a mapping",
     lambda: optim.StepLR(optim.SGD(nn.Linear(2, 2).parameters()), 1).load_state_dict([])),
    (ValueError, "padding must be one of", lambda: nn.Conv1d(1, 1, 3, padding="smae")),
    (ValueError, "padding must be one of", lambda: nn.Conv2d(1, 1, 3, padding="causal")),
    (ValueError, "padding must be at least 0", lambda: nn.Conv2d(1, 1, 3, padding=(1, (0, -1)))),
    (TypeError, "padding must be an integer, a sequence", lambda: nn.Conv1d(1, 1, 3, padding=0.5)),
    (ValueError, "padding_mode must be one of", lambda: nn.Conv1d(1, 1, 3, padding_mode="constant")),
    (TypeError, "padding_mode must be one of", lambda: nn.Conv2d(1, 1, 3, padding_mode=None)),
    (TypeError, "padding must be an integer", lambda: nn.ConvTranspose1d(1, 1, 3, padding="same")),
    (ValueError, "output_padding must be smaller", lambda: nn.ConvTranspose2d(1, 1, 3, stride=(2, 1), output_padding=1)),
    (ValueError, "either size or scale_factor", lambda: nn.Upsample()),
    (ValueError, "mode must be one of", lambda: nn.Upsample(2, mode="cubic")),
    (ValueError, "align_corners=True means", lambda: nn.Upsample(2, align_corners=True)),
    (ValueError, "size must have one value", lambda: nn.Upsample((2, 3), mode="linear")),
    (TypeError, "scale_factor must be a number", lambda: nn.Upsample(scale_factor="2")),
    (TypeError, "kernel_size must be an integer", lambda: nn.MaxPool2d("2")),
    (ValueError, "padding must be at most half", lambda: nn.AvgPool1d(2, padding=2)),
    (ValueError, "dilation must be at least 1", lambda: nn.MaxPool1d(2, dilation=0)),
    (ValueError, "stride must be at least 1", lambda: nn.MaxUnpool1d(2, 0)),
    (ValueError, "output_size must be at least 1", lambda: nn.AdaptiveAvgPool2d((2, 0))),
    (TypeError, "optimizer must be an Optimizer", lambda: optim.StepLR(3, 1)),
    (TypeError, "data must have dtype", lambda: nn.Parameter(np.arange(3))),
    (TypeError, "ceil_mode must be True or False", lambda: fc.max_pool2d(IMAGE, 2, ceil_mode="yes")),
    (TypeError, "return_indices must be True or False", lambda: fc.max_pool1d(SIGNAL, 2, return_indices=1)),
    (TypeError, "count_include_pad must be True or False", lambda: reference.avg_pool1d(SIGNAL, 2, count_include_pad="no")),
    (TypeError, "training must be True or False", lambda: fc.batch_norm(ROWS, MEAN, MEAN, training="a")),
    (TypeError, "training must be True or False", lambda: reference.batch_norm(ROWS, MEAN, MEAN, training="a")),
    (TypeError, "align_corners must be True or False", lambda: fc.interpolate(IMAGE, 3, mode="bilinear", align_corners="x")),
    (TypeError, "align_corners must be True or False", lambda: nn.Upsample(3, mode="linear", align_corners="x")),
    (TypeError, "scale_factor must be a number", lambda: fc.interpolate(IMAGE, scale_factor=True)),
    (TypeError, "ceil_mode must be True or False", lambda: nn.MaxPool1d(2, ceil_mode="yes")),
    (TypeError, "need must be three bools", lambda: fc.batch_norm_backward(ROWS, ROWS, MEAN, MEAN, need=(1, 2, 1))),
    (TypeError, "need must be three bools", lambda: fc.linear_backward(ROWS, ROWS, ROWS[:3], need=("a", "b", "c"))),
    (ValueError, "algorithm must be one of", lambda: reference.conv1d(SIGNAL, np.ones((3, 3, 1)), algorithm="foo")),
    (TypeError, "parameters must be an iterable", lambda: optim.SGD(None)),
    (TypeError, "parameters must be an iterable", lambda: optim.Adam(PARAMETER)),
    (ValueError, "parameters must be given once each", lambda: optim.SGD([PARAMETER, PARAMETER])),
    (TypeError, "betas must be a pair of numbers, got 0.9", lambda: optim.Adam([PARAMETER], betas=0.9)),
    (TypeError, "rng must be a numpy.random.Generator", lambda: nn.Linear(2, 2, rng="a")),
    (TypeError, "rng must be a numpy.random.Generator", lambda: nn.ConvTranspose1d(2, 2, 3, rng=0.5)),
    (ValueError, "rng must be a numpy.random.Generator", lambda: nn.Dropout(rng=-1)),
    (TypeError, "rng must be a numpy.random.Generator", lambda: models.lenet(rng="a")),
    (TypeError, "p must be a number", lambda: nn.Dropout("a")),
    (ValueError, "running_mean and running_var must be given", lambda: reference.batch_norm(ROWS, None, None)),
    (TypeError, "negative_slope must be a number", lambda: fc.leaky_relu(ROWS, "0.1")),
    (TypeError, "grad must have dtype float32", lambda: step_with_gradient(np.ones(3))),
    (TypeError, "grad must have dtype float32 or float64", lambda: step_with_gradient(np.ones(3, int))),
    (ValueError, "out_channels must be a multiple", lambda: nn.ConvTranspose1d(4, 3, 3, groups=2)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "message", "call"), BAD, ids=[f"{i}-{text[:24]}" for i, (_, text, _) in enumerate(BAD)])
def test_bad_arguments(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=message):
        call()


def test_absurd_numbers_that_mean_something() -> None:
    """A window of billions over eight elements is their maximum; a stride that is never taken is no stride."""
    huge = 2**31 - 2
    np.testing.assert_array_equal(fc.max_pool1d(SIGNAL, huge, 1, huge // 2)[..., :1], 1)
    assert fc.max_pool2d(IMAGE, (8, 9), 2**31 - 1).shape == (2, 3, 1, 1)
    assert fc.avg_pool1d(SIGNAL, huge, huge, huge // 2, count_include_pad=False).shape == (2, 3, 1)
