from __future__ import annotations

import pytest

from gemvg_repro.grounding.answers import completion, format_answer
from gemvg_repro.grounding.samples import Sample, Target

from . import factories
from .factories import TEXT_A, TEXT_B, A, B


def test_written_by_hand() -> None:
    assert format_answer([]) == "none"
    assert format_answer([B, A]) == f"{TEXT_A}; {TEXT_B}"
    assert format_answer([Target(0, (0.109, 0.111, 0.5, 1.0))], coordinate_step=20) == (
        "Picture 1: <|box_start|>(100,120),(500,1000)<|box_end|>"
    )


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (Target(0, (0.5, 0.2, 0.3, 0.4)), "inverted"),
        (Target(0, (0.1, 0.2, 0.3, 400.0)), "outside"),
        (Target(0, (0.1, 0.2, 0.1, 0.4)), "no area"),
        (Target(-1, A.box), "before the first"),
    ],
)
def test_what_is_no_target_is_not_written(target: Target, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        format_answer([A, target])


def test_completions_by_hand() -> None:
    two = factories.sample(A, B, chain="Both are red.")
    assert completion(two, "direct") == f"{TEXT_A}; {TEXT_B}"
    assert completion(two, "cot") == f"<think>Both are red.</think><answer>{TEXT_A}; {TEXT_B}</answer>"
    assert completion(factories.sample(choice="B", chain="Same."), "cot") == ("<think>Same.</think><answer>B</answer>")
    assert completion(factories.sample(), "direct") == "none"


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (factories.sample(A), "needs a chain of thought"),
        (factories.sample(A, chain=" "), "needs a chain of thought"),
        (factories.sample(A, chain="So </think> that"), "needs a chain of thought without <think>"),
        (factories.sample(Target(2, A.box), chain="There."), "has 2 pictures"),
        (factories.sample(choice="yes", chain="Yes."), "one letter from A to Z, got 'yes'"),
    ],
)
def test_samples_without_a_completion(sample: Sample, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        completion(sample, "cot")
