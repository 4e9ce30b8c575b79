"""A sample of generalised multi-image grounding: images, a query, and any number of target boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Kind = Literal["referential", "semantic", "spatial", "temporal", "reasoning", "understanding"]
"""Five kinds of grounding (the paper's taxonomy), and questions about several images answered by a letter."""

GROUNDING_KINDS: tuple[Kind, ...] = ("referential", "semantic", "spatial", "temporal", "reasoning")

Mode = Literal["direct", "cot"]
"""How the model is prompted: for the answer alone, or for a chain of thought (CoT) before it."""

MODES: tuple[Mode, ...] = ("direct", "cot")

Box = tuple[float, float, float, float]
"""xyxy corners, normalised to [0, 1] of the image's own width and height."""


class Picture(Protocol):
    """An image that a sample refers to; its pixels are drawn or decoded when `pixels` is called."""

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of shape (height, width, 3)."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """One object to find: the 0-based position of its picture in the sample, and its box there."""

    picture: int
    box: Box


@dataclass(frozen=True, slots=True)
class Sample:
    """Pictures, a query about them, and its answer: any number of targets, the letter of a choice, or free text.

    Free text (`text`) is for training on: nothing here scores or rewards it.

    `scene` names the world, video or group of images that the pictures come from: no two splits share one,
    and statistics treat samples of one scene as dependent. `prompt` is the whole text of the user's turn where
    a benchmark's authors prescribe it; otherwise `grounding.prompts` composes it.
    """

    id: str
    scene: str
    kind: Kind
    source: str
    pictures: tuple[Picture, ...]
    query: str
    targets: tuple[Target, ...] = ()
    choice: str | None = None
    chain: str | None = None
    text: str | None = None
    prompt: str | None = None
