"""Networks of the lecture, built from `fastconv.nn` alone.

Names, shapes and the keys of ``state_dict`` are those of the usual PyTorch code (torchvision's, where torchvision has the network), so
that weights saved there load here.
"""

from fastconv.models.classic import alexnet, vgg16
from fastconv.models.detector import DetectorLoss, decode, detector, encode, iou, nms
from fastconv.models.lenet import lenet
from fastconv.models.resnet import deep, resnet18, resnet50, resnet_digits
from fastconv.models.unet import hourglass, unet

__all__ = [
    "DetectorLoss",
    "alexnet",
    "decode",
    "deep",
    "detector",
    "encode",
    "hourglass",
    "iou",
    "lenet",
    "nms",
    "resnet18",
    "resnet50",
    "resnet_digits",
    "unet",
    "vgg16",
]
