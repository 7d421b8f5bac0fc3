"""`explain`: what a call would do, without doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastconv import _arguments, _conv_arguments, _core


@dataclass(frozen=True)
class Explanation:
    """The plan of one convolution.

    Attributes
    ----------
    algorithm, reason : str
    flops : int
        Two for each multiply-add of the definition, padding included.
    cycles : float
        What the cost model promises: cycles of one core, all examples together.
    scratch_bytes : int
        Working memory of the call, over all its threads.
    threads : int
        How many threads it would use.
    isa : str
    output_shape : tuple of int
    """

    algorithm: str
    reason: str
    flops: int
    cycles: float
    scratch_bytes: int
    threads: int
    isa: str
    output_shape: tuple[int, ...]

    def __str__(self) -> str:
        return (f"{self.algorithm} ({self.isa}): {self.reason}\n"
                f"output {self.output_shape}, {self.flops / 1e6:.3f} MFLOP, "
                f"{self.scratch_bytes / 1024:.0f} KiB of scratch, threads: {self.threads}")


def explain(x_shape: Sequence[int], weight_shape: Sequence[int], stride: Any = 1, padding: Any = 0, dilation: Any = 1,
            groups: int = 1, *, dtype: str = "float32", padding_mode: str = "zeros", pass_: str = "fwd",
            algorithm: str = "auto") -> Explanation:
    """Tell which algorithm a convolution of these shapes takes, why, and what it costs.

    Parameters
    ----------
    x_shape : sequence of int
        Batched, (N, C, L) or (N, C, H, W), or unbatched.
    weight_shape : sequence of int
        (O, C / groups, K) for `conv1d`, (O, C / groups, KH, KW) for `conv2d`.
    stride, padding, dilation, groups, padding_mode
        As in `conv1d` and `conv2d`.
    dtype : {"float32", "float64"}
        Or what NumPy takes for one of them.
    pass_ : {"fwd", "bwd_data", "bwd_weights"}
        The convolution, or its gradient with respect to x or to the weight.
    algorithm : str
        ``"auto"``, or the name of one that the pass has.

    Returns
    -------
    Explanation

    Raises
    ------
    TypeError, ValueError
        As `conv1d`; and for a pass or dtype that there is not, or an algorithm that does not apply.
    """
    _arguments.choice(pass_, "pass_", _conv_arguments.ALGORITHMS)
    _arguments.choice(algorithm, "algorithm", _conv_arguments.ALGORITHMS[pass_])
    word = str(_arguments.float_dtype(dtype))
    x_shape = _arguments.shape_tuple(x_shape, "x_shape")
    weight_shape = _arguments.shape_tuple(weight_shape, "weight_shape")
    if len(weight_shape) not in (3, 4):
        raise ValueError(f"weight_shape must have 3 sizes (1-D) or 4 (2-D), got {weight_shape}")
    info = _core.plan_info(len(weight_shape) - 2, x_shape, weight_shape, stride, padding, dilation, groups, padding_mode,
                           word, pass_, algorithm)
    return Explanation(isa=_core.active_isa(), **info)
