"""What is an annotated frame? The one form that every source dataset is read into and every composer works from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..grounding.boxes import box_error
from ..grounding.samples import Box

EVERYTHING = "*"
"""In `Frame.unclear`: the frame shows something whose name is not known, so that nothing is surely absent."""

CROSSING = 1.0
"""Pixels by which a box may cross an edge of its image, the rounding of many exporters; it is clipped."""

WITHOUT_AREA = "box without area"
"""The class of fault of a box that gives no target and is no error."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An object in a frame, or one that is known not to be seen there.

    `id` is that of the annotation in its source. `identity` names the object within its scene and is the same in
    all frames that show it; it is empty where the source does not track. `attributes` are descriptions that hold.
    `box` is None where the object is not visible.
    """

    id: str
    category: str
    box: Box | None
    identity: str = ""
    attributes: tuple[str, ...] = ()

    @property
    def visible(self) -> bool:
        return self.box is not None

    @property
    def phrases(self) -> tuple[str, ...]:
        """Everything it can be asked for by."""
        return (self.category, *self.attributes) if self.category else self.attributes


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture with all that is known to be in it.

    `id` is unique in its source. `scene` is a group of pictures, a take or a video; `view` a camera; `time` the
    frame's number as its source counts. `path` is relative to the source's root: an image, or a video whose frame
    `member` (from 0) is meant. `width` and `height` are those that the annotation refers to, in pixels; a
    rescaled copy has the same unit boxes. `unclear` are phrases that cannot be asked about here: an object
    without a usable box stands for each. What is neither an instance nor unclear is absent, if the source is
    exhaustive. `aliases` are other names of the same picture, such as "coco:391895", by which it is excluded.
    """

    id: str
    scene: str
    path: str
    width: int
    height: int
    instances: tuple[Instance, ...] = ()
    view: str = ""
    time: int = 0
    member: int | None = None
    unclear: frozenset[str] = frozenset()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A question of the source about some frames of a scene (their ids), answered by every object of a phrase."""

    id: str
    scene: str
    text: str
    answer: str
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Pictures by relative path, and (question, answer) turns about them, without marks of pictures.

    `choice` of a turn is the letter that its answer begins with, if its question offers letters; else None.
    """

    id: str
    images: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]

    def choice(self, turn: int) -> str | None:
        question, answer = self.turns[turn]
        offered = re.findall(r"(?:^|[\s(])([A-H])[.):]\s", question)
        given = re.fullmatch(r"\(?([A-H])(?:[.):].*)?", answer.strip(), re.DOTALL)
        return given[1] if given and len(offered) > 1 and given[1] in offered else None


@dataclass
class Skips:
    """What a reader did not use: how often, by class, and the first places of each."""

    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, where: str) -> None:
        """`what` is the class, such as "box outside its image"; `where` the record and key."""
        self.counts[what] = self.counts.get(what, 0) + 1
        first = self.places.setdefault(what, [])
        if len(first) < 5:
            first.append(where[:200])


def unit_box(xyxy: tuple[float, float, float, float], width: int, height: int) -> Box | str:
    """Corners in pixels as a unit box, clipped by at most CROSSING pixels; else the class of fault."""
    x1, y1, x2, y2 = xyxy
    if not all(abs(v) < 1e9 for v in xyxy):
        return "box with a coordinate that is not finite"
    if x1 > x2 or y1 > y2:
        return "inverted box"
    if max(-x1, -y1, x2 - width, y2 - height) > CROSSING:
        return "box outside its image"
    box = (max(x1 / width, 0.0), max(y1 / height, 0.0), min(x2 / width, 1.0), min(y2 / height, 1.0))
    if min(box[2] - box[0], box[3] - box[1]) < 1e-9 or box_error(box):
        return WITHOUT_AREA
    return box


def clean_phrase(text: object) -> str | None:
    """A name or description as it may stand quoted in a query, spaces made single; None if it may not.

    Refused are what is no text, empty, longer than 300 characters, not printable, or has a quotation mark, an
    angle bracket with a bar, or a tag of the answer grammar in it.
    """
    if not isinstance(text, str):
        return None
    words = " ".join(text.split())
    if not 0 < len(words) <= 300 or not words.isprintable() or re.search(r'["{}]|<\||</?(?:think|answer)>', words):
        return None
    return None if words == EVERYTHING else words
