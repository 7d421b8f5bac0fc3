"""A LeNet-like network: two convolutions with pooling, three linear layers."""

from __future__ import annotations

from fastconv import nn
from fastconv.nn._checks import positive
from fastconv.nn.init import RNG, seeded


def lenet(num_classes: int = 10, in_channels: int = 1, size: int = 8, *, rng: RNG = None) -> nn.Sequential:
    """Convolution, pooling, convolution, pooling, three linear layers (LeCun et al. 1998), with ReLU and 3x3 kernels.

    Parameters
    ----------
    num_classes, in_channels : int
    size : int
        Height and width of the images, a multiple of 4.
    rng : numpy.random.Generator, int or None, keyword only
        Where the initial weights are drawn from.

    Returns
    -------
    Sequential
        ``(N, in_channels, size, size)`` to ``(N, num_classes)`` logits; keys ``0.weight``, ... as of the same
        `torch.nn.Sequential`.
    """
    positive(num_classes, "num_classes")
    if positive(size, "size") % 4:
        raise ValueError(f"size must be a multiple of 4, got {size}")
    generator = seeded(rng)
    features = 32 * (size // 4) ** 2
    return nn.Sequential(
        nn.Conv2d(in_channels, 16, 3, padding=1, rng=generator),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, rng=generator),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, 120, rng=generator),
        nn.ReLU(),
        nn.Linear(120, 84, rng=generator),
        nn.ReLU(),
        nn.Linear(84, num_classes, rng=generator),
    )
