"""Each way in which an answer is wrong, alone and together."""

from __future__ import annotations

import pytest

from gemvg_repro.grounding.errors import ErrorKind, errors_of
from gemvg_repro.grounding.samples import Target

from .factories import sample

END = "<|im_end|>"
TWO_TARGETS = sample(Target(0, (0.1, 0.1, 0.3, 0.3)), Target(1, (0.5, 0.5, 0.9, 0.9)), pictures=3)


def box(picture: int, x1: int, y1: int, x2: int, y2: int) -> str:
    return f"Picture {picture}: <|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"


FIRST, SECOND = box(1, 100, 100, 300, 300), box(2, 500, 500, 900, 900)
ALL_WRONG = f"{box(1, 700, 700, 900, 900)} {box(3, 0, 0, 100, 100)} {SECOND}"


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (f"{FIRST} {SECOND}{END}", ()),
        (f"{FIRST}{END}", ("too few",)),
        (f"none{END}", ("too few",)),
        (f"{FIRST} {SECOND}", ("cut off",)),
        (f"what?{END}", ("unreadable",)),
        (f"{FIRST} {box(3, 500, 500, 900, 900)}{END}", ("wrong picture",)),
        (f"{FIRST} {box(2, 0, 0, 300, 300)}{END}", ("wrong place",)),
        (f"{FIRST} {box(2, 600, 600, 800, 800)}{END}", ("wrong size",)),
        (f"{FIRST} {SECOND} {box(2, 500, 500, 880, 900)}{END}", ("duplicate", "too many")),
        (ALL_WRONG, ("cut off", "wrong picture", "wrong place", "too many")),
    ],
)
def test_the_ways_of_being_wrong(text: str, errors: tuple[ErrorKind, ...]) -> None:
    assert errors_of(TWO_TARGETS, text) == errors
