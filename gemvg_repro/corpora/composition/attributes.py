"""Association by an attribute: what has the colour of a reference, or of the one disc of Picture 1 (reasoning)?

An anchor is an occurrence of a phrase of an attribute (wording files list them; see naming.py): Picture 1 is its
frame, and the targets are what the phrase describes in the others. In semantic association the reference is all that
Picture 1 shows; in reasoning it is found there by a phrase of another attribute, the first of two hops. Of three, the
anchor's frame is Picture 2, and what is meant there has an attribute of what a phrase describes alone in Picture 1. All
need a source that is exhaustive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from ...grounding.samples import Kind
from ..frames import Frame, Instance
from ..naming import value
from .composed import (
    Bench,
    Composed,
    Unfit,
    boxes_of,
    fitting,
    how_many,
    name_of,
    references,
    same_question,
    shown,
    targets_of,
)
from .referential import gather, spread
from .wording import evidence, mark, query, sentence

About = Callable[[Bench, str, Sequence[Frame], str, Random], Composed]
"""Asks from Picture 1 of these frames to the others for what has a phrase of an attribute; the last text is the scene
that the sample is made for. Raises Unfit where Picture 1 does not single out an object that the phrase describes."""


def compose(bench: Bench, about: About, phrase: str, n: int, rng: Random) -> Composed:
    """A sample about what a phrase of an attribute describes, which frame `n` shows. Raises Unfit."""
    _require_attribute(bench, phrase)
    first = bench.index.frame(n)
    about(bench, phrase, [first], first.scene, Random(0))  # before others are looked for
    counts = spread(rng, bench.rules, how_many(rng, bench.rules) - 1)
    frames = [first, *gather(bench, phrase, first, counts, rng, first.id)]
    return about(bench, phrase, frames, first.scene, rng)


def like_reference(bench: Bench, phrase: str, frames: Sequence[Frame], scene: str, rng: Random) -> Composed:
    """What has the attribute of the one object that Picture 1 shows?"""
    reference = next(iter(references(frames[0], bench.rules, "alone")), None)
    if reference is None:
        raise Unfit("no object that can be a reference")
    attribute = _attribute(bench, phrase, reference)
    marked = mark(bench.words, rng, 0, reference.box or (0.0, 0.0, 1.0, 1.0), "alone")
    asked = query(bench.words, rng, "semantic.attribute", attribute=attribute, marked=marked)
    premise = sentence(bench.words, rng, "reference", picture=1, phrase=name_of(reference))
    return _sample(bench, "semantic", asked, premise, phrase, frames, scene, reference, rng)


def like_described(bench: Bench, phrase: str, frames: Sequence[Frame], scene: str, rng: Random) -> Composed:
    """What has the attribute of the object of Picture 1 that a phrase of another attribute describes alone?"""
    described, reference = rng.choice(_singled_out(bench, phrase, frames[0]))
    attribute = _attribute(bench, phrase, reference)
    asked = query(bench.words, rng, "reasoning.hops", attribute=attribute, phrase=described, picture="1")
    premise = sentence(bench.words, rng, "described", phrase=described, picture=1, name=name_of(reference))
    return _sample(bench, "reasoning", asked, premise, phrase, frames, scene, reference, rng)


def like_linked(bench: Bench, phrase: str, n: int, rng: Random) -> Composed:
    """What in Picture 3 has the attribute of the object of Picture 2, frame `n`, that is singled out by an attribute of
    what a phrase describes alone in Picture 1? Raises Unfit."""
    _require_attribute(bench, phrase)
    if not bench.exhaustive:
        raise Unfit("the source does not say what is absent")
    second = bench.index.frame(n)
    link, between = rng.choice(_singled_out(bench, phrase, second))
    (first,) = gather(bench, link, second, [1], rng, second.id)
    described, reference = rng.choice(_singled_out(bench, link, first))
    (third,) = gather(bench, phrase, second, spread(rng, bench.rules, 1), rng, first.id, second.id)
    frames = [first, second, third]
    text, template = query(
        bench.words, rng, "reasoning.link", attribute=_attribute(bench, phrase, between), second="2",
        link=_attribute(bench, link, reference), phrase=described, picture="1", third="3",
    )  # fmt: skip
    premises = [
        sentence(bench.words, rng, "described", phrase=said, picture=p, name=name_of(i))
        for p, said, i in ((1, described, reference), (2, link, between))
    ]
    told = evidence(bench.words, rng, phrase, [(2, boxes_of(third, phrase))])
    return Composed(
        "reasoning", bench.index.source, second.scene, template, shown(frames), text,
        tuple(t for t in targets_of(frames, phrase, None, bench.rules) if t.picture == 2),
        " ".join([*premises, told]), same_question(text, reference.id, between.id, third.id),
    )  # fmt: skip


def _require_attribute(bench: Bench, phrase: str) -> None:
    if all(phrase not in phrases for phrases in bench.families.values()):
        raise Unfit("a phrase of no attribute")


def _singled_out(bench: Bench, phrase: str, frame: Frame) -> list[tuple[str, Instance]]:
    """Objects of a phrase of an attribute, each with a phrase of another attribute that describes it alone in the
    frame. Raises Unfit if there are none, or nothing else to tell them from."""
    others = [p for phrases in bench.families.values() if phrase not in phrases for p in phrases]
    found = [(p, i) for i in fitting(frame, phrase) for p in others if fitting(frame, p) == [i]]
    if len([i for i in frame.instances if i.visible]) < 2 or not found or frame.unclear:
        raise Unfit("nothing in the picture can be singled out")
    return found


def _attribute(bench: Bench, phrase: str, reference: Instance) -> str:
    """The attribute whose one phrase it is that fits the reference."""
    for name, phrases in bench.families.items():
        if phrase in phrases and value(reference, phrases) == phrase:
            return name
    raise Unfit("an object without the attribute")


def _sample(
    bench: Bench, kind: Kind, asked: tuple[str, str], premise: str, phrase: str, frames: Sequence[Frame], scene: str,
    reference: Instance, rng: Random,
) -> Composed:  # fmt: skip
    if not bench.exhaustive:
        raise Unfit("the source does not say what is absent")
    found = [(p, boxes_of(frame, phrase)) for p, frame in enumerate(frames) if p]
    text, template = asked
    return Composed(
        kind, bench.index.source, scene, template, shown(frames), text,
        targets_of(frames, phrase, 0, bench.rules), f"{premise} {evidence(bench.words, rng, phrase, found)}",
        same_question(text, reference.id, [f.id for f in frames]),
    )  # fmt: skip
