"""Which follow-up questions are composed about the images of a sample?

Most associate by an attribute, where Picture 1 lends itself; the others retrieve what a phrase describes, now and then
one that is in none of the images. Frames in time get the other question about what moves, in every image or in the
last, and nothing else: all of them show the same objects, so that an association would be answered from any one
of them. Only pictures without a mark, of a source that is exhaustive.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ..frames import AnnotatedFrame
from . import moving
from .attributes import same_as_described, same_as_reference
from .composed import ComposedSample, Context, Unfit, display_name, is_askable
from .referential import compose_from_frames

_ASSOCIATES = 3 / 4
_ABSENT = 1 / 6
"""The share of phrases that are of a frame at random."""


def compose_follow_ups(bench: Context, first: ComposedSample, limit: int, rng: Random) -> tuple[ComposedSample, ...]:
    """Up to `limit` further samples about the images of the first, each with a different query."""
    frames = [frame for p in first.pictures if p.mark is None and (frame := bench.index.by_id(p.frame))]
    if not bench.exhaustive or len(frames) < len(first.pictures) or first.turns:
        return ()
    by_query = {first.query: first}
    compose = _another
    if first.kind == "temporal":
        compose, limit = moving.compose_from_frames, min(limit, 1)
    for _ in range(6 * limit):
        if len(by_query) > limit:
            break
        try:
            sample = compose(bench, frames, first.scene, rng)
        except Unfit:
            continue
        by_query.setdefault(sample.query, sample)
    return tuple(by_query.values())[1:]


def _another(bench: Context, frames: Sequence[AnnotatedFrame], scene: str, rng: Random) -> ComposedSample:
    visible = [i for i in frames[0].instances if i.visible]
    if bench.families and len(frames) > 1 and visible and rng.random() < _ASSOCIATES:
        family = bench.families[rng.choice(sorted(bench.families))]
        phrases = [phrase for phrase in rng.choice(visible).phrases if phrase in family]
        associate = same_as_reference if len(visible) == 1 else same_as_described
        if phrases and all(is_askable(frame, phrases[0], bench.rules) for frame in frames):
            try:
                return associate(bench, phrases[0], frames, scene, rng)
            except Unfit:
                pass  # then something is asked for that Picture 1 need not single out
    phrase = _phrase(bench, frames, rng)
    if not all(is_askable(frame, phrase, bench.rules) for frame in frames):
        raise Unfit("the phrase cannot be asked about in its frame")
    return compose_from_frames(bench, phrase, frames, scene, rng)


def _phrase(bench: Context, frames: Sequence[AnnotatedFrame], rng: Random) -> str:
    """Of an object in these frames, or in any of their split: as often its name as any other phrase."""
    if rng.random() < _ABSENT:
        everywhere = bench.index.total(bench.index.split(frames[0]))
        frames = [bench.index.frame(int(everywhere[rng.randrange(len(everywhere))]))]
    visible = [i for frame in frames for i in frame.instances if i.visible]
    if not visible:
        raise Unfit("a picture without objects")
    instance = rng.choice(visible)
    return rng.choice([display_name(instance), *instance.phrases])
