"""Which labelled boxes does a JSON answer have, also one that is cut off, beside prose, or not quite JSON?

The rules of the two evaluators whose prompts are used (Vision-R1's, and lmms-eval's tasks/odinw13/utils.py:47-127,
65ef07df) where they agree, in this order:

- If there are fenced blocks with an object in them, these alone are read; a fence without its end goes to the end.
- A block that is JSON is read whole. Of any other every complete object is, as JSON or as a Python literal (single
  quotes, a trailing comma), whether a list is around it or not, and whether that is closed.
- A box is four numbers under `bbox_2d`, `bbox`, `box_2d` or `box`, of an object at any depth. Boxes are in the order of
  the text; of a second block those are left out that the first had.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..files.validation import numbers
from ..grounding.parsing import MAX_CHARACTERS

_FENCE = re.compile(r"```[a-zA-Z]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_BOX_KEYS = ("bbox_2d", "bbox", "box_2d", "box")
_LABEL_KEYS = ("label", "class", "category", "name", "class_name")
_LONGEST_LITERAL = 1000  # characters: Python's own parser is not made for hostile text
_MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """Four numbers, x1, y1, x2, y2 in the answer's own units, and the label beside them."""

    corners: tuple[float, float, float, float]
    label: str | None


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """The boxes of a JSON answer. `complete`: nothing that belongs to it was left unread."""

    boxes: tuple[LabelledBox, ...]
    complete: bool


def parse_json_boxes(text: str) -> JsonAnswer | None:
    """The boxes of an answer; None if it has no object with a box, and is not an empty list. Never raises."""
    text = text[:MAX_CHARACTERS]
    fenced = [block for block in _FENCE.findall(text) if "{" in block or block.strip() == "[]"]
    parsed = [_parse_block(block.strip()) for block in fenced or [text.strip()]]
    blocks = [block for block in parsed if block is not None]
    if not blocks:
        return None
    boxes: list[LabelledBox] = []
    for block in blocks:
        earlier = set(boxes)
        boxes += [box for box in block.boxes if box not in earlier]
    return JsonAnswer(tuple(boxes), all(block.complete for block in blocks))


def _parse_block(block: str) -> JsonAnswer | None:
    try:
        content = json.loads(block)
    except (ValueError, RecursionError):
        return _parse_objects(block)
    return JsonAnswer((), complete=True) if content == [] else _answer(list(_items(content)), complete=True)


def _answer(items: list[LabelledBox | None], complete: bool) -> JsonAnswer | None:
    boxes = tuple(item for item in items if item is not None)
    return JsonAnswer(boxes, complete and len(boxes) == len(items)) if boxes else None


def _parse_objects(text: str) -> JsonAnswer | None:
    """The boxes of every complete object in a text that is not JSON as a whole."""
    spans, complete = _object_spans(text)
    items: list[LabelledBox | None] = []
    end = open_lists = 0
    for start, stop in spans:
        content = _literal(text[start:stop])
        complete = complete and content is not None
        items += _items(content)
        open_lists = max(0, open_lists + text.count("[", end, start) - text.count("]", end, start))
        end = stop
    return _answer(items, complete and text.count("]", end) >= open_lists)


def _object_spans(text: str) -> tuple[list[tuple[int, int]], bool]:
    """Start and end of every {...} that is in no other, in order; and whether every brace is closed.

    Quotes within braces are strings, up to the end of their line at most.
    """
    spans: list[tuple[int, int]] = []
    opened: list[int] = []
    quote, escaped = "", False
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == "\n" or (sign == quote and not escaped) else quote
            escaped = sign == "\\" and not escaped
        elif sign in "\"'" and opened:
            quote = sign
        elif sign == "{":
            opened.append(place)
        elif sign == "}" and opened:
            start = opened.pop()
            while spans and spans[-1][0] > start:
                spans.pop()
            spans.append((start, place + 1))
    return spans, not opened


def _literal(text: str) -> Any:
    """The object of a text, as JSON or as a Python literal; None if it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > _LONGEST_LITERAL:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _items(content: Any, depth: int = 0) -> Iterator[LabelledBox | None]:
    """Every object with a box in a parsed content, in order; None for what should be a box and is none."""
    if depth > _MAX_DEPTH:
        yield None
    elif isinstance(content, list | tuple):
        for each in content:
            yield from _items(each, depth + 1)
    elif isinstance(content, dict):
        key = next((key for key in _BOX_KEYS if key in content), None)
        if key is None:
            for each in content.values():
                yield from _items(each, depth + 1)
            return
        corners = numbers(list(content[key]) if isinstance(content[key], tuple) else content[key])
        label = next((content[key] for key in _LABEL_KEYS if key in content), None)
        if corners is None:
            yield None
        else:
            x1, y1, x2, y2 = corners
            yield LabelledBox((x1, y1, x2, y2), label if isinstance(label, str) else None)
