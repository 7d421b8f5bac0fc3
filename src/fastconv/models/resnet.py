"""Residual networks (He et al. 2015, arXiv:1512.03385): ResNet-18 and -50 as torchvision has them, and small ones for 8x8 digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fastconv import nn
from fastconv.models._layers import conv_bn_relu
from fastconv.nn._checks import positive
from fastconv.nn.init import RNG, seeded

Block = Callable[[int, int, int, np.random.Generator], nn.Module]


def _conv_bn(in_channels: int, out_channels: int, kernel_size: int, stride: int, rng: np.random.Generator) -> list[nn.Module]:
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False, init="he_normal", rng=rng
    )
    return [convolution, nn.BatchNorm2d(out_channels)]


def _residual(layers: Sequence[nn.Module], downsample: nn.Module | None) -> nn.Module:
    """The layers conv1, bn1, relu, conv2, bn2, ... beside a shortcut, with torchvision's keys."""
    names = {f"{kind}{1 + index // 3}": layer
             for index, layer in enumerate(layers) if (kind := ("conv", "bn", "")[index % 3])}  # fmt: skip
    if downsample is not None:
        names["downsample"] = downsample
    return nn.Residual(nn.Sequential(*layers), downsample, activation="relu").keyed(**names)


def basic_block(in_channels: int, channels: int, stride: int, rng: np.random.Generator) -> nn.Module:
    """Two 3x3 convolutions; the shortcut has a 1x1 convolution where the shape changes."""
    layers = [*_conv_bn(in_channels, channels, 3, stride, rng), nn.ReLU(), *_conv_bn(channels, channels, 3, 1, rng)]
    same = stride == 1 and in_channels == channels
    return _residual(layers, None if same else nn.Sequential(*_conv_bn(in_channels, channels, 1, stride, rng)))


def bottleneck(in_channels: int, channels: int, stride: int, rng: np.random.Generator) -> nn.Module:
    """1x1, 3x3 (with the stride) and 1x1 convolution to four times `channels`."""
    layers = [
        *_conv_bn(in_channels, channels, 1, 1, rng), nn.ReLU(),
        *_conv_bn(channels, channels, 3, stride, rng), nn.ReLU(),
        *_conv_bn(channels, 4 * channels, 1, 1, rng),
    ]  # fmt: skip
    same = stride == 1 and in_channels == 4 * channels
    return _residual(layers, None if same else nn.Sequential(*_conv_bn(in_channels, 4 * channels, 1, stride, rng)))


def _stage(block: Block, expansion: int, in_channels: int, channels: int, blocks: int, stride: int,
           rng: np.random.Generator) -> nn.Sequential:
    first = block(in_channels, channels, stride, rng)
    return nn.Sequential(first, *(block(expansion * channels, channels, 1, rng) for _ in range(blocks - 1)))


def _resnet(block: Block, expansion: int, depths: Sequence[int], num_classes: int, width: int, rng: RNG) -> nn.Sequential:
    """A stem that divides the size by 4, stages of blocks, each but the first halving it, the mean, a linear layer."""
    positive(num_classes, "num_classes")
    channels, generator = positive(width, "width"), seeded(rng)
    conv1, bn1 = _conv_bn(3, channels, 7, 2, generator)
    layers: dict[str, nn.Sequential] = {}
    in_channels = width
    for index, depth in enumerate(depths):
        stride = 1 if index == 0 else 2
        layers[f"layer{index + 1}"] = _stage(block, expansion, in_channels, channels, depth, stride, generator)
        in_channels, channels = expansion * channels, 2 * channels
    fc = nn.Linear(in_channels, num_classes, rng=generator)
    model = nn.Sequential(
        conv1, bn1, nn.ReLU(), nn.MaxPool2d(3, 2, 1), *layers.values(), nn.GlobalAvgPool2d(), nn.Flatten(), fc
    )
    return model.keyed(conv1=conv1, bn1=bn1, **layers, fc=fc)


def resnet18(num_classes: int = 1000, *, width: int = 64, rng: RNG = None) -> nn.Sequential:
    """ResNet-18: ``(N, 3, 224, 224)``, or any size from 32 on, to ``(N, num_classes)`` logits.

    Parameters
    ----------
    num_classes : int
    width : int
        Channels of the first stage; 64 gives torchvision's network of 11,689,512 parameters.
    rng : numpy.random.Generator, int or None, keyword only
        Where the initial weights are drawn from.

    Returns
    -------
    Sequential
        Keys ``conv1.weight``, ``bn1.running_mean``, ``layer1.0.conv1.weight``, ``layer2.0.downsample.0.weight``, ..., ``fc.bias``.
    """
    return _resnet(basic_block, 1, (2, 2, 2, 2), num_classes, width, rng)


def resnet50(num_classes: int = 1000, *, width: int = 64, rng: RNG = None) -> nn.Sequential:
    """ResNet-50, of bottleneck blocks: 25,557,032 parameters at a `width` of 64; else as `resnet18`."""
    return _resnet(bottleneck, 4, (3, 4, 6, 3), num_classes, width, rng)


def resnet_digits(num_classes: int = 10, *, width: int = 16, rng: RNG = None) -> nn.Sequential:
    """A small ResNet for images of 8x8 pixels or so: a 3x3 stem, three stages of one basic block, the mean, a linear layer.

    Parameters
    ----------
    num_classes : int
    width : int
        Channels of the first stage; the others have twice and four times as many.
    rng : numpy.random.Generator, int or None, keyword only
        Where the initial weights are drawn from.

    Returns
    -------
    Sequential
        ``(N, 1, H, W)`` to ``(N, num_classes)`` logits, with the keys of `resnet18`.
    """
    positive(num_classes, "num_classes")
    w, generator = positive(width, "width"), seeded(rng)
    conv1, bn1 = _conv_bn(1, w, 3, 1, generator)
    layers = {
        "layer1": _stage(basic_block, 1, w, w, 1, 1, generator),
        "layer2": _stage(basic_block, 1, w, 2 * w, 1, 2, generator),
        "layer3": _stage(basic_block, 1, 2 * w, 4 * w, 1, 2, generator),
    }
    fc = nn.Linear(4 * w, num_classes, rng=generator)
    model = nn.Sequential(conv1, bn1, nn.ReLU(), *layers.values(), nn.GlobalAvgPool2d(), nn.Flatten(), fc)
    return model.keyed(conv1=conv1, bn1=bn1, **layers, fc=fc)


def deep(depth: int, residual: bool = True, num_classes: int = 10, *, width: int = 16, rng: RNG = None) -> nn.Sequential:
    """A network of `depth` layers that differ from one another in nothing, with residual connections or without.

    Parameters
    ----------
    depth : int
        Layers with weights: a convolution, blocks of two convolutions, a linear layer; even, 4 or more.
    residual : bool
        Whether the input of each block is added to its output. The initial weights of one seed are the same either way.
    num_classes, width : int
        `width` channels everywhere.
    rng : numpy.random.Generator, int or None, keyword only
        Where the initial weights are drawn from.

    Returns
    -------
    Sequential
        ``(N, 1, H, W)`` to ``(N, num_classes)`` logits.
    """
    if positive(depth, "depth") < 4 or depth % 2:
        raise ValueError(f"depth must be an even number of layers, 4 or more, got {depth}")
    positive(num_classes, "num_classes")
    w, generator = positive(width, "width"), seeded(rng)
    model = nn.Sequential(*conv_bn_relu(1, w, generator))
    for _ in range((depth - 2) // 2):
        layers = [*conv_bn_relu(w, w, generator), *conv_bn_relu(w, w, generator)]
        body = nn.Sequential(*layers[:-1])
        model.append(nn.Residual(body, activation="relu") if residual else nn.Sequential(*body, nn.ReLU()))
    return model.append(nn.GlobalAvgPool2d()).append(nn.Flatten()).append(nn.Linear(w, num_classes, rng=generator))
