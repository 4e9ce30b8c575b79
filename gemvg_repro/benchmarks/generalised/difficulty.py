"""How hard is a sample to see, and how far is it to reason? Told from the sample, never from an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from ...grounding.samples import Box, Kind, Picture, Sample

SMALL = 0.025
"""Share of its picture below which a target is small: a square of a sixth of the picture's side."""

CROWD = 4
"""So many things make a picture crowded."""

HOPS: Mapping[Kind, int] = {"referential": 0, "semantic": 1, "spatial": 1, "temporal": 1, "reasoning": 2}
"""From how many other findings an answer follows: none where what is asked for is described, one where a picture or
the other frames say what is meant, two where that has to be found in a picture first; three, see `hops`."""


class Thing(Protocol):
    """What a picture shows, where that is known."""

    @property
    def box(self) -> Box: ...
    @property
    def look(self) -> tuple[int, int]:
        """Category and colour."""
        ...


def hops(sample: Sample) -> int:
    """How many associations lead to the answer; 0 for kinds that are not grounded.

    Three where what was found first only says what is meant in another picture: in the miniature's words, a question
    that goes twice by what is "of the same" colour or category.
    """
    return HOPS.get(sample.kind, 0) + (sample.kind == "reasoning" and sample.query.count("of the same") > 1)


def difficulties(sample: Sample) -> int:
    """How many of three make it hard to see, 0 to 3: a small target, a crowded picture, something like a target.

    What a picture shows besides targets is known where the picture has `things`, as the miniature's have; elsewhere
    only targets count, and none has anything like it.
    """
    return _small(sample) + _crowded(sample) + _similar(sample)


def _small(sample: Sample) -> bool:
    return any((x2 - x1) * (y2 - y1) < SMALL for x1, y1, x2, y2 in (target.box for target in sample.targets))


def _crowded(sample: Sample) -> bool:
    targets = Counter(target.picture for target in sample.targets)
    return any(max(len(_things(p)), targets[n]) >= CROWD for n, p in enumerate(sample.pictures))


def _similar(sample: Sample) -> bool:
    """Whether beside a target, in its picture, something else has its category or its colour."""
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
