"""How long may an answer be, and how many answers were cut off there?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..benchmarks.responses import cut_off
from ..grounding.answers import format_answer
from ..grounding.samples import Sample, Target
from ..models.processor import ImageOnlyProcessor, load_processor
from ..study.profiles import Profile

if TYPE_CHECKING:
    from .tasks import Task

_ANY_BOX = (0.1, 0.2, 0.3, 0.4)
_ANY_SIZE = (1000, 1000)  # of an image: three digits a coordinate, also in pixels


def limits_of(tasks: Sequence[Task], weights: Path, profile: Profile) -> dict[str, int]:
    """By the task's name: the most tokens of an answer.

    It is the figure of the benchmark's authors; without one the profile's, and as much more as the longest true answer
    to the task's samples takes in the notation and with the tokenizer of these weights.
    """
    processor, settings = load_processor(weights, profile.max_pixels), profile.evaluate.max_new_tokens
    limits = {}
    for task in tasks:
        more = longest_true_answer(task.samples, processor, profile.coordinate_step) - settings["direct"]
        limits[task.name] = task.max_new_tokens or settings[task.mode] + max(0, more)
    return limits


def longest_true_answer(samples: Sequence[Sample], processor: ImageOnlyProcessor, coordinate_step: int) -> int:
    """Tokens of an answer to the sample with the most targets, with the end token."""
    count = max((len(sample.targets) for sample in samples), default=0)
    pictures = max((len(sample.pictures) for sample in samples), default=1)
    answer = format_answer([Target(pictures - 1, _ANY_BOX)] * count, coordinate_step)
    written = processor.family.notation.write(answer, [_ANY_SIZE] * pictures)
    return len(processor.tokenizer(written)["input_ids"]) + 1


def counts(texts: Sequence[str], limit: int) -> dict[str, int]:
    """The limit of answers with special tokens, how many they are, and how many were cut off at it."""
    return {"max_new_tokens": limit, "responses": len(texts), "reached_limit": cut_off(texts)}


def with_note(content: Mapping[str, Any], texts: Sequence[str], limit: int) -> dict[str, Any]:
    """An official score with these counts, and a note where answers were cut off."""
    counted, notes = counts(texts, limit), [*content["notes"]]
    if reached := counted["reached_limit"]:
        notes.append(f"{reached} of {len(texts)} answers reached the limit of {limit} tokens and were cut off there")
    return {**content, **counted, "notes": notes}
