"""Understanding of several pictures, with lettered options: same, different, or how many?

An anchor is a frame. Whether two pictures show the same, or one of three another thing, is asked of frames with a
single object; how many of a phrase there are, of any. All need a source that is exhaustive, and attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ..frames import Frame, Instance
from ..naming import value
from .composed import Bench, Composed, Unfit, boxes_of, how_many, name_of, references, same_question, shown
from .referential import gather, spread
from .wording import COUNTS, evidence, query, sentence

LETTERS = "ABCD"


def compose(bench: Bench, n: int, rng: Random) -> Composed:
    """A question with options whose first picture is frame `n`, if one picture is as good as another. Raises Unfit."""
    if not bench.exhaustive or not bench.families:
        raise Unfit("the source does not say what is absent")
    first = bench.index.frame(n)
    return rng.choice((_same, _different, _count))(bench, first, rng)


def _same(bench: Bench, first: Frame, rng: Random) -> Composed:
    attribute = rng.choice(sorted(bench.families))
    phrase = value(_single(bench, first), bench.families[attribute])
    if phrase is None:
        raise Unfit("an object without the attribute")
    frames = [first, _other(bench, first, phrase, rng.random() < 0.5, rng)]
    alike = value(_single(bench, frames[1]), bench.families[attribute]) == phrase
    right, wrong = ("yes", "no") if alike else ("no", "yes")
    return _sample(bench, "same", frames, right, [wrong], _premises(bench, frames, rng), rng, attribute=attribute)


def _different(bench: Bench, first: Frame, rng: Random) -> Composed:
    name = name_of(_single(bench, first))
    frames = [first, _other(bench, first, name, True, rng), _other(bench, first, name, False, rng)]
    odd = frames[2]
    rng.shuffle(frames)
    pictures = [f"Picture {p + 1}" for p in range(3)]
    right = pictures.pop(frames.index(odd))
    return _sample(bench, "different", frames, right, pictures, _premises(bench, frames, rng), rng)


def _count(bench: Bench, first: Frame, rng: Random) -> Composed:
    visible = [i for i in first.instances if i.visible]
    if not visible:
        raise Unfit("a picture without objects")
    instance = rng.choice(visible)
    phrase = rng.choice([name_of(instance), *instance.phrases])
    counts = spread(rng, bench.rules, how_many(rng, bench.rules))
    frames = gather(bench, phrase, first, counts, rng)
    number = sum(counts)
    wrong = [COUNTS[k] for k in rng.sample([k for k in range(max(5, number + 2)) if k != number], 3)]
    told = evidence(bench.words, rng, phrase, [(p, boxes_of(f, phrase)) for p, f in enumerate(frames)])
    return _sample(bench, "count", frames, COUNTS[number], wrong, told, rng, phrase=phrase)


def _single(bench: Bench, frame: Frame) -> Instance:
    found = references(frame, bench.rules, "alone")
    if not found:
        raise Unfit("not just one object")
    return found[0]


def _other(bench: Bench, near: Frame, phrase: str, alike: bool, rng: Random) -> Frame:
    """Another frame with a single object, that the phrase describes or not."""
    index = bench.index
    numbers = index.frames_with(phrase, index.split(near)) if alike else index.total(index.split(near))
    for _ in range(bench.rules.tries):
        frame = index.frame(int(numbers[rng.randrange(len(numbers))]))
        single = references(frame, bench.rules, "alone")
        if frame.id != near.id and single and (phrase in single[0].phrases) == alike:
            return frame
    raise Unfit("too few pictures")


def _premises(bench: Bench, frames: Sequence[Frame], rng: Random) -> str:
    shows = [name_of(_single(bench, frame)) for frame in frames]
    return " ".join(sentence(bench.words, rng, "reference", picture=p + 1, phrase=s) for p, s in enumerate(shows))


def _sample(
    bench: Bench, asks: str, frames: Sequence[Frame], right: str, wrong: Sequence[str], chain: str, rng: Random,
    **slots: str,
) -> Composed:  # fmt: skip
    options = [right, *wrong]
    rng.shuffle(options)
    lettered = " ".join(map("{}. {}".format, LETTERS, options))
    text, template = query(bench.words, rng, f"understanding.{asks}", options=lettered, **slots)
    return Composed(
        "understanding", bench.index.source, frames[0].scene, template, shown(frames), text, (), chain,
        same_question(asks, *slots.values(), [f.id for f in frames]), choice=LETTERS[options.index(right)],
    )  # fmt: skip
