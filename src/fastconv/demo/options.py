"""What every demonstration is given."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Options:
    """Where the picture goes, the seed, the number of steps, and whether to show progress."""

    picture: Path
    seed: int = 0
    steps: int = 1
    quiet: bool = False

    def rng(self, *purpose: int) -> np.random.Generator:
        """The generator for one purpose: a child of the seed, independent of all others."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=purpose))

    def progress(self, items: Iterable[Any], label: str) -> Any:
        """`items` behind a progress bar (which has ``set_postfix_str``), or as they are if `quiet`."""
        if self.quiet:
            return items
        try:
            from tqdm import tqdm  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError('without --quiet: pip install "fastconv[demo]"') from error
        return tqdm(items, desc=label, mininterval=0.2, file=sys.stderr)
