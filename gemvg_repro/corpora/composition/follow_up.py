"""What else can be asked about the pictures of a sample? Further samples, the next turns of a conversation.

Most associate by an attribute, where Picture 1 lends itself; the others retrieve what a phrase describes, now and then
one that the pictures do not show. Frames in time are asked about what moves in the other way, in every picture or in
the last, and nothing else: all of them show the same things, so that whatever is like one of Picture 1 is found without
a look at its others. Only pictures without a mark, of a source that is exhaustive.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ..frames import Frame
from . import moving
from .attributes import like_described, like_reference
from .composed import Bench, Composed, Unfit, can_be_asked, name_of
from .referential import about

_ASSOCIATES = 3 / 4
_ABSENT = 1 / 6
"""The share of phrases that are of a frame at random."""


def ask(bench: Bench, first: Composed, wanted: int, rng: Random) -> tuple[Composed, ...]:
    """Up to so many samples about the pictures of the first, each of another query."""
    frames = [frame for p in first.pictures if p.mark is None and (frame := bench.index.by_id(p.frame))]
    if not bench.exhaustive or len(frames) < len(first.pictures) or first.turns:
        return ()
    found = {first.query: first}
    compose = _another
    if first.kind == "temporal":
        compose, wanted = moving.about, min(wanted, 1)
    for _ in range(6 * wanted):
        if len(found) > wanted:
            break
        try:
            sample = compose(bench, frames, first.scene, rng)
        except Unfit:
            continue
        found.setdefault(sample.query, sample)
    return tuple(found.values())[1:]


def _another(bench: Bench, frames: Sequence[Frame], scene: str, rng: Random) -> Composed:
    visible = [i for i in frames[0].instances if i.visible]
    if bench.families and len(frames) > 1 and visible and rng.random() < _ASSOCIATES:
        family = bench.families[rng.choice(sorted(bench.families))]
        phrases = [phrase for phrase in rng.choice(visible).phrases if phrase in family]
        associate = like_reference if len(visible) == 1 else like_described
        if phrases and all(can_be_asked(frame, phrases[0], bench.rules) for frame in frames):
            try:
                return associate(bench, phrases[0], frames, scene, rng)
            except Unfit:
                pass  # then something is asked for that Picture 1 need not single out
    phrase = _phrase(bench, frames, rng)
    if not all(can_be_asked(frame, phrase, bench.rules) for frame in frames):
        raise Unfit("the phrase cannot be asked about in its frame")
    return about(bench, phrase, frames, scene, rng)


def _phrase(bench: Bench, frames: Sequence[Frame], rng: Random) -> str:
    """Of an object in these frames, or in any of their split: as often its name as any other phrase."""
    if rng.random() < _ABSENT:
        everywhere = bench.index.total(bench.index.split(frames[0]))
        frames = [bench.index.frame(int(everywhere[rng.randrange(len(everywhere))]))]
    visible = [i for frame in frames for i in frame.instances if i.visible]
    if not visible:
        raise Unfit("a picture without objects")
    instance = rng.choice(visible)
    return rng.choice([name_of(instance), *instance.phrases])
