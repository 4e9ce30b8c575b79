"""A hundred thousand answers and boxes; `python -m tools.answer_round_trips 1000000` is for when there is time."""

from __future__ import annotations

from tools import answer_round_trips as many


def test_a_hundred_thousand_answers_and_boxes() -> None:
    counts = many.check(100_000)
    assert counts["boxes"] == 100_000
    assert min(counts[kind] for kind in ("written", "mutated", "noise")) > 30_000
