from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemvg_repro.grounding.answers import completion, format_answer
from gemvg_repro.grounding.parsing import parse_answer
from gemvg_repro.grounding.rewards import TERMS, AnswerReward, Reward
from gemvg_repro.grounding.samples import Mode, Sample, Target

from . import factories

bounded = settings(max_examples=150, deadline=None, derandomize=True)

WEIGHTS = {"format": 0.5, "picture": 1.0, "localisation": 2.0, "count": 1.0, "f1": 1.0}
ALL, NOTHING = (1, 1, 1, 1, 1), (0, 0, 0, 0, 0)

A = Target(0, (0.0, 0.0, 0.2, 0.2))
B = Target(1, (0.5, 0.5, 0.7, 0.9))
NEAR_A = Target(0, (0.1, 0.0, 0.3, 0.2))
"""IoU 1/3 with A: .02 of .06."""


def score(sample: Sample, answer: str, mode: Mode = "direct") -> AnswerReward:
    return Reward(WEIGHTS)(sample, parse_answer(answer, len(sample.pictures)), mode)


@pytest.mark.parametrize(
    ("truth", "answer", "expected"),
    [
        # format, picture, localisation, count, f1
        pytest.param((A,), format_answer([A]), ALL, id="right"),
        pytest.param((A, B), format_answer([A, B]), ALL, id="right, two pictures"),
        pytest.param((A, B), f"{format_answer([B])}; {format_answer([A])}", ALL, id="in any order"),
        pytest.param((A,), format_answer([NEAR_A]), (1, 1, 1 / 3, 1, 0), id="beside it"),
        pytest.param((A, B), format_answer([A]), (1, 1 / 2, 1 / 2, 1 / 2, 2 / 3), id="one missed"),
        pytest.param((A,), format_answer([A, B]), (1, 1 / 2, 1 / 2, 1 / 2, 2 / 3), id="surplus in another picture"),
        pytest.param((A,), format_answer([A, NEAR_A]), (1, 1, 1 / 2, 1 / 2, 2 / 3), id="surplus in the same picture"),
        pytest.param((A,), format_answer([A, A, A]), (1, 1, 1 / 3, 1 / 3, 1 / 2), id="duplicates"),
        pytest.param((A, B), format_answer([A, A]), (1, 1 / 2, 1 / 2, 1, 1 / 2), id="a duplicate for one missed"),
        pytest.param((A,), format_answer([Target(1, A.box)]), (1, 0, 0, 1, 0), id="wrong picture"),
        pytest.param(
            (A, B), format_answer([Target(1, A.box), Target(0, B.box)]), (1, 1, 0, 1, 0), id="swapped pictures"
        ),
        pytest.param((A, NEAR_A), format_answer([NEAR_A, A]), ALL, id="matched one to one"),
        pytest.param((A,), "none", (1, 0, 0, 0, 0), id="denied"),
        pytest.param((A,), "Picture 1: (200,200),(0,0)", NOTHING, id="inverted corners"),
        pytest.param(
            (A, B),
            f"{format_answer([A])}; Picture 2: (700,900),(500,500)",
            (0, 1 / 2, 1 / 2, 1 / 2, 2 / 3),
            id="partly",
        ),
        pytest.param(
            (A,), f"{format_answer([A])}; Picture 3: (0,0),(9,9)", (0, 1, 1, 1, 1), id="a picture there is not"
        ),
        pytest.param((A,), "Picture 1: (0,0),(200", NOTHING, id="cut off"),
        pytest.param((A,), "I cannot see it.", NOTHING, id="unreadable"),
        pytest.param((A,), "", NOTHING, id="empty"),
        pytest.param((A,), "B", NOTHING, id="a letter where boxes are asked"),
        pytest.param((A,), "Image-1: (0,0),(200,200)", (0, 1, 1, 1, 1), id="understood, not in the grammar"),
        pytest.param((A,), f"none; {format_answer([A])}", (0, 1, 1, 1, 1), id="contradiction"),
        pytest.param((), "none", ALL, id="no target"),
        pytest.param((), format_answer([A]), (1, 0, 0, 0, 0), id="no target, surplus"),
        pytest.param((), f"none; {format_answer([A])}", NOTHING, id="no target, both"),
        pytest.param((), "none; Picture 9: (1,2),(3,4)", NOTHING, id="no target, and a bad box"),
        pytest.param((), "none of them", (0, 1, 1, 1, 1), id="no target, and words"),
        pytest.param((), "", NOTHING, id="no target, empty"),
        pytest.param((), "nothing here", NOTHING, id="no target, unreadable"),
        pytest.param((), "B", NOTHING, id="no target, a letter"),
        pytest.param((), "A. none", NOTHING, id="no target, and a letter"),
    ],
)
def test_by_hand(truth: tuple[Target, ...], answer: str, expected: tuple[float, ...]) -> None:
    got = score(factories.sample(*truth), answer)
    assert tuple(got.terms.values()) == pytest.approx(expected)
    assert got.total == pytest.approx(sum(w * e for w, e in zip(WEIGHTS.values(), expected, strict=True)))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("B", ALL),
        ("A", (1, 0, 0, 0, 0)),
        ("B. same", (0, 1, 1, 1, 1)),
        ("none", NOTHING),
        (format_answer([A]), NOTHING),
        (f"B. {format_answer([A])}", NOTHING),
        ("same", NOTHING),
    ],
)
def test_choices_by_hand(answer: str, expected: tuple[float, ...]) -> None:
    assert tuple(score(factories.sample(choice="B"), answer).terms.values()) == expected


@pytest.mark.parametrize(
    ("answer", "mode", "formatted"),
    [
        (f"<think>x</think><answer>{format_answer([A])}</answer>", "cot", 1),
        (f"<think>x</think>\n<answer>{format_answer([A])}</answer>", "cot", 1),
        (f"<think>x</think><answer>{format_answer([A])}</answer>", "direct", 0),
        (format_answer([A]), "direct", 1),
        (format_answer([A]), "cot", 0),
        (f"<answer>{format_answer([A])}</answer>", "cot", 0),
        (f"<answer>{format_answer([A])}</answer>", "direct", 0),
        (f"<think></think><answer>{format_answer([A])}</answer>", "cot", 0),
        (f"<think>x</think><answer>{format_answer([A])}", "cot", 0),
    ],
)
def test_format_depends_on_the_mode_and_nothing_else_does(answer: str, mode: Mode, formatted: float) -> None:
    assert tuple(score(factories.sample(A), answer, mode).terms.values()) == (formatted, 1, 1, 1, 1)


def test_a_thought_without_an_answer_earns_nothing() -> None:
    assert score(factories.sample(A), f"<think>{format_answer([A])}</think>", "cot").total == 0


@given(factories.targets(pictures=2), factories.targets(pictures=2))
@bounded
def test_terms_are_bounded_and_only_the_truth_gets_them_all(truth: list[Target], answered: list[Target]) -> None:
    terms = score(factories.sample(*truth), format_answer(answered)).terms
    assert list(terms) == list(TERMS)
    assert all(0 <= term <= 1 + 1e-12 for term in terms.values())
    if not truth or not answered:
        assert terms["count"] == terms["localisation"] == terms["f1"] == (truth == answered)


@given(factories.targets(pictures=2, min_side=0.1), st.sampled_from(["direct", "cot"]))
@bounded
def test_the_written_truth_gets_full_marks(truth: list[Target], mode: Mode) -> None:
    sample = factories.sample(*truth, chain="Because.")
    terms = score(sample, completion(sample, mode), mode).terms
    assert terms.pop("localisation") > 0.96  # sides of at least 100 steps, each corner half a step off at most
    assert set(terms.values()) == {1}


@pytest.mark.parametrize(
    ("weights", "why"),
    [
        ({"format": 1.0}, "must name the terms format, picture, localisation, count, f1"),
        ({**WEIGHTS, "iou": 1.0}, "must name the terms"),
        ({**WEIGHTS, "count": -1.0}, "not negative"),
        ({**WEIGHTS, "count": float("nan")}, "finite"),
        (dict.fromkeys(WEIGHTS, 0.0), "nothing would be learned"),
    ],
)
def test_wrong_weights_are_explained(weights: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Reward(weights)
