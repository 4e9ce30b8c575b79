"""Referential retrieval: which objects of these pictures does a phrase describe?

An anchor is an occurrence: a phrase and a frame that shows it. Other positives and negatives are drawn to it. A hard
negative is of the anchor's scene (D3: collected for the same descriptions), or else shows another thing that the
anchor shows; an easy one is any. Only a source that is exhaustive has negatives.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from ..frames import Frame
from ..index import Index
from .composed import Bench, Composed, Rules, Unfit, can_be_asked, fitting, how_many, same_question, shown, targets_of
from .wording import count, query


def compose(bench: Bench, phrase: str, n: int, rng: Random) -> Composed:
    """A sample about the phrase, that frame `n` shows. Raises Unfit."""
    index, rules = bench.index, bench.rules
    first = index.frame(n)
    if not can_be_asked(first, phrase, rules):
        raise Unfit("the phrase cannot be asked about in its frame")
    pictures = how_many(rng, rules)
    nothing = index.exhaustive and pictures > 1 and rng.random() < rules.without_target
    positives = 0 if nothing else rng.randint(1, pictures) if index.exhaustive else pictures
    frames = [] if nothing else [first, *_positives(bench, phrase, first, positives - 1, rng)]
    if pictures > len(frames):
        frames += _negatives(bench, phrase, first, pictures - len(frames), rng)
    if len(frames) < rules.pictures[0]:
        raise Unfit("too few pictures")
    rng.shuffle(frames)
    targets = targets_of(frames, phrase, None, rules)
    text, template = query(bench.words, rng, "referential.phrase", phrase=phrase)
    chain = " ".join(
        count(bench.words, rng, p, phrase, [i.box for i in fitting(f, phrase) if i.box]) for p, f in enumerate(frames)
    )
    return Composed(
        "referential", index.source, first.scene, template, shown(frames), text, targets, chain,
        same_question("phrase", phrase, [f.id for f in frames]),
    )  # fmt: skip


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
    if not bench.index.exhaustive:
        return []
    found: dict[str, Frame] = {}
    for frame in negatives(bench.index, bench.rules, phrase, first, rng):
        found[frame.id] = frame
        if len(found) == wanted:
            break
    return list(found.values())


def negatives(index: Index, rules: Rules, phrase: str, near: Frame, rng: Random) -> Iterator[Frame]:
    """Frames that surely show nothing of the phrase, drawn until the rules' tries are used up."""
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
