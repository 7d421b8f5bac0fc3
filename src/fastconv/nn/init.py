"""Initial weights by name.

Every scheme draws in float64 and rounds, so that the float32 and the float64 network of one seed are the same network.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastconv._arguments import float_dtype
from fastconv.nn.parameter import Array

Scheme = Callable[[tuple[int, ...], int, np.random.Generator], tuple[Array, Array]]
RNG = np.random.Generator | int | None


def pytorch(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """PyTorch's default: U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weights and biases.

    It is what ``kaiming_uniform_(a=sqrt(5))`` in ``torch.nn.Linear.reset_parameters`` comes to.
    """
    bound = 1 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape), rng.uniform(-bound, bound, shape[0])


def he_uniform(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Variance 2 / fan_in from a uniform distribution, zero biases (He et al. 2015, arXiv:1502.01852)."""
    bound = math.sqrt(6 / fan_in)
    return rng.uniform(-bound, bound, shape), np.zeros(shape[0])


def he_normal(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Variance 2 / fan_in from a normal distribution, zero biases (He et al. 2015, arXiv:1502.01852)."""
    return rng.normal(0.0, math.sqrt(2 / fan_in), shape), np.zeros(shape[0])


SCHEMES: dict[str, Scheme] = {"pytorch": pytorch, "he_uniform": he_uniform, "he_normal": he_normal}


def seeded(rng: RNG) -> np.random.Generator:
    """`rng` itself if it is a generator, else a new one from that seed, or from fresh entropy."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"rng must be a numpy.random.Generator, an int of 0 or more or None, got {rng!r}") from None


def weight_and_bias(
    shape: tuple[int, ...], init: str, rng: RNG, dtype: np.typing.DTypeLike
) -> tuple[Array, Array]:
    """Initial weight and bias of a layer whose weight has the outputs along its first axis.

    Parameters
    ----------
    shape : tuple of int
        Of the weight: ``(out, in)`` or ``(out_channels, in_channels / groups, *kernel_size)``.
    init : str
        ``"pytorch"``, ``"he_uniform"`` or ``"he_normal"``.
    rng : numpy.random.Generator, int or None
        A generator is drawn from; an int seeds a new one; None takes fresh entropy.
    dtype : dtype_like
        float32 or float64.

    Raises
    ------
    ValueError
        For an unknown scheme.
    TypeError
        For a dtype that is neither float32 nor float64.
    """
    if init not in SCHEMES:
        raise ValueError(f"init must be one of {', '.join(map(repr, SCHEMES))}, got {init!r}")
    dtype = float_dtype(dtype)
    weight, bias = SCHEMES[init](shape, max(1, math.prod(shape[1:])), seeded(rng))
    return weight.astype(dtype), bias.astype(dtype)
