"""How is semantic association composed? By the category of a reference, or by the one category that all images share.

An anchor is an occurrence of a category in a frame. Both questions need a source that is exhaustive.
"""

from __future__ import annotations

from random import Random

from ..frames import EVERYTHING, AnnotatedFrame
from .composed import (
    ComposedSample,
    Context,
    Unfit,
    draw_picture_count,
    draw_reference_style,
    is_askable,
    matching_boxes,
    matching_targets,
    picture_refs,
    question_key,
    reference_candidates,
)
from .referential import draw_negatives
from .wording import evidence, mark, query, sentence


def compose(bench: Context, category: str, n: int, rng: Random) -> ComposedSample:
    """A sample about a category that frame `n` shows. Raises Unfit."""
    first = bench.index.frame(n)
    if not bench.exhaustive:
        raise Unfit("the source does not say what is absent")
    if not any(i.category == category for i in first.instances):
        raise Unfit("a description, but no category")
    return (_common if rng.random() < bench.rules.common else _marked)(bench, category, first, rng)


def _marked(bench: Context, category: str, first: AnnotatedFrame, rng: Random) -> ComposedSample:
    """Picture k has a marked reference; the targets are all of its category in the others."""
    index, rules = bench.index, bench.rules
    way = draw_reference_style(rng, rules)
    candidates = [i for i in reference_candidates(first, rules, way) if i.category == category]
    if not candidates:
        raise Unfit("no object that can be a reference")
    reference = rng.choice(candidates)
    other_count = draw_picture_count(rng, rules) - 1
    positive_count = 0 if rng.random() < rules.without_target else rng.randint(1, other_count)
    by_id = _frames_showing(bench, category, first, positive_count, rng)
    if len(by_id) < positive_count and not by_id:
        raise Unfit("too few pictures")
    for frame in draw_negatives(bench, category, first, rng):
        if len(by_id) >= other_count:
            break
        by_id[frame.id] = frame
    frames = list(by_id.values())
    if len(frames) + 1 < rules.pictures[0]:
        raise Unfit("too few pictures")
    rng.shuffle(frames)
    at = rng.randrange(len(frames) + 1)
    frames.insert(at, first)
    targets = matching_targets(frames, category, at, rules)
    box = reference.box or (0.0, 0.0, 1.0, 1.0)
    text, template = query(bench.words, rng, "semantic.category", marked=mark(bench.words, rng, at, box, way))
    premise = sentence(bench.words, rng, "reference", picture=at + 1, phrase=category)
    evidence_boxes = [(p, matching_boxes(f, category)) for p, f in enumerate(frames) if p != at]
    chain = f"{premise} {evidence(bench.words, rng, category, evidence_boxes)}"
    pictures = picture_refs(frames, at if way == "drawn" else None, box)
    return ComposedSample(
        "semantic", index.source, first.scene, template, pictures, text, targets, chain,
        question_key("category", reference.id, first.id, [f.id for f in frames]),
    )  # fmt: skip


def _frames_showing(
    bench: Context, category: str, first: AnnotatedFrame, count: int, rng: Random
) -> dict[str, AnnotatedFrame]:
    numbers = bench.index.frames_with(category, bench.index.split(first))
    by_id: dict[str, AnnotatedFrame] = {}
    for _ in range(bench.rules.tries if count else 0):
        frame = bench.index.frame(int(numbers[rng.randrange(len(numbers))]))
        if frame.id != first.id and is_askable(frame, category, bench.rules):
            by_id[frame.id] = frame
        if len(by_id) == count:
            break
    return by_id


def _common(bench: Context, category: str, first: AnnotatedFrame, rng: Random) -> ComposedSample:
    """Images that have exactly one category in common; unclear ones count as present."""
    index, rules = bench.index, bench.rules
    if not is_askable(first, category, rules) or EVERYTHING in first.unclear:
        raise Unfit("the phrase cannot be asked about in its frame")
    picture_count = draw_picture_count(rng, rules)
    numbers = index.frames_with(category, index.split(first))
    frames, shared = {first.id: first}, _possible(first)
    for _ in range(rules.tries):
        if len(frames) >= picture_count and shared == {category}:
            break
        frame = index.frame(int(numbers[rng.randrange(len(numbers))]))
        still_shared = shared & _possible(frame)
        useful = len(frames) < picture_count - 1 or still_shared == {category}
        if useful and frame.id not in frames and is_askable(frame, category, rules) and EVERYTHING not in frame.unclear:
            frames[frame.id] = frame
            shared = still_shared
    if shared != {category} or not rules.pictures[0] <= len(frames) <= rules.pictures[1] or len(frames) < 2:
        raise Unfit("no pictures that have just this category in common")
    ordered = list(frames.values())
    rng.shuffle(ordered)
    targets = matching_targets(ordered, category, None, rules)
    text, template = query(bench.words, rng, "semantic.common")
    evidence_text = evidence(
        bench.words, rng, category, [(p, matching_boxes(f, category)) for p, f in enumerate(ordered)]
    )
    return ComposedSample(
        "semantic", index.source, first.scene, template, picture_refs(ordered), text, targets,
        f"{sentence(bench.words, rng, 'common', phrase=category)} {evidence_text}",
        question_key("common", category, [f.id for f in ordered]),
    )  # fmt: skip


def _possible(frame: AnnotatedFrame) -> set[str]:
    return {i.category for i in frame.instances if i.visible} | frame.unclear
