"""Samples made by hand, and answers to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemvg_repro.grounding.samples import Box, Kind, Sample, Target

LEFT: Box = (0.0, 0.0, 0.4, 1.0)
RIGHT: Box = (0.6, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Plain:
    """A picture of one value; its name tells it from others."""

    value: int
    name: str = ""

    def pixels(self) -> NDArray[np.uint8]:
        return np.full((4, 6, 3), self.value, dtype=np.uint8)


def sample(
    name: str,
    *targets: tuple[int, Box],
    kind: Kind = "referential",
    pictures: int = 2,
    choice: str | None = None,
    scene: str | None = None,
) -> Sample:
    images = tuple(Plain(n, name) for n in range(pictures))
    boxes = tuple(Target(picture, box) for picture, box in targets)
    return Sample(name, scene or name, kind, "made", images, "Where?", boxes, choice)
