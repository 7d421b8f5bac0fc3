"""Receptive fields: what `fastconv.receptive_field` says, and what a NaN in the input says.

A NaN reaches exactly the outputs whose window covers it, so the field of an output is where a NaN gets through to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import fastconv as fc
from fastconv import models, nn
from fastconv.demo import pictures
from fastconv.demo.options import Options

LENGTH = 40


def lecture(rng: np.random.Generator) -> nn.Sequential:
    """The convolutions of the lecture's network for MNIST-1D: three times kernel 3 and stride 2."""
    return nn.Sequential(*(nn.Conv1d(1, 1, 3, stride=2, rng=rng) for _ in range(3)))


def mixed(rng: np.random.Generator) -> nn.Sequential:
    """Stride, dilation and pooling."""
    return nn.Sequential(nn.Conv1d(1, 1, 3, rng=rng), nn.Conv1d(1, 1, 3, dilation=3, rng=rng), nn.MaxPool1d(2),
                         nn.Conv1d(1, 1, 3, padding=1, rng=rng))  # fmt: skip


#: Parts of the models whose fields are smaller than the whole input, and how large their input is when they are probed.
MODELS: dict[str, tuple[Any, int]] = {
    "LeNet": (lambda rng: models.lenet(rng=rng)[:6], 24),
    "digits' ResNet": (lambda rng: models.resnet_digits(width=2, rng=rng)[:6], 64),
    "detector": (lambda rng: models.detector(width=2, rng=rng), 136),
    "U-Net": (lambda rng: models.unet(1, 1, width=2, rng=rng), 216),
}


def measured(model: nn.Module, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Size and start, by each axis, of the field of the output in the middle, probed with NaN.

    Parameters
    ----------
    model : Module
        In eval mode.
    shape : tuple of int
        (C, L) or (C, H, W) of its input.
    """
    clean = np.zeros(shape, np.float32)
    outputs = model(clean[None]).shape[2:]
    middle = tuple(n // 2 for n in outputs)
    found = []
    for axis in range(1, len(shape)):
        seen = []
        for place in range(shape[axis]):
            x = clean.copy()
            np.moveaxis(x, axis, 0)[place] = np.nan
            if np.isnan(model(x[None])[0][:, *middle]).any():
                seen.append(place)
        found.append((seen[-1] - seen[0] + 1, seen[0]))
    return found


def run(options: Options) -> list[str]:
    """Draw the fields of 1-D networks and the growth of those of 2-D networks; compare with what is measured."""
    drawn, axes = pictures.figure(2, 2, (13, 8.5))
    lines = []
    for each, (name, make) in zip(axes[0], {"lecture's network": lecture, "dilation and pooling": mixed}.items(), strict=True):
        model = make(options.rng(0))
        model.eval()
        _cone(each, model, name)
        lines.append(_line(name, model, (1, LENGTH)))
    fields = {}
    for name, (make, side) in MODELS.items():
        model = make(options.rng(0)).eval()
        fields[name] = fc.receptive_field(model)
        lines.append(_line(name, model, (1, side, side)))
    _growth(axes[1, 0], fields)
    _nested(axes[1, 1], fc.receptive_field(models.lenet(rng=0)))
    pictures.save(drawn, options.picture)
    return lines


def _line(name: str, model: nn.Module, shape: tuple[int, ...]) -> str:
    last = fc.receptive_field(model)[-1]
    sizes = last.size if isinstance(last.size, tuple) else (last.size,)
    found = tuple(size for size, _ in measured(model, shape))
    return f"{name}: size {_by(sizes)}, jump {_by(last.jump)}; an output in the middle sees {_by(found)}"


def _by(values: Any) -> str:
    return " x ".join(map(str, values if isinstance(values, tuple) else (values,)))


def _cone(axes: Any, model: nn.Sequential, name: str) -> None:
    """Every layer a row of dots; what the output in the middle depends on is coloured."""
    fields = fc.receptive_field(model)
    x = np.zeros((1, 1, LENGTH), np.float32)
    last, count = fields[-1], model(x).shape[-1]
    first = last.start + count // 2 * last.jump
    axes.fill_betweenx([0, len(fields)], [first, first + (last.size - 1) / 2], [first + last.size - 1, first + (last.size - 1) / 2],
                       color="tab:orange", alpha=0.12)  # fmt: skip
    labels = ["input", *(f"{type(field.layer).__name__}: field {field.size}, jump {field.jump}" for field in fields)]
    for row, (label, start, size, jump) in enumerate(
        zip(labels, [0, *(f.start for f in fields)], [1, *(f.size for f in fields)], [1, *(f.jump for f in fields)], strict=True)
    ):
        begins = start + jump * np.arange(model[:row](x).shape[-1])
        inside = (begins >= first) & (begins + size <= first + last.size)
        axes.scatter(begins + (size - 1) / 2, np.full(len(begins), row), s=22, c=np.where(inside, "tab:orange", "lightgray"), zorder=3)
        axes.text(-1.5, row + 0.22, label, fontsize=8)
    axes.set(title=f"{name}: what one output sees, {last.size} samples of {LENGTH}", xlabel="sample", yticks=[],
             ylim=(-0.4, len(fields) + 0.6))  # fmt: skip


def _growth(axes: Any, fields: dict[str, list[fc.Field]]) -> None:
    for name, of_model in fields.items():
        axes.plot([1, *(field.size[0] for field in of_model if "shortcut" not in field.name)], label=name)
    axes.set(title="growth with the layers", xlabel="layer (activations and normalizations count)", ylabel="pixels across")
    axes.legend()


def _nested(axes: Any, fields: list[fc.Field]) -> None:
    """Fields of LeNet's layers around one point."""
    convolutions = [f for f in fields if f.size is not None and f.size[0] is not None and not isinstance(f.layer, nn.ReLU)]
    for index, field in enumerate(convolutions):
        half = field.size[0] / 2
        axes.add_patch(_square(half, f"C{index}"))
        axes.text(-half, half + 0.05, f"{type(field.layer).__name__}: {field.size[0]}", fontsize=8, color=f"C{index}")
    limit = convolutions[-1].size[0] / 2 + 1
    axes.set(title="LeNet: field of an output of each layer, by pixels", xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")


def _square(half: float, color: str) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((-half, -half), 2 * half, 2 * half, fill=False, edgecolor=color, linewidth=2)
