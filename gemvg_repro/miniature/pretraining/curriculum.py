"""The pre-training data of the base: naming objects, and finding what is described, in one to three images.

In the last phase also naming the one object that a reference singles out in its image ("the disc of Picture 2").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from ...grounding.answers import format_box
from ...grounding.samples import Sample
from ..patterns import Pattern
from ..questions import about, referential
from ..tokenizer import COORDINATE_STEP
from ..world import CATEGORIES, COLOURS, MOST_THINGS, Appearance, Frame, Thing, frame, place

PHASES = ("places", "one", "crowds", "references")
"""In order: dense targets only; then one object in one image; then the whole world; then also references to an object
by its image and a part of its look. Nothing in them associates one image with another."""

_VERSION = 2
"""Raised by hand when a change of the code changes a sample: the base is then another."""
_ABSENT = 0.35
"""Share of the descriptions that are altered after they were drawn, and so match nothing most of the time."""
_MOST_TARGETS = 4


def training_samples(phase: str, numbers: Iterable[int], turns: int, seed: int) -> Iterator[Sample]:
    """The samples of these scenes of a phase, up to `turns` a scene; those of a scene follow each other."""
    for number in numbers:
        scene = f"{phase}-{number:06d}"
        rng = Random(f"{_VERSION}/{seed}/{phase}/{number}")
        frames = _frames(rng, phase)
        references = turns // 2 if phase == "references" else 0
        samples = [_naming(rng, frames, scene), *_finding(rng, frames, scene, turns - 1 - references)]
        samples += _referring(rng, frames, scene, references)
        yield from rng.sample(samples, len(samples))


def _frames(rng: Random, phase: str) -> tuple[Frame, ...]:
    """One to three images as crowded and as confusable as the study's own; in phase `one` a single object."""
    if phase == "one":
        return (frame(rng, place(rng, [_look(rng)])),)
    pictures = rng.randint(1, 3)
    if rng.random() < 1 / 3:
        return referential(rng, pictures).frames
    return tuple(frame(rng, place(rng, _crowd(rng))) for _ in range(pictures))


def _look(rng: Random) -> Appearance:
    return rng.randrange(len(CATEGORIES)), rng.randrange(len(COLOURS))


def _crowd(rng: Random) -> list[Appearance]:
    """The looks of one to MOST_THINGS objects; every second one shares category or colour with the first."""
    looks = [_look(rng)]
    for _ in range(rng.randint(0, MOST_THINGS - 1)):
        look, similar = _look(rng), rng.randrange(4)
        category, colour = looks[0]
        looks.append((category if similar == 0 else look[0], colour if similar == 1 else look[1]))
    rng.shuffle(looks)
    return looks


def _naming(rng: Random, frames: tuple[Frame, ...], scene: str) -> Sample:
    """Name all objects of an image, from left to right: words alone, or with boxes in Qwen2-VL's notation."""
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


def _finding(rng: Random, frames: tuple[Frame, ...], scene: str, limit: int) -> list[Sample]:
    """Find what is described: up to `limit` different descriptions, of objects that are there or are much like them."""
    looks = [thing.look for one in frames for thing in one.things]
    samples: dict[str, Sample] = {}
    for number in range(limit):
        category, colour = rng.choice(looks)
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
"""The beginning of a question whose answer is the look of the one object that it singles out."""


def _referring(rng: Random, frames: tuple[Frame, ...], scene: str, limit: int) -> list[Sample]:
    """Up to `limit` questions for the look of an object that its image and its category or colour single out."""
    samples: dict[str, Sample] = {}
    for number in range(3 * limit):
        picture = rng.randrange(len(frames))
        things = frames[picture].things
        thing = rng.choice(things)
        part = Pattern(category=thing.category) if rng.random() < 0.5 else Pattern(colour=thing.colour)
        if len(samples) == limit or sum(part.fits(other.look) for other in things) > 1:
            continue
        reference = f"object in Picture {picture + 1}" if len(things) == 1 else f"{part} of Picture {picture + 1}"
        query = f"{REFERS}{reference}."
        sample = Sample(f"{scene}-the-{number}", scene, "understanding", "world", frames, query, text=_name(thing))
        samples.setdefault(query, sample)
    return list(samples.values())
