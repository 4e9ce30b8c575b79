"""What is a composed sample, and which rules do composers follow? It keeps the ids of its annotations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...grounding.samples import Box, Kind
from ..frames import AnnotatedFrame, Instance
from ..index import Index, unclear
from ..naming import implies
from .wording import FILE, ReferenceStyle, Wording, wording


class Rules(BaseModel):
    """The rules of all composers. Sizes are fractions of the image's own width and height.

    An object with a side below `smallest_target` is too small to be asked for: a picture that has one is not used
    for its phrase. A reference has no side below `smallest_reference`, touches no edge, as a truncated object would,
    and shares its place with no other. Crowds are unclear in their frame (readers), so their category is not asked
    about there. At most `most_targets` targets; `without_target` of the samples have none, where the annotation can
    prove it. The share `alone` of the references is all that its picture shows, as far as the source says, and needs
    no mark; of the others `drawn` are boxes in the picture, the rest coordinates in the query. `hard` negatives share
    something with the anchor; `common` is the share of questions about what all pictures have in common.
    Frames of a view are `least_gap` apart, in the source's frame numbers. `tries` bounds every search.

    `targets` are the shares of samples with no, one, two targets and so on, for composers that draw their pictures by
    a phrase; without it they come as they come. With `first` the reference is in Picture 1, and in a view whose name
    begins with `reference_view`. What moves is asked for in
    the last picture only in the share `last`. With `complete` a source is taken to annotate all that it shows,
    whatever sources of its kind promise: for those that are made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: tuple[int, int] = (2, 6)
    most_targets: int = Field(default=8, ge=1)
    smallest_target: float = Field(default=0.01, ge=0)
    smallest_reference: float = Field(default=0.03, ge=0)
    without_target: float = Field(default=0.1, ge=0, le=1)
    alone: float = Field(default=0.0, ge=0, le=1)
    drawn: float = Field(default=0.5, ge=0, le=1)
    hard: float = Field(default=0.5, ge=0, le=1)
    common: float = Field(default=0.3, ge=0, le=1)
    least_gap: int = Field(default=1, ge=1)
    targets: tuple[float, ...] = ()
    first: bool = False
    reference_view: str = ""
    last: float = Field(default=0.4, ge=0, le=1)
    complete: bool = False
    tries: int = Field(default=24, ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 1 <= self.pictures[0] <= self.pictures[1]:
            raise ValueError(f"pictures {list(self.pictures)}: expected [least, most], with 1 <= least <= most")
        return self


class Unfit(Exception):
    """No sample can be composed from an anchor; the message is the class of reason, which is counted."""


@dataclass(frozen=True, slots=True)
class PictureRef:
    """A reference to a frame as an image of a sample, with the box that is drawn into it, if any."""

    frame: str
    path: str
    member: int | None
    width: int
    height: int
    mark: Box | None = None


@dataclass(frozen=True, slots=True)
class ComposedTarget:
    """A target: the picture's position from 0, the id of the annotation in its source, and the unit box."""

    picture: int
    annotation: str
    box: Box


@dataclass(frozen=True, slots=True)
class ComposedSample:
    """A sample. `template` names its wording; `key` is equal for samples of the same question.

    `question` is the id of the source's question or conversation; `turns` are those of a conversation, which has no
    targets. `choice` is the letter of the right option. `further` are follow-up questions about the same images.
    """

    kind: Kind
    source: str
    scene: str
    template: str
    pictures: tuple[PictureRef, ...]
    query: str
    targets: tuple[ComposedTarget, ...]
    chain: str
    key: int
    question: str = ""
    turns: tuple[tuple[str, str], ...] = ()
    choice: str | None = None
    further: tuple[ComposedSample, ...] = ()


@dataclass
class Context:
    """The inputs of a composer: an index, the rules and the wording file."""

    index: Index
    rules: Rules
    wording: Path = FILE

    @property
    def words(self) -> Wording:
        return wording(self.wording)

    @property
    def exhaustive(self) -> bool:
        """Whether an object that is not annotated in a frame is absent."""
        return self.index.exhaustive or self.rules.complete

    @property
    def families(self) -> Mapping[str, Sequence[str]]:
        """The phrases of each attribute, of which an object has one."""
        return self.words.get("attributes", {})


def question_key(*parts: str | Sequence[str]) -> int:
    """A hash of 63 bits, equal for two samples if these parts are; order within a sequence does not matter."""
    ordered = [part if isinstance(part, str) else sorted(part) for part in parts]
    digest = hashlib.blake2b(json.dumps(ordered).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def matching_instances(frame: AnnotatedFrame, phrase: str) -> list[Instance]:
    """The visible instances that a phrase describes, from left to right."""
    instances = [i for i in frame.instances if i.box is not None and phrase in i.phrases]
    return sorted(instances, key=lambda i: i.box or (0.0, 0.0, 0.0, 0.0))


def is_askable(frame: AnnotatedFrame, phrase: str, rules: Rules) -> bool:
    """Whether every object that the phrase describes in the frame is known and large enough."""
    return not unclear(frame, phrase) and all(
        smallest_side(i) >= rules.smallest_target for i in matching_instances(frame, phrase)
    )


def matching_boxes(frame: AnnotatedFrame, phrase: str) -> list[Box]:
    """The boxes of the visible instances that a phrase describes."""
    return [i.box for i in matching_instances(frame, phrase) if i.box is not None]


def display_name(instance: Instance) -> str:
    """Its category, or the description that implies most of the others."""
    return instance.category or _most_specific(instance.attributes)


@lru_cache(maxsize=4096)
def _most_specific(phrases: tuple[str, ...]) -> str:
    return max(phrases, key=lambda name: (sum(implies(name, phrase) for phrase in phrases), name))


def smallest_side(instance: Instance) -> float:
    """The smaller side of its box; 0 without one."""
    return min(instance.box[2] - instance.box[0], instance.box[3] - instance.box[1]) if instance.box else 0.0


def draw_reference_style(rng: Random, rules: Rules) -> ReferenceStyle:
    """How the reference is marked: alone, drawn or written."""
    if rules.alone and rng.random() < rules.alone:
        return "alone"
    return "drawn" if rng.random() < rules.drawn else "written"


def reference_candidates(frame: AnnotatedFrame, rules: Rules, way: ReferenceStyle) -> list[Instance]:
    """The objects that can be a reference: not small, not truncated by an edge, none other in the same place.

    One that is to be alone is the only one, and may touch an edge.
    """
    visible = [i for i in frame.instances if i.box is not None]
    if way == "alone":
        single = len(visible) == 1 and not frame.unclear
        return [i for i in visible if single and smallest_side(i) >= rules.smallest_reference]
    return [i for i in visible if _stands_out(i, rules) and not any(_coincide(i, j) for j in visible if j is not i)]


def _stands_out(instance: Instance, rules: Rules) -> bool:
    box = instance.box
    inside = box is not None and min(box[0], box[1]) > 0.002 and max(box[2], box[3]) < 0.998
    return inside and smallest_side(instance) >= rules.smallest_reference


def _coincide(a: Instance, b: Instance) -> bool:
    """Whether the boxes of the two cannot be distinguished."""
    return all(abs(v - w) < 0.005 for v, w in zip(a.box or (), b.box or (), strict=True))


def picture_refs(
    frames: Iterable[AnnotatedFrame], marked: int | None = None, mark: Box | None = None
) -> tuple[PictureRef, ...]:
    """References to frames; that at position `marked` has the mark drawn into it."""
    return tuple(
        PictureRef(f.id, f.path, f.member, f.width, f.height, mark if n == marked else None)
        for n, f in enumerate(frames)
    )


def matching_targets(
    frames: Sequence[AnnotatedFrame], phrase: str, without: int | None, rules: Rules
) -> tuple[ComposedTarget, ...]:
    """All objects of a phrase but those in the image at `without`. Raises Unfit if there are too many."""
    targets = tuple(
        ComposedTarget(n, i.id, i.box)
        for n, frame in enumerate(frames)
        if n != without
        for i in matching_instances(frame, phrase)
        if i.box is not None
    )
    if len(targets) > rules.most_targets:
        raise Unfit("too many targets")
    return targets


def draw_picture_count(rng: Random, rules: Rules, available: int | None = None) -> int:
    """A number of pictures within the rules, and of those available. Raises Unfit if these are too few."""
    lower, upper = rules.pictures
    upper = upper if available is None else min(upper, available)
    if upper < lower:
        raise Unfit("too few pictures")
    return rng.randint(lower, upper)
