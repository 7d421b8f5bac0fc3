"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597) and hourglass, for signals and images."""

from __future__ import annotations

import numpy as np

from fastconv import nn
from fastconv.models._layers import CONV, CONV_TRANSPOSE, MAX_POOL, conv_bn_relu, dimensions
from fastconv.nn._checks import positive
from fastconv.nn.init import RNG, seeded


def unet(in_channels: int, out_channels: int, *, width: int = 16, depth: int = 3, ndim: int = 2, rng: RNG = None) -> nn.Sequential:
    """U-Net: what each level of the encoder saw goes to the same level of the decoder beside what comes from below.

    Parameters
    ----------
    in_channels, out_channels : int
    width : int
        Channels of the first level; each level below has twice as many.
    depth : int
        How many times the size is halved; it must be a multiple of ``2**depth``.
    ndim : {1, 2}
        Signals ``(N, C, L)`` or images ``(N, C, H, W)``.
    rng : numpy.random.Generator, int or None, keyword only
        Where the initial weights are drawn from.

    Returns
    -------
    Sequential
        ``(N, in_channels, ...)`` to ``(N, out_channels, ...)`` of the same size. Keys: ``encoder.<level>.``, ``up.<level>.`` and
        ``decoder.<level>.`` with a block's layers, level 0 the finest, and ``head.``.
    """
    return _build(in_channels, out_channels, width, depth, ndim, rng, skips=True)


def hourglass(in_channels: int, out_channels: int, *, width: int = 16, depth: int = 3, ndim: int = 2,
              rng: RNG = None) -> nn.Sequential:
    """Encoder and decoder of `unet` without the connections between them: all has to pass through the lowest level."""
    return _build(in_channels, out_channels, width, depth, ndim, rng, skips=False)


def _build(in_channels: int, out_channels: int, width: int, depth: int, ndim: int, rng: RNG, skips: bool) -> nn.Sequential:
    positive(in_channels, "in_channels")
    w, levels, d = positive(width, "width"), positive(depth, "depth"), dimensions(ndim)
    generator = seeded(rng)
    channels = [w << level for level in range(levels + 1)]
    encoder = [
        _block(before, after, d, generator)
        for before, after in zip([in_channels, *channels], channels, strict=False)
    ]
    up = [CONV_TRANSPOSE[d](2 * c, c, 2, 2, rng=generator) for c in channels[:-1]]
    decoder = [_block(2 * c if skips else c, c, d, generator) for c in channels[:-1]]
    head = CONV[d](w, positive(out_channels, "out_channels"), 1, rng=generator)

    inner = encoder[levels]
    for level in reversed(range(levels)):
        below: nn.Module = nn.Sequential(MAX_POOL[d](2), inner, up[level])
        if skips:
            below = nn.Concat(nn.Identity(), below)
        inner = nn.Sequential(encoder[level], below, decoder[level])
    return nn.Sequential(inner, head).keyed(
        encoder=nn.Sequential(*encoder), up=nn.Sequential(*up), decoder=nn.Sequential(*decoder), head=head
    )


def _block(in_channels: int, out_channels: int, ndim: int, rng: np.random.Generator) -> nn.Sequential:
    return nn.Sequential(*conv_bn_relu(in_channels, out_channels, rng, ndim), *conv_bn_relu(out_channels, out_channels, rng, ndim))
