"""Random calls of the operators on planes, for hypothesis: the same for the library, the reference and PyTorch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

SIZES = st.sampled_from((1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 28, 31, 32, 33, 40))


class Call(NamedTuple):
    """A function's name without its dimensions, the shape of x, and the arguments that follow it."""

    name: str
    ndim: int
    shape: tuple[int, ...]
    arguments: dict[str, Any]
    seed: int

    def function(self, module: Any, suffix: str = "") -> Any:
        dimensions = "" if self.name == "interpolate" else f"{self.ndim}d"
        return getattr(module, f"{self.name}{dimensions}{suffix}")

    def x(self, dtype: Any) -> np.ndarray:
        """Small integers now and then, for ties and exact sums."""
        rng = np.random.default_rng(self.seed)
        values = rng.standard_normal(self.shape) * 2
        return (np.round(values) if self.seed % 3 == 0 else values).astype(dtype)


@st.composite
def shapes(draw: st.DrawFn, ndim: int, batched: bool = False) -> tuple[int, ...]:
    shape = (draw(st.integers(1, 3)), *(draw(SIZES) for _ in range(ndim)))
    return (draw(st.integers(0, 3)), *shape) if batched or draw(st.booleans()) else shape


@st.composite
def pools(draw: st.DrawFn, name: str) -> Call:
    """A max or average pooling whose windows fit."""
    ndim = draw(st.sampled_from((1, 2)))
    shape = draw(shapes(ndim))
    kernel = tuple(draw(st.integers(1, min(n, 6))) for n in shape[-ndim:])
    arguments: dict[str, Any] = {
        "kernel_size": kernel,
        "stride": tuple(draw(st.integers(1, 5)) for _ in kernel),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "ceil_mode": draw(st.booleans()),
    }
    if name == "max_pool":
        reach = zip(shape[-ndim:], kernel, strict=True)
        arguments["dilation"] = tuple(draw(st.integers(1, max(1, (n - 1) // max(k - 1, 1)))) for n, k in reach)
    else:
        arguments["count_include_pad"] = draw(st.booleans())
    return Call(name, ndim, shape, arguments, draw(st.integers(0, 99)))


@st.composite
def adaptive_pools(draw: st.DrawFn) -> Call:
    ndim = draw(st.sampled_from((1, 2)))
    output = tuple(draw(SIZES) for _ in range(ndim))
    return Call("adaptive_avg_pool", ndim, draw(shapes(ndim)), {"output_size": output}, draw(st.integers(0, 99)))


@st.composite
def interpolations(draw: st.DrawFn) -> Call:
    ndim = draw(st.sampled_from((1, 2)))
    shape = draw(shapes(ndim, batched=True))
    mode = draw(st.sampled_from(("nearest", ("linear", "bilinear")[ndim - 1])))
    arguments: dict[str, Any] = {"mode": mode}
    if draw(st.booleans()):
        arguments["size"] = tuple(draw(SIZES) for _ in range(ndim))
    else:
        # None so near to 1 or 2 that PyTorch takes it for that in two dimensions.
        factors = st.sampled_from((2, 1, 1.5, 3, 4.0)) if min(shape[-ndim:]) < 4 else st.sampled_from((2, 0.5, 1.5, 0.7, 3))
        arguments["scale_factor"] = tuple(draw(factors) for _ in range(ndim))
    if mode != "nearest":
        arguments["align_corners"] = draw(st.booleans())
    return Call("interpolate", ndim, shape, arguments, draw(st.integers(0, 99)))


linear_maps = st.one_of(pools("avg_pool"), adaptive_pools(), interpolations())


class Transposed(NamedTuple):
    """A transposed convolution."""

    ndim: int
    shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    arguments: dict[str, Any]
    seed: int

    def function(self, module: Any, suffix: str = "") -> Any:
        return getattr(module, f"conv_transpose{self.ndim}d{suffix}")

    def arrays(self, dtype: Any) -> list[np.ndarray]:
        """x, weight and bias."""
        rng = np.random.default_rng(self.seed)
        channels = self.weight_shape[1] * self.arguments["groups"]
        return [rng.standard_normal(shape).astype(dtype) for shape in (self.shape, self.weight_shape, (channels,))]


@st.composite
def transposed(draw: st.DrawFn) -> Transposed:
    ndim = draw(st.sampled_from((1, 2)))
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    channels = groups * draw(st.sampled_from((1, 2, 5, 16, 17)))
    size = tuple(draw(st.sampled_from((1, 2, 3, 7, 14, 17))) for _ in range(ndim))
    kernel = tuple(draw(st.integers(1, 5)) for _ in size)
    stride = tuple(draw(st.integers(1, 4)) for _ in size)
    dilation = tuple(draw(st.integers(1, 3)) for _ in size)
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    whole = [(n - 1) * s + d * (k - 1) + 1 for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)]
    padding = tuple(draw(st.integers(0, min(3, (n - 1) // 2))) for n in whole)
    arguments = {"stride": stride, "padding": padding, "output_padding": more, "groups": groups, "dilation": dilation}
    weight_shape = (channels, draw(st.sampled_from((1, 2, 3, 8, 17))), *kernel)
    shape = (channels, *size) if draw(st.integers(0, 4)) == 0 else (draw(st.integers(0, 3)), channels, *size)
    return Transposed(ndim, shape, weight_shape, arguments, draw(st.integers(0, 99)))
