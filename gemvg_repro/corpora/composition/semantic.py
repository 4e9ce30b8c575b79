"""Semantic association: what is of the category of a reference, or of the one category that all pictures share?

An anchor is an occurrence of a category in a frame. Both questions need a source that is exhaustive.
"""

from __future__ import annotations

from random import Random

from ..frames import EVERYTHING, Frame
from .composed import (
    Bench,
    Composed,
    Unfit,
    boxes_of,
    can_be_asked,
    how_many,
    references,
    same_question,
    shown,
    targets_of,
    way_of,
)
from .referential import negatives
from .wording import evidence, mark, query, sentence


def compose(bench: Bench, category: str, n: int, rng: Random) -> Composed:
    """A sample about a category that frame `n` shows. Raises Unfit."""
    first = bench.index.frame(n)
    if not bench.exhaustive:
        raise Unfit("the source does not say what is absent")
    if not any(i.category == category for i in first.instances):
        raise Unfit("a description, but no category")
    return (_common if rng.random() < bench.rules.common else _marked)(bench, category, first, rng)


def _marked(bench: Bench, category: str, first: Frame, rng: Random) -> Composed:
    """Picture k points out an object; all of its category in the others are targets."""
    index, rules = bench.index, bench.rules
    way = way_of(rng, rules)
    candidates = [i for i in references(first, rules, way) if i.category == category]
    if not candidates:
        raise Unfit("no object that can be a reference")
    reference = rng.choice(candidates)
    others = how_many(rng, rules) - 1
    wanted = 0 if rng.random() < rules.without_target else rng.randint(1, others)
    found = _with(bench, category, first, wanted, rng)
    if len(found) < wanted and not found:
        raise Unfit("too few pictures")
    for frame in negatives(bench, category, first, rng):
        if len(found) >= others:
            break
        found[frame.id] = frame
    frames = list(found.values())
    if len(frames) + 1 < rules.pictures[0]:
        raise Unfit("too few pictures")
    rng.shuffle(frames)
    at = rng.randrange(len(frames) + 1)
    frames.insert(at, first)
    targets = targets_of(frames, category, at, rules)
    box = reference.box or (0.0, 0.0, 1.0, 1.0)
    text, template = query(bench.words, rng, "semantic.category", marked=mark(bench.words, rng, at, box, way))
    premise = sentence(bench.words, rng, "reference", picture=at + 1, phrase=category)
    found_there = [(p, boxes_of(f, category)) for p, f in enumerate(frames) if p != at]
    chain = f"{premise} {evidence(bench.words, rng, category, found_there)}"
    pictures = shown(frames, at if way == "drawn" else None, box)
    return Composed(
        "semantic", index.source, first.scene, template, pictures, text, targets, chain,
        same_question("category", reference.id, first.id, [f.id for f in frames]),
    )  # fmt: skip


def _with(bench: Bench, category: str, first: Frame, wanted: int, rng: Random) -> dict[str, Frame]:
    numbers = bench.index.frames_with(category, bench.index.split(first))
    found: dict[str, Frame] = {}
    for _ in range(bench.rules.tries if wanted else 0):
        frame = bench.index.frame(int(numbers[rng.randrange(len(numbers))]))
        if frame.id != first.id and can_be_asked(frame, category, bench.rules):
            found[frame.id] = frame
        if len(found) == wanted:
            break
    return found


def _common(bench: Bench, category: str, first: Frame, rng: Random) -> Composed:
    """Pictures whose categories have exactly one in common; what is unclear counts as there."""
    index, rules = bench.index, bench.rules
    if not can_be_asked(first, category, rules) or EVERYTHING in first.unclear:
        raise Unfit("the phrase cannot be asked about in its frame")
    wanted = how_many(rng, rules)
    numbers = index.frames_with(category, index.split(first))
    frames, shared = {first.id: first}, _possible(first)
    for _ in range(rules.tries):
        if len(frames) >= wanted and shared == {category}:
            break
        frame = index.frame(int(numbers[rng.randrange(len(numbers))]))
        more = shared & _possible(frame)
        useful = len(frames) < wanted - 1 or more == {category}
        if (
            useful
            and frame.id not in frames
            and can_be_asked(frame, category, rules)
            and EVERYTHING not in frame.unclear
        ):
            frames[frame.id] = frame
            shared = more
    if shared != {category} or not rules.pictures[0] <= len(frames) <= rules.pictures[1] or len(frames) < 2:
        raise Unfit("no pictures that have just this category in common")
    ordered = list(frames.values())
    rng.shuffle(ordered)
    targets = targets_of(ordered, category, None, rules)
    text, template = query(bench.words, rng, "semantic.common")
    told = evidence(bench.words, rng, category, [(p, boxes_of(f, category)) for p, f in enumerate(ordered)])
    return Composed(
        "semantic", index.source, first.scene, template, shown(ordered), text, targets,
        f"{sentence(bench.words, rng, 'common', phrase=category)} {told}",
        same_question("common", category, [f.id for f in ordered]),
    )  # fmt: skip


def _possible(frame: Frame) -> set[str]:
    return {i.category for i in frame.instances if i.visible} | frame.unclear
