"""In which ways is an answer wrong?

Boxes that match no target at IoU 0.5 are distinguished by what they miss, in this order:

- wrong picture: its picture has no target at all
- duplicate: it overlaps a target by IoU 0.5 or more that another box has matched already
- wrong size: its centre is near that of an unmatched target, within a quarter of the target's width and height
- wrong place: all else

Beside these: too few and too many boxes; unreadable, an answer of another sort than boxes or "none"; cut off, an answer
that ended at the limit of its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .answers import END_TOKENS
from .boxes import match_largest, target_iou
from .parsing import parse_answer
from .samples import Box, Sample, Target

ErrorKind = Literal[
    "cut off", "unreadable", "wrong picture", "wrong place", "wrong size", "duplicate", "too few", "too many"
]

ERROR_KINDS: tuple[ErrorKind, ...] = (
    "cut off", "unreadable", "wrong picture", "wrong place", "wrong size", "duplicate", "too few", "too many",
)  # fmt: skip

THRESHOLD = 0.5


def errors_of(sample: Sample, text: str) -> tuple[ErrorKind, ...]:
    """Every way in which a response to a sample of grounding is wrong, in the order of ERROR_KINDS; none if it is not.

    `text` is the model's response with its special tokens.
    """
    parsed = parse_answer(text, len(sample.pictures))
    kinds: set[ErrorKind] = set()
    if not text.rstrip().endswith(END_TOKENS):
        kinds.add("cut off")
    if not parsed.targets and not parsed.none:
        kinds.add("unreadable")
    kinds.update(_errors_of_boxes(parsed.targets, sample.targets))
    if "unreadable" not in kinds and len(parsed.targets) != len(sample.targets):
        kinds.add("too few" if len(parsed.targets) < len(sample.targets) else "too many")
    return tuple(kind for kind in ERROR_KINDS if kind in kinds)


def _errors_of_boxes(predicted: Sequence[Target], true: Sequence[Target]) -> set[ErrorKind]:
    """Of every predicted box that is in no largest matching."""
    iou = target_iou(predicted, true)
    matching = match_largest(iou, THRESHOLD)
    matched_boxes, matched_targets = {box for box, _ in matching}, {target for _, target in matching}
    missed = [target for number, target in enumerate(true) if number not in matched_targets]
    kinds: set[ErrorKind] = set()
    for number, box in enumerate(predicted):
        if number in matched_boxes:
            continue
        if all(target.picture != box.picture for target in true):
            kinds.add("wrong picture")
        elif any(iou[number, target] >= THRESHOLD for target in matched_targets):
            kinds.add("duplicate")
        elif any(target.picture == box.picture and _same_centre(box.box, target.box) for target in missed):
            kinds.add("wrong size")
        else:
            kinds.add("wrong place")
    return kinds


def _same_centre(box: Box, target: Box) -> bool:
    """Whether the centres are within a quarter of the target's sides of each other."""
    return all(
        abs((box[axis] + box[axis + 2]) - (target[axis] + target[axis + 2])) / 2
        <= (target[axis + 2] - target[axis]) / 4
        for axis in (0, 1)
    )
