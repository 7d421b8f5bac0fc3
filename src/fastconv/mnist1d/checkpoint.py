"""A training on disk: one ``.npz`` file from which it goes on bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.mnist1d.train import Row, TrainConfig, Trainer
from fastconv.serialization import load_state, save_state

Array = NDArray[Any]

FORMAT = 1
#: Options that may differ between the parts of one training: they do not change what a step does.
FREE = frozenset({"steps", "checkpoint_every"})


class UsageError(Exception):
    """Something that the caller has to change: an option, a path, a damaged file."""


def save(path: Path, trainer: Trainer) -> None:
    """Write the checkpoint, atomically."""
    # The generators need no place here: the order of an epoch follows from the seed and the step.
    meta = {
        "format": FORMAT,
        "config": asdict(trainer.config),
        "step": trainer.step,
        "loss_sum": trainer.loss_sum,
        "loss_count": trainer.loss_count,
    }
    state = {
        "meta": np.array(json.dumps(meta)),
        "rows": np.array(trainer.rows, np.float64).reshape(-1, len(Row._fields)),
    }
    for part, state_dict in _parts(trainer).items():
        state |= {f"{part}.{key}": value for key, value in state_dict.items()}
    save_state(path, state)


def _parts(trainer: Trainer) -> dict[str, dict[str, Array]]:
    parts = {"model": trainer.model.state_dict(), "optimizer": trainer.optimizer.state_dict()}
    return parts | ({"schedule": trainer.schedule.state_dict()} if trainer.schedule is not None else {})


def load(path: Path) -> tuple[TrainConfig, dict[str, Array]]:
    """Read a checkpoint: its options, and the state that `restore` takes.

    Raises
    ------
    UsageError
        If it is damaged, or of another version of fastconv.
    """
    try:
        state = load_state(path)
        meta = json.loads(str(state["meta"]))
        if meta["format"] != FORMAT:
            raise UsageError(
                f"{path} has format {meta['format']}, but this version of fastconv reads {FORMAT}"
            )
        return TrainConfig(**meta["config"]), state
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(_damaged(path, error)) from error


def restore(path: Path, trainer: Trainer, state: Mapping[str, Array]) -> None:
    """Put a trainer of the same options into the state that was loaded from `path`."""
    try:
        meta = json.loads(str(state["meta"]))
        targets: dict[str, Any] = {
            "model": trainer.model,
            "optimizer": trainer.optimizer,
            "schedule": trainer.schedule,
        }
        for part, target in targets.items():
            if target is not None:
                prefix = f"{part}."
                target.load_state_dict(
                    {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
                )
        trainer.step, trainer.loss_sum = meta["step"], meta["loss_sum"]
        trainer.loss_count = meta["loss_count"]
        trainer.rows = [Row(int(row[0]), *map(float, row[1:])) for row in state["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    text = str(error) if str(path) in str(error) else f"{path} is damaged: {type(error).__name__} {error}"
    return f"{text}; it cannot be resumed. Delete it, or train into another directory"


def merged(path: Path, saved: TrainConfig, options: Mapping[str, Any]) -> TrainConfig:
    """The options of a training that goes on: those saved, and the `options` given now.

    Raises
    ------
    UsageError
        If an option that changes what a step does is given with another value.
    """
    wanted = TrainConfig(**{**asdict(saved), **options})
    names = [field.name for field in fields(TrainConfig) if field.name not in FREE]
    differing = [
        f"{name} was {getattr(saved, name)} and is now {getattr(wanted, name)}"
        for name in names
        if getattr(saved, name) != getattr(wanted, name)
    ]
    if differing:
        raise UsageError(f"{path} was made with other options: {'; '.join(differing)}")
    return wanted
