"""Referential retrieval: which objects of these pictures does a phrase describe?

An anchor is an occurrence: a phrase and a frame that shows it. Other positives and negatives are drawn to it. A hard
negative is of the anchor's scene (D3: collected for the same descriptions), or else shows another thing that the
anchor shows; an easy one is any. Only a source that is exhaustive has negatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from random import Random
from typing import Any

from ..frames import Frame
from .composed import (
    Bench,
    Composed,
    Rules,
    Unfit,
    boxes_of,
    can_be_asked,
    fitting,
    how_many,
    same_question,
    shown,
    targets_of,
)
from .wording import evidence, query


def compose(bench: Bench, phrase: str, n: int, rng: Random) -> Composed:
    """A sample about the phrase, that frame `n` shows. Raises Unfit."""
    index, rules = bench.index, bench.rules
    first = index.frame(n)
    if rules.targets:
        counts = spread(rng, rules, how_many(rng, rules))
        return about(bench, phrase, gather(bench, phrase, first, counts, rng), first.scene, rng)
    if not can_be_asked(first, phrase, rules):
        raise Unfit("the phrase cannot be asked about in its frame")
    pictures = how_many(rng, rules)
    nothing = bench.exhaustive and pictures > 1 and rng.random() < rules.without_target
    positives = 0 if nothing else rng.randint(1, pictures) if bench.exhaustive else pictures
    frames = [] if nothing else [first, *_positives(bench, phrase, first, positives - 1, rng)]
    if pictures > len(frames):
        frames += _negatives(bench, phrase, first, pictures - len(frames), rng)
    if len(frames) < rules.pictures[0]:
        raise Unfit("too few pictures")
    rng.shuffle(frames)
    return about(bench, phrase, frames, first.scene, rng)


def about(bench: Bench, phrase: str, frames: Sequence[Frame], scene: str, rng: Random) -> Composed:
    """The question for a phrase, about frames that are there already. Raises Unfit if they have too many of it."""
    targets = targets_of(frames, phrase, None, bench.rules)
    text, template = query(bench.words, rng, "referential.phrase", phrase=phrase)
    told = evidence(bench.words, rng, phrase, [(p, boxes_of(f, phrase)) for p, f in enumerate(frames)])
    return Composed(
        "referential", bench.index.source, scene, template, shown(frames), text, targets, told,
        same_question("phrase", phrase, [f.id for f in frames]),
    )  # fmt: skip


def spread(rng: Random, rules: Rules, pictures: int) -> list[int]:
    """How many targets each of so many pictures is to have: their sum follows the rules' shares."""
    shares = rules.targets or (rules.without_target, 1 - rules.without_target)
    counts = [0] * pictures
    for _ in range(rng.choices(range(len(shares)), shares)[0]):
        counts[rng.randrange(pictures)] += 1
    return counts


def gather(bench: Bench, phrase: str, near: Frame, counts: Sequence[int], rng: Random, *used: str) -> list[Frame]:
    """Different frames with so many objects of the phrase each, but those of the ids `used`; `near` is one if it can.

    Raises Unfit if the rules' tries do not find them.
    """
    numbers = bench.index.frames_with(phrase, bench.index.split(near))
    taken = {*used}
    frames = []
    for wanted in counts:
        drawn: Iterable[Frame] = negatives(bench, phrase, near, rng)
        if wanted:
            tries = range(bench.rules.tries if len(numbers) else 0)
            drawn = chain([near], (bench.index.frame(int(numbers[rng.randrange(len(numbers))])) for _ in tries))
        for frame in drawn:
            if (
                frame.id not in taken
                and len(fitting(frame, phrase)) == wanted
                and can_be_asked(frame, phrase, bench.rules)
            ):
                break
        else:
            raise Unfit("too few pictures")
        taken.add(frame.id)
        frames.append(frame)
    return frames


def _positives(bench: Bench, phrase: str, first: Frame, wanted: int, rng: Random) -> list[Frame]:
    numbers = bench.index.frames_with(phrase, bench.index.split(first))
    found: dict[str, Frame] = {}
    for _ in range(bench.rules.tries if wanted > 0 else 0):
        frame = bench.index.frame(int(numbers[rng.randrange(len(numbers))]))
        if frame.id != first.id and can_be_asked(frame, phrase, bench.rules):
            found[frame.id] = frame
        if len(found) == wanted:
            break
    return list(found.values())


def _negatives(bench: Bench, phrase: str, first: Frame, wanted: int, rng: Random) -> list[Frame]:
    if not bench.exhaustive:
        return []
    found: dict[str, Frame] = {}
    for frame in negatives(bench, phrase, first, rng):
        found[frame.id] = frame
        if len(found) == wanted:
            break
    return list(found.values())


def negatives(bench: Bench, phrase: str, near: Frame, rng: Random) -> Iterator[Frame]:
    """Frames that surely show nothing of the phrase, drawn until the rules' tries are used up."""
    index, rules = bench.index, bench.rules
    split = index.split(near)
    everywhere = index.total(split)
    neighbours = index.in_scene(near.scene)
    others = sorted({p for i in near.instances if i.visible for p in i.phrases} - {phrase})
    for _ in range(rules.tries):
        pool: Any = None
        if rng.random() < rules.hard:
            if len(neighbours) > 1:
                pool = neighbours
            elif others:
                pool = index.frames_with(rng.choice(others), split)
        pool = everywhere if pool is None or not len(pool) else pool
        frame = index.frame(int(pool[rng.randrange(len(pool))]))
        if frame.id != near.id and not fitting(frame, phrase) and can_be_asked(frame, phrase, rules):
            yield frame
