"""The models as one writes them in PyTorch: with variables for what is needed later, and torchvision's names where it has the network."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
nn = torch.nn


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Any) -> Any:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = None
        if stride != 1 or inplanes != 4 * planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, 4 * planes, 1, stride, bias=False), nn.BatchNorm2d(4 * planes))

    def forward(self, x: Any) -> Any:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, block: Any, layers: tuple[int, ...], num_classes: int, width: int, small: bool = False) -> None:
        super().__init__()
        stem: tuple[int, ...] = (1, width, 3, 1, 1) if small else (3, width, 7, 2, 3)
        self.conv1 = nn.Conv2d(*stem, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        inplanes = width
        self.names = [f"layer{index + 1}" for index in range(len(layers))]
        for index, (name, count) in enumerate(zip(self.names, layers, strict=True)):
            planes = width << index
            blocks = []
            for number in range(count):
                blocks.append(block(inplanes, planes, 2 if index and not number else 1))
                inplanes = planes * block.expansion
            setattr(self, name, nn.Sequential(*blocks))
        self.fc = nn.Linear(inplanes, num_classes)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for name in self.names:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


class AlexNet(nn.Module):
    def __init__(self, num_classes: int, w: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, w, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(w, 3 * w, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(3 * w, 6 * w, 3, padding=1), nn.ReLU(),
            nn.Conv2d(6 * w, 4 * w, 3, padding=1), nn.ReLU(),
            nn.Conv2d(4 * w, 4 * w, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(36 * 4 * w, 64 * w), nn.ReLU(), nn.Dropout(), nn.Linear(64 * w, 64 * w), nn.ReLU(),
            nn.Linear(64 * w, num_classes),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class VGG16(nn.Module):
    def __init__(self, num_classes: int, w: int) -> None:
        super().__init__()
        layers, channels = [], 3
        for word in (w, w, 0, 2 * w, 2 * w, 0, *[4 * w] * 3, 0, *[8 * w] * 3, 0, *[8 * w] * 3, 0):
            layers += [nn.Conv2d(channels, word, 3, padding=1), nn.ReLU()] if word else [nn.MaxPool2d(2, 2)]
            channels = word or channels
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(49 * 8 * w, 64 * w), nn.ReLU(), nn.Dropout(), nn.Linear(64 * w, 64 * w), nn.ReLU(), nn.Dropout(),
            nn.Linear(64 * w, num_classes),
        )  # fmt: skip

    def forward(self, x: Any) -> Any:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def conv_bn_relu(in_channels: int, out_channels: int, ndim: int = 2) -> list[Any]:
    conv, norm = (nn.Conv1d, nn.BatchNorm1d) if ndim == 1 else (nn.Conv2d, nn.BatchNorm2d)
    return [conv(in_channels, out_channels, 3, padding=1, bias=False), norm(out_channels), nn.ReLU()]


class UNet(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, w: int, depth: int, ndim: int, skips: bool) -> None:
        super().__init__()
        d = f"{ndim}d"
        self.skips = skips
        channels = [w << level for level in range(depth + 1)]

        def block(a: int, b: int) -> Any:
            return nn.Sequential(*conv_bn_relu(a, b, ndim), *conv_bn_relu(b, b, ndim))

        self.pool = getattr(nn, f"MaxPool{d}")(2)
        self.encoder = nn.ModuleList(block(a, b) for a, b in zip([in_channels, *channels], channels, strict=False))
        self.up = nn.ModuleList(getattr(nn, f"ConvTranspose{d}")(2 * c, c, 2, 2) for c in channels[:-1])
        self.decoder = nn.ModuleList(block(2 * c if skips else c, c) for c in channels[:-1])
        self.head = getattr(nn, f"Conv{d}")(w, out_channels, 1)

    def forward(self, x: Any) -> Any:
        seen = []
        for block in self.encoder[:-1]:
            seen.append(block(x))
            x = self.pool(seen[-1])
        x = self.encoder[-1](x)
        for level in reversed(range(len(seen))):
            x = self.up[level](x)
            x = self.decoder[level](torch.cat([seen[level], x], 1) if self.skips else x)
        return self.head(x)


class Detector(nn.Module):
    def __init__(self, num_classes: int, w: int) -> None:
        super().__init__()
        pool = nn.MaxPool2d
        self.backbone = nn.Sequential(
            *conv_bn_relu(1, w), pool(2), *conv_bn_relu(w, 2 * w), *conv_bn_relu(2 * w, 2 * w), pool(2),
            *conv_bn_relu(2 * w, 4 * w), *conv_bn_relu(4 * w, 4 * w), pool(2),
            *conv_bn_relu(4 * w, 4 * w), *conv_bn_relu(4 * w, 4 * w),
        )  # fmt: skip
        self.head = nn.Conv2d(4 * w, 5 + num_classes, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.backbone(x))


class ResidualBlock(nn.Module):
    def __init__(self, body: Any) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Any) -> Any:
        return torch.relu(self.body(x) + x)


def deep(depth: int, residual: bool, w: int) -> Any:
    layers: list[Any] = conv_bn_relu(1, w)
    for _ in range((depth - 2) // 2):
        body = [*conv_bn_relu(w, w), *conv_bn_relu(w, w)]
        layers.append(ResidualBlock(nn.Sequential(*body[:-1])) if residual else nn.Sequential(*body))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(w, 10))


def lenet(num_classes: int, size: int) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * (size // 4) ** 2, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, num_classes),
    )  # fmt: skip
