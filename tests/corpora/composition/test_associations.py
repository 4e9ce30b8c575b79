"""Attributes, two hops, what moves, options, further questions: on frames made by hand, in the miniature's words."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from gemvg_repro import miniature
from gemvg_repro.corpora.cells import prove
from gemvg_repro.corpora.composition import attributes, follow_up, moving, multiple_choice
from gemvg_repro.corpora.composition.composed import ComposedSample, Context, Rules, Unfit
from gemvg_repro.corpora.composition.oracle import Untrue
from gemvg_repro.corpora.composition.wording import wording
from gemvg_repro.corpora.frames import AnnotatedFrame, Instance
from gemvg_repro.corpora.index_builder import build
from gemvg_repro.grounding.samples import Box

WORDS = Path(miniature.__file__).with_name("wording.yaml")
RULES = Rules(pictures=(2, 3), targets=(0.2, 0.4, 0.4), alone=1, first=True, smallest_reference=0.05, least_gap=1)
SQUARE: Box = (0.1, 0.1, 0.3, 0.3)
PLACES: Sequence[Box] = ((0.1, 0.1, 0.3, 0.3), (0.5, 0.1, 0.7, 0.3), (0.1, 0.5, 0.3, 0.7), (0.5, 0.5, 0.7, 0.7))


def frame(id_: str, *names: str, scene: str = "", time: int = 0, boxes: Sequence[Box] = PLACES) -> AnnotatedFrame:
    things = tuple(
        Instance(f"{id_}/{n}", name, box, identity=name)
        for n, (name, box) in enumerate(zip(names, boxes, strict=False))
    )
    return AnnotatedFrame(id_, scene or id_, f"{id_}.png", 64, 64, things, "camera" if scene else "", time)


def bench(folder: Path, *frames: AnnotatedFrame, rules: Rules = RULES, exhaustive: bool = True) -> Context:
    families = wording(WORDS)["attributes"]
    return Context(
        build(folder / "i.sqlite", "made", lambda skips: frames, exhaustive=exhaustive, families=families), rules, WORDS
    )


def number(at: Context, id_: str) -> int:
    return next(int(n) for n in at.index.numbers() if at.index.frame(int(n)).id == id_)


ALONE = [frame("red", "red disc"), frame("none", "blue cross"), frame("one", "red cross", "blue disc"),
         frame("two", "red square", "red disc", "green cross")]  # fmt: skip


def samples(at: Context, about: attributes.FromFrames, phrase: str, id_: str) -> list[ComposedSample]:
    composed = []
    for seed in range(40):
        try:
            composed.append(attributes.compose(at, about, phrase, number(at, id_), Random(seed)))
        except Unfit:
            continue
    for sample in composed:
        prove(sample, at.index, WORDS)
    return composed


def test_what_has_the_colour_of_the_only_object_of_picture_1(tmp_path: Path) -> None:
    at = bench(tmp_path, *ALONE)
    composed = samples(at, attributes.same_as_reference, "red object", "red")
    counts = {"red": 1, "none": 0, "one": 1, "two": 2}
    assert {len(s.targets) for s in composed} == {0, 1, 2}
    for sample in composed:
        assert sample.query == "Find every object of the same colour as the object in Picture 1."
        assert sample.chain.startswith("Picture 1 shows a red disc. red object: ")
        assert sample.pictures[0].frame == "red"
        assert len(sample.targets) == sum(counts[p.frame] for p in sample.pictures[1:])
    known = {s.chain for s in composed}
    assert "Picture 1 shows a red disc. red object: two in Picture 2." in known
    with pytest.raises(Unfit, match="no object that can be a reference"):
        attributes.compose(at, attributes.same_as_reference, "red object", number(at, "one"), Random(0))
    with pytest.raises(Unfit, match="a phrase of no attribute"):
        attributes.compose(at, attributes.same_as_reference, "red disc", number(at, "red"), Random(0))


def test_two_hops_go_by_the_one_object_of_a_phrase(tmp_path: Path) -> None:
    at = bench(tmp_path, *ALONE)
    composed = samples(at, attributes.same_as_described, "red object", "one")
    assert {s.query for s in composed} == {
        "Find every object of the same colour as the cross of Picture 1, in the other pictures."
    }
    assert "the cross of Picture 1 is a red cross. red object: two in Picture 2." in {s.chain for s in composed}
    ambiguous = bench(tmp_path, frame("a", "red disc", "blue disc"), *ALONE)
    with pytest.raises(Unfit, match="nothing in the picture can be singled out"):
        attributes.compose(ambiguous, attributes.same_as_described, "red object", number(ambiguous, "a"), Random(0))


def test_neither_is_asked_of_a_source_that_may_show_more(tmp_path: Path) -> None:
    at = bench(tmp_path, *ALONE, exhaustive=False)
    assert not samples(at, attributes.same_as_reference, "red object", "red")
    assert not follow_up.compose_follow_ups(
        at, samples(bench(tmp_path, *ALONE), attributes.same_as_reference, "red object", "red")[0], 3, Random(0)
    )


LINKED = [frame("key", "red disc", "blue cross"), frame("between", "red square", "green cross"),
          frame("one", "blue square", "red disc"), frame("two", "green square", "red square", "red cross")]  # fmt: skip


def test_three_hops_go_by_what_shares_an_attribute_in_another_picture(tmp_path: Path) -> None:
    at = bench(tmp_path, *LINKED)
    composed = []
    for seed in range(200):
        try:
            composed.append(attributes.same_through_link(at, "square", number(at, "between"), Random(seed)))
        except Unfit:
            continue
    for sample in composed:
        prove(sample, at.index, WORDS)
    query = (
        "Find every object of the same category as the object in Picture 2 of the same colour as the disc of"
        " Picture 1, in Picture 3."
    )
    by_picture = {s.pictures[2].frame: s for s in composed if s.query == query and s.pictures[0].frame == "key"}
    assert {name: len(s.targets) for name, s in by_picture.items()}.items() >= {"one": 1, "two": 2}.items()
    sample = by_picture["two"]
    assert sample.chain == (
        "the disc of Picture 1 is a red disc. the red object of Picture 2 is a red square. square: two in Picture 3."
    )
    lies = [
        replace(sample, chain=sample.chain.replace("a red square", "a green cross")),
        replace(sample, chain=sample.chain.replace("the disc of Picture 1 is a red disc. ", "")),
        replace(sample, query=sample.query.replace("disc", "cross")),
        replace(sample, pictures=(*sample.pictures[1:], sample.pictures[0])),
        replace(sample, targets=sample.targets[:1]),
    ]
    for lie in lies:
        with pytest.raises(Untrue):
            prove(lie, at.index, WORDS)
    (tmp_path / "open").mkdir()
    with pytest.raises(Unfit, match="does not say what is absent"):
        attributes.same_through_link(bench(tmp_path / "open", *LINKED, exhaustive=False), "square", 1, Random(0))


MOVED: Sequence[Box] = ((0.4, 0.1, 0.6, 0.3), *PLACES[1:])
A_LITTLE: Sequence[Box] = ((0.12, 0.1, 0.32, 0.3), *PLACES[1:])
NAMES = ("red disc", "blue cross", "green disc")


def video(*boxes: Sequence[Box]) -> list[AnnotatedFrame]:
    return [frame(f"{n}", *NAMES, scene="v", time=n, boxes=of_frame) for n, of_frame in enumerate(boxes)]


def test_what_moves_is_found_in_every_picture_or_in_the_last(tmp_path: Path) -> None:
    at = bench(tmp_path, *video(PLACES, MOVED), rules=RULES.model_copy(update={"complete": True}), exhaustive=False)
    composed = [moving.compose(at, 1, Random(seed)) for seed in range(20)]
    for sample in composed:
        prove(sample, at.index, WORDS)
    assert {(s.query.partition("that ")[2], s.chain, len(s.targets)) for s in composed} == {
        ("moves, in every picture.", "the red disc moves. one in Picture 1, one in Picture 2.", 2),
        ("moves, in Picture 2.", "the red disc moves. one in Picture 2.", 1),
    }
    lie = replace(composed[0], chain=composed[0].chain.replace("red disc", "blue cross"))
    with pytest.raises(Untrue, match="blue cross"):
        prove(lie, at.index, WORDS)


def test_nothing_moves(tmp_path: Path) -> None:
    at = bench(tmp_path, *video(PLACES, PLACES))
    sample = moving.compose(at, 1, Random(0))
    prove(sample, at.index, WORDS)
    assert (sample.targets, sample.chain) == ((), "no object moves.")
    moved = bench(tmp_path, *video(PLACES, MOVED))
    with pytest.raises(Untrue):
        prove(sample, moved.index, WORDS)


@pytest.mark.parametrize(
    ("boxes", "why"),
    [
        ((PLACES, A_LITTLE), "moves a little"),
        ((PLACES, tuple((x1 + 0.2, y1, x2 + 0.2, y2) for x1, y1, x2, y2 in PLACES)), "more than one"),
        ((PLACES, PLACES[:2]), "not in every picture"),
    ],
)
def test_what_is_not_settled_is_not_asked(tmp_path: Path, boxes: Sequence[Sequence[Box]], why: str) -> None:
    at = bench(tmp_path, *video(*boxes))
    with pytest.raises(Unfit, match=why):
        moving.compose(at, 1, Random(0))
    unknown = bench(tmp_path, *video(PLACES, MOVED), exhaustive=False)
    with pytest.raises(Unfit, match="does not say what is absent"):
        moving.compose(unknown, 1, Random(0))


def test_the_letter_is_of_the_right_option(tmp_path: Path) -> None:
    at = bench(tmp_path, *ALONE, frame("also", "red disc"), frame("blue", "blue disc"))
    seen = set()
    for seed, n in enumerate(at.index.numbers().tolist() * 12):
        try:
            sample = multiple_choice.compose(at, n, Random(seed))
        except Unfit:
            continue
        prove(sample, at.index, WORDS)
        seen.add(sample.template)
        assert not sample.targets and sample.choice and sample.choice in "ABCD"
        for letter in {*"ABCD"} - {sample.choice}:
            with pytest.raises(Untrue):
                prove(replace(sample, choice=letter), at.index, WORDS)
        with pytest.raises(Untrue):
            prove(replace(sample, choice=None), at.index, WORDS)
    assert seen == {f"understanding.{name}/0" for name in ("same", "different", "count")}


def test_frames_in_time_are_asked_about_what_moves_in_both_ways_and_nothing_else(tmp_path: Path) -> None:
    at = bench(tmp_path, *video(PLACES, MOVED))
    first = moving.compose(at, 1, Random(0))
    rounds = [follow_up.compose_follow_ups(at, first, 3, Random(seed)) for seed in range(20)]
    again = [s for more in rounds for s in more]
    assert len(again) > 15 and {(s.kind, s.pictures) for s in again} == {("temporal", first.pictures)}
    assert all({len(first.targets), len(s.targets)} == {1, 2} for s in again)
    for more in rounds:
        prove(replace(first, further=more), at.index, WORDS)


def test_further_questions_are_about_the_same_pictures_and_proved(tmp_path: Path) -> None:
    at = bench(tmp_path, *ALONE)
    (first, *_) = samples(at, attributes.same_as_reference, "red object", "red")
    more = follow_up.compose_follow_ups(at, first, 3, Random(1))
    whole = replace(first, further=more)
    prove(whole, at.index, WORDS)
    assert len(more) == 3 and len({s.query for s in (first, *more)}) == 4
    assert all(s.pictures == first.pictures and s.scene == first.scene for s in more)
    assert follow_up.compose_follow_ups(at, first, 3, Random(1)) == more
    assert {s.kind for seed in range(20) for s in follow_up.compose_follow_ups(at, first, 3, Random(seed))} == {
        "referential",
        "semantic",
    }
    lies = [(*more, more[0]), (first,), (replace(more[0], pictures=more[0].pictures[::-1]),), (whole,)]
    lies.append((replace(more[0], chain=more[0].chain.replace("no", "two")), *more[1:]))
    for lie in lies:
        if lie != more:
            with pytest.raises(Untrue):
                prove(replace(first, further=lie), at.index, WORDS)
    marked = replace(first, pictures=(replace(first.pictures[0], mark=SQUARE), *first.pictures[1:]))
    assert follow_up.compose_follow_ups(at, marked, 3, Random(1)) == ()
