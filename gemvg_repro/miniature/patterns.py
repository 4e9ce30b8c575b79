"""What things look like: patterns by category and colour, and drawing looks and frames that fit a pattern or do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ..grounding.number_words import CARDINALS
from .world import CATEGORIES, COLOURS, MOST_THINGS, Appearance, Frame, frame, place

_TARGETS = (0, 1, 2, 3)
_SHARES = (15, 45, 25, 15)
"""Per cent of samples with so many targets: the mix of the generalised test set."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a thing must look like; None leaves the category or the colour open."""

    category: int | None = None
    colour: int | None = None

    def fits(self, look: Appearance) -> bool:
        """Whether a thing of this look fits the pattern."""
        return self.category in (None, look[0]) and self.colour in (None, look[1])

    def __str__(self) -> str:
        if self.category is None:
            return f"{COLOURS[self.colour or 0]} object"
        words = [] if self.colour is None else [COLOURS[self.colour]]
        return " ".join([*words, CATEGORIES[self.category]])


def random_look(rng: Random) -> Appearance:
    """Any category and colour."""
    return rng.randrange(len(CATEGORIES)), rng.randrange(len(COLOURS))


def fitting_look(rng: Random, pattern: Pattern) -> Appearance:
    """A look that fits; what the pattern leaves open is random."""
    category, colour = random_look(rng)
    return (
        category if pattern.category is None else pattern.category,
        colour if pattern.colour is None else pattern.colour,
    )


def distractor(rng: Random, pattern: Pattern) -> Appearance:
    """A look that does not fit; at least every second one shares category or colour with one that would."""
    similar = rng.random() < 0.5
    while True:
        look = random_look(rng)
        if similar:
            near = fitting_look(rng, pattern)
            look = (near[0], look[1]) if rng.random() < 0.5 else (look[0], near[1])
        if not pattern.fits(look):
            return look


def looks_with(rng: Random, pattern: Pattern, fitting: int) -> list[Appearance]:
    """The looks of a frame's things: `fitting` that fit, among at least one and at most MOST_THINGS."""
    total = rng.randint(max(fitting, 1), MOST_THINGS)
    looks = [fitting_look(rng, pattern) for _ in range(fitting)]
    looks += [distractor(rng, pattern) for _ in range(total - fitting)]
    rng.shuffle(looks)
    return looks


def random_pattern(rng: Random) -> Pattern:
    """A pattern of category and colour, or of one of them."""
    category, colour = random_look(rng)
    which = rng.randrange(4)
    if which == 0:
        return Pattern(category=category)
    if which == 1:
        return Pattern(colour=colour)
    return Pattern(category, colour)


def draw_target_counts(rng: Random, pictures: int, targets: int | None = None) -> list[int]:
    """How many targets each picture has; their sum is `targets`, or follows the mix of the test set."""
    counts = [0] * pictures
    for _ in range(rng.choices(_TARGETS, _SHARES)[0] if targets is None else targets):
        counts[rng.choice([p for p, count in enumerate(counts) if count < MOST_THINGS])] += 1
    return counts


def frames_with(rng: Random, pattern: Pattern, counts: Sequence[int]) -> tuple[Frame, ...]:
    """One frame a count, with so many fitting things."""
    return tuple(frame(rng, place(rng, looks_with(rng, pattern, n))) for n in counts)


def find(frames: Sequence[Frame], pattern: Pattern, first: int = 0) -> tuple[tuple[int, int], ...]:
    """(frame index, thing index) of every thing that fits, from the frame of index `first` on."""
    return tuple(
        (p, t)
        for p, one in enumerate(frames)
        if p >= first
        for t, thing in enumerate(one.things)
        if pattern.fits(thing.look)
    )


def tally(targets: Sequence[tuple[int, int]], pictures: int, first: int = 0) -> str:
    """How many targets each picture has, in words: "one in Picture 1, no in Picture 2"."""
    counts = [sum(p == picture for p, _ in targets) for picture in range(pictures)]
    return ", ".join(f"{CARDINALS[counts[p]]} in Picture {p + 1}" for p in range(first, pictures)) + "."
