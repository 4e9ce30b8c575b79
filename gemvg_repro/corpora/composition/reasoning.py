"""How is reasoning grounding composed? A source's question about a video, answered by the boxes of its object.

An anchor is a question whose answer is a class of objects (STAR). Its pictures are frames of its own situations that
the annotation says something about this class in, in the order of time.
"""

from __future__ import annotations

from random import Random

from ..frames import AnnotatedFrame
from ..index import unclear
from .composed import (
    ComposedSample,
    Context,
    Unfit,
    draw_picture_count,
    matching_boxes,
    matching_targets,
    picture_refs,
    question_key,
    smallest_side,
)
from .wording import evidence, query, sentence


def compose(bench: Context, q: int, rng: Random) -> ComposedSample:
    """A sample that asks question `q`. Raises Unfit."""
    index, rules = bench.index, bench.rules
    question = index.question(q)
    if question is None:
        raise Unfit("no such question")
    frames = [
        f for id_ in question.frames if (f := index.by_id(id_)) and _usable(f, question.answer, rules.smallest_target)
    ]
    sampled = rng.sample(frames, draw_picture_count(rng, rules, len(frames)))
    sampled.sort(key=lambda f: f.time)
    targets = matching_targets(sampled, question.answer, None, rules)
    if not targets:
        raise Unfit("seen in no other picture")
    text, template = query(bench.words, rng, "reasoning.question", question=question.text)
    evidence_text = evidence(
        bench.words, rng, question.answer, [(p, matching_boxes(f, question.answer)) for p, f in enumerate(sampled)]
    )
    return ComposedSample(
        "reasoning", index.source, question.scene, template, picture_refs(sampled), text, targets,
        f"{sentence(bench.words, rng, 'answer', phrase=question.answer)} {evidence_text}",
        question_key("question", question.text, question.scene, [f.id for f in sampled]), question.id,
    )  # fmt: skip


def _usable(frame: AnnotatedFrame, answer: str, smallest: float) -> bool:
    """Whether the frame says something of the class: a box that is large enough, or that it is not seen."""
    instances = [i for i in frame.instances if i.category == answer]
    return (
        bool(instances)
        and not unclear(frame, answer)
        and all(not i.visible or smallest_side(i) >= smallest for i in instances)
    )
