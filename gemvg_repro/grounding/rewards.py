"""The reward of an answer, by rule.

A sum of named, weighted terms (assumed: the paper publishes no reward). Each is in [0, 1] and a pure
function of the sample, the parsed answer and the mode:

- format: the answer is in the mode's grammar to the letter, without any problem.
- picture: |P & T| / |P | T| of the set P of pictures with a predicted box and the set T with a target. A set,
  since how many boxes each has is the business of the other terms.
- localisation: the largest sum of IoU over one-to-one matchings within pictures, over max(predicted, true).
- count: 1 - |predicted - true| / max(predicted, true), of the numbers of boxes.
- f1: F1@0.5 of the sample, what evaluations count: 2 tp / (predicted + true), tp the pairs of a largest matching of
  IoU >= 0.5.

Without targets, and for a choice, one answer is right: every term but format is 1 for "none" or the right letter
alone, else 0. An answer of another sort than the question's (unreadable, or a letter where boxes are asked for) gets 0
in everything, format too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .boxes import match_by_iou, match_largest, target_iou
from .parsing import ParsedAnswer
from .samples import Mode, Sample

Term = Callable[[Sample, ParsedAnswer, Mode], float]


def format_term(sample: Sample, parsed: ParsedAnswer, mode: Mode) -> float:
    """1 if the answer is exact, without problems, and has a thought in CoT mode and only there."""
    clean = parsed.exact and not parsed.problems and (parsed.thought is not None) == (mode == "cot")
    return float(clean and _answers(sample, parsed))


def picture_term(sample: Sample, parsed: ParsedAnswer, mode: Mode) -> float:
    """Jaccard index of the sets of pictures."""
    if _one_right_answer(sample):
        return float(_is_right(sample, parsed))
    predicted = {target.picture for target in parsed.targets}
    true = {target.picture for target in sample.targets}
    return len(predicted & true) / len(predicted | true)


def localisation_term(sample: Sample, parsed: ParsedAnswer, mode: Mode) -> float:
    """Soft IoU of the best matching, over the larger number of boxes."""
    if _one_right_answer(sample):
        return float(_is_right(sample, parsed))
    iou = target_iou(parsed.targets, sample.targets)
    return sum(float(iou[pair]) for pair in match_by_iou(iou)) / max(len(parsed.targets), len(sample.targets))


def count_term(sample: Sample, parsed: ParsedAnswer, mode: Mode) -> float:
    """How close the number of boxes is, relative to the larger one."""
    if _one_right_answer(sample):
        return float(_is_right(sample, parsed))
    predicted, true = len(parsed.targets), len(sample.targets)
    return 1 - abs(predicted - true) / max(predicted, true)


def f1_term(sample: Sample, parsed: ParsedAnswer, mode: Mode) -> float:
    """F1@0.5 of the one sample."""
    if _one_right_answer(sample):
        return float(_is_right(sample, parsed))
    matched = match_largest(target_iou(parsed.targets, sample.targets), 0.5)
    return 2 * len(matched) / (len(parsed.targets) + len(sample.targets))


TERMS: dict[str, Term] = {
    "format": format_term,
    "picture": picture_term,
    "localisation": localisation_term,
    "count": count_term,
    "f1": f1_term,
}


@dataclass(frozen=True, slots=True)
class AnswerReward:
    """The reward of one answer: the weighted sum, and each term before its weight, in the order of TERMS."""

    total: float
    terms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Reward:
    """The weighted sum of all terms. `weights` names every term, in any order; 0 leaves one out of the sum.

    Raises:
        ValueError: a missing or unknown term, a weight that is no finite number from 0 up, or only 0s.
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if set(self.weights) != set(TERMS):
            raise ValueError(f"reward weights must name the terms {', '.join(TERMS)}; got {dict(self.weights)}")
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.weights.values()):
            raise ValueError(f"reward weights must be finite and not negative; got {dict(self.weights)}")
        if not any(self.weights.values()):
            raise ValueError("every reward weight is 0: nothing would be learned. Raise at least one")

    def __call__(self, sample: Sample, parsed: ParsedAnswer, mode: Mode) -> AnswerReward:
        terms = {name: term(sample, parsed, mode) for name, term in TERMS.items()}
        return AnswerReward(sum(self.weights[name] * term for name, term in terms.items()), terms)


def _one_right_answer(sample: Sample) -> bool:
    return sample.choice is not None or not sample.targets


def _is_right(sample: Sample, parsed: ParsedAnswer) -> bool:
    return (parsed.targets, parsed.none, parsed.choice) == ((), sample.choice is None, sample.choice)


def _answers(sample: Sample, parsed: ParsedAnswer) -> bool:
    """Whether it is an answer of the sort that the sample asks for."""
    return parsed.choice is not None if sample.choice is not None else bool(parsed.targets) or parsed.none
