"""What is asked about the world? Samples of every kind, composed from frames, each with a true chain of thought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ..grounding.number_words import CARDINALS
from ..grounding.samples import Kind, Sample, Target
from .world import (
    CATEGORIES,
    COLOURS,
    MOST_THINGS,
    Frame,
    Look,
    close_up,
    frame,
    from_another_view,
    place,
    step_in_time,
)

LETTERS = ("A", "B", "C", "D")

_TARGETS = (0, 1, 2, 3)
_SHARES = (15, 45, 25, 15)
"""Per cent of samples with so many targets: the mix of the generalised test set."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a thing must look like; None leaves the category or the colour open."""

    category: int | None = None
    colour: int | None = None

    def fits(self, look: Look) -> bool:
        return self.category in (None, look[0]) and self.colour in (None, look[1])

    def __str__(self) -> str:
        if self.category is None:
            return f"{COLOURS[self.colour or 0]} object"
        words = [] if self.colour is None else [COLOURS[self.colour]]
        return " ".join([*words, CATEGORIES[self.category]])


@dataclass(frozen=True, slots=True)
class Question:
    """A sample in the making: frames, what is asked, the things to find in each frame, and why."""

    kind: Kind
    frames: tuple[Frame, ...]
    query: str
    found: tuple[tuple[int, int], ...] = ()
    """(index of the frame, index of the thing in the frame) of each target."""
    choice: str | None = None
    chain: str = ""
    options: tuple[str, ...] = ()

    def sample(self, sample_id: str, scene: str) -> Sample:
        targets = tuple(Target(p, self.frames[p].things[t].box) for p, t in self.found)
        query = " ".join([self.query, *map("{}. {}".format, LETTERS, self.options)])
        return Sample(sample_id, scene, self.kind, "world", self.frames, query, targets, self.choice, self.chain)


def _any_look(rng: Random) -> Look:
    return rng.randrange(len(CATEGORIES)), rng.randrange(len(COLOURS))


def _fitting(rng: Random, pattern: Pattern) -> Look:
    category, colour = _any_look(rng)
    return (
        category if pattern.category is None else pattern.category,
        colour if pattern.colour is None else pattern.colour,
    )


def _distractor(rng: Random, pattern: Pattern) -> Look:
    """A look that does not fit; at least every second one shares category or colour with one that would."""
    similar = rng.random() < 0.5
    while True:
        look = _any_look(rng)
        if similar:
            near = _fitting(rng, pattern)
            look = (near[0], look[1]) if rng.random() < 0.5 else (look[0], near[1])
        if not pattern.fits(look):
            return look


def looks_with(rng: Random, pattern: Pattern, fitting: int) -> list[Look]:
    """The looks of a picture with so many fitting things among at least one and at most MOST_THINGS."""
    total = rng.randint(max(fitting, 1), MOST_THINGS)
    looks = [_fitting(rng, pattern) for _ in range(fitting)]
    looks += [_distractor(rng, pattern) for _ in range(total - fitting)]
    rng.shuffle(looks)
    return looks


def _spread(rng: Random, pictures: int) -> list[int]:
    """How many targets each picture has: their sum follows the mix."""
    counts = [0] * pictures
    for _ in range(rng.choices(_TARGETS, _SHARES)[0]):
        counts[rng.randrange(pictures)] += 1
    return counts


def _scene_with(rng: Random, pattern: Pattern, counts: Sequence[int]) -> tuple[Frame, ...]:
    return tuple(frame(rng, place(rng, looks_with(rng, pattern, n))) for n in counts)


def _find(frames: Sequence[Frame], pattern: Pattern, first: int = 0) -> tuple[tuple[int, int], ...]:
    """Where things that fit are, from the picture of index `first` on."""
    return tuple(
        (p, t)
        for p, one in enumerate(frames)
        if p >= first
        for t, thing in enumerate(one.things)
        if pattern.fits(thing.look)
    )


def _evidence(found: Sequence[tuple[int, int]], pictures: int, first: int = 0) -> str:
    """How many were found in each picture, in words: "one in Picture 1, no in Picture 2"."""
    counts = [sum(p == picture for p, _ in found) for picture in range(pictures)]
    return ", ".join(f"{CARDINALS[counts[p]]} in Picture {p + 1}" for p in range(first, pictures)) + "."


def some_pattern(rng: Random) -> Pattern:
    """A description by category and colour, or by one of them."""
    category, colour = _any_look(rng)
    which = rng.randrange(4)
    if which == 0:
        return Pattern(category=category)
    if which == 1:
        return Pattern(colour=colour)
    return Pattern(category, colour)


def referential(rng: Random, pictures: int) -> Question:
    """Referential retrieval: every thing of a description, in any of the pictures."""
    pattern = some_pattern(rng)
    frames = _scene_with(rng, pattern, _spread(rng, pictures))
    return about(frames, pattern)


def about(frames: tuple[Frame, ...], pattern: Pattern) -> Question:
    """The question for a description, about frames that are there already."""
    found = _find(frames, pattern)
    chain = f"{pattern}: {_evidence(found, len(frames))}"
    return Question("referential", frames, f"Find every {pattern}.", found, chain=chain)


def crowded(rng: Random, most: int) -> Question:
    """Single-image grounding at its easiest: one to `most` things in one picture, and one of them is asked for."""
    looks = [_any_look(rng) for _ in range(rng.randint(1, most))]
    return about((frame(rng, place(rng, looks)),), Pattern(*looks[0]))


def semantic(rng: Random, pictures: int) -> Question:
    """Semantic association: the category or colour of the object in Picture 1, or what all pictures share."""
    if rng.random() < 0.3:
        return shared(rng, pictures)
    reference = _any_look(rng)
    by_colour = rng.random() < 0.5
    pattern = Pattern(colour=reference[1]) if by_colour else Pattern(category=reference[0])
    frames = (frame(rng, place(rng, [reference])), *_scene_with(rng, pattern, _spread(rng, pictures - 1)))
    return like_reference(frames, by_colour)


def like_reference(frames: tuple[Frame, ...], by_colour: bool) -> Question:
    """What has the colour or category of the single thing in the first of these frames?"""
    (reference,) = frames[0].things
    pattern = Pattern(colour=reference.colour) if by_colour else Pattern(category=reference.category)
    found = _find(frames, pattern, 1)
    attribute = "colour" if by_colour else "category"
    query = f"Find every object of the same {attribute} as the object in Picture 1."
    chain = f"Picture 1 shows a {Pattern(*reference.look)}. {pattern}: {_evidence(found, len(frames), 1)}"
    return Question("semantic", frames, query, found, chain=chain)


def shared(rng: Random, pictures: int) -> Question:
    """The one look that every picture has."""
    shared = Pattern(*_any_look(rng))
    seen: set[Look] = set()
    frames = []
    for _ in range(pictures):
        others = [look for _ in range(rng.randint(0, 2)) if (look := _distractor(rng, shared)) not in seen]
        seen.update(others)
        looks = [_fitting(rng, shared), *others]
        rng.shuffle(looks)
        frames.append(frame(rng, place(rng, looks)))
    found = _find(frames, shared)
    query = "Find the object that is in every picture."
    chain = f"every picture shows a {shared}. {shared}: {_evidence(found, pictures)}"
    return Question("semantic", tuple(frames), query, found, chain=chain)


def spatial(rng: Random, pictures: int) -> Question:
    """Spatial association: Picture 1 is a close view of a thing; find it in the wide views that show it."""
    look = _any_look(rng)
    pattern = Pattern(*look)
    place_seen = [min(n, 1) for n in _spread(rng, pictures - 1)]
    if pictures > 2 and rng.random() < 0.4:
        place_seen = [1] * (pictures - 1)  # two views of the same place
    here = place(rng, looks_with(rng, pattern, 1))
    ground = frame(rng, here)
    wanted = next(t for t in here if t.look == look)
    frames = [frame(rng, (close_up(rng, wanted),), ground.ground)]
    for seen in place_seen:
        if seen:
            frames.append(frame(rng, from_another_view(rng, here), ground.ground))
        else:
            frames.append(frame(rng, place(rng, looks_with(rng, pattern, 0))))
    found = _find(frames, pattern, 1)
    query = "Picture 1 is a close view of an object. Find this object in the other pictures."
    chain = f"Picture 1 shows a {pattern}. {pattern}: {_evidence(found, pictures, 1)}"
    return Question("spatial", tuple(frames), query, found, chain=chain)


def temporal(rng: Random, pictures: int) -> Question:
    """Temporal association: the pictures are frames in time; find what moves, everywhere or where it ends."""
    moves = rng.random() >= 0.2
    while True:
        looks = rng.sample(
            [(c, k) for c in range(len(CATEGORIES)) for k in range(len(COLOURS))], rng.randint(2, MOST_THINGS)
        )
        steps = [place(rng, looks, 30)]
        mover = rng.randrange(len(looks)) if moves else None
        for _ in range(pictures - 1):
            after = step_in_time(rng, steps[-1], mover)
            if after is None:
                break
            steps.append(after)
        if len(steps) == pictures:
            break
    first = frame(rng, steps[0])
    frames = (first, *(frame(rng, things, first.ground) for things in steps[1:]))
    everywhere = rng.random() < 0.6
    last = f"in Picture {pictures}" if not everywhere else "in every picture"
    query = f"The pictures are frames of a video. Find the object that moves, {last}."
    if mover is None:
        return Question("temporal", frames, query, chain="no object moves.")
    start = 0 if everywhere else pictures - 1
    found = tuple((p, mover) for p in range(start, pictures))
    chain = f"the {Pattern(*looks[mover])} moves. {_evidence(found, pictures, start)}"
    return Question("temporal", frames, query, found, chain=chain)


def reasoning(rng: Random, pictures: int) -> Question:
    """Reasoning over two hops, or, where three pictures let it, mostly over three."""
    return three_hops(rng) if pictures == 3 and rng.random() < 2 / 3 else two_hops(rng, pictures)


def two_hops(rng: Random, pictures: int) -> Question:
    """Which thing of Picture 1 is meant, and what has its colour or category?"""
    key = _any_look(rng)
    by_colour = rng.random() < 0.5  # the second hop follows the colour; the first names the category
    hop = Pattern(category=key[0]) if by_colour else Pattern(colour=key[1])
    others = [_distractor(rng, hop) for _ in range(rng.randint(1, MOST_THINGS - 1))]
    looks = [key, *others]
    rng.shuffle(looks)
    pattern = Pattern(colour=key[1]) if by_colour else Pattern(category=key[0])
    frames = (frame(rng, place(rng, looks)), *_scene_with(rng, pattern, _spread(rng, pictures - 1)))
    return like_described(frames, key, by_colour)


def like_described(frames: tuple[Frame, ...], key: Look, by_colour: bool) -> Question:
    """What has the colour of the one thing of this category in the first frame, or the category of that colour?"""
    hop = Pattern(category=key[0]) if by_colour else Pattern(colour=key[1])
    pattern = Pattern(colour=key[1]) if by_colour else Pattern(category=key[0])
    found = _find(frames, pattern, 1)
    attribute = "colour" if by_colour else "category"
    query = f"Find every object of the same {attribute} as the {hop} of Picture 1, in the other pictures."
    chain = f"the {hop} of Picture 1 is a {Pattern(*key)}. {pattern}: {_evidence(found, len(frames), 1)}"
    return Question("reasoning", frames, query, found, chain=chain)


def three_hops(rng: Random) -> Question:
    """Which thing of Picture 1 is meant, which of Picture 2 has its colour, and what in Picture 3 has the category of
    that? Or the other way round."""
    key = _any_look(rng)
    by_colour = rng.random() < 0.5  # the second hop follows the colour; the first names the category, the last takes it
    hop = Pattern(category=key[0]) if by_colour else Pattern(colour=key[1])
    link = Pattern(colour=key[1]) if by_colour else Pattern(category=key[0])
    between = _fitting(rng, link)
    last = Pattern(category=between[0]) if by_colour else Pattern(colour=between[1])
    shown = []
    for look, pattern in ((key, hop), (between, link)):
        looks = [look, *(_distractor(rng, pattern) for _ in range(rng.randint(1, MOST_THINGS - 1)))]
        rng.shuffle(looks)
        shown.append(frame(rng, place(rng, looks)))
    frames = (*shown, *_scene_with(rng, last, _spread(rng, 1)))
    found = _find(frames, last, 2)
    followed, asked = ("colour", "category") if by_colour else ("category", "colour")
    query = (
        f"Find every object of the same {asked} as the object in Picture 2 of the same {followed} as the {hop} of"
        " Picture 1, in Picture 3."
    )
    chain = (
        f"the {hop} of Picture 1 is a {Pattern(*key)}. the {link} of Picture 2 is a {Pattern(*between)}."
        f" {last}: {_evidence(found, 3, 2)}"
    )
    return Question("reasoning", frames, query, found, chain=chain)


def understanding(rng: Random, pictures: int) -> Question:
    """A question about several pictures with lettered choices: same, different, how many."""
    ask = rng.choice((same, different, how_many))
    return ask(rng, pictures)


def _lettered(rng: Random, frames: tuple[Frame, ...], query: str, right: str, wrong: list[str], chain: str) -> Question:
    options = [right, *wrong]
    rng.shuffle(options)
    letter = LETTERS[options.index(right)]
    return Question("understanding", frames, query, choice=letter, chain=chain, options=tuple(options))


def same(rng: Random, pictures: int) -> Question:
    """Do the first two pictures show things of the same category or colour?"""
    first, second = _any_look(rng), _any_look(rng)
    by_colour = rng.random() < 0.5
    if rng.random() < 0.5:
        second = (second[0], first[1]) if by_colour else (first[0], second[1])
    frames = tuple(frame(rng, place(rng, [look])) for look in (first, second))
    attribute = "colour" if by_colour else "category"
    alike = first[1] == second[1] if by_colour else first[0] == second[0]
    right, wrong = ("yes", "no") if alike else ("no", "yes")
    query = f"Do Picture 1 and Picture 2 show the same {attribute}?"
    chain = f"Picture 1 shows a {Pattern(*first)}. Picture 2 shows a {Pattern(*second)}."
    return _lettered(rng, frames, query, right, [wrong], chain)


def different(rng: Random, pictures: int) -> Question:
    """Which of three pictures shows another thing than the other two?"""
    common = _any_look(rng)
    odd = _distractor(rng, Pattern(*common))
    where = rng.randrange(3)
    looks = [odd if p == where else common for p in range(3)]
    frames = tuple(frame(rng, place(rng, [look])) for look in looks)
    names = [f"Picture {p + 1}" for p in range(3)]
    right = names.pop(where)
    shown = " ".join(f"Picture {p + 1} shows a {Pattern(*look)}." for p, look in enumerate(looks))
    return _lettered(rng, frames, "Which picture is different from the others?", right, names, shown)


def how_many(rng: Random, pictures: int) -> Question:
    """How many things of a description do the pictures show together?"""
    pattern = some_pattern(rng)
    frames = _scene_with(rng, pattern, _spread(rng, pictures))
    found = _find(frames, pattern)
    wrong = [CARDINALS[n] for n in rng.sample([n for n in range(5) if n != len(found)], 3)]
    chain = f"{pattern}: {_evidence(found, pictures)}"
    return _lettered(rng, frames, f"How many times is there a {pattern}?", CARDINALS[len(found)], wrong, chain)


COMPOSERS = {
    "referential": referential,
    "semantic": semantic,
    "spatial": spatial,
    "temporal": temporal,
    "reasoning": reasoning,
    "understanding": understanding,
}
