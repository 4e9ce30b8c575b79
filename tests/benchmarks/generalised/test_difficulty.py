"""How hard a sample is, by hand-made pictures and in the miniature's world."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from gemvg_repro.benchmarks.generalised.difficulty import difficulties, hops
from gemvg_repro.benchmarks.generalised.score import score
from gemvg_repro.files.pictures import GreyPicture
from gemvg_repro.grounding.samples import GROUNDING_KINDS, Sample, Target
from gemvg_repro.miniature.dataset import Recipe, generate
from gemvg_repro.miniature.reasoning import three_hops, two_hops
from gemvg_repro.miniature.world import Frame, Thing

RED_DISC, RED_SQUARE, BLUE_DISC, BLUE_SQUARE = (0, 0), (1, 0), (0, 2), (1, 2)


def picture(*looks: tuple[int, int], side: int = 20) -> Frame:
    """Things of these looks in a row, `side` pixels large."""
    return Frame(0, 0, tuple(Thing(i, *look, 0, 1 + 14 * i, 1, side, side) for i, look in enumerate(looks)))


def sample(*frames: Frame, targets: int = 1) -> Sample:
    """A sample whose targets are the first things of the first picture."""
    targets_ = tuple(Target(0, thing.box) for thing in frames[0].things[:targets])
    return Sample("s", "s", "referential", "made", frames, "q", targets_)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (sample(picture(RED_DISC, BLUE_SQUARE)), 0),
        (sample(picture(RED_DISC, side=10)), 1),  # small: 100 of 4,096 pixels
        (sample(picture(RED_DISC, side=11)), 0),
        (sample(picture(RED_DISC, RED_SQUARE)), 1),  # the same colour
        (sample(picture(RED_DISC, BLUE_DISC)), 1),  # the same category
        (sample(picture(RED_DISC, RED_DISC), targets=2), 0),  # the other is a target too
        (sample(picture(RED_DISC), picture(RED_SQUARE)), 0),  # in another picture
        (sample(picture(RED_DISC), picture(*[BLUE_SQUARE] * 4)), 1),  # crowded
        (sample(picture(*[RED_DISC] * 4, side=8)), 3),
        (sample(picture(BLUE_SQUARE, RED_DISC), targets=0), 0),
    ],
)
def test_difficulties(made: Sample, expected: int) -> None:
    assert difficulties(made) == expected


def test_of_a_photograph_only_the_targets_are_known() -> None:
    sample_ = sample(picture(*[RED_DISC] * 4, side=8))
    grey = replace(sample_, pictures=tuple(GreyPicture(p) for p in sample_.pictures))
    assert difficulties(grey) == 1  # small
    assert difficulties(replace(grey, targets=tuple(Target(0, t.box) for t in sample_.targets) * 4)) == 2


def test_hops_are_the_kinds_and_one_more_by_way_of_another_picture() -> None:
    sample_ = sample(picture(RED_DISC))
    assert [hops(replace(sample_, kind=kind)) for kind in GROUNDING_KINDS] == [0, 1, 1, 1, 2]
    linked = three_hops(Random(0)).sample("s", "s")
    assert hops(linked) == 3 and [hops(two_hops(Random(0), n).sample("s", "s")) for n in (2, 3)] == [2, 2]


def test_every_slice_of_the_world_has_samples_and_scores_carry_them() -> None:
    samples = list(generate("test", Recipe(seed=0, validation=1, test=500, understanding_test=5)))
    scores = score(samples, ["none"] * len(samples), "direct")
    assert scores["difficulties"].tolist() == [difficulties(s) for s in samples]
    grounded = scores[scores["kind"] != "understanding"]
    counts = Counter(zip(grounded["hops"], grounded["difficulties"], strict=True))
    assert min(counts[reach, grade] for reach in (0, 1) for grade in (0, 1, 2, 3)) >= 3
    assert min(sum(counts[reach, grade] for reach in (2, 3)) for grade in (0, 1, 2, 3)) >= 3
    assert 0.25 < sum(counts[3, grade] for grade in range(4)) / 100 < 0.42
