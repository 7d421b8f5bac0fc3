"""Upsample: interpolation as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from fastconv import resampling as F
from fastconv._arguments import as_array, choice
from fastconv._plane_arguments import check_align_corners, interpolate_numbers
from fastconv.nn._checks import immutable
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array


class Upsample(Module):
    """Resize ``(N, C, L)`` or ``(N, C, H, W)``, as `torch.nn.Upsample`; down, too.

    Parameters
    ----------
    size : int or sequence of int, optional
        The spatial size of the result.
    scale_factor : float or sequence of float, optional
        What to multiply the size by, instead.
    mode : {"nearest", "linear", "bilinear"}
    align_corners : bool, optional
        Linear modes: see `fastconv.interpolate`.
    """

    def __init__(self, size: int | Sequence[int] | None = None, scale_factor: float | Sequence[float] | None = None,
                 mode: str = "nearest", align_corners: bool | None = None) -> None:
        interpolate_numbers(max(F.MODES[choice(mode, "mode", F.MODES)]), size, scale_factor)
        check_align_corners(align_corners, mode)
        self.size = immutable(size)
        self.scale_factor = immutable(scale_factor)
        self.mode = mode
        self.align_corners = align_corners

    @property
    def _arguments(self) -> tuple[Any, ...]:
        return self.size, self.scale_factor, self.mode, self.align_corners

    def forward(self, x: ArrayLike) -> Array:
        array = as_array(x, "x")
        self._saved = array.shape
        return F.interpolate(array, *self._arguments)

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        shape = self._recall()
        return F.interpolate_backward(grad_output, shape, *self._arguments) if need_input_grad else None

    def extra_repr(self) -> str:
        given = f"size={self.size}" if self.size is not None else f"scale_factor={self.scale_factor}"
        return f"{given}, mode={self.mode!r}"
