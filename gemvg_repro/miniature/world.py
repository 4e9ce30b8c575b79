"""The procedural world: scenes of things, over time and from several views."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from ..grounding.samples import Box
from .rendering import GRAINS, GROUNDS, SIDE, render

CATEGORIES = ("disc", "square", "triangle", "cross")
COLOURS = ("red", "green", "blue", "yellow")
SMALLEST, LARGEST = 6, 39
"""Sides of a thing in pixels: a tenth to six tenths of the picture."""
MOST_THINGS = 4

Appearance = tuple[int, int]
"""(category, colour), as indices into CATEGORIES and COLOURS."""


@dataclass(frozen=True, slots=True)
class Thing:
    """An object in a frame. Equal `identity` in two frames of a scene means the same object.

    x, y, w, h are pixels: the tight box of its silhouette. `shade` moves its colour a little.
    """

    identity: int
    category: int
    colour: int
    shade: int
    x: int
    y: int
    w: int
    h: int

    @property
    def look(self) -> Appearance:
        return self.category, self.colour

    @property
    def box(self) -> Box:
        """xyxy, normalised to [0, 1]."""
        return self.x / SIDE, self.y / SIDE, (self.x + self.w) / SIDE, (self.y + self.h) / SIDE


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a scene: what a camera sees at one time. `ground` seeds its texture, `noise` its grain."""

    ground: int
    noise: int
    things: tuple[Thing, ...]

    def pixels(self) -> NDArray[np.uint8]:
        """RGB, of shape (SIDE, SIDE, 3); the same bytes on any machine."""
        silhouettes = [(t.category, t.colour, t.shade, t.x, t.y, t.w, t.h) for t in self.things]
        return render(self.ground, self.noise, silhouettes)


def sides(rng: Random, largest: int = LARGEST) -> tuple[int, int]:
    """Width and height of a thing, within a quarter of each other."""
    side = rng.randint(SMALLEST, largest)
    other = side + rng.randint(-(side // 4), side // 4)
    return side, min(max(other, SMALLEST), largest)


def free(x: int, y: int, w: int, h: int, others: list[Thing]) -> bool:
    """Whether a box keeps a pixel's distance from every other thing."""
    return all(x + w < o.x or o.x + o.w < x or y + h < o.y or o.y + o.h < y for o in others)


def place(rng: Random, looks: list[Appearance], largest: int = LARGEST) -> tuple[Thing, ...]:
    """Things of these looks, in this order, at random places that do not touch; large ones are placed first."""
    while True:
        extents = sorted((sides(rng, largest) for _ in looks), key=lambda wh: -wh[0] * wh[1])
        order = rng.sample(range(len(looks)), len(looks))
        placed: list[Thing] = []
        for identity, (w, h) in zip(order, extents, strict=True):
            for _ in range(20):
                x, y = rng.randint(0, SIDE - w), rng.randint(0, SIDE - h)
                if free(x, y, w, h, placed):
                    placed.append(Thing(identity, *looks[identity], rng.randint(0, 15), x, y, w, h))
                    break
            else:
                break
        if len(placed) == len(looks):
            return tuple(sorted(placed, key=lambda t: t.identity))
        largest = max(largest - 3, SMALLEST + 6)


def frame(rng: Random, things: tuple[Thing, ...], ground: int | None = None) -> Frame:
    """A picture of these things, on a new ground unless one is given (the same place, seen again)."""
    texture = rng.randrange(GROUNDS) if ground is None else ground
    return Frame(texture, rng.randrange(GRAINS), things)


def from_another_view(rng: Random, things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """The same things seen from elsewhere: nearer or further, mirrored or not, shifted; none leaves the picture."""
    mirrored = rng.random() < 0.5
    left, top = min(t.x for t in things), min(t.y for t in things)
    right, bottom = max(t.x + t.w for t in things), max(t.y + t.h for t in things)
    widest = max(max(t.w, t.h) for t in things)
    narrowest = min(min(t.w, t.h) for t in things)
    max_zoom = min(SIDE * 16 // max(right - left, bottom - top), LARGEST * 16 // widest, 24)
    min_zoom = max(-(-SMALLEST * 16 // narrowest), 10)
    zoom = rng.randint(min(min_zoom, max_zoom), max_zoom)  # in sixteenths
    dx = rng.randint(0, SIDE - (right - left) * zoom // 16)
    dy = rng.randint(0, SIDE - (bottom - top) * zoom // 16)

    def moved(t: Thing) -> Thing:
        near = right - t.x - t.w if mirrored else t.x - left
        x0, y0 = near * zoom // 16, (t.y - top) * zoom // 16
        w, h = max(t.w * zoom // 16, SMALLEST), max(t.h * zoom // 16, SMALLEST)
        return replace(t, x=min(x0 + dx, SIDE - w), y=min(y0 + dy, SIDE - h), w=w, h=h)

    return tuple(moved(t) for t in things)


def close_up(rng: Random, thing: Thing) -> Thing:
    """The thing from near by: it fills about half of the picture."""
    side = rng.randint(LARGEST * 3 // 4, LARGEST)
    scale = side / max(thing.w, thing.h)
    w, h = max(round(thing.w * scale), SMALLEST), max(round(thing.h * scale), SMALLEST)
    return replace(thing, x=rng.randint(0, SIDE - w), y=rng.randint(0, SIDE - h), w=w, h=h)


def step_in_time(rng: Random, things: tuple[Thing, ...], mover: int | None) -> tuple[Thing, ...] | None:
    """The same things a moment later: `mover` (an identity) is at least its own half size away, the rest stay.

    None if there is no free place to go to.
    """
    if mover is None:
        return things
    others = [t for t in things if t.identity != mover]
    here = next(t for t in things if t.identity == mover)
    for _ in range(60):
        x, y = rng.randint(0, SIDE - here.w), rng.randint(0, SIDE - here.h)
        far = abs(x - here.x) + abs(y - here.y) >= max(SIDE // 5, max(here.w, here.h) // 2)
        if far and free(x, y, here.w, here.h, others):
            return tuple(replace(t, x=x, y=y) if t.identity == mover else t for t in things)
    return None
