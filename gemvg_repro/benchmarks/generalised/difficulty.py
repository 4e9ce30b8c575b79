"""How hard is a sample, to perceive and to reason about? Computed from the sample alone, never from an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from ...grounding.samples import Box, Kind, Picture, Sample

SMALL = 0.025
"""A target with a smaller share of its image's area is small: a square with a sixth of the image's side."""

CROWD = 4
"""An image with so many things is crowded."""

HOPS: Mapping[Kind, int] = {"referential": 0, "semantic": 1, "spatial": 1, "temporal": 1, "reasoning": 2}
"""The number of associations before the answer: none where the query describes the target, one where an image or the
other frames show what is meant, two where that has to be found in an image first; for three see `hops`."""


class Thing(Protocol):
    """An object that an image shows, where that is known."""

    @property
    def box(self) -> Box: ...
    @property
    def look(self) -> tuple[int, int]:
        """Category and colour."""
        ...


def hops(sample: Sample) -> int:
    """How many associations lead to the answer; 0 for kinds that are not grounded.

    Three where the first object only says what is meant in another image: in the miniature's words, a question with two
    relations "of the same" colour or category.
    """
    return HOPS.get(sample.kind, 0) + (sample.kind == "reasoning" and sample.query.count("of the same") > 1)


def difficulties(sample: Sample) -> int:
    """The number of perceptual difficulties, 0 to 3: a small target, a crowded image, a distractor like a target.

    Other objects than targets are known where the picture has `things`, as the miniature's have; elsewhere
    only targets count, and there are no distractors.
    """
    return _small(sample) + _crowded(sample) + _similar(sample)


def _small(sample: Sample) -> bool:
    return any((x2 - x1) * (y2 - y1) < SMALL for x1, y1, x2, y2 in (target.box for target in sample.targets))


def _crowded(sample: Sample) -> bool:
    targets = Counter(target.picture for target in sample.targets)
    return any(max(len(_things(p)), targets[n]) >= CROWD for n, p in enumerate(sample.pictures))


def _similar(sample: Sample) -> bool:
    """Whether another object in a target's image has its category or its colour."""
    for number, picture in enumerate(sample.pictures):
        boxes = {target.box for target in sample.targets if target.picture == number}
        looks = [thing.look for thing in _things(picture) if thing.box in boxes]
        others = [thing.look for thing in _things(picture) if thing.box not in boxes]
        if any(a == c or b == d for a, b in looks for c, d in others):
            return True
    return False


def _things(picture: Picture) -> Sequence[Thing]:
    things: Sequence[Thing] = getattr(picture, "things", ())
    return things
