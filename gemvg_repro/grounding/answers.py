"""Writes targets as the text of an answer, in Qwen2-VL's own notation; `grounding.parsing` reads it back.

The grammar (arXiv 2409.12191, section 2.2, for the boxes), images counted from 1:

    Picture 1: <|box_start|>(x1,y1),(x2,y2)<|box_end|>; Picture 2: <|box_start|>(x1,y1),(x2,y2)<|box_end|>
    none                                               no target
    B                                                  the letter of a multiple-choice option
    <think>why</think><answer>any of these</answer>    in CoT mode

Coordinates are integers from 0 to 1000, in thousandths of the image's width and height.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .boxes import box_error, to_grid
from .samples import Box, Mode, Sample, Target

NONE = "none"
BOX_START, BOX_END = "<|box_start|>", "<|box_end|>"
END_TOKENS = ("<|im_end|>", "<|endoftext|>")
TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def format_answer(targets: Sequence[Target], coordinate_step: int = 1) -> str:
    """The targets as an answer, ordered by (picture, x1, y1, x2, y2); coordinates are multiples of `coordinate_step`.

    Raises:
        ValueError: a target is no box, or is in a picture before the first.
    """
    for target in targets:
        if target.picture < 0 or (error := box_error(target.box)):
            reason = "is in a picture before the first" if target.picture < 0 else error
            raise ValueError(f"{target} {reason}; expected 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1, pictures from 0")
    grid = to_grid([target.box for target in targets], coordinate_step).tolist()
    rows = sorted((target.picture, *box) for target, box in zip(targets, grid, strict=True))
    return "; ".join(f"Picture {picture + 1}: {_format_corners(*box)}" for picture, *box in rows) or NONE


def format_box(box: Box, coordinate_step: int = 1) -> str:
    """One box, without the name of its image."""
    return _format_corners(*to_grid([box], coordinate_step)[0].tolist())


def _format_corners(x1: int, y1: int, x2: int, y2: int) -> str:
    return f"{BOX_START}({x1},{y1}),({x2},{y2}){BOX_END}"


def completion(sample: Sample, mode: Mode, coordinate_step: int = 1) -> str:
    """The true completion of the sample's prompt in this mode, without the end token. Free text stays as it is.

    Raises:
        ValueError: the sample has no such completion: a target in an image that it does not have, a choice that is no
            letter, or in CoT mode no chain of thought, or one with a tag in it.
    """
    if sample.text is not None:
        answer = sample.text
    elif sample.choice is not None:
        if not re.fullmatch("[A-Z]", sample.choice):
            raise ValueError(f"sample {sample.id}: the choice must be one letter from A to Z, got {sample.choice!r}")
        answer = sample.choice
    else:
        for target in sample.targets:
            if target.picture >= len(sample.pictures):
                raise ValueError(f"sample {sample.id}: {target}, but it has {len(sample.pictures)} pictures")
        answer = format_answer(sample.targets, coordinate_step)
    if mode == "direct":
        return answer
    forbidden = (*TAGS, *END_TOKENS)
    if not (sample.chain and sample.chain.strip()) or any(mark in sample.chain for mark in forbidden):
        raise ValueError(
            f"sample {sample.id}: CoT mode needs a chain of thought without {' '.join(forbidden)}; "
            f"got {sample.chain!r}. Leave the sample out of CoT mode, or give it a chain"
        )
    return f"<think>{sample.chain}</think><answer>{answer}</answer>"
