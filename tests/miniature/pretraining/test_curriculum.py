"""What the base is taught: true answers, in the tokens it has, without association."""

from __future__ import annotations

import pytest

from gemvg_repro.grounding.answers import completion
from gemvg_repro.miniature.patterns import Pattern
from gemvg_repro.miniature.pretraining.curriculum import PHASES, REFERS, training_samples
from gemvg_repro.miniature.tokenizer import build_tokenizer
from gemvg_repro.miniature.world import Frame


@pytest.mark.parametrize("phase", PHASES)
def test_lessons_are_the_same_whenever_they_are_drawn(phase: str) -> None:
    together = list(training_samples(phase, range(6), 5, seed=0))
    apart = [*training_samples(phase, range(2), 5, seed=0), *training_samples(phase, range(2, 6), 5, seed=0)]
    assert together == apart
    assert len({s.id for s in together}) == len(together)


def test_one_thing_first() -> None:
    assert {len(s.pictures) for s in training_samples("one", range(20), 5, seed=0)} == {1}
    pictures = {len(s.pictures) for s in training_samples("crowds", range(60), 5, seed=0)}
    assert pictures == {1, 2, 3}


def test_a_third_of_the_descriptions_fit_nothing_or_so() -> None:
    singles = [s for s in training_samples("crowds", range(300), 6, seed=0) if s.text is None]
    assert 0.1 < sum(not s.targets for s in singles) / len(singles) < 0.4
    assert {s.kind for s in singles} == {"referential"}


def test_names_are_those_of_the_picture_that_is_asked_for() -> None:
    tokenizer = build_tokenizer()
    for sample in training_samples("crowds", range(40), 2, seed=0):
        if sample.text is None:
            continue
        picture = sample.pictures[int(sample.query.split("Picture ")[1][0]) - 1]
        assert isinstance(picture, Frame)
        assert sample.text.count(",") >= len(picture.things) - 1
        assert completion(sample, "direct", 20) == sample.text
        ids = tokenizer(f"{sample.query} {sample.text}")["input_ids"]
        assert len(ids) < 12 + 14 * len(picture.things)  # whole words and coordinates, not single bytes


def test_a_reference_means_one_thing_of_its_picture_and_nothing_of_another() -> None:
    referred = [s for s in training_samples("references", range(100), 6, seed=0) if s.query.startswith(REFERS)]
    assert len(referred) > 100
    phrases = set()
    for sample in referred:
        phrase, _, picture = sample.query.removeprefix(REFERS).rstrip(".").rpartition(" Picture ")
        frame = sample.pictures[int(picture) - 1]
        assert isinstance(frame, Frame)
        singled = phrase.rpartition(" ")[0]
        meant = [t for t in frame.things if singled in ("object", *_parts(t.look))]
        assert [str(Pattern(*t.look)) for t in meant] == [sample.text]
        phrases.add(singled)
    assert {"object", "disc", "red object"} < phrases


def _parts(look: tuple[int, int]) -> tuple[str, str]:
    return str(Pattern(category=look[0])), str(Pattern(colour=look[1]))
