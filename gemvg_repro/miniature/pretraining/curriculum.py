"""What is the base pre-trained on? Naming things and finding what is described, in one to three pictures.

At last also naming the one thing that a description singles out in its picture ("the disc of Picture 2").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from ...grounding.answers import format_box
from ...grounding.samples import Sample
from ..patterns import Pattern
from ..questions import about, referential
from ..tokenizer import COORDINATE_STEP
from ..world import CATEGORIES, COLOURS, MOST_THINGS, Frame, Look, Thing, frame, place

PHASES = ("places", "one", "crowds", "references")
"""In order: only looking; then one thing in one picture; then the world as it is; then also what is referred to by
its picture and a part of its look. Nothing in them associates one picture with another."""

_VERSION = 2
"""Raised by hand when a change of the code changes a lesson: the base is then another."""
_ABSENT = 0.35
"""Share of the descriptions that are altered after they were drawn, and so fit nothing most of the time."""
_MOST_TARGETS = 4


def lessons(phase: str, numbers: Iterable[int], turns: int, seed: int) -> Iterator[Sample]:
    """The samples of these scenes of a phase, up to `turns` of each; those of a scene follow each other."""
    for number in numbers:
        scene = f"{phase}-{number:06d}"
        rng = Random(f"{_VERSION}/{seed}/{phase}/{number}")
        frames = _frames(rng, phase)
        referring = turns // 2 if phase == "references" else 0
        samples = [_named(rng, frames, scene), *_found(rng, frames, scene, turns - 1 - referring)]
        samples += _referred(rng, frames, scene, referring)
        yield from rng.sample(samples, len(samples))


def _frames(rng: Random, phase: str) -> tuple[Frame, ...]:
    """One to three pictures as crowded and as confusable as the study's own; in phase `one` a single thing."""
    if phase == "one":
        return (frame(rng, place(rng, [_look(rng)])),)
    pictures = rng.randint(1, 3)
    if rng.random() < 1 / 3:
        return referential(rng, pictures).frames
    return tuple(frame(rng, place(rng, _crowd(rng))) for _ in range(pictures))


def _look(rng: Random) -> Look:
    return rng.randrange(len(CATEGORIES)), rng.randrange(len(COLOURS))


def _crowd(rng: Random) -> list[Look]:
    """The looks of one to MOST_THINGS things; every second one shares category or colour with the first."""
    looks = [_look(rng)]
    for _ in range(rng.randint(0, MOST_THINGS - 1)):
        look, similar = _look(rng), rng.randrange(4)
        category, colour = looks[0]
        looks.append((category if similar == 0 else look[0], colour if similar == 1 else look[1]))
    rng.shuffle(looks)
    return looks


def _named(rng: Random, frames: tuple[Frame, ...], scene: str) -> Sample:
    """What is in one of the pictures, from left to right: words alone, or with boxes in Qwen2-VL's notation."""
    picture = rng.randrange(len(frames))
    things = sorted(frames[picture].things, key=lambda t: (t.x, t.y))
    boxed = rng.random() < 0.5
    text = ", ".join(_boxed(thing) if boxed else _name(thing) for thing in things)
    query = f"Name every object in Picture {picture + 1}{' with its box' if boxed else ''}."
    return Sample(f"{scene}-named", scene, "understanding", "world", frames, query, text=text)


def _name(thing: Thing) -> str:
    return str(Pattern(*thing.look))


def _boxed(thing: Thing) -> str:
    return f"<|object_ref_start|>{_name(thing)}<|object_ref_end|>{format_box(thing.box, COORDINATE_STEP)}"


def _found(rng: Random, frames: tuple[Frame, ...], scene: str, most: int) -> list[Sample]:
    """Up to `most` different descriptions to find, of things that are there or of things much like them."""
    shown = [thing.look for one in frames for thing in one.things]
    samples: dict[str, Sample] = {}
    for number in range(most):
        category, colour = rng.choice(shown)
        if rng.random() < _ABSENT:
            other = _look(rng)
            category, colour = rng.choice([(category, other[1]), (other[0], colour), other])
        part = rng.randrange(4)
        pattern = Pattern(None if part == 0 else category, None if part == 1 else colour)
        sample = about(frames, pattern).sample(f"{scene}-{number}", scene)
        if len(sample.targets) <= _MOST_TARGETS:
            samples.setdefault(sample.query, sample)
    return list(samples.values())


REFERS = "Name the "
"""What a question begins with whose answer is the look of one thing, the one that it singles out."""


def _referred(rng: Random, frames: tuple[Frame, ...], scene: str, most: int) -> list[Sample]:
    """Up to `most` questions for the look of a thing that its picture and its category or colour single out."""
    samples: dict[str, Sample] = {}
    for number in range(3 * most):
        picture = rng.randrange(len(frames))
        things = frames[picture].things
        thing = rng.choice(things)
        part = Pattern(category=thing.category) if rng.random() < 0.5 else Pattern(colour=thing.colour)
        if len(samples) == most or sum(part.fits(other.look) for other in things) > 1:
            continue
        singled = f"object in Picture {picture + 1}" if len(things) == 1 else f"{part} of Picture {picture + 1}"
        query = f"{REFERS}{singled}."
        sample = Sample(f"{scene}-the-{number}", scene, "understanding", "world", frames, query, text=_name(thing))
        samples.setdefault(query, sample)
    return list(samples.values())
