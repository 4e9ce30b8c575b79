"""Which questions are out of distribution? Of the world's kinds, with what no training of the study has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Literal

from ..grounding.samples import GROUNDING_KINDS
from .composers import COMPOSERS
from .questions import WorldQuestion, of_reference, referential
from .reasoning import two_hops
from .world import Thing

Shift = Literal["more_pictures", "more_targets", "unseen_shades"]

_PICTURES = 4
"""Trainings show up to three; the base's pre-training does, too."""
_FEWEST, _MOST = 5, 6
"""Targets; trainings have up to four."""


def more_pictures(rng: Random, number: int) -> WorldQuestion:
    """A question about four pictures; the kinds in turn."""
    return COMPOSERS[GROUNDING_KINDS[number % len(GROUNDING_KINDS)]](rng, _PICTURES)


def more_targets(rng: Random, number: int) -> WorldQuestion:
    """A question with five or six targets in two pictures or three, of the three kinds that can have so many."""
    compose = (referential, of_reference, two_hops)[number % 3]
    return compose(rng, rng.randint(2, 3) if compose is referential else 3, rng.randint(_FEWEST, _MOST))


def unseen_shades(rng: Random, number: int) -> WorldQuestion:
    """A question about things of the known colours in shades that are darker or lighter than any other; the kinds in
    turn."""
    question = COMPOSERS[GROUNDING_KINDS[number % len(GROUNDING_KINDS)]](rng, rng.randint(2, 3))
    frames = tuple(replace(one, things=tuple(map(_reshaded, one.things))) for one in question.frames)
    return replace(question, frames=frames)


def _reshaded(thing: Thing) -> Thing:
    """Shades 0 to 7 become -16 to -9, and 8 to 15 become 24 to 31."""
    return replace(thing, shade=thing.shade - 16 if thing.shade < 8 else thing.shade + 16)


SHIFTS: Mapping[Shift, Callable[[Random, int], WorldQuestion]] = {
    "more_pictures": more_pictures,
    "more_targets": more_targets,
    "unseen_shades": unseen_shades,
}
"""By name; each takes the random generator and the question's number."""
