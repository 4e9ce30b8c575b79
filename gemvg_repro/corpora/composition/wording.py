"""How are queries and chains of thought worded? By templates of a wording file, drawn by a seed."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml

from ...files.validation import Refused
from ...grounding.boxes import to_grid
from ...grounding.number_words import CARDINALS
from ...grounding.samples import Box

FILE = Path(__file__).with_name("wording.yaml")
"""The wordings of a recipe that names no others."""

ReferenceStyle = Literal["drawn", "written", "alone"]
"""How a reference is marked: by a box drawn into its image, by coordinates, or as all that its image shows."""

_THIRDS = (1 / 3, 2 / 3)
_ROWS, _COLUMNS = ("top", "", "bottom"), ("left", "", "right")


_BY_PICTURE = {"present", "absent", "seen", "hidden"}
"""Sentences that a file does without if it tallies: says of all pictures at once how many are in each."""

Wording = dict[str, dict[str, list[str]]]


@cache
def wording(file: Path = FILE) -> Wording:
    """The file: queries, marks and chains, each a list of wordings by name. Raises Refused unless it has all names."""
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Refused(f"{file} is no file of wordings: {error}; {FILE} is one") from error
    groups = content if isinstance(content, dict) else {}
    tallied = isinstance(groups.get("chains"), dict) and "tally" in groups["chains"]
    for group, names in wording(FILE).items() if file != FILE else ():
        for name in names if not tallied else [name for name in names if name not in _BY_PICTURE]:
            of_group = groups.get(group)
            texts = of_group.get(name) if isinstance(of_group, dict) else None
            if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
                raise Refused(f"{file} has no list of texts at {group}: {name}; {FILE} has all that there must be")
    checked: Wording = content
    if not isinstance(checked.get("attributes", {}), dict):
        raise Refused(f"{file}: attributes: expected lists of phrases by the attribute's name")
    return checked


def query(words: Wording, rng: Random, name: str, /, **slots: str) -> tuple[str, str]:
    """A query of a name such as "semantic.common", and the template it was made by, such as "semantic.common/2"."""
    templates = words["queries"][name]
    n = rng.randrange(len(templates))
    return templates[n].format(**slots), f"{name}/{n}"


def mark(words: Wording, rng: Random, picture: int, box: Box, style: ReferenceStyle) -> str:
    """The words that refer to the reference, in the image at this position (from 0)."""
    template = rng.choice(words["marks"][style])
    x1, y1, x2, y2 = to_grid([box])[0].tolist()
    return template.format(picture=picture + 1, x1=x1, y1=y1, x2=x2, y2=y2)


def sentence(words: Wording, rng: Random, name: str, /, **slots: Any) -> str:
    """A sentence of a chain of thought."""
    return rng.choice(words["chains"][name]).format(**slots)


def place(box: Box) -> str:
    """Where the centre of a box is, in thirds: "top left", "centre"."""
    column, row = (bisect(_THIRDS, (box[side] + box[side + 2]) / 2) for side in (0, 1))
    return f"{_ROWS[row]} {_COLUMNS[column]}".strip() or "centre"


def count(words: Wording, rng: Random, picture: int, phrase: str, boxes: Sequence[Box]) -> str:
    """How many of a phrase are in a picture (from 0), and where."""
    if not boxes:
        return sentence(words, rng, "absent", picture=picture + 1, phrase=phrase)
    number = CARDINALS[len(boxes)] if len(boxes) < len(CARDINALS) else str(len(boxes))
    places = ", ".join(place(box) for box in boxes)
    return sentence(words, rng, "present", picture=picture + 1, count=number, phrase=phrase, places=places)


def evidence(words: Wording, rng: Random, phrase: str, boxes_by_picture: Sequence[tuple[int, Sequence[Box]]]) -> str:
    """How many of a phrase are in each of these pictures (from 0)."""
    if "tally" in words["chains"]:
        return sentence(words, rng, "tally", phrase=phrase, told=_tally_parts(words, rng, boxes_by_picture))
    return " ".join(count(words, rng, picture, phrase, boxes) for picture, boxes in boxes_by_picture)


def sightings(
    words: Wording, rng: Random, box_by_picture: Sequence[tuple[int, Box | None]], phrase: str | None = None
) -> str:
    """Where one object is in each of these pictures (from 0); a tally names it by the phrase, if there is one."""
    if "tally" not in words["chains"]:
        return " ".join(sighting(words, rng, picture, box) for picture, box in box_by_picture)
    parts = _tally_parts(words, rng, [(picture, [box] if box else []) for picture, box in box_by_picture])
    return (
        sentence(words, rng, "tally", phrase=phrase, told=parts)
        if phrase
        else sentence(words, rng, "track", told=parts)
    )


def _tally_parts(words: Wording, rng: Random, boxes_by_picture: Sequence[tuple[int, Sequence[Box]]]) -> str:
    numbers = [
        (picture, CARDINALS[len(boxes)] if len(boxes) < len(CARDINALS) else len(boxes))
        for picture, boxes in boxes_by_picture
    ]
    return ", ".join(sentence(words, rng, "told", picture=picture + 1, count=number) for picture, number in numbers)


def sighting(words: Wording, rng: Random, picture: int, box: Box | None) -> str:
    """Where one object is in a picture (from 0), or that it is not seen."""
    if box is None:
        return sentence(words, rng, "hidden", picture=picture + 1)
    return sentence(words, rng, "seen", picture=picture + 1, place=place(box))
