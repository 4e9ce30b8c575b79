"""How is temporal association without a mark composed? Which object moves between frames of a static camera?

An anchor is a frame; the others are of its scene and view. All objects in them are tracked, each is in every picture,
and at most one moves: its box is elsewhere from each picture to the next, and the boxes of the others stay where they
are. That nothing else moves is known only of a source that is exhaustive.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from random import Random

from ...grounding.samples import Box
from ..frames import AnnotatedFrame, Instance
from .composed import (
    ComposedSample,
    ComposedTarget,
    Context,
    Unfit,
    display_name,
    draw_picture_count,
    picture_refs,
    question_key,
    smallest_side,
)
from .wording import query, sentence, sightings

MOVED, STAYED = 0.05, 0.01
"""How far, in shares of the picture, some corner is away at least if an object moved, and every one at most if not."""


def compose(bench: Context, n: int, rng: Random) -> ComposedSample:
    """A sample about what moves in the view of frame `n`. Raises Unfit."""
    index, rules = bench.index, bench.rules
    if not bench.exhaustive:
        raise Unfit("the source does not say what is absent")
    first = index.frame(n)
    moments = index.view(first.scene, first.view)
    picture_count = draw_picture_count(rng, rules, len(moments))
    other_moments = rng.sample([moment for moment in moments if moment[1] != n], picture_count - 1)
    moments_in_order = sorted([(first.time, n), *other_moments])
    if any(b - a < rules.least_gap for (a, _), (b, _) in pairwise(moments_in_order)):
        raise Unfit("frames too near in time")
    return compose_from_frames(bench, [index.frame(number) for _, number in moments_in_order], first.scene, rng)


def compose_from_frames(bench: Context, frames: Sequence[AnnotatedFrame], scene: str, rng: Random) -> ComposedSample:
    """The sample of these frames in their order, about every picture or the last. Raises Unfit."""
    rules = bench.rules
    moving = _moving(frames)
    text, template = query(bench.words, rng, "temporal.moving")
    queried = range(len(frames))
    if rng.random() < rules.last:
        text, template = query(bench.words, rng, "temporal.moved", picture=str(len(frames)))
        queried = range(len(frames) - 1, len(frames))
    chain = sentence(bench.words, rng, "rests")
    queried_instances = [(p, i) for p, i in enumerate(moving) if p in queried]
    targets = tuple(ComposedTarget(p, i.id, i.box) for p, i in queried_instances if i.box is not None)
    if moving:
        if min(map(smallest_side, moving)) < rules.smallest_target:
            raise Unfit("an object that is too small")
        premise = sentence(bench.words, rng, "moves", phrase=display_name(moving[0]))
        chain = f"{premise} {sightings(bench.words, rng, [(p, i.box) for p, i in queried_instances])}"
    return ComposedSample(
        "temporal", bench.index.source, scene, template, picture_refs(frames), text, targets, chain,
        question_key(template.partition("/")[0], scene, [f.id for f in frames]),
    )  # fmt: skip


def _moving(frames: Sequence[AnnotatedFrame]) -> list[Instance]:
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
