"""How are spatial and temporal association composed? One object in other views of a moment, or at other times.

An anchor is a frame; the reference is one of the objects in it that have an identity. A partner is a frame that the
annotation says something of this object about: its box, or that it is not seen. Spatial: frames of the same scene and
time in other views, in any order. Temporal: frames of the same scene and view, at least `least_gap` apart, in the
order of time.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from ..frames import AnnotatedFrame, Instance
from ..index import unclear
from .composed import (
    ComposedSample,
    ComposedTarget,
    Context,
    Unfit,
    draw_picture_count,
    draw_reference_style,
    picture_refs,
    question_key,
    reference_candidates,
    smallest_side,
)
from .wording import mark, query, sentence, sightings


def compose(bench: Context, kind: Literal["spatial", "temporal"], n: int, rng: Random) -> ComposedSample:
    """A sample whose reference is an object of frame `n`. Raises Unfit."""
    index, rules = bench.index, bench.rules
    first = index.frame(n)
    if not first.view.startswith(rules.reference_view):
        raise Unfit("a view that has no references")
    way = draw_reference_style(rng, rules)
    candidates = [i for i in reference_candidates(first, rules, way) if i.identity]
    if not candidates:
        raise Unfit("no object that can be a reference")
    reference = rng.choice(candidates)
    identity = reference.identity
    draw = _other_views if kind == "spatial" else _other_times
    partners = draw(bench, first, reference, rng)
    visible_partners = [p for p in partners if _of(p, identity).visible]
    if not visible_partners and rng.random() >= rules.without_target:
        raise Unfit("seen in no other picture")
    frames = [first, *partners]
    if kind == "temporal":
        frames.sort(key=lambda f: f.time)
    elif not rules.first:
        rng.shuffle(frames)
    at = frames.index(first)
    sightings_by_picture = [(p, _of(frame, identity)) for p, frame in enumerate(frames) if p != at]
    targets = tuple(ComposedTarget(p, i.id, i.box) for p, i in sightings_by_picture if i.box is not None)
    if len(targets) > rules.most_targets:
        raise Unfit("too many targets")
    box = reference.box or (0.0, 0.0, 1.0, 1.0)
    text, template = query(bench.words, rng, f"{kind}.same", marked=mark(bench.words, rng, at, box, way))
    name = reference.category
    named = [i for p, f in enumerate(frames) if p != at for i in f.instances if i.visible and name in i.phrases]
    if "tally" in bench.words["chains"] and len(named) > len(targets):
        raise Unfit("another object of its name, by which it is tallied")
    evidence_text = sightings(bench.words, rng, [(p, i.box) for p, i in sightings_by_picture], name)
    chain = f"{sentence(bench.words, rng, 'reference', picture=at + 1, phrase=name)} {evidence_text}"
    pictures = picture_refs(frames, at if way == "drawn" else None, box)
    return ComposedSample(
        kind, index.source, first.scene, template, pictures, text, targets, chain,
        question_key(kind, identity, first.id, [f.id for f in frames]),
    )  # fmt: skip


def _of(frame: AnnotatedFrame, identity: str) -> Instance:
    return next(i for i in frame.instances if i.identity == identity)


def _usable(bench: Context, frame: AnnotatedFrame, reference: Instance) -> bool:
    """Whether the annotation says just one thing about the object here, and it is not too small."""
    instances = [i for i in frame.instances if i.identity == reference.identity]
    if len(instances) != 1 or unclear(frame, reference.category):
        return False
    return not instances[0].visible or smallest_side(instances[0]) >= bench.rules.smallest_target


def _other_views(bench: Context, first: AnnotatedFrame, reference: Instance, rng: Random) -> list[AnnotatedFrame]:
    frames = [bench.index.frame(n) for n in bench.index.moment(first.scene, first.time)]
    views: dict[str, AnnotatedFrame] = {}
    for frame in frames:
        if frame.view != first.view and frame.view not in views and _usable(bench, frame, reference):
            views[frame.view] = frame
    count = draw_picture_count(rng, bench.rules, len(views) + 1) - 1
    return rng.sample(list(views.values()), count)


def _other_times(bench: Context, first: AnnotatedFrame, reference: Instance, rng: Random) -> list[AnnotatedFrame]:
    moments = bench.index.view(first.scene, first.view)
    count = draw_picture_count(rng, bench.rules, len(moments)) - 1
    gap = bench.rules.least_gap
    by_time: dict[int, AnnotatedFrame] = {}
    for _ in range(bench.rules.tries):
        time, n = moments[rng.randrange(len(moments))]
        if all(abs(time - other) >= gap for other in (first.time, *by_time)):
            frame = bench.index.frame(n)
            if _usable(bench, frame, reference):
                by_time[time] = frame
        if len(by_time) == count:
            break
    if len(by_time) + 1 < bench.rules.pictures[0]:
        raise Unfit("too few pictures")
    return list(by_time.values())
