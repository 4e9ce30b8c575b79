"""How are associations by attribute composed? What has the colour of a reference, or of the one disc of Picture 1?

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
from ..frames import AnnotatedFrame, Instance
from ..naming import attribute_value
from .composed import (
    ComposedSample,
    Context,
    Unfit,
    display_name,
    draw_picture_count,
    matching_boxes,
    matching_instances,
    matching_targets,
    picture_refs,
    question_key,
    reference_candidates,
)
from .referential import draw_frames, draw_target_counts
from .wording import evidence, mark, query, sentence

FromFrames = Callable[[Context, str, Sequence[AnnotatedFrame], str, Random], ComposedSample]
"""Composes a sample of these frames: Picture 1 singles out an object with a phrase of an attribute, the targets of the
others share it; the last text is the scene of the sample. Raises Unfit where Picture 1 singles out no such object."""


def compose(bench: Context, compose_from: FromFrames, phrase: str, n: int, rng: Random) -> ComposedSample:
    """A sample about what a phrase of an attribute describes, which frame `n` shows. Raises Unfit."""
    _require_attribute(bench, phrase)
    first = bench.index.frame(n)
    compose_from(bench, phrase, [first], first.scene, Random(0))  # before others are looked for
    counts = draw_target_counts(rng, bench.rules, draw_picture_count(rng, bench.rules) - 1)
    frames = [first, *draw_frames(bench, phrase, first, counts, rng, first.id)]
    return compose_from(bench, phrase, frames, first.scene, rng)


def same_as_reference(
    bench: Context, phrase: str, frames: Sequence[AnnotatedFrame], scene: str, rng: Random
) -> ComposedSample:
    """What has the attribute of the one object that Picture 1 shows?"""
    reference = next(iter(reference_candidates(frames[0], bench.rules, "alone")), None)
    if reference is None:
        raise Unfit("no object that can be a reference")
    attribute = _attribute(bench, phrase, reference)
    marked = mark(bench.words, rng, 0, reference.box or (0.0, 0.0, 1.0, 1.0), "alone")
    question = query(bench.words, rng, "semantic.attribute", attribute=attribute, marked=marked)
    premise = sentence(bench.words, rng, "reference", picture=1, phrase=display_name(reference))
    return _sample(bench, "semantic", question, premise, phrase, frames, scene, reference, rng)


def same_as_described(
    bench: Context, phrase: str, frames: Sequence[AnnotatedFrame], scene: str, rng: Random
) -> ComposedSample:
    """What has the attribute of the object of Picture 1 that a phrase of another attribute describes alone?"""
    described, reference = rng.choice(_singled_out(bench, phrase, frames[0]))
    attribute = _attribute(bench, phrase, reference)
    question = query(bench.words, rng, "reasoning.hops", attribute=attribute, phrase=described, picture="1")
    premise = sentence(bench.words, rng, "described", phrase=described, picture=1, name=display_name(reference))
    return _sample(bench, "reasoning", question, premise, phrase, frames, scene, reference, rng)


def same_through_link(bench: Context, phrase: str, n: int, rng: Random) -> ComposedSample:
    """What in Picture 3 has the attribute of the object of Picture 2, frame `n`, that is singled out by an attribute of
    what a phrase describes alone in Picture 1? Raises Unfit."""
    _require_attribute(bench, phrase)
    if not bench.exhaustive:
        raise Unfit("the source does not say what is absent")
    second = bench.index.frame(n)
    link, linked = rng.choice(_singled_out(bench, phrase, second))
    (first,) = draw_frames(bench, link, second, [1], rng, second.id)
    described, reference = rng.choice(_singled_out(bench, link, first))
    (third,) = draw_frames(bench, phrase, second, draw_target_counts(rng, bench.rules, 1), rng, first.id, second.id)
    frames = [first, second, third]
    text, template = query(
        bench.words, rng, "reasoning.link", attribute=_attribute(bench, phrase, linked), second="2",
        link=_attribute(bench, link, reference), phrase=described, picture="1", third="3",
    )  # fmt: skip
    premises = [
        sentence(bench.words, rng, "described", phrase=description, picture=p, name=display_name(i))
        for p, description, i in ((1, described, reference), (2, link, linked))
    ]
    answer_sentence = evidence(bench.words, rng, phrase, [(2, matching_boxes(third, phrase))])
    return ComposedSample(
        "reasoning", bench.index.source, second.scene, template, picture_refs(frames), text,
        tuple(t for t in matching_targets(frames, phrase, None, bench.rules) if t.picture == 2),
        " ".join([*premises, answer_sentence]), question_key(text, reference.id, linked.id, third.id),
    )  # fmt: skip


def _require_attribute(bench: Context, phrase: str) -> None:
    if all(phrase not in phrases for phrases in bench.families.values()):
        raise Unfit("a phrase of no attribute")


def _singled_out(bench: Context, phrase: str, frame: AnnotatedFrame) -> list[tuple[str, Instance]]:
    """Objects of a phrase of an attribute, each with a phrase of another attribute that describes it alone in the
    frame. Raises Unfit if there are none, or nothing else to tell them from."""
    other_phrases = [p for phrases in bench.families.values() if phrase not in phrases for p in phrases]
    singled_out = [
        (p, i) for i in matching_instances(frame, phrase) for p in other_phrases if matching_instances(frame, p) == [i]
    ]
    if len([i for i in frame.instances if i.visible]) < 2 or not singled_out or frame.unclear:
        raise Unfit("nothing in the picture can be singled out")
    return singled_out


def _attribute(bench: Context, phrase: str, reference: Instance) -> str:
    """The attribute whose one phrase it is that fits the reference."""
    for name, phrases in bench.families.items():
        if phrase in phrases and attribute_value(reference, phrases) == phrase:
            return name
    raise Unfit("an object without the attribute")


def _sample(
    bench: Context, kind: Kind, question: tuple[str, str], premise: str, phrase: str, frames: Sequence[AnnotatedFrame],
    scene: str, reference: Instance, rng: Random,
) -> ComposedSample:  # fmt: skip
    if not bench.exhaustive:
        raise Unfit("the source does not say what is absent")
    evidence_boxes = [(p, matching_boxes(frame, phrase)) for p, frame in enumerate(frames) if p]
    text, template = question
    return ComposedSample(
        kind, bench.index.source, scene, template, picture_refs(frames), text,
        matching_targets(frames, phrase, 0, bench.rules),
        f"{premise} {evidence(bench.words, rng, phrase, evidence_boxes)}",
        question_key(text, reference.id, [f.id for f in frames]),
    )  # fmt: skip
