"""Conversations about drawn scenes, for tests of training: several questions each, without composing a training set."""

from __future__ import annotations

from random import Random

from gemvg_repro.grounding.samples import GROUNDING_KINDS, Sample
from gemvg_repro.miniature.composers import COMPOSERS
from gemvg_repro.miniature.patterns import Pattern
from gemvg_repro.miniature.questions import WorldQuestion, about, referential


def conversations(seed: int, scenes: int, turns: int, others: float = 0.1) -> list[Sample]:
    """Up to `turns` questions about each of so many scenes; those of a scene follow each other.

    `others` is the share of single pictures, and that of understanding; the rest are the five kinds in turn.
    """
    samples = []
    for number in range(scenes):
        rng, scene = Random(f"drawn/{seed}/{number}"), f"train-{number:06d}"
        questions = [_first(rng, number, others)]
        things = [thing for frame in questions[0].frames for thing in frame.things]
        patterns = [Pattern(*rng.choice(things).look), Pattern(category=rng.choice(things).category)]
        patterns.append(Pattern(colour=rng.choice(things).colour))
        questions += [about(questions[0].frames, pattern) for pattern in patterns]
        different = {question.query: question for question in questions}
        samples += [q.sample(f"{scene}-{n}", scene) for n, q in enumerate([*different.values()][:turns])]
    return samples


def _first(rng: Random, number: int, others: float) -> WorldQuestion:
    draw = rng.random()
    if draw < others:
        return referential(rng, 1)
    kind = "understanding" if draw < 2 * others else GROUNDING_KINDS[number % len(GROUNDING_KINDS)]
    return COMPOSERS[kind](rng, rng.randint(2, 3))
