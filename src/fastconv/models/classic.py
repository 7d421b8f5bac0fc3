"""AlexNet (Krizhevsky 2014, arXiv:1404.5997) and VGG-16 (Simonyan and Zisserman 2015, arXiv:1409.1556), as torchvision has them.

Convolutions and pooling, then three linear layers that hold most of the parameters.
"""

from __future__ import annotations

import numpy as np

from fastconv import nn
from fastconv.nn._checks import positive
from fastconv.nn.init import RNG, seeded

#: VGG-16: convolutions between two poolings, and how many times `width` channels they have.
STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))


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
    w, generator = positive(width, "width"), seeded(rng)
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
    return _classifying(features, (4 * w, 6), 64 * w, num_classes, dropout_first=True, rng=generator)


def vgg16(num_classes: int = 1000, *, width: int = 64, rng: RNG = None) -> nn.Sequential:
    """Thirteen 3x3 convolutions, three linear layers: ``(N, 3, 224, 224)`` (32 pixels or more) to ``(N, num_classes)``.

    Parameters and keys are as in `alexnet`; a `width` of 64 gives torchvision's network of 138,357,544 parameters.
    """
    w, generator = positive(width, "width"), seeded(rng)
    layers: list[nn.Module] = []
    channels = 3
    for convolutions, factor in STAGES:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, factor * w, 3, padding=1, init="he_normal", rng=generator), nn.ReLU()]
            channels = factor * w
        layers.append(nn.MaxPool2d(2))
    return _classifying(nn.Sequential(*layers), (channels, 7), 64 * w, num_classes, dropout_first=False, rng=generator)


def _classifying(features: nn.Sequential, shape: tuple[int, int], hidden: int, num_classes: int, *, dropout_first: bool,
                 rng: np.random.Generator) -> nn.Sequential:
    """`features` of `shape` (channels, pixels along each side), and three linear layers with dropout before or after the
    hidden ones."""
    channels, size = shape
    layers: list[nn.Module] = []
    for inputs in (channels * size * size, hidden):
        layer, dropout = [nn.Linear(inputs, hidden, rng=rng), nn.ReLU()], nn.Dropout(rng=rng)
        layers += [dropout, *layer] if dropout_first else [*layer, dropout]
    classifier = nn.Sequential(*layers, nn.Linear(hidden, positive(num_classes, "num_classes"), rng=rng))
    model = nn.Sequential(features, nn.AdaptiveAvgPool2d((size, size)), nn.Flatten(), classifier)
    return model.keyed(features=features, classifier=classifier)
