"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import ArrayLike

from fastconv import pooling as F
from fastconv._arguments import as_array, flag, int_tuple
from fastconv._plane_arguments import pool_numbers, window_numbers
from fastconv.nn._checks import Size, immutable
from fastconv.nn.module import Gradient, Module
from fastconv.nn.parameter import Array


class _Pool(Module):
    """What all pooling layers share: a window, and no parameters."""

    _rank: int

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        self.kernel_size = immutable(kernel_size)
        self.stride = self.kernel_size if stride is None else immutable(stride)
        self.padding = immutable(padding)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
    _pool: Callable[..., Any]
    _pool_backward: Callable[..., Array]

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
                 return_indices: bool = False, ceil_mode: bool = False) -> None:
        pool_numbers(self._rank, kernel_size, stride, padding, dilation)
        super().__init__(kernel_size, stride, padding)
        self.dilation = immutable(dilation)
        self.return_indices = flag(return_indices, "return_indices")
        self.ceil_mode = flag(ceil_mode, "ceil_mode")

    def _pooled(self, x: ArrayLike, return_indices: bool) -> Any:
        return self._pool(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, return_indices)

    def forward(self, x: ArrayLike) -> Any:
        if not (self.training or self.return_indices):
            self._saved = x, None  # a backward pass is unlikely, and can find the indices by itself
            return self._pooled(x, False)
        y, indices = self._pooled(x, True)
        self._saved = x, indices
        return (y, indices) if self.return_indices else y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        x, indices = self._recall()
        if not need_input_grad:
            return None
        if indices is None:
            indices = self._pooled(x, True)[1]
        return self._pool_backward(grad_output, indices, as_array(x, "x").shape)


class MaxPool1d(_MaxPool):
    """The largest element of each window of ``(N, C, L)`` or ``(C, L)``, as `torch.nn.MaxPool1d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or sequence of int
        `stride` is `kernel_size` if not given; `padding` at most half of it.
    return_indices : bool
        Whether ``forward`` returns (y, indices), for `MaxUnpool1d`.
    ceil_mode : bool
        Whether a last window may end beyond the input.
    """

    _rank = 1
    _pool = staticmethod(F.max_pool1d)
    _pool_backward = staticmethod(F.max_pool1d_backward)


class MaxPool2d(_MaxPool):
    """The largest element of each window of ``(N, C, H, W)`` or ``(C, H, W)``, as `torch.nn.MaxPool2d`; see `MaxPool1d`."""

    _rank = 2
    _pool = staticmethod(F.max_pool2d)
    _pool_backward = staticmethod(F.max_pool2d_backward)


class _MaxUnpool(_Pool):
    _unpool: Callable[..., Array]
    _unpool_backward: Callable[..., Array]

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        window_numbers(self._rank, kernel_size, stride, padding)
        super().__init__(kernel_size, stride, padding)

    def __call__(self, x: ArrayLike, indices: ArrayLike, output_size: Sequence[int] | None = None) -> Array:  # type: ignore[override]
        return self.forward(x, indices, output_size)

    def forward(self, x: ArrayLike, indices: ArrayLike, output_size: Sequence[int] | None = None) -> Array:  # type: ignore[override]
        y = self._unpool(x, indices, self.kernel_size, self.stride, self.padding, output_size)
        self._saved = indices
        return y

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        indices = self._recall()
        return self._unpool_backward(grad_output, indices) if need_input_grad else None


class MaxUnpool1d(_MaxUnpool):
    """Elements put back where `MaxPool1d` found them, as `torch.nn.MaxUnpool1d`: called with (x, indices, output_size)."""

    _rank = 1
    _unpool = staticmethod(F.max_unpool1d)
    _unpool_backward = staticmethod(F.max_unpool1d_backward)


class MaxUnpool2d(_MaxUnpool):
    """Elements put back where `MaxPool2d` found them, as `torch.nn.MaxUnpool2d`: called with (x, indices, output_size)."""

    _rank = 2
    _unpool = staticmethod(F.max_unpool2d)
    _unpool_backward = staticmethod(F.max_unpool2d_backward)


class _AvgPool(_Pool):
    _pool: Callable[..., Array]
    _pool_backward: Callable[..., Array]

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True) -> None:
        pool_numbers(self._rank, kernel_size, stride, padding)
        super().__init__(kernel_size, stride, padding)
        self.ceil_mode = flag(ceil_mode, "ceil_mode")
        self.count_include_pad = flag(count_include_pad, "count_include_pad")

    @property
    def _window(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad

    def forward(self, x: ArrayLike) -> Array:
        array = as_array(x, "x")
        self._saved = array.shape
        return self._pool(array, *self._window)

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        shape = self._recall()
        return self._pool_backward(grad_output, shape, *self._window) if need_input_grad else None


class AvgPool1d(_AvgPool):
    """The mean of each window of ``(N, C, L)`` or ``(C, L)``, as `torch.nn.AvgPool1d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or sequence of int
        `stride` is `kernel_size` if not given; `padding` at most half of it.
    ceil_mode : bool
        Whether a last window may end beyond the input.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.
    """

    _rank = 1
    _pool = staticmethod(F.avg_pool1d)
    _pool_backward = staticmethod(F.avg_pool1d_backward)


class AvgPool2d(_AvgPool):
    """The mean of each window of ``(N, C, H, W)`` or ``(C, H, W)``, as `torch.nn.AvgPool2d`; see `AvgPool1d`."""

    _rank = 2
    _pool = staticmethod(F.avg_pool2d)
    _pool_backward = staticmethod(F.avg_pool2d_backward)


class _AdaptiveAvgPool(Module):
    _rank: int
    _pool: Callable[..., Array]
    _pool_backward: Callable[..., Array]

    def __init__(self, output_size: Size) -> None:
        int_tuple(output_size, "output_size", self._rank, 1)
        self.output_size = immutable(output_size)

    def forward(self, x: ArrayLike) -> Array:
        array = as_array(x, "x")
        self._saved = array.shape
        return self._pool(array, self.output_size)

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        shape = self._recall()
        return self._pool_backward(grad_output, shape) if need_input_grad else None

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of windows that cover a signal evenly, as `torch.nn.AdaptiveAvgPool1d`.

    Parameters
    ----------
    output_size : int or sequence of int
        How many windows.
    """

    _rank = 1
    _pool = staticmethod(F.adaptive_avg_pool1d)
    _pool_backward = staticmethod(F.adaptive_avg_pool1d_backward)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of windows that cover an image evenly, as `torch.nn.AdaptiveAvgPool2d`; see `AdaptiveAvgPool1d`."""

    _rank = 2
    _pool = staticmethod(F.adaptive_avg_pool2d)
    _pool_backward = staticmethod(F.adaptive_avg_pool2d_backward)


class GlobalAvgPool1d(AdaptiveAvgPool1d):
    """The mean of each channel, ``(N, C, L)`` to ``(N, C, 1)``: ``AdaptiveAvgPool1d(1)``."""

    def __init__(self) -> None:
        super().__init__(1)

    def extra_repr(self) -> str:
        return ""


class GlobalAvgPool2d(AdaptiveAvgPool2d):
    """The mean of each channel, ``(N, C, H, W)`` to ``(N, C, 1, 1)``: ``AdaptiveAvgPool2d(1)``."""

    def __init__(self) -> None:
        super().__init__(1)

    def extra_repr(self) -> str:
        return ""
