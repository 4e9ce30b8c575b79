"""What is an annotated frame? The one format that every source dataset is read into and that composers work from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ..grounding.boxes import box_error
from ..grounding.samples import Box

EVERYTHING = "*"
"""In `AnnotatedFrame.unclear`: an object of unknown name is in the frame, so that no phrase is known to be absent."""

CROSSING = 1.0
"""Pixels by which a box may cross an edge of its image (many exporters round so); it is clipped."""

WITHOUT_AREA = "box without area"
"""The class of fault of a box that gives no target and is no error."""

PROPORTIONS = 0.02
"""By how much the proportions of a picture may differ from those that its annotation states."""


@dataclass(frozen=True, slots=True)
class Instance:
    """An object in a frame, or one that is annotated as not visible there.

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
        """All phrases that refer to it."""
        return (self.category, *self.attributes) if self.category else self.attributes


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """An image with its annotations.

    `id` is unique in its source. `scene` is a group of images, a take or a video; `view` a camera; `time` the
    frame's number as its source counts. `path` is relative to the source's root: an image, or a video and
    its frame `member` (from 0). `width` and `height` are those that the annotation refers to, in pixels; a
    rescaled copy has the same unit boxes. `unclear` are phrases that cannot be queried here, since an object
    of that name has no usable box. What is neither an instance nor unclear is absent, if the source is
    exhaustive. `aliases` are other names of the same image, such as "coco:391895", by which it is excluded.
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
class SourceQuestion:
    """A question of the source about frames of a scene (their ids); its answer is every object of a phrase."""

    id: str
    scene: str
    text: str
    answer: str
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Images by relative path, and (question, answer) turns about them.

    `choice` of a turn is the letter that its answer begins with, if its question has lettered options; else None.
    """

    id: str
    images: tuple[str, ...]
    turns: tuple[tuple[str, str], ...]

    def choice(self, turn: int) -> str | None:
        question, answer = self.turns[turn]
        letters = re.findall(r"(?:^|[\s(])([A-H])[.):]\s", question)
        letter = re.fullmatch(r"\(?([A-H])(?:[.):].*)?", answer.strip(), re.DOTALL)
        return letter[1] if letter and len(letters) > 1 and letter[1] in letters else None


@dataclass
class Skips:
    """Records that a reader left out: how many by class of fault, and the first places of each."""

    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, where: str) -> None:
        """`what` is the class, such as "box outside its image"; `where` the record and key."""
        self.counts[what] = self.counts.get(what, 0) + 1
        first = self.places.setdefault(what, [])
        if len(first) < 5:
            first.append(where[:200])


def unit_box(xyxy: tuple[float, float, float, float], width: int, height: int) -> Box | str:
    """Corners in pixels as a box in [0, 1], clipped by at most CROSSING pixels; else the class of fault."""
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


def other_proportions(stated: tuple[int, int], actual: tuple[int, int]) -> bool:
    """Whether a picture of these (width, height) is no copy of the stated one at another scale.

    Sides are rounded to whole pixels, and a share of PROPORTIONS is allowed: a box is off by no more than that.
    """
    width, height = stated
    difference = abs(actual[0] * height - actual[1] * width)
    return difference > width + height + PROPORTIONS * width * actual[1]


def clean_phrase(text: object) -> str | None:
    """A name or description, spaces made single, if it can be quoted in a query; else None.

    Refused are what is no text, empty, longer than 300 characters, not printable, or has a quotation mark, an
    angle bracket with a bar, or a tag of the answer grammar in it.
    """
    if not isinstance(text, str):
        return None
    words = " ".join(text.split())
    if not 0 < len(words) <= 300 or not words.isprintable() or re.search(r'["{}]|<\||</?(?:think|answer)>', words):
        return None
    return None if words == EVERYTHING else words
