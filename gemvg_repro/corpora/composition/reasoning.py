"""Reasoning grounding: a question of the source about a video, answered by the boxes of the object it is about.

An anchor is a question whose answer is a class of objects (STAR). Its pictures are frames of its own situations that
the annotation says something about this class in, in the order of time.
"""

from __future__ import annotations

from random import Random

from ..frames import Frame
from ..index import unclear
from .composed import Bench, Composed, Unfit, boxes_of, how_many, same_question, shown, smallest_side, targets_of
from .wording import evidence, query, sentence


def compose(bench: Bench, q: int, rng: Random) -> Composed:
    """A sample that asks question `q`. Raises Unfit."""
    index, rules = bench.index, bench.rules
    question = index.question(q)
    if question is None:
        raise Unfit("no such question")
    frames = [
        f for id_ in question.frames if (f := index.by_id(id_)) and _usable(f, question.answer, rules.smallest_target)
    ]
    chosen = rng.sample(frames, how_many(rng, rules, len(frames)))
    chosen.sort(key=lambda f: f.time)
    targets = targets_of(chosen, question.answer, None, rules)
    if not targets:
        raise Unfit("seen in no other picture")
    text, template = query(bench.words, rng, "reasoning.question", question=question.text)
    told = evidence(
        bench.words, rng, question.answer, [(p, boxes_of(f, question.answer)) for p, f in enumerate(chosen)]
    )
    return Composed(
        "reasoning", index.source, question.scene, template, shown(chosen), text, targets,
        f"{sentence(bench.words, rng, 'answer', phrase=question.answer)} {told}",
        same_question("question", question.text, question.scene, [f.id for f in chosen]), question.id,
    )  # fmt: skip


def _usable(frame: Frame, answer: str, smallest: float) -> bool:
    """Whether the frame says something of the class: a box that is large enough, or that it is not seen."""
    about = [i for i in frame.instances if i.category == answer]
    return (
        bool(about) and not unclear(frame, answer) and all(not i.visible or smallest_side(i) >= smallest for i in about)
    )
