"""How is referential retrieval composed? Which objects of these images does a phrase describe?

An anchor is an occurrence: a phrase and a frame that shows it. Other positives and negatives are drawn to it. A hard
negative is of the anchor's scene (D3: collected for the same descriptions), or else shows another thing that the
anchor shows; an easy one is any. Only a source that is exhaustive has negatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from random import Random
from typing import Any

from ..frames import AnnotatedFrame
from .composed import (
    ComposedSample,
    Context,
    Rules,
    Unfit,
    draw_picture_count,
    is_askable,
    matching_boxes,
    matching_instances,
    matching_targets,
    picture_refs,
    question_key,
)
from .wording import evidence, query


def compose(bench: Context, phrase: str, n: int, rng: Random) -> ComposedSample:
    """A sample about the phrase, that frame `n` shows. Raises Unfit."""
    index, rules = bench.index, bench.rules
    first = index.frame(n)
    if rules.targets:
        counts = draw_target_counts(rng, rules, draw_picture_count(rng, rules))
        return compose_from_frames(bench, phrase, draw_frames(bench, phrase, first, counts, rng), first.scene, rng)
    if not is_askable(first, phrase, rules):
        raise Unfit("the phrase cannot be asked about in its frame")
    pictures = draw_picture_count(rng, rules)
    nothing = bench.exhaustive and pictures > 1 and rng.random() < rules.without_target
    positives = 0 if nothing else rng.randint(1, pictures) if bench.exhaustive else pictures
    frames = [] if nothing else [first, *_positives(bench, phrase, first, positives - 1, rng)]
    if pictures > len(frames):
        frames += _negatives(bench, phrase, first, pictures - len(frames), rng)
    if len(frames) < rules.pictures[0]:
        raise Unfit("too few pictures")
    rng.shuffle(frames)
    return compose_from_frames(bench, phrase, frames, first.scene, rng)


def compose_from_frames(
    bench: Context, phrase: str, frames: Sequence[AnnotatedFrame], scene: str, rng: Random
) -> ComposedSample:
    """The sample that queries a phrase in these frames. Raises Unfit if they have too many targets."""
    targets = matching_targets(frames, phrase, None, bench.rules)
    text, template = query(bench.words, rng, "referential.phrase", phrase=phrase)
    chain = evidence(bench.words, rng, phrase, [(p, matching_boxes(f, phrase)) for p, f in enumerate(frames)])
    return ComposedSample(
        "referential", bench.index.source, scene, template, picture_refs(frames), text, targets, chain,
        question_key("phrase", phrase, [f.id for f in frames]),
    )  # fmt: skip


def draw_target_counts(rng: Random, rules: Rules, pictures: int) -> list[int]:
    """The number of targets of each of `pictures` images; their sum follows the rules' shares."""
    shares = rules.targets or (rules.without_target, 1 - rules.without_target)
    counts = [0] * pictures
    for _ in range(rng.choices(range(len(shares)), shares)[0]):
        counts[rng.randrange(pictures)] += 1
    return counts


def draw_frames(
    bench: Context, phrase: str, near: AnnotatedFrame, counts: Sequence[int], rng: Random, *used: str
) -> list[AnnotatedFrame]:
    """Different frames with `counts` objects of the phrase, none of the ids `used`; `near` is one where it fits.

    Raises Unfit if the rules' tries do not find them.
    """
    numbers = bench.index.frames_with(phrase, bench.index.split(near))
    used_ids = {*used}
    frames = []
    for target_count in counts:
        candidates: Iterable[AnnotatedFrame] = draw_negatives(bench, phrase, near, rng)
        if target_count:
            tries = range(bench.rules.tries if len(numbers) else 0)
            candidates = chain([near], (bench.index.frame(int(numbers[rng.randrange(len(numbers))])) for _ in tries))
        for frame in candidates:
            if (
                frame.id not in used_ids
                and len(matching_instances(frame, phrase)) == target_count
                and is_askable(frame, phrase, bench.rules)
            ):
                break
        else:
            raise Unfit("too few pictures")
        used_ids.add(frame.id)
        frames.append(frame)
    return frames


def _positives(bench: Context, phrase: str, first: AnnotatedFrame, count: int, rng: Random) -> list[AnnotatedFrame]:
    numbers = bench.index.frames_with(phrase, bench.index.split(first))
    by_id: dict[str, AnnotatedFrame] = {}
    for _ in range(bench.rules.tries if count > 0 else 0):
        frame = bench.index.frame(int(numbers[rng.randrange(len(numbers))]))
        if frame.id != first.id and is_askable(frame, phrase, bench.rules):
            by_id[frame.id] = frame
        if len(by_id) == count:
            break
    return list(by_id.values())


def _negatives(bench: Context, phrase: str, first: AnnotatedFrame, count: int, rng: Random) -> list[AnnotatedFrame]:
    if not bench.exhaustive:
        return []
    by_id: dict[str, AnnotatedFrame] = {}
    for frame in draw_negatives(bench, phrase, first, rng):
        by_id[frame.id] = frame
        if len(by_id) == count:
            break
    return list(by_id.values())


def draw_negatives(bench: Context, phrase: str, near: AnnotatedFrame, rng: Random) -> Iterator[AnnotatedFrame]:
    """Frames in which the phrase is known to be absent, drawn until the rules' tries are exhausted."""
    index, rules = bench.index, bench.rules
    split = index.split(near)
    everywhere = index.total(split)
    neighbours = index.in_scene(near.scene)
    other_phrases = sorted({p for i in near.instances if i.visible for p in i.phrases} - {phrase})
    for _ in range(rules.tries):
        pool: Any = None
        if rng.random() < rules.hard:
            if len(neighbours) > 1:
                pool = neighbours
            elif other_phrases:
                pool = index.frames_with(rng.choice(other_phrases), split)
        pool = everywhere if pool is None or not len(pool) else pool
        frame = index.frame(int(pool[rng.randrange(len(pool))]))
        if frame.id != near.id and not matching_instances(frame, phrase) and is_askable(frame, phrase, rules):
            yield frame
