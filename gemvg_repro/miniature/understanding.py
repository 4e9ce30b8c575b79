"""Multiple-choice questions about several pictures of the world, each with a true chain of thought."""

from __future__ import annotations

from random import Random

from ..grounding.number_words import CARDINALS
from .patterns import Pattern, distractor, draw_target_counts, find, frames_with, random_look, random_pattern, tally
from .questions import LETTERS, WorldQuestion
from .world import Frame, frame, place


def understanding(rng: Random, pictures: int) -> WorldQuestion:
    """A multiple-choice question about several pictures: same, different, how many."""
    compose = rng.choice((same, different, how_many))
    return compose(rng, pictures)


def _lettered(
    rng: Random, frames: tuple[Frame, ...], query: str, right: str, wrong: list[str], chain: str
) -> WorldQuestion:
    options = [right, *wrong]
    rng.shuffle(options)
    letter = LETTERS[options.index(right)]
    return WorldQuestion("understanding", frames, query, choice=letter, chain=chain, options=tuple(options))


def same(rng: Random, pictures: int) -> WorldQuestion:
    """Do the first two pictures show things of the same category or colour?"""
    first, second = random_look(rng), random_look(rng)
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


def different(rng: Random, pictures: int) -> WorldQuestion:
    """Which of three pictures shows another thing than the other two?"""
    common = random_look(rng)
    odd = distractor(rng, Pattern(*common))
    where = rng.randrange(3)
    looks = [odd if p == where else common for p in range(3)]
    frames = tuple(frame(rng, place(rng, [look])) for look in looks)
    names = [f"Picture {p + 1}" for p in range(3)]
    right = names.pop(where)
    chain = " ".join(f"Picture {p + 1} shows a {Pattern(*look)}." for p, look in enumerate(looks))
    return _lettered(rng, frames, "Which picture is different from the others?", right, names, chain)


def how_many(rng: Random, pictures: int) -> WorldQuestion:
    """How many things of a description do the pictures show together?"""
    pattern = random_pattern(rng)
    frames = frames_with(rng, pattern, draw_target_counts(rng, pictures))
    targets = find(frames, pattern)
    wrong = [CARDINALS[n] for n in rng.sample([n for n in range(5) if n != len(targets)], 3)]
    chain = f"{pattern}: {tally(targets, pictures)}"
    return _lettered(rng, frames, f"How many times is there a {pattern}?", CARDINALS[len(targets)], wrong, chain)
