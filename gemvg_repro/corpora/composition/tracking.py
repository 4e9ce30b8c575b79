"""Spatial and temporal association: where is this object in other views of the moment, or at other times?

An anchor is a frame; the reference is one of the objects in it that have an identity. A partner is a frame that the
annotation says something of this object about: its box, or that it is not seen. Spatial: frames of the same scene and
time in other views, in any order. Temporal: frames of the same scene and view, at least `least_gap` apart, in the
order of time.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from ..frames import Frame, Instance
from ..index import unclear
from .composed import Bench, Composed, Found, Unfit, how_many, references, same_question, shown, smallest_side, way_of
from .wording import mark, query, sentence, sightings


def compose(bench: Bench, kind: Literal["spatial", "temporal"], n: int, rng: Random) -> Composed:
    """A sample that points out an object of frame `n`. Raises Unfit."""
    index, rules = bench.index, bench.rules
    first = index.frame(n)
    if not first.view.startswith(rules.reference_view):
        raise Unfit("a view that has no references")
    way = way_of(rng, rules)
    candidates = [i for i in references(first, rules, way) if i.identity]
    if not candidates:
        raise Unfit("no object that can be a reference")
    reference = rng.choice(candidates)
    identity = reference.identity
    draw = _other_views if kind == "spatial" else _other_times
    partners = draw(bench, first, reference, rng)
    seen = [p for p in partners if _of(p, identity).visible]
    if not seen and rng.random() >= rules.without_target:
        raise Unfit("seen in no other picture")
    frames = [first, *partners]
    if kind == "temporal":
        frames.sort(key=lambda f: f.time)
    elif not rules.first:
        rng.shuffle(frames)
    at = frames.index(first)
    there = [(p, _of(frame, identity)) for p, frame in enumerate(frames) if p != at]
    targets = tuple(Found(p, i.id, i.box) for p, i in there if i.box is not None)
    if len(targets) > rules.most_targets:
        raise Unfit("too many targets")
    box = reference.box or (0.0, 0.0, 1.0, 1.0)
    text, template = query(bench.words, rng, f"{kind}.same", marked=mark(bench.words, rng, at, box, way))
    name = reference.category
    named = [i for p, f in enumerate(frames) if p != at for i in f.instances if i.visible and name in i.phrases]
    if "tally" in bench.words["chains"] and len(named) > len(targets):
        raise Unfit("another object of its name, by which it is tallied")
    told = sightings(bench.words, rng, [(p, i.box) for p, i in there], name)
    chain = f"{sentence(bench.words, rng, 'reference', picture=at + 1, phrase=name)} {told}"
    pictures = shown(frames, at if way == "drawn" else None, box)
    return Composed(
        kind, index.source, first.scene, template, pictures, text, targets, chain,
        same_question(kind, identity, first.id, [f.id for f in frames]),
    )  # fmt: skip


def _of(frame: Frame, identity: str) -> Instance:
    return next(i for i in frame.instances if i.identity == identity)


def _usable(bench: Bench, frame: Frame, reference: Instance) -> bool:
    """Whether the annotation says just one thing about the object here, and it is not too small."""
    about = [i for i in frame.instances if i.identity == reference.identity]
    if len(about) != 1 or unclear(frame, reference.category):
        return False
    return not about[0].visible or smallest_side(about[0]) >= bench.rules.smallest_target


def _other_views(bench: Bench, first: Frame, reference: Instance, rng: Random) -> list[Frame]:
    frames = [bench.index.frame(n) for n in bench.index.moment(first.scene, first.time)]
    views: dict[str, Frame] = {}
    for frame in frames:
        if frame.view != first.view and frame.view not in views and _usable(bench, frame, reference):
            views[frame.view] = frame
    wanted = how_many(rng, bench.rules, len(views) + 1) - 1
    return rng.sample(list(views.values()), wanted)


def _other_times(bench: Bench, first: Frame, reference: Instance, rng: Random) -> list[Frame]:
    moments = bench.index.view(first.scene, first.view)
    wanted = how_many(rng, bench.rules, len(moments)) - 1
    gap = bench.rules.least_gap
    chosen: dict[int, Frame] = {}
    for _ in range(bench.rules.tries):
        time, n = moments[rng.randrange(len(moments))]
        if all(abs(time - other) >= gap for other in (first.time, *chosen)):
            frame = bench.index.frame(n)
            if _usable(bench, frame, reference):
                chosen[time] = frame
        if len(chosen) == wanted:
            break
    if len(chosen) + 1 < bench.rules.pictures[0]:
        raise Unfit("too few pictures")
    return list(chosen.values())
