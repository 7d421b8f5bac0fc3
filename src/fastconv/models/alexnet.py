"""AlexNet (Krizhevsky 2014, arXiv:1404.5997), as torchvision has it."""

from __future__ import annotations

import numpy as np

from fastconv import nn
from fastconv.models._layers import positive
from fastconv.nn.init import RNG


def alexnet(num_classes: int = 1000, *, width: int = 64, rng: RNG = None) -> nn.Sequential:
    """Five convolutions, three linear layers: ``(N, 3, 224, 224)`` (63 pixels or more) to ``(N, num_classes)``.

    Parameters
    ----------
    num_classes : int
    width : int
        Channels of the first convolution; all other layers are as much wider. 64 gives torchvision's network of 61,100,840
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
    features = nn.Sequential(
        nn.Conv2d(3, w, 11, stride=4, padding=2, rng=generator),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(w, 3 * w, 5, padding=2, rng=generator),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(3 * w, 6 * w, 3, padding=1, rng=generator),
        nn.ReLU(),
        nn.Conv2d(6 * w, 4 * w, 3, padding=1, rng=generator),
        nn.ReLU(),
        nn.Conv2d(4 * w, 4 * w, 3, padding=1, rng=generator),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )
    classifier = nn.Sequential(
        nn.Dropout(rng=generator),
        nn.Linear(4 * w * 6 * 6, 64 * w, rng=generator),
        nn.ReLU(),
        nn.Dropout(rng=generator),
        nn.Linear(64 * w, 64 * w, rng=generator),
        nn.ReLU(),
        nn.Linear(64 * w, num_classes, rng=generator),
    )
    model = nn.Sequential(features, nn.AdaptiveAvgPool2d((6, 6)), nn.Flatten(), classifier)
    return model.keyed(features=features, classifier=classifier)
