"""The world's floors: what the miniature may not be easier than."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from random import Random

import numpy as np
import pytest

from gemvg_repro.grounding.answers import completion
from gemvg_repro.grounding.parsing import parse_answer
from gemvg_repro.grounding.samples import GROUNDING_KINDS, Sample
from gemvg_repro.miniature.composers import COMPOSERS
from gemvg_repro.miniature.dataset import SPLITS, Recipe, generate
from gemvg_repro.miniature.patterns import Pattern
from gemvg_repro.miniature.questions import WorldQuestion
from gemvg_repro.miniature.rendering import GRAINS, GROUNDS, SIDE, render
from gemvg_repro.miniature.world import CATEGORIES, COLOURS, MOST_THINGS, Frame

RECIPE = Recipe(seed=3, validation=60, test=1500, understanding_test=60)


@pytest.fixture(scope="module")
def test_split() -> list[Sample]:
    return list(generate("test", RECIPE))


def things(frame: object) -> list[object]:
    assert isinstance(frame, Frame)
    return list(frame.things)


def test_pixels_are_the_same_bytes_everywhere() -> None:
    pictures = [
        render(g, n, [(c, k, 5, 4 + 9 * c, 7 * k, 8 + c, 9 + k) for c in range(4) for k in range(4)])
        for g, n in ((0, 0), (513, 77), (GROUNDS - 1, GRAINS - 1))
    ]
    digest = hashlib.sha256(b"".join(p.tobytes() for p in pictures)).hexdigest()
    assert digest.startswith(GOLDEN), digest


GOLDEN = "5748fb4f07de3786"


def test_no_position_leaks_into_the_ground() -> None:
    """Over all textures, no pixel is brighter than another by more than chance allows."""
    mean = np.mean([render(g, g % GRAINS, []).astype(float) for g in range(GROUNDS)], axis=0)
    spread = np.std([render(g, g % GRAINS, [])[0, 0, 0] for g in range(GROUNDS)])
    assert np.abs(mean - mean.mean(axis=(0, 1))).max() < 5 * spread / np.sqrt(GROUNDS)


def test_the_mix_of_targets(test_split: list[Sample]) -> None:
    grounding = [s for s in test_split if s.choice is None]
    share = {n: c / len(grounding) for n, c in Counter(min(len(s.targets), 2) for s in grounding).items()}
    assert share[0] >= 0.10
    assert share[2] >= 0.30
    assert max(len(s.targets) for s in grounding) >= 3
    assert max(len(s.pictures) for s in grounding) == 3


def test_every_kind_is_as_frequent(test_split: list[Sample]) -> None:
    kinds = Counter(s.kind for s in test_split if s.choice is None)
    assert set(kinds) == set(GROUNDING_KINDS)
    assert len(set(kinds.values())) == 1


def test_crowds_and_sizes(test_split: list[Sample]) -> None:
    every = [t for s in test_split for f in s.pictures for t in things(f)]
    assert max(len(things(f)) for s in test_split for f in s.pictures) == MOST_THINGS == 4
    sides = np.array([(t.w, t.h) for t in every]) / SIDE  # type: ignore[attr-defined]
    assert sides.min() <= 0.1 < 0.6 <= sides.max() < 0.62
    assert all(0 <= t.x and t.x + t.w <= SIDE and 0 <= t.y and t.y + t.h <= SIDE for t in every)  # type: ignore[attr-defined]


def test_half_of_the_distractors_are_similar(test_split: list[Sample]) -> None:
    similar = total = 0
    for s in test_split:
        if s.kind != "referential" or not s.targets:
            continue
        looks = {
            t.look  # type: ignore[attr-defined]
            for p, f in enumerate(s.pictures)
            for t in things(f)
            if any(g.picture == p and g.box == t.box for g in s.targets)  # type: ignore[attr-defined]
        }
        for f in s.pictures:
            for t in things(f):
                if t.look not in looks:  # type: ignore[attr-defined]
                    total += 1
                    similar += any(t.look[0] == a or t.look[1] == b for a, b in looks)  # type: ignore[attr-defined]
    assert similar / total >= 0.5


@pytest.mark.parametrize("kind", COMPOSERS)
def test_things_do_not_touch_and_targets_are_things(kind: str) -> None:
    rng = Random(1)
    for _ in range(200):
        question = COMPOSERS[kind](rng, rng.randint(2, 3))
        for frame in question.frames:
            for a in frame.things:
                for b in frame.things:
                    apart = a.x + a.w <= b.x or b.x + b.w <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y
                    assert a is b or apart
        for picture, thing in question.targets:
            assert question.frames[picture].things[thing]


def described(words: str) -> Pattern:
    """The pattern that a chain names: "red disc", "red object", "disc"."""
    category = next((i for i, c in enumerate(CATEGORIES) if c in words.split()), None)
    colour = next((i for i, c in enumerate(COLOURS) if c in words.split()), None)
    return Pattern(category, colour)


@pytest.mark.parametrize("kind", ["referential", "semantic", "spatial", "reasoning"])
def test_the_chain_follows_from_the_scene(kind: str) -> None:
    """The look that a chain ends with is that of every target and, where asked, of nothing else."""
    rng = Random(2)
    for _ in range(200):
        q: WorldQuestion = COMPOSERS[kind](rng, rng.randint(2, 3))
        pattern = described(q.chain.rpartition(":")[0].rpartition(". ")[2])
        first = 0 if kind == "referential" or "every picture." in q.query else 1 + q.query.endswith(", in Picture 3.")
        fitting = {
            (p, t)
            for p, f in enumerate(q.frames)
            if p >= first
            for t, thing in enumerate(f.things)
            if pattern.fits(thing.look)
        }
        assert fitting == set(q.targets), (q.query, q.chain)


def _look(name: list[str]) -> tuple[int, int]:
    colour, category = name
    return CATEGORIES.index(category), COLOURS.index(colour)


def test_every_hop_goes_by_one_thing_and_by_what_was_found_before() -> None:
    rng = Random(3)
    lengths = set()
    for _ in range(200):
        q = COMPOSERS["reasoning"](rng, 3)
        *steps, last = re.findall(r"the ([a-z ]+) of Picture (\d) is a ([a-z ]+)\.|([a-z ]+): ", q.chain)
        names = []
        for singled, picture, name, _ in steps:
            (meant,) = [t for t in q.frames[int(picture) - 1].things if described(singled).fits(t.look)]
            assert str(Pattern(*meant.look)) == name
            names.append(name.split())
        descriptions = [described(singled) for singled, *_ in steps[1:]] + [described(last[3])]
        for name, following in zip(names, descriptions, strict=True):
            assert following.fits(_look(name))
        lengths.add(len(steps))
        assert [f" of Picture {n}" in q.chain for n in (1, 2)] == [True, len(steps) == 2]
    assert lengths == {1, 2}


def test_what_moves_moves_and_nothing_else() -> None:
    rng = Random(4)
    for _ in range(200):
        q = COMPOSERS["temporal"](rng, 3)
        moved = {a.identity for a, b in zip(q.frames[0].things, q.frames[1].things, strict=True) if a.box != b.box}
        assert moved == {q.frames[p].things[t].identity for p, t in q.targets}


def test_splits_share_no_scene() -> None:
    pictures = [{s.pictures for s in generate(split, RECIPE)} for split in SPLITS]
    assert len(set().union(*pictures)) == sum(map(len, pictures))


def test_every_sample_can_be_written_and_read(test_split: list[Sample]) -> None:
    for sample in test_split[:300]:
        for mode in ("direct", "cot"):
            parsed = parse_answer(completion(sample, mode, 20), len(sample.pictures))
            assert parsed.exact and not parsed.problems
            assert len(parsed.targets) == len(sample.targets)
            assert parsed.choice == sample.choice
