"""Reasoning questions about the world, over two hops or three, each with a true chain of thought."""

from __future__ import annotations

from random import Random

from .patterns import Pattern, distractor, draw_target_counts, find, fitting_look, frames_with, random_look, tally
from .questions import WorldQuestion
from .world import MOST_THINGS, Appearance, Frame, frame, place


def reasoning(rng: Random, pictures: int) -> WorldQuestion:
    """Reasoning over two hops, or, where three pictures let it, mostly over three."""
    return three_hops(rng) if pictures == 3 and rng.random() < 2 / 3 else two_hops(rng, pictures)


def two_hops(rng: Random, pictures: int, targets: int | None = None) -> WorldQuestion:
    """The question for what has the colour or category of a thing that is described in Picture 1; of so many
    `targets`."""
    key = random_look(rng)
    by_colour = rng.random() < 0.5  # the second hop follows the colour; the first names the category
    hop = Pattern(category=key[0]) if by_colour else Pattern(colour=key[1])
    others = [distractor(rng, hop) for _ in range(rng.randint(1, MOST_THINGS - 1))]
    looks = [key, *others]
    rng.shuffle(looks)
    pattern = Pattern(colour=key[1]) if by_colour else Pattern(category=key[0])
    first = frame(rng, place(rng, looks))
    frames = (first, *frames_with(rng, pattern, draw_target_counts(rng, pictures - 1, targets)))
    return like_described(frames, key, by_colour)


def like_described(frames: tuple[Frame, ...], key: Appearance, by_colour: bool) -> WorldQuestion:
    """The question for what has the colour of the one thing of this category in the first frame, or the reverse."""
    hop = Pattern(category=key[0]) if by_colour else Pattern(colour=key[1])
    pattern = Pattern(colour=key[1]) if by_colour else Pattern(category=key[0])
    targets = find(frames, pattern, 1)
    attribute = "colour" if by_colour else "category"
    query = f"Find every object of the same {attribute} as the {hop} of Picture 1, in the other pictures."
    chain = f"the {hop} of Picture 1 is a {Pattern(*key)}. {pattern}: {tally(targets, len(frames), 1)}"
    return WorldQuestion("reasoning", frames, query, targets, chain=chain)


def three_hops(rng: Random) -> WorldQuestion:
    """The question for what in Picture 3 has the category of the thing in Picture 2 that has the colour of a thing that
    is described in Picture 1; or with colour and category exchanged."""
    key = random_look(rng)
    by_colour = rng.random() < 0.5  # the second hop follows the colour; the first names the category, the last takes it
    hop = Pattern(category=key[0]) if by_colour else Pattern(colour=key[1])
    link = Pattern(colour=key[1]) if by_colour else Pattern(category=key[0])
    between = fitting_look(rng, link)
    last = Pattern(category=between[0]) if by_colour else Pattern(colour=between[1])
    hops = []
    for look, pattern in ((key, hop), (between, link)):
        looks = [look, *(distractor(rng, pattern) for _ in range(rng.randint(1, MOST_THINGS - 1)))]
        rng.shuffle(looks)
        hops.append(frame(rng, place(rng, looks)))
    frames = (*hops, *frames_with(rng, last, draw_target_counts(rng, 1)))
    targets = find(frames, last, 2)
    link_attribute, attribute = ("colour", "category") if by_colour else ("category", "colour")
    query = (
        f"Find every object of the same {attribute} as the object in Picture 2 of the same {link_attribute}"
        f" as the {hop} of Picture 1, in Picture 3."
    )
    chain = (
        f"the {hop} of Picture 1 is a {Pattern(*key)}. the {link} of Picture 2 is a {Pattern(*between)}."
        f" {last}: {tally(targets, 3, 2)}"
    )
    return WorldQuestion("reasoning", frames, query, targets, chain=chain)
