"""What is the base pre-trained on? Finding what is described, from one thing in one picture to crowds in three."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from ..grounding.samples import Sample
from .dataset import WORLD_VERSION
from .questions import Pattern, Question, about, crowded, further, referential
from .world import MOST_THINGS, frame, place


def _reached(progress: float, starts: tuple[float, ...]) -> int:
    return 1 + sum(progress >= start for start in starts)


def _in_one_picture(rng: Random, progress: float) -> list[Question]:
    """One thing at first, then up to two, three, four; as many questions as there may be things."""
    crowd = _reached(progress, (0.14, 0.34, 0.6))
    first = crowded(rng, crowd) if crowd < MOST_THINGS else referential(rng, 1)
    return [first, *further(rng, first, crowd - 1)]


def _in_several_pictures(rng: Random, progress: float) -> list[Question]:
    """One to three pictures; one thing in each at first, then up to two, then as in the study's own samples."""
    pictures = rng.randint(1, 3)
    crowd = _reached(progress, (0.35, 0.65))
    if crowd > 2:
        first = referential(rng, pictures)
    else:
        looks = [[(rng.randrange(4), rng.randrange(4)) for _ in range(rng.randint(1, crowd))] for _ in range(pictures)]
        frames = tuple(frame(rng, place(rng, each)) for each in looks)
        first = about(frames, Pattern(*rng.choice(rng.choice(looks))))
    return [first, *further(rng, first, 3)]


def _in_crowds(rng: Random, progress: float) -> list[Question]:
    """One to three pictures as in the study's own samples."""
    first = referential(rng, rng.randint(1, 3))
    return [first, *further(rng, first, 3)]


PHASES = {"base": _in_one_picture, "several": _in_several_pictures, "crowds": _in_crowds}
"""In order. Nothing in them associates one picture with another."""


def lessons(phase: str, count: int, seed: int) -> Iterator[Sample]:
    """The samples of `count` scenes of a phase, in the order they are to be learned in."""
    for number in range(count):
        scene = f"{phase}-{number:06d}"
        rng = Random(f"{WORLD_VERSION}/{seed}/{phase}/{number}")
        for turn, question in enumerate(PHASES[phase](rng, number / count)):
            yield question.sample(f"{scene}-{turn}", scene)
