"""Signatures of the compiled seam. Callers outside of the package use `fastconv.functional` and `fastconv.config`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastconv._plane_arguments import PoolArguments

def get_threads() -> int: ...
def set_threads(n: int) -> None: ...
def set_report(function: Callable[[dict[str, Any], int, str, float], None] | None) -> None: ...
def multiply_adds(count: int, double_precision: bool = False) -> float: ...
def get_strict() -> bool: ...
def set_strict(flag: bool) -> None: ...
def available_threads() -> int: ...
def isa_table() -> dict[str, tuple[bool, bool]]: ...
def active_isa() -> str: ...
def select_isa(name: str) -> bool: ...
# ---- _core_workspace.pxi ----

class Workspace:
    def __init__(self) -> None: ...
    def copy(self, array: NDArray[Any]) -> NDArray[Any]: ...

# ---- _core_convolution.pxi ----

def conv(
    ndim: int,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: int | Sequence[int],
    padding: int | str | Sequence[int | tuple[int, int]],
    dilation: int | Sequence[int],
    groups: int,
    padding_mode: str,
    activation: str | None,
    out: NDArray[Any] | None,
    algorithm: str,
    workspace: Workspace | None = None,
    chain: BatchChain | None = None,
) -> NDArray[Any]: ...
def conv_backward(
    ndim: int,
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: int | Sequence[int],
    padding: int | str | Sequence[int | tuple[int, int]],
    dilation: int | Sequence[int],
    groups: int,
    padding_mode: str,
    need: Sequence[bool],
    data_algorithm: str = "auto",
    weights_algorithm: str = "auto",
    through_relu: bool = False,
    workspace: Workspace | None = None,
) -> tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]: ...
def plan_info(
    ndim: int,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: int | Sequence[int],
    padding: int | str | Sequence[int | tuple[int, int]],
    dilation: int | Sequence[int],
    groups: int,
    padding_mode: str,
    dtype: str,
    pass_: str,
    algorithm: str,
) -> dict[str, Any]: ...

class Watch:
    def __init__(
        self, attributes: tuple[tuple[dict[str, Any], tuple[Any, ...]], ...], slots: tuple[tuple[Any, str, Any], ...],
        ignored: frozenset[str],
    ) -> None: ...
    def unchanged(self) -> bool: ...

class Pass:
    def __init__(
        self, calls: tuple[tuple[Callable[..., Any], int, tuple[int, ...], int, tuple[int, ...], Plan | None], ...], arrays: int, result: int
    ) -> None: ...
    def __call__(self, x: NDArray[Any]) -> NDArray[Any]: ...

class Plan:
    def __init__(
        self,
        ndim: int,
        x_shape: Sequence[int],
        weight: ArrayLike,
        bias: ArrayLike | None,
        stride: int | Sequence[int],
        padding: int | str | Sequence[int | tuple[int, int]],
        dilation: int | Sequence[int],
        groups: int,
        padding_mode: str,
        activation: str | None,
        algorithm: str,
    ) -> None: ...
    @property
    def x_shape(self) -> tuple[int, ...]: ...
    @property
    def output_shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def packed_bytes(self) -> int: ...
    @property
    def scratch_bytes(self) -> int: ...
    def __call__(self, x: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]: ...
    def added(self, x: ArrayLike, beside: NDArray[Any] | None = None, over: bool = False) -> NDArray[Any]: ...

# ---- _core_linear.pxi ----

class BatchChain:
    def __init__(self, first: Workspace) -> None: ...

def linear(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    relu: bool = False,
    workspace: Workspace | None = None,
) -> NDArray[Any]: ...
def linear_backward(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    need: Sequence[bool],
    through_relu: bool = False,
    workspace: Workspace | None = None,
) -> tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]: ...

# ---- _core_elementwise.pxi ----

def relu(x: ArrayLike, workspace: Workspace | None = None) -> NDArray[Any]: ...
def relu_backward(
    grad_output: ArrayLike, y: ArrayLike, workspace: Workspace | None = None
) -> NDArray[Any]: ...
def cross_entropy(
    logits: ArrayLike, labels: ArrayLike, divisor: float, workspace: Workspace | None = None
) -> tuple[float | None, NDArray[Any]]: ...
def set_batch_last(flag: int) -> None: ...
def with_gradients(parameters: list[Any]) -> tuple[list[NDArray[Any]], list[NDArray[Any]], Any]: ...
def sgd(
    data: list[NDArray[Any]],
    grads: list[NDArray[Any]],
    velocities: list[NDArray[Any]] | None,
    first: list[bool],
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
) -> None: ...
def adam(
    data: list[NDArray[Any]],
    grads: list[NDArray[Any]],
    means: list[NDArray[Any]],
    squares: list[NDArray[Any]],
    steps: list[float],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None: ...

# ---- _core_operators.pxi ----

class Band: ...

def window_band(size: int, out: int, kernel: int, stride: int, padding: int, count_include_pad: bool) -> Band: ...
def adaptive_band(size: int, out: int) -> Band: ...
def interpolation_band(size: int, out: int, scale: float | None, linear: bool, align_corners: bool) -> Band: ...
def resample_planes(
    x: ArrayLike, name: str, out_shape: tuple[int, ...], bands: tuple[Band, ...], backward: bool = False
) -> NDArray[Any]: ...
def max_pool_forward(
    x: ArrayLike, out_shape: tuple[int, ...], size: tuple[int, ...], a: PoolArguments, want_indices: bool
) -> tuple[NDArray[Any], Any]: ...  # indices, or None where they are not wanted
def scatter(
    x: ArrayLike, name: str, indices: ArrayLike, out_shape: tuple[int, ...], source: int, target: int, add: bool
) -> NDArray[Any]: ...
def gather(
    x: ArrayLike, name: str, indices: ArrayLike, out_shape: tuple[int, ...], source: int, target: int
) -> NDArray[Any]: ...
def normalize(
    x: NDArray[Any],
    mean: NDArray[Any],
    var: NDArray[Any],
    weight: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    batch_stats: bool,
    eps: float,
) -> NDArray[Any]: ...
def normalize_backward(
    dy: NDArray[Any],
    x: NDArray[Any],
    mean: NDArray[Any],
    var: NDArray[Any],
    weight: NDArray[Any] | None,
    batch_stats: bool,
    eps: float,
    need: tuple[bool, bool, bool],
) -> tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]: ...
def leaky_relu(x: ArrayLike, negative_slope: float) -> NDArray[Any]: ...
def leaky_relu_backward(grad_output: ArrayLike, x: ArrayLike, negative_slope: float) -> NDArray[Any]: ...
def gelu(x: ArrayLike, approximate: bool) -> NDArray[Any]: ...
def gelu_backward(grad_output: ArrayLike, x: ArrayLike, approximate: bool) -> NDArray[Any]: ...
def softmax(x: ArrayLike, axis: int, logarithm: bool) -> NDArray[Any]: ...
def add(
    a: ArrayLike, b: ArrayLike, relu: bool = False, workspace: Workspace | None = None
) -> NDArray[Any]: ...
def conv_transpose(
    ndim: int,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    output_padding: int | Sequence[int],
    groups: int,
    dilation: int | Sequence[int],
    algorithm: str = "auto",
) -> NDArray[Any]: ...
def conv_transpose_backward(
    ndim: int,
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    output_padding: int | Sequence[int],
    groups: int,
    dilation: int | Sequence[int],
    need: Sequence[bool],
) -> tuple[NDArray[Any] | None, NDArray[Any] | None, NDArray[Any] | None]: ...

# ---- _core_stages.pxi ----

class Stage:
    def __init__(self, layer: Any, relu: Any = None, chain: BatchChain | None = None) -> None: ...

class ConvStage(Stage):
    def __init__(self, layer: Any, relu: Any, chain: BatchChain | None, rank: int) -> None: ...

class LinearStage(Stage): ...
class FlattenStage(Stage): ...

class Stages:
    def __init__(self, layers: list[Stage], ahead: list[Stage], back: list[tuple[int, int]]) -> None: ...
    def forward(self, x: ArrayLike) -> NDArray[Any]: ...
    def backward(self, grad: ArrayLike, need_input: bool, first: int) -> NDArray[Any] | None: ...
