"""How are targets written as an answer, and read back from one?

The grammar, in Qwen2-VL's own notation (arXiv 2409.12191, section 2.2), pictures counted from 1:

    Picture 1: <|box_start|>(x1,y1),(x2,y2)<|box_end|>; Picture 2: <|box_start|>(x1,y1),(x2,y2)<|box_end|>
    none                                               there is no target
    B                                                  the letter of a choice
    <think>why</think><answer>any of these</answer>    in CoT mode

Coordinates are integers from 0 to 1000 of the picture's width and height. What the reader makes of the rest:

- Where there are tags, only what stands in <answer> counts: in the first of several, and of those after the first
  </think> where there is one, for in or before a thought nothing is answered. An unclosed one goes to the next, or to
  the end. A thought without an <answer> after it answers nothing. Text after the end token is not there.
- A box belongs to the picture named last before it; before any name, to the sample's only picture.
- A box that is inverted, outside, without area, cut off, or in a picture the sample does not have is dropped.
- "none" next to boxes, good or bad, says nothing.
- Each of these, and each word that belongs to no answer, is a problem. The boxes that could be read stay.
- An answer is unreadable if it has neither a good box, nor says "none", nor gives a letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .boxes import flaw, to_grid
from .number_words import ORDINALS
from .samples import Box, Mode, Sample, Target

NONE = "none"
BOX_START, BOX_END = "<|box_start|>", "<|box_end|>"
END_TOKENS = ("<|im_end|>", "<|endoftext|>")
TAGS = ("<think>", "</think>", "<answer>", "</answer>")

LONGEST = 2**16
"""Characters of an answer that are read; no honest answer is as long."""

_MOST_PROBLEMS = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says: targets, or that there are none, or a letter; and all that is not clear about it.

    `none`: it says that there is no target. `thought`: the text of its <think>, None without one.
    `problems`: empty if all was understood. `exact`: the answer proper is in the grammar to the letter, but
    for spaces and for box tokens that were stripped; "Image-2: (1,2),(3,4)" is understood but not exact.
    """

    targets: tuple[Target, ...] = ()
    none: bool = False
    choice: str | None = None
    thought: str | None = None
    problems: tuple[str, ...] = ()
    exact: bool = False

    @property
    def readable(self) -> bool:
        """Whether it answers at all."""
        return bool(self.targets) or self.none or self.choice is not None


def write(targets: Sequence[Target], step: int = 1) -> str:
    """The targets as an answer, ordered by (picture, x1, y1, x2, y2); coordinates are multiples of `step`.

    Raises ValueError for a target that is no box, or in a picture before the first.
    """
    for target in targets:
        if target.picture < 0 or (wrong := flaw(target.box)):
            reason = "is in a picture before the first" if target.picture < 0 else wrong
            raise ValueError(f"{target} {reason}; expected 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1, pictures from 0")
    grid = to_grid([target.box for target in targets], step).tolist()
    rows = sorted((target.picture, *box) for target, box in zip(targets, grid, strict=True))
    return "; ".join(f"Picture {picture + 1}: {_write_corners(*box)}" for picture, *box in rows) or NONE


def write_box(box: Box, step: int = 1) -> str:
    """One box, without the name of its picture."""
    return _write_corners(*to_grid([box], step)[0].tolist())


def _write_corners(x1: int, y1: int, x2: int, y2: int) -> str:
    return f"{BOX_START}({x1},{y1}),({x2},{y2}){BOX_END}"


def completion(sample: Sample, mode: Mode, step: int = 1) -> str:
    """What the model should say to the sample in this mode, without the end token.

    Free text is said as it is. Raises ValueError if the sample cannot be written: a picture it does not have, a
    choice that is no letter, and in CoT mode no chain of thought, or one with a tag in it.
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
        answer = write(sample.targets, step)
    if mode == "direct":
        return answer
    marks = (*TAGS, *END_TOKENS)
    if not (sample.chain and sample.chain.strip()) or any(mark in sample.chain for mark in marks):
        raise ValueError(
            f"sample {sample.id}: CoT mode needs a chain of thought without {' '.join(marks)}; "
            f"got {sample.chain!r}. Leave the sample out of CoT mode, or give it a chain"
        )
    return f"<think>{sample.chain}</think><answer>{answer}</answer>"


def read_ids(ids: Sequence[int], decode: Callable[[Sequence[int]], Any], pictures: int) -> Reading:
    """Reads generated token ids up to the end token.

    `decode` must keep special tokens: `functools.partial(tokenizer.decode, skip_special_tokens=False)`.
    """
    try:
        text = decode(ids)
    except Exception as error:  # whatever a tokenizer makes of foreign ids, a reward or a score must come out
        return Reading(problems=(f"the tokens could not be decoded: {error!r}",))
    return read(text, pictures)


def read(answer: str, pictures: int) -> Reading:
    """Reads an answer to a sample of so many pictures, with or without its special tokens. Never raises."""
    if not isinstance(answer, str):
        return Reading(problems=(f"the answer is no text but {type(answer).__name__}",))
    problems: list[str] = []
    if len(answer) > LONGEST:
        problems.append(f"longer than {LONGEST} characters; the rest was not read")
    text = answer[:LONGEST]
    for end in END_TOKENS:
        text = text.partition(end)[0]
    return _read_proper(*_split_thought(text, problems), pictures, problems)


def proper(text: str) -> str:
    """The part of an answer that counts, as `read` has it: the text itself where it has no tags, '' without an answer.

    The text must end where its end token is.
    """
    return _split_thought(text, [])[1]


def _split_thought(text: str, problems: list[str]) -> tuple[str | None, str]:
    """The thought, and the answer proper; the text itself where it has no tags."""
    if not any(tag in text for tag in TAGS):
        return None, text
    thought: str | None = None
    rest = text
    before, closed, after = text.partition("</think>")
    if closed:
        lead, opened, inner = before.partition("<think>")
        thought, rest = (inner if opened else before), after
        if not opened:
            problems.append("</think> without <think>")
        elif lead.strip():
            problems.append(f"text before <think>: {_excerpt(lead)}")
        if not thought.strip():
            problems.append("the thought is empty")
        if any(tag in thought for tag in TAGS):
            problems.append("a tag within the thought")
    else:
        problems.append("<think> without </think>" if "<think>" in text else "no <think>")
    return thought, _inside_answer(rest, closed != "", problems)


def _inside_answer(rest: str, after_thought: bool, problems: list[str]) -> str:
    lead, opened, inner = rest.partition("<answer>")
    inside, closed, tail = inner.partition("</answer>")
    if not opened:
        problems.append("no <answer>")
    elif not closed:
        problems.append("<answer> without </answer>")
    if opened and after_thought and lead.strip():
        problems.append(f"text before <answer>: {_excerpt(lead)}")
    if "<answer>" in inner:
        problems.append("more than one <answer>")
    elif tail.strip():
        problems.append(f"text after </answer>: {_excerpt(tail)}")
    return inside.partition("<answer>")[0]


# Every repetition is bounded, so that the time is linear in the text.
_NUMBER = r" ?(-?[0-9]{1,30}(?:\.[0-9]{1,30})?) ?"
_CORNERS = rf"\({_NUMBER},{_NUMBER}\) ?,? ?\({_NUMBER},{_NUMBER}\)"
_NOUN = "(?:picture|image|img|photo|frame)"
_PIECE = re.compile(
    rf"(?P<box>(?P<open><\|box_start\|> ?)?{_CORNERS}(?P<close> ?<\|box_end\|>)?)"
    rf"|\b{_NOUN}[ _#-]{{0,2}}(?P<number>[0-9]{{1,9}})\b ?:?"
    r"|\b(?:(?:in )?the )?"
    rf"(?:(?P<nth>[0-9]{{1,9}})(?:st|nd|rd|th)|(?P<ordinal>{'|'.join(ORDINALS)})) {_NOUN}\b ?:?"
    rf"|\b(?P<none>{NONE})\b",
    re.ASCII | re.IGNORECASE,
)
_LETTER = re.compile(r" ?\(?([A-Z])(?: ?[).:]| ?$)", re.ASCII | re.IGNORECASE)
_MEANINGFUL = re.compile(r"[^\W_]|[()<>|]")  # other signs between the pieces are separators
_BROKEN_BOX = re.compile(r"\( ?(?:[-0-9.]|$)|<\|(?:box|quad)_")

_EXACT_NUMBER = "(?:0|[1-9][0-9]{0,3})"
_EXACT_CORNERS = rf"\({_EXACT_NUMBER},{_EXACT_NUMBER}\),\({_EXACT_NUMBER},{_EXACT_NUMBER}\)"
_EXACT_BOX = rf"Picture[1-9][0-9]{{0,8}}:(?:<\|box_start\|>{_EXACT_CORNERS}<\|box_end\|>|{_EXACT_CORNERS})"
_EXACT = re.compile(rf"{_EXACT_BOX}(?:;{_EXACT_BOX})*|{NONE}|[A-Z]")


class _Boxes:
    """The boxes read so far, and the picture named last (from 1), still without a box if `waiting`."""

    def __init__(self, pictures: int, problems: list[str]) -> None:
        self.pictures, self.problems = pictures, problems
        self.picture: int | None = 1 if pictures == 1 else None
        self.waiting = False
        self.tried = False
        self.targets: list[Target] = []

    def name(self, picture: int | None) -> None:
        """A picture is named, or None: the answer ends."""
        if self.waiting:
            self.problems.append(f"picture {self.picture} is named without a box")
        self.picture, self.waiting = picture, picture is not None

    def box(self, piece: re.Match[str]) -> None:
        self.waiting, self.tried = False, True
        if bool(piece["open"]) != bool(piece["close"]):
            self.problems.append(f"{BOX_START} and {BOX_END} come in pairs: {_excerpt(piece[0])}")
        numbers = piece.groups()[2:6]
        x1, y1, x2, y2 = (float(number) / 1000 for number in numbers)
        box: Box = (x1, y1, x2, y2)
        if not all(number.isdecimal() for number in numbers):
            wrong: str | None = "has a coordinate that is not an integer from 0 to 1000"
        elif self.picture is None:
            wrong = "names no picture"
        elif not 1 <= self.picture <= self.pictures:
            wrong = f"is in picture {self.picture}, but there are {self.pictures}"
        else:
            wrong = flaw(box)
        if wrong:
            self.problems.append(f"the box {_excerpt(piece['box'])} {wrong}")
        elif self.picture is not None:
            self.targets.append(Target(self.picture - 1, box))

    def between(self, words: str) -> None:
        """What stands between the pieces."""
        if _BROKEN_BOX.search(words):
            self.waiting, self.tried = False, True
            self.problems.append(f"a box that cannot be read: {_excerpt(words)}")
        elif _MEANINGFUL.search(words):
            self.problems.append(f"words that are no part of an answer: {_excerpt(words)}")


def _read_proper(thought: str | None, said: str, pictures: int, problems: list[str]) -> Reading:
    visible = said if said.isprintable() else "".join(sign if sign.isprintable() else " " for sign in said)
    text = " ".join(visible.split())
    letter = _LETTER.match(text)
    choice = letter[1].upper() if letter else None
    boxes = _Boxes(pictures, problems)
    none, end = False, letter.end() if letter else 0

    for piece in _PIECE.finditer(text, end):
        boxes.between(text[end : piece.start()])
        end = piece.end()
        if piece["box"]:
            boxes.box(piece)
        elif piece["none"]:
            none = True
        else:
            boxes.name(_picture(piece))
    boxes.between(text[end:])
    boxes.name(None)
    ways = {"a letter": letter, "boxes": boxes.tried, repr(NONE): none}
    found = [way for way, there in ways.items() if there]
    if len(found) > 1:
        problems.append(f"{' and '.join(found)} in one answer")
    elif not found:
        problems.append(f"neither a box, nor {NONE!r}, nor a letter")
    return Reading(
        targets=tuple(boxes.targets),
        none=none and not boxes.tried,
        choice=choice,
        thought=thought,
        problems=_few(problems),
        exact=_EXACT.fullmatch("".join(said.split())) is not None,
    )


def _picture(name: re.Match[str]) -> int:
    ordinal = name["ordinal"]
    return ORDINALS.index(ordinal.lower()) + 1 if ordinal else int(name["number"] or name["nth"])


def _few(problems: list[str]) -> tuple[str, ...]:
    """The first problems; hostile text has one a character."""
    more = len(problems) - _MOST_PROBLEMS
    return (*problems[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else []))


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
