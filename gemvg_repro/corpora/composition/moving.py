"""Temporal association without a mark: which object moves between frames of a camera that stands still?

An anchor is a frame; the others are of its scene and view. All objects in them are tracked, each is in every picture,
and at most one moves: its box is elsewhere from each picture to the next, and the boxes of the others stay where they
are. That nothing else moves is known only of a source that is exhaustive.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from random import Random

from ...grounding.samples import Box
from ..frames import Frame, Instance
from .composed import Bench, Composed, Found, Unfit, how_many, name_of, same_question, shown, smallest_side
from .wording import query, sentence, sightings

MOVED, STAYED = 0.05, 0.01
"""How far, in shares of the picture, some corner is away at least if an object moved, and every one at most if not."""


def compose(bench: Bench, n: int, rng: Random) -> Composed:
    """A sample about what moves in the view of frame `n`. Raises Unfit."""
    index, rules = bench.index, bench.rules
    if not bench.exhaustive:
        raise Unfit("the source does not say what is absent")
    first = index.frame(n)
    moments = index.view(first.scene, first.view)
    wanted = how_many(rng, rules, len(moments))
    others = rng.sample([moment for moment in moments if moment[1] != n], wanted - 1)
    chosen = sorted([(first.time, n), *others])
    if any(b - a < rules.least_gap for (a, _), (b, _) in pairwise(chosen)):
        raise Unfit("frames too near in time")
    return about(bench, [index.frame(number) for _, number in chosen], first.scene, rng)


def about(bench: Bench, frames: Sequence[Frame], scene: str, rng: Random) -> Composed:
    """The sample of these frames in their order, about every picture or the last. Raises Unfit."""
    rules = bench.rules
    moving = _moving(frames)
    text, template = query(bench.words, rng, "temporal.moving")
    asked = range(len(frames))
    if rng.random() < rules.last:
        text, template = query(bench.words, rng, "temporal.moved", picture=str(len(frames)))
        asked = range(len(frames) - 1, len(frames))
    chain = sentence(bench.words, rng, "rests")
    found = [(p, i) for p, i in enumerate(moving) if p in asked]
    targets = tuple(Found(p, i.id, i.box) for p, i in found if i.box is not None)
    if moving:
        if min(map(smallest_side, moving)) < rules.smallest_target:
            raise Unfit("an object that is too small")
        premise = sentence(bench.words, rng, "moves", phrase=name_of(moving[0]))
        chain = f"{premise} {sightings(bench.words, rng, [(p, i.box) for p, i in found])}"
    return Composed(
        "temporal", bench.index.source, scene, template, shown(frames), text, targets, chain,
        same_question(template.partition("/")[0], scene, [f.id for f in frames]),
    )  # fmt: skip


def _moving(frames: Sequence[Frame]) -> list[Instance]:
    """The one object that moves, in each frame; empty if none does. Raises Unfit where that is not settled."""
    tracks: dict[str, list[Instance]] = {}
    for frame in frames:
        for instance in frame.instances:
            tracks.setdefault(instance.identity, []).append(instance)
    if "" in tracks or any(frame.unclear for frame in frames):
        raise Unfit("an object that is not tracked")
    if any(len(track) != len(frames) or not all(i.visible for i in track) for track in tracks.values()):
        raise Unfit("an object that is not in every picture")
    moving = []
    for track in tracks.values():
        boxes = [i.box for i in track if i.box is not None]
        if all(_shift(a, b) >= MOVED for a, b in pairwise(boxes)):
            moving.append(track)
        elif any(_shift(a, b) > STAYED for a, b in combinations(boxes, 2)):
            raise Unfit("an object that moves a little")
    if len(moving) > 1:
        raise Unfit("more than one object that moves")
    return moving[0] if moving else []


def _shift(a: Box, b: Box) -> float:
    return max(abs(v - w) for v, w in zip(a, b, strict=True))
