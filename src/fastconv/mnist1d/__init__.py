"""The MNIST-1D experiment of the lecture: data, networks, training, comparison."""

from fastconv.mnist1d.data import MNIST1D, load
from fastconv.mnist1d.models import build
from fastconv.mnist1d.train import TrainConfig, Trainer

__all__ = ["MNIST1D", "TrainConfig", "Trainer", "build", "load"]
