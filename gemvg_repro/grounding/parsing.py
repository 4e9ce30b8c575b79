"""Parses the text of an answer into targets, "none" or a letter, whatever a model wrote. Never raises.

The grammar is that of `grounding.answers`. Beyond it:

- With tags, only what stands in <answer> counts: in the first of several, and of those after the first </think> where
  there is one, since nothing in or before a thought is an answer. An unclosed <answer> ends at the next, or at the end
  of the text. A thought without an <answer> after it answers nothing. Text after the end token is ignored.
- A box belongs to the image named last before it; before any name, to the sample's only image.
- A box that is inverted, outside, without area, cut off, or in an image that the sample does not have is dropped.
- "none" next to boxes, good or bad, is ignored.
- Each of these, and each word that belongs to no answer, is a problem. The boxes that could be parsed stay.
- An answer is unreadable if it has neither a good box, nor "none", nor a letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .answers import BOX_END, BOX_START, END_TOKENS, NONE, TAGS
from .boxes import box_error
from .number_words import ORDINALS
from .samples import Box, Target

MAX_CHARACTERS = 2**16
"""Characters of an answer that are parsed; no honest answer is as long."""

_MAX_PROBLEMS = 8


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """The content of an answer: targets, or that there are none, or a letter; and every problem in parsing it.

    Attributes:
        targets: the boxes that could be parsed, in the order of the text.
        none: the answer states that there is no target.
        choice: the letter of a multiple-choice option.
        thought: the text within <think>; None without one.
        problems: what could not be parsed; empty if everything could.
        exact: the final answer is in the grammar to the letter, but for spaces and for box tokens that were stripped;
            "Image-2: (1,2),(3,4)" is parsed but not exact.
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


def parse_ids(ids: Sequence[int], decode: Callable[[Sequence[int]], Any], pictures: int) -> ParsedAnswer:
    """Parses generated token ids up to the end token.

    `decode` must keep special tokens: `functools.partial(tokenizer.decode, skip_special_tokens=False)`.
    """
    try:
        text = decode(ids)
    except Exception as error:  # whatever a tokenizer makes of foreign ids, a reward or a score must come out
        return ParsedAnswer(problems=(f"the tokens could not be decoded: {error!r}",))
    return parse_answer(text, pictures)


def parse_answer(answer: str, pictures: int) -> ParsedAnswer:
    """Parses an answer to a sample of `pictures` images, with or without its special tokens. Never raises."""
    if not isinstance(answer, str):
        return ParsedAnswer(problems=(f"the answer is no text but {type(answer).__name__}",))
    problems: list[str] = []
    if len(answer) > MAX_CHARACTERS:
        problems.append(f"longer than {MAX_CHARACTERS} characters; the rest was not read")
    text = answer[:MAX_CHARACTERS]
    for end in END_TOKENS:
        text = text.partition(end)[0]
    return _parse_final(*_split_thought(text, problems), pictures, problems)


def final_answer(text: str) -> str:
    """The part of an answer that `parse_answer` counts: the whole text without tags, '' without an <answer>.

    The text must end where its end token is.
    """
    return _split_thought(text, [])[1]


def _split_thought(text: str, problems: list[str]) -> tuple[str | None, str]:
    """The thought, and the final answer; the whole text where it has no tags."""
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
ELEMENT = re.compile(
    rf"(?P<box>(?P<open><\|box_start\|> ?)?{_CORNERS}(?P<close> ?<\|box_end\|>)?)"
    rf"|\b{_NOUN}[ _#-]{{0,2}}(?P<number>[0-9]{{1,9}})\b ?:?"
    r"|\b(?:(?:in )?the )?"
    rf"(?:(?P<nth>[0-9]{{1,9}})(?:st|nd|rd|th)|(?P<ordinal>{'|'.join(ORDINALS)})) {_NOUN}\b ?:?"
    rf"|\b(?P<none>{NONE})\b",
    re.ASCII | re.IGNORECASE,
)
"""A box, the name of an image, or "none"."""
_LETTER = re.compile(r" ?\(?([A-Z])(?: ?[).:]| ?$)", re.ASCII | re.IGNORECASE)
_MEANINGFUL = re.compile(r"[^\W_]|[()<>|]")  # other signs between the elements are separators
_BROKEN_BOX = re.compile(r"\( ?(?:[-0-9.]|$)|<\|(?:box|quad)_")

_EXACT_NUMBER = "(?:0|[1-9][0-9]{0,3})"
_EXACT_CORNERS = rf"\({_EXACT_NUMBER},{_EXACT_NUMBER}\),\({_EXACT_NUMBER},{_EXACT_NUMBER}\)"
_EXACT_BOX = rf"Picture[1-9][0-9]{{0,8}}:(?:<\|box_start\|>{_EXACT_CORNERS}<\|box_end\|>|{_EXACT_CORNERS})"
_EXACT = re.compile(rf"{_EXACT_BOX}(?:;{_EXACT_BOX})*|{NONE}|[A-Z]")


class _BoxParser:
    """The boxes parsed so far, and the image named last (from 1), still without a box if `waiting`.

    `tried`: there was a box, good or bad.
    """

    def __init__(self, pictures: int, problems: list[str]) -> None:
        self.pictures, self.problems = pictures, problems
        self.picture: int | None = 1 if pictures == 1 else None
        self.waiting = False
        self.tried = False
        self.targets: list[Target] = []

    def name(self, picture: int | None) -> None:
        """The name of an image; None at the end of the answer."""
        if self.waiting:
            self.problems.append(f"picture {self.picture} is named without a box")
        self.picture, self.waiting = picture, picture is not None

    def box(self, element: re.Match[str]) -> None:
        self.waiting, self.tried = False, True
        if bool(element["open"]) != bool(element["close"]):
            self.problems.append(f"{BOX_START} and {BOX_END} come in pairs: {_excerpt(element[0])}")
        numbers = element.groups()[2:6]
        x1, y1, x2, y2 = (float(number) / 1000 for number in numbers)
        box: Box = (x1, y1, x2, y2)
        if not all(number.isdecimal() for number in numbers):
            error: str | None = "has a coordinate that is not an integer from 0 to 1000"
        elif self.picture is None:
            error = "names no picture"
        elif not 1 <= self.picture <= self.pictures:
            error = f"is in picture {self.picture}, but there are {self.pictures}"
        else:
            error = box_error(box)
        if error:
            self.problems.append(f"the box {_excerpt(element['box'])} {error}")
        elif self.picture is not None:
            self.targets.append(Target(self.picture - 1, box))

    def between(self, words: str) -> None:
        """The text between two elements."""
        if _BROKEN_BOX.search(words):
            self.waiting, self.tried = False, True
            self.problems.append(f"a box that cannot be read: {_excerpt(words)}")
        elif _MEANINGFUL.search(words):
            self.problems.append(f"words that are no part of an answer: {_excerpt(words)}")


def _parse_final(thought: str | None, answer: str, pictures: int, problems: list[str]) -> ParsedAnswer:
    visible_text = answer if answer.isprintable() else "".join(c if c.isprintable() else " " for c in answer)
    text = " ".join(visible_text.split())
    letter = _LETTER.match(text)
    choice = letter[1].upper() if letter else None
    boxes = _BoxParser(pictures, problems)
    none, end = False, letter.end() if letter else 0

    for element in ELEMENT.finditer(text, end):
        boxes.between(text[end : element.start()])
        end = element.end()
        if element["box"]:
            boxes.box(element)
        elif element["none"]:
            none = True
        else:
            boxes.name(picture_number(element))
    boxes.between(text[end:])
    boxes.name(None)
    forms = {"a letter": letter, "boxes": boxes.tried, repr(NONE): none}
    present = [form for form, is_present in forms.items() if is_present]
    if len(present) > 1:
        problems.append(f"{' and '.join(present)} in one answer")
    elif not present:
        problems.append(f"neither a box, nor {NONE!r}, nor a letter")
    return ParsedAnswer(
        targets=tuple(boxes.targets),
        none=none and not boxes.tried,
        choice=choice,
        thought=thought,
        problems=_first_problems(problems),
        exact=_EXACT.fullmatch("".join(answer.split())) is not None,
    )


def picture_number(name: re.Match[str]) -> int:
    """The number, from 1, of the image that an ELEMENT names."""
    ordinal = name["ordinal"]
    return ORDINALS.index(ordinal.lower()) + 1 if ordinal else int(name["number"] or name["nth"])


def _first_problems(problems: list[str]) -> tuple[str, ...]:
    """The first problems; hostile text has one a character."""
    more = len(problems) - _MAX_PROBLEMS
    return (*problems[:_MAX_PROBLEMS], *([f"and {more} more"] if more > 0 else []))


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
