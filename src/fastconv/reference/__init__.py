"""The library's functions in plain NumPy, obvious rather than fast: the oracle of the tests.

Everything is computed in the common dtype of the arguments, so a caller that wants an oracle for float32 passes float64.
"""

from .convolution import (
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    conv_matrix,
    conv_output_size,
    linear,
    linear_backward,
    log_softmax,
    relu,
    relu_backward,
    softmax,
)
