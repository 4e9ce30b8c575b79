"""In which words is a sample asked and its evidence told? Those of wording.yaml, drawn by a seed."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from ...grounding.boxes import to_grid
from ...grounding.samples import Box

FILE = Path(__file__).with_name("wording.yaml")
COUNTS = "no one two three four five six seven eight nine ten eleven twelve".split()
_THIRDS = (1 / 3, 2 / 3)
_ROWS, _COLUMNS = ("top", "", "bottom"), ("left", "", "right")


@cache
def wording() -> dict[str, dict[str, list[str]]]:
    """The file: queries, marks and chains, each a list of wordings by name."""
    content: dict[str, dict[str, list[str]]] = yaml.safe_load(FILE.read_text("utf-8"))
    return content


def query(rng: Random, name: str, **slots: str) -> tuple[str, str]:
    """A query of a name such as "semantic.common", and the template it was made by, such as "semantic.common/2"."""
    templates = wording()["queries"][name]
    n = rng.randrange(len(templates))
    return templates[n].format(**slots), f"{name}/{n}"


def mark(rng: Random, picture: int, box: Box, drawn: bool) -> str:
    """The reference in the picture of this position (from 0), by a box that is drawn or by coordinates."""
    template = rng.choice(wording()["marks"]["drawn" if drawn else "written"])
    x1, y1, x2, y2 = to_grid([box])[0].tolist()
    return template.format(picture=picture + 1, x1=x1, y1=y1, x2=x2, y2=y2)


def sentence(rng: Random, name: str, **slots: Any) -> str:
    """A sentence of a chain of thought."""
    return rng.choice(wording()["chains"][name]).format(**slots)


def place(box: Box) -> str:
    """Where the centre of a box is, in thirds: "top left", "centre"."""
    column, row = (bisect(_THIRDS, (box[side] + box[side + 2]) / 2) for side in (0, 1))
    return f"{_ROWS[row]} {_COLUMNS[column]}".strip() or "centre"


def count(rng: Random, picture: int, phrase: str, boxes: Sequence[Box]) -> str:
    """How many of a phrase are in a picture (from 0), and where."""
    if not boxes:
        return sentence(rng, "absent", picture=picture + 1, phrase=phrase)
    number = COUNTS[len(boxes)] if len(boxes) < len(COUNTS) else str(len(boxes))
    places = ", ".join(place(box) for box in boxes)
    return sentence(rng, "present", picture=picture + 1, count=number, phrase=phrase, places=places)


def sighting(rng: Random, picture: int, box: Box | None) -> str:
    """Where one object is in a picture (from 0), or that it is not seen."""
    if box is None:
        return sentence(rng, "hidden", picture=picture + 1)
    return sentence(rng, "seen", picture=picture + 1, place=place(box))
