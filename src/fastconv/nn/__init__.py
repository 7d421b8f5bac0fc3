"""Layers, losses and initialisation, in PyTorch's words."""

from fastconv.nn import init
from fastconv.nn.activation import ReLU
from fastconv.nn.container import Sequential
from fastconv.nn.conv import Conv1d, Conv2d
from fastconv.nn.flatten import Flatten
from fastconv.nn.linear import Linear
from fastconv.nn.loss import CrossEntropyLoss, MSELoss
from fastconv.nn.module import Module, Parameter

__all__ = [
    "Conv1d",
    "Conv2d",
    "CrossEntropyLoss",
    "Flatten",
    "Linear",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "init",
]
