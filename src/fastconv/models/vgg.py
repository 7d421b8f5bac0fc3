"""VGG-16 (Simonyan and Zisserman 2015, arXiv:1409.1556), as torchvision has it."""

from __future__ import annotations

import numpy as np

from fastconv import nn
from fastconv.models._layers import positive
from fastconv.nn.init import RNG

#: Convolutions between two poolings, and how many times `width` channels they have.
STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))


def vgg16(num_classes: int = 1000, *, width: int = 64, rng: RNG = None) -> nn.Sequential:
    """Thirteen 3x3 convolutions, three linear layers: ``(N, 3, 224, 224)`` (32 pixels or more) to ``(N, num_classes)``.

    Parameters
    ----------
    num_classes : int
    width : int
        Channels of the first convolution; all other layers are as much wider. 64 gives torchvision's network of 138,357,544
        parameters.
    rng : numpy.random.Generator, int or None, keyword only
        Where the initial weights, and what is dropped in training, are drawn from.

    Returns
    -------
    Sequential
        Keys ``features.0.weight``, ..., ``classifier.6.bias``.
    """
    positive(num_classes, "num_classes")
    w, generator = positive(width, "width"), np.random.default_rng(rng)
    layers: list[nn.Module] = []
    channels = 3
    for convolutions, factor in STAGES:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, factor * w, 3, padding=1, init="he_normal", rng=generator), nn.ReLU()]
            channels = factor * w
        layers.append(nn.MaxPool2d(2))
    features = nn.Sequential(*layers)
    classifier = nn.Sequential(
        nn.Linear(channels * 7 * 7, 64 * w, rng=generator),
        nn.ReLU(),
        nn.Dropout(rng=generator),
        nn.Linear(64 * w, 64 * w, rng=generator),
        nn.ReLU(),
        nn.Dropout(rng=generator),
        nn.Linear(64 * w, num_classes, rng=generator),
    )
    model = nn.Sequential(features, nn.AdaptiveAvgPool2d((7, 7)), nn.Flatten(), classifier)
    return model.keyed(features=features, classifier=classifier)
