"""fastconv: fast 1-D and 2-D convolution for NumPy on the CPU, forward and backward.

>>> import fastconv as fc
>>> y = fc.conv2d(x, weight, bias, padding=1)                            # doctest: +SKIP
>>> dx, dw, db = fc.conv2d_backward(dy, x, weight, padding=1)            # doctest: +SKIP

Names, defaults and weight shapes are PyTorch's. `fastconv.nn` and `fastconv.optim` hold layers and optimizers,
`fastconv.reference` the same functions in plain NumPy.
"""

from fastconv import config
from fastconv.activations import (
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    log_softmax,
    log_softmax_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
)
from fastconv.config import (
    get_num_threads,
    isas,
    set_num_threads,
    set_strict,
    show_config,
    strict,
    threads,
    use_isa,
)
from fastconv.explanation import Explanation, explain
from fastconv.functional import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    linear,
    linear_backward,
    plan_conv1d,
    plan_conv2d,
    relu,
    relu_backward,
)
from fastconv.normalization import batch_norm, batch_norm_backward
from fastconv.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool1d_backward,
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    avg_pool1d,
    avg_pool1d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_unpool1d,
    max_unpool1d_backward,
    max_unpool2d,
    max_unpool2d_backward,
)
from fastconv.resampling import interpolate, interpolate_backward
from fastconv.shapes import conv_matrix, conv_output_size
from fastconv.signals import convolve, correlate
from fastconv.transposed import (
    conv_transpose1d,
    conv_transpose1d_backward,
    conv_transpose2d,
    conv_transpose2d_backward,
)

__version__ = "0.1.0"

config.configure()

from fastconv import nn, optim, reference
from fastconv.fields import Field, receptive_field
from fastconv.nn.module import no_grad

__all__ = [
    "Explanation",
    "Field",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_backward",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv_matrix",
    "conv_output_size",
    "conv_transpose1d",
    "conv_transpose1d_backward",
    "conv_transpose2d",
    "conv_transpose2d_backward",
    "convolve",
    "correlate",
    "explain",
    "gelu",
    "gelu_backward",
    "get_num_threads",
    "interpolate",
    "interpolate_backward",
    "isas",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_unpool1d",
    "max_unpool1d_backward",
    "max_unpool2d",
    "max_unpool2d_backward",
    "nn",
    "no_grad",
    "optim",
    "plan_conv1d",
    "plan_conv2d",
    "receptive_field",
    "reference",
    "relu",
    "relu_backward",
    "set_num_threads",
    "set_strict",
    "show_config",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "strict",
    "tanh",
    "tanh_backward",
    "threads",
    "use_isa",
]
