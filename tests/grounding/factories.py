"""Samples by hand, and hypothesis strategies of boxes and targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from gemvg_repro.grounding import boxes as b
from gemvg_repro.grounding.samples import Box, Kind, Sample, Target

A = Target(0, (0.1, 0.2, 0.3, 0.4))
B = Target(1, (0.5, 0.5, 0.75, 1.0))
TEXT_A = "Picture 1: <|box_start|>(100,200),(300,400)<|box_end|>"
TEXT_B = "Picture 2: <|box_start|>(500,500),(750,1000)<|box_end|>"
"""Two targets and their text."""


@dataclass(frozen=True)
class Grey:
    def pixels(self) -> NDArray[np.uint8]:
        return np.full((28, 28, 3), 128, dtype=np.uint8)


def sample(*targets: Target, pictures: int = 2, choice: str | None = None, chain: str | None = None) -> Sample:
    kind: Kind = "referential" if choice is None else "understanding"
    return Sample("s", "scene", kind, "made", (Grey(),) * pictures, "Where?", targets, choice, chain)


def boxes(min_side: float = 1e-6) -> st.SearchStrategy[Box]:
    """Unit boxes whose sides have at least this length."""

    def side() -> st.SearchStrategy[tuple[float, float]]:
        low = st.floats(0, 1 - min_side)
        return low.flatmap(lambda a: st.tuples(st.just(a), st.floats(min(a + min_side, 1.0), 1.0)))

    return st.builds(lambda x, y: (x[0], y[0], x[1], y[1]), side(), side())


def targets(pictures: int = 3, max_size: int = 5, min_side: float = 1e-6) -> st.SearchStrategy[list[Target]]:
    return st.lists(st.builds(Target, st.integers(0, pictures - 1), boxes(min_side)), max_size=max_size)


def written_in(convention: b.Convention, unit: ArrayLike, size: tuple[int, int]) -> b.Boxes:
    """Unit boxes as a file of this convention has them, of a picture of this size."""
    corners = b.as_array(unit) * [*size, *size]
    ways: dict[b.Convention, b.Boxes] = {
        "unit": b.as_array(unit),
        "thousandths": b.to_grid(unit).astype(np.float64),
        "xyxy": corners,
        "xywh": np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1),
    }
    return ways[convention]
