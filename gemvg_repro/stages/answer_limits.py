"""How long may an answer be, and how many answers were cut off there?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..grounding.answers import END_TOKENS, format_answer
from ..grounding.samples import Sample, Target

_ANY_BOX = (0.1, 0.2, 0.3, 0.4)


def longest_true_answer(samples: Sequence[Sample], tokenizer: Any, coordinate_step: int) -> int:
    """Tokens of an answer in our grammar to the sample with the most targets, with the end token."""
    count = max((len(sample.targets) for sample in samples), default=0)
    pictures = max((len(sample.pictures) for sample in samples), default=1)
    answer = format_answer([Target(pictures - 1, _ANY_BOX)] * count, coordinate_step)
    return len(tokenizer(answer)["input_ids"]) + 1


def reached(texts: Sequence[str], limit: int, notes: Sequence[str]) -> dict[str, Any]:
    """The limit of the answers to a benchmark, and how many reached it: those without an end token.

    `notes` are those of the score, to which one is added if there are any.
    """
    cut_off = sum(not text.rstrip().endswith(END_TOKENS) for text in texts)
    note = f"{cut_off} of {len(texts)} answers reached the limit of {limit} tokens and were cut off there"
    counts = {"max_new_tokens": limit, "responses": len(texts), "reached_limit": cut_off}
    return counts | {"notes": [*notes, *([note] if cut_off else [])]}
