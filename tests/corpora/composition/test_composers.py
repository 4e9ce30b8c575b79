"""Every kind from every source: each sample is proved, and is what its rules say."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest

from gemvg_repro.corpora.cells import compose, draw_anchors, prove
from gemvg_repro.corpora.composition.composed import ComposedSample, Context, Rules, Unfit
from gemvg_repro.corpora.index import Index
from gemvg_repro.corpora.recipe import Cell
from gemvg_repro.grounding.answers import completion
from gemvg_repro.grounding.parsing import parse_answer
from gemvg_repro.grounding.samples import Sample, Target

from ...grounding import factories

CELLS = [
    ("referential", "d3"), ("referential", "coco"), ("semantic", "coco"),
    ("spatial", "egoexo4d"), ("spatial", "mvtrack"),
    ("temporal", "mvtrack"), ("temporal", "egoexo4d"), ("temporal", "star"), ("reasoning", "star"),
]  # fmt: skip


def composed(
    index: Index, kind: str, rules: Rules | None = None, most: int = 150, seed: int = 0
) -> Iterator[ComposedSample]:
    cell = Cell.model_validate({"name": "x", "kind": kind, "source": index.source, "count": most})
    bench, phrases = Context(index, rules or Rules()), index.phrases()
    for n, anchor in enumerate(draw_anchors(index, cell, seed)[:most].tolist()):
        try:
            yield compose(cell, bench, phrases, anchor, Random(f"{seed}/{n}"))
        except Unfit:
            continue


def annotations(index: Index) -> dict[tuple[str, str], tuple[float, float, float, float]]:
    frames = (index.frame(n) for n in index.numbers().tolist())
    return {(f.id, i.id): i.box for f in frames for i in f.instances if i.box}


@pytest.mark.parametrize(("kind", "source"), CELLS)
def test_every_sample_is_proved_and_keeps_to_the_rules(indexes: dict[str, Index], kind: str, source: str) -> None:
    index, rules = indexes[source], Rules()
    known = annotations(index)
    samples = list(composed(index, kind))
    assert len(samples) > 20
    for sample in samples:
        prove(sample, index)
        assert 2 <= len(sample.pictures) <= 6 and len(sample.targets) <= rules.most_targets
        for target in sample.targets:  # mapped back, a target is an annotation of its source
            assert known[sample.pictures[target.picture].frame, target.annotation] == target.box
            assert min(target.box[2] - target.box[0], target.box[3] - target.box[1]) >= rules.smallest_target
        targets = tuple(Target(t.picture, t.box) for t in sample.targets)
        pictures = (factories.Grey(),) * len(sample.pictures)
        plain = Sample("x", "x", sample.kind, source, pictures, sample.query, targets, None, sample.chain)
        assert parse_answer(completion(plain, "cot"), len(sample.pictures)).problems == ()
    assert len({s.template for s in samples}) > 2


@pytest.mark.parametrize(("kind", "source"), [("referential", "d3"), ("referential", "coco"), ("semantic", "coco")])
def test_some_have_no_target_and_some_have_several(indexes: dict[str, Index], kind: str, source: str) -> None:
    counts = Counter(min(len(s.targets), 2) for s in composed(indexes[source], kind, most=300))
    assert counts[0] > 10 and counts[2] > 60


def test_where_a_target_is_tells_nothing_of_the_order(indexes: dict[str, Index]) -> None:
    """Of pictures with and without targets, the first is no likelier to have one than the last."""
    first = last = 0
    for sample in composed(indexes["coco"], "referential", most=900):
        pictures = {t.picture for t in sample.targets}
        first += 0 in pictures
        last += len(sample.pictures) - 1 in pictures
    assert abs(first - last) < 4 * (first + last) ** 0.5


def test_hard_negatives_share_something_with_the_anchor(indexes: dict[str, Index]) -> None:
    hard = easy = 0
    for rules, way in ((Rules(hard=1), "hard"), (Rules(hard=0), "easy")):
        for sample in composed(indexes["d3"], "referential", rules):
            with_target = {t.picture for t in sample.targets}
            scenes = [indexes["d3"].by_id(p.frame).scene for n, p in enumerate(sample.pictures) if n not in with_target]  # type: ignore[union-attr]
            same = sum(scene == sample.scene for scene in scenes)
            hard, easy = (hard + same, easy) if way == "hard" else (hard, easy + same)
    assert hard > 3 * easy > 0


def test_references_are_drawn_or_written(indexes: dict[str, Index]) -> None:
    for drawn in (0, 1):
        for sample in composed(indexes["mvtrack"], "temporal", Rules(drawn=drawn), most=40):
            marks = [p.mark for p in sample.pictures if p.mark]
            assert (len(marks), "<|box_start|>" in sample.query) == (drawn, not drawn)


def test_times_are_apart_and_views_differ(indexes: dict[str, Index]) -> None:
    for sample in composed(indexes["mvtrack"], "temporal", Rules(least_gap=7)):
        times = [indexes["mvtrack"].by_id(p.frame).time for p in sample.pictures]  # type: ignore[union-attr]
        assert all(b - a >= 7 for a, b in pairwise(times))


def test_the_same_seed_gives_the_same_samples(indexes: dict[str, Index]) -> None:
    for kind, source in CELLS:
        assert list(composed(indexes[source], kind, most=20)) == list(composed(indexes[source], kind, most=20))
        assert list(composed(indexes[source], kind, most=20)) != list(composed(indexes[source], kind, most=20, seed=1))
