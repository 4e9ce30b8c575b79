"""How are multiple-choice questions about several images composed? Same, different, or how many?

An anchor is a frame. Whether two pictures show the same, or one of three another thing, is asked of frames with a
single object; how many of a phrase there are, of any. All need a source that is exhaustive, and attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ...grounding.number_words import CARDINALS
from ..frames import AnnotatedFrame, Instance
from ..naming import attribute_value
from .composed import (
    ComposedSample,
    Context,
    Unfit,
    display_name,
    draw_picture_count,
    matching_boxes,
    picture_refs,
    question_key,
    reference_candidates,
)
from .referential import draw_frames, draw_target_counts
from .wording import evidence, query, sentence

LETTERS = "ABCD"


def compose(bench: Context, n: int, rng: Random) -> ComposedSample:
    """A question with options whose first picture is frame `n`, if one picture is as good as another. Raises Unfit."""
    if not bench.exhaustive or not bench.families:
        raise Unfit("the source does not say what is absent")
    first = bench.index.frame(n)
    return rng.choice((_same, _different, _count))(bench, first, rng)


def _same(bench: Context, first: AnnotatedFrame, rng: Random) -> ComposedSample:
    attribute = rng.choice(sorted(bench.families))
    phrase = attribute_value(_single(bench, first), bench.families[attribute])
    if phrase is None:
        raise Unfit("an object without the attribute")
    frames = [first, _other(bench, first, phrase, rng.random() < 0.5, rng)]
    alike = attribute_value(_single(bench, frames[1]), bench.families[attribute]) == phrase
    right, wrong = ("yes", "no") if alike else ("no", "yes")
    return _sample(bench, "same", frames, right, [wrong], _premises(bench, frames, rng), rng, attribute=attribute)


def _different(bench: Context, first: AnnotatedFrame, rng: Random) -> ComposedSample:
    name = display_name(_single(bench, first))
    frames = [first, _other(bench, first, name, True, rng), _other(bench, first, name, False, rng)]
    odd = frames[2]
    rng.shuffle(frames)
    pictures = [f"Picture {p + 1}" for p in range(3)]
    right = pictures.pop(frames.index(odd))
    return _sample(bench, "different", frames, right, pictures, _premises(bench, frames, rng), rng)


def _count(bench: Context, first: AnnotatedFrame, rng: Random) -> ComposedSample:
    visible = [i for i in first.instances if i.visible]
    if not visible:
        raise Unfit("a picture without objects")
    instance = rng.choice(visible)
    phrase = rng.choice([display_name(instance), *instance.phrases])
    counts = draw_target_counts(rng, bench.rules, draw_picture_count(rng, bench.rules))
    frames = draw_frames(bench, phrase, first, counts, rng)
    number = sum(counts)
    wrong = [CARDINALS[k] for k in rng.sample([k for k in range(max(5, number + 2)) if k != number], 3)]
    chain = evidence(bench.words, rng, phrase, [(p, matching_boxes(f, phrase)) for p, f in enumerate(frames)])
    return _sample(bench, "count", frames, CARDINALS[number], wrong, chain, rng, phrase=phrase)


def _single(bench: Context, frame: AnnotatedFrame) -> Instance:
    candidates = reference_candidates(frame, bench.rules, "alone")
    if not candidates:
        raise Unfit("not just one object")
    return candidates[0]


def _other(bench: Context, near: AnnotatedFrame, phrase: str, alike: bool, rng: Random) -> AnnotatedFrame:
    """Another frame with a single object, that the phrase describes or not."""
    index = bench.index
    numbers = index.frames_with(phrase, index.split(near)) if alike else index.total(index.split(near))
    for _ in range(bench.rules.tries):
        frame = index.frame(int(numbers[rng.randrange(len(numbers))]))
        single = reference_candidates(frame, bench.rules, "alone")
        if frame.id != near.id and single and (phrase in single[0].phrases) == alike:
            return frame
    raise Unfit("too few pictures")


def _premises(bench: Context, frames: Sequence[AnnotatedFrame], rng: Random) -> str:
    names = [display_name(_single(bench, frame)) for frame in frames]
    return " ".join(sentence(bench.words, rng, "reference", picture=p + 1, phrase=s) for p, s in enumerate(names))


def _sample(
    bench: Context, asks: str, frames: Sequence[AnnotatedFrame], right: str, wrong: Sequence[str], chain: str,
    rng: Random, **slots: str,
) -> ComposedSample:  # fmt: skip
    options = [right, *wrong]
    rng.shuffle(options)
    lettered = " ".join(map("{}. {}".format, LETTERS, options))
    text, template = query(bench.words, rng, f"understanding.{asks}", options=lettered, **slots)
    return ComposedSample(
        "understanding", bench.index.source, frames[0].scene, template, picture_refs(frames), text, (), chain,
        question_key(asks, *slots.values(), [f.id for f in frames]), choice=LETTERS[options.index(right)],
    )  # fmt: skip
