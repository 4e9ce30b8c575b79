"""How are STAR's annotations and questions read? STAR_{train,val}.json, and Action Genome's two pickles.

A record's `situations` have, for each 6-digit frame, `bbox` (xyxy in pixels, entries may be None) beside `bbox_labels`
(STAR_Benchmark, code/visualization_tools/qa_visualization.py:60-71). Action Genome's object_bbox_and_relationship.pkl
has xywh or None beside `visible`, its person_bbox.pkl xyxy arrays and the frames' size: two conventions for the same
frames. Frames come from the pickles where both are there, else from the situations; questions always from the JSON.
The JSON does not state the frames' size: person_bbox.pkl does, and without it they must be as released (RELEASED_SIDE).
There are no identities: an object is followed by its class, which is unclear where a frame has it twice. The classes
are those of STAR_classes/object_classes.txt beside the JSON (lines such as "o001 broom"); without it, as released.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...files import pickles
from ...files.validation import Refused
from ..frames import AnnotatedFrame, Instance, Skips, SourceQuestion, clean_phrase
from . import fields, json_stream

LICENCE = (
    "STAR: Apache-2.0 (code and questions); Charades videos: AI2's licence, non-commercial; Action Genome: MIT (code)"
)

CLASSES = (
    "person,broom,picture,closet/cabinet,blanket,window,table,paper/notebook,refrigerator,pillow,cup/glass/bottle,shelf,"
    "shoe,medicine,phone/camera,box,sandwich,book,bed,clothes,mirror,sofa/couch,floor,bag,dish,laptop,door,towel,food,"
    "chair,doorknob,doorway,groceries,hands,light,vacuum,television"
).split(",")
"""o000 to o036, as released."""

RELEASED_SIDE = 480
"""Pixels of the longer side of Charades_v1_480's frames, which STAR's and Action Genome's boxes refer to."""

_FRAME = re.compile(r"(?P<video>[A-Za-z0-9_-]{1,32})\.mp4/(?P<number>\d{6})\.png")

Things = list[tuple[str, Any]]
"""(class, unit box | None: not seen | text: a fault) of everything that a frame is annotated with."""


def read(
    file: Path, skips: Skips, root: Path | None = None, pickled: Path | None = None
) -> Iterator[AnnotatedFrame | SourceQuestion]:
    """Frames, then questions. `root` has <video>.mp4 files, or folders of that name with 000001.png and so on.

    `pickled` is the folder of Action Genome's pickles, or of person_bbox.pkl alone. STAR itself states no sizes: they
    come from this file, or from the pictures below `root` if these are as released. Raises Refused for a file that is
    none of STAR, or without any way to know sizes.
    """
    if root is None and pickled is None:
        raise Refused("STAR's boxes are in pixels, its files do not say of what size; give the frames' root or pickles")
    persons = _pickled(pickled, PERSONS) if pickled else None
    frames = _Frames(root, skips, persons)
    classes = _classes(file.parent / "STAR_classes" / "object_classes.txt")
    boxes_are_pickled = pickled is not None and (pickled / OBJECTS).is_file()
    if pickled and persons is not None and boxes_are_pickled:
        yield from _of_pickles(_pickled(pickled, OBJECTS), persons, frames, skips)
    seen = 0
    questions = []
    for n, record in enumerate(json_stream.items(file, "item")):
        seen += 1
        where = f"[{n}]"
        if not isinstance(record, dict) or not isinstance(record.get("situations"), dict):
            skips.add("record without situations", where)
            continue
        video = record.get("video_id")
        if not isinstance(video, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", video):
            skips.add("record without a usable video_id", where)
            continue
        if not boxes_are_pickled:
            yield from _of_situations(video, record["situations"], where, frames, classes, skips)
        if question := _question(video, record, where, classes, skips):
            questions.append(question)
            if len(questions) > 100_000:
                yield from questions
                questions = []
    if not seen:
        raise Refused(f"{file} is no file of STAR: expected a list of questions")
    yield from questions


class _Frames:
    """Makes frames of known size and place."""

    def __init__(self, root: Path | None, skips: Skips, persons: dict[str, Any] | None) -> None:
        self.files, self.skips = fields.Folder(root), skips
        self.root, self._persons = root, persons
        self._sizes: dict[str, fields.Size | None] = {}
        self._agreeing: dict[str, bool] = {}

    def size(self, video: str, number: int) -> fields.Size | str:
        """The size that the boxes of a frame refer to: the stated one, or as released; else the class of fault."""
        if self._persons is not None:
            return _stated_size(self._persons.get(f"{video}.mp4/{number:06d}.png")) or "frame of unknown size"
        if self._sizes.get(video) is None:
            is_file = self.root is not None and (self.root / f"{video}.mp4").is_file()
            self._sizes[video] = self.files.size(f"{video}.mp4" if is_file else f"{video}.mp4/{number:06d}.png")
        size = self._sizes[video]
        if size is None:
            return "frame of unknown size"
        if max(size) != RELEASED_SIDE:
            return (
                f"frame whose longer side has not the {RELEASED_SIDE} pixels of Charades_v1_480, which its boxes refer "
                f"to; {PERSONS} would state the size"
            )
        return size

    def _agrees(self, video: str, path: str, size: fields.Size, where: str) -> bool:
        """Whether the first frame of a video has the proportions that its annotation states."""
        if video not in self._agreeing:
            self._agreeing[video] = self.files.agrees(path, size, where, self.skips)
        elif not self._agreeing[video]:
            self.skips.add("picture of other proportions than its annotation states", where)
        return self._agreeing[video]

    def make(self, video: str, number: int, things: Things, size: fields.Size) -> AnnotatedFrame | None:
        where = f"{video}.mp4/{number:06d}.png"
        path, member = where, None
        if self.root is not None and not self.files.has(where):
            if not self.files.has(f"{video}.mp4") or (self.root / f"{video}.mp4").is_dir():
                self.skips.add("picture or video missing", where)
                return None
            path, member = f"{video}.mp4", number - 1
        if not self._agrees(video, path, size, where):
            return None
        count = Counter(name for name, _ in things)
        unclear = {name for name, n in count.items() if n > 1}
        if unclear:
            self.skips.add("class twice in a frame", where)
        instances = []
        for name, box in things:
            if isinstance(box, str):
                self.skips.add(box, f"{where}: {name}")
                unclear.add(name)
            elif name not in unclear:
                instances.append(Instance(f"{where}/{name}", name, box, identity=name))
        instances = [i for i in instances if i.category not in unclear]
        return AnnotatedFrame(where, video, path, *size, tuple(instances), "video", number, member, frozenset(unclear))


def _of_situations(
    video: str, situations: dict[str, Any], where: str, frames: _Frames, classes: Sequence[str], skips: Skips
) -> Iterator[AnnotatedFrame]:
    for key, situation in situations.items():
        place = f"{where}.situations.{key}"
        boxes = situation.get("bbox") if isinstance(situation, dict) else None
        labels = situation.get("bbox_labels") if isinstance(situation, dict) else None
        if not re.fullmatch(r"\d{6}", key) or key == "000000":
            skips.add("frame number that is none", place)
        elif not isinstance(boxes, list) or not isinstance(labels, list) or len(boxes) != len(labels):
            skips.add("boxes and labels that do not agree", place)
        elif not all(isinstance(label, str) and _class(label, classes) for label in labels):
            skips.add("unknown class", place)
        elif isinstance(size := frames.size(video, int(key)), str):
            skips.add(size, place)
        else:
            things: Things = [
                (str(_class(label, classes)), "no box" if box is None else fields.box(box, "xyxy", size))
                for label, box in zip(labels, boxes, strict=True)
            ]
            frame = frames.make(video, int(key), things, size)
            if frame:
                yield frame


def _classes(file: Path) -> Sequence[str]:
    """The names by number. Raises Refused if the file is there and has no such lines."""
    if not file.is_file():
        return CLASSES
    lines = [line for line in file.read_text("utf-8", "replace").splitlines() if line.strip()]
    named = [re.fullmatch(rf"o{n:03d} +(\S.*)", line.strip()) for n, line in enumerate(lines)]
    names = [clean_phrase(match[1]) for match in named if match]
    if not lines or len(names) != len(lines) or None in names:
        raise Refused(f"{file} has no lines from 'o000 NAME' on, in order; expected STAR's object classes")
    return [name for name in names if name]


def _class(label: str, classes: Sequence[str]) -> str | None:
    number = int(label[1:]) if re.fullmatch(r"o\d{3}", label) else len(classes)
    return classes[number] if number < len(classes) else None


_GENOME = {re.sub(r"[^a-z]", "", name): name for name in CLASSES}
"""Action Genome writes the classes without slashes: "closetcabinet", "cupglassbottle", "phonecamera"."""


OBJECTS, PERSONS = "object_bbox_and_relationship.pkl", "person_bbox.pkl"


def _pickled(folder: Path, name: str) -> dict[Any, Any]:
    content = pickles.load(folder / name)
    if not isinstance(content, dict):
        raise Refused(f"{folder / name} is no pickle of Action Genome: expected a dict by frame")
    return content


def _of_pickles(
    objects: dict[Any, Any], persons: dict[Any, Any], frames: _Frames, skips: Skips
) -> Iterator[AnnotatedFrame]:
    for key, records in objects.items():
        named = _FRAME.fullmatch(key) if isinstance(key, str) else None
        person = persons.get(key)
        size = _stated_size(person)
        if named is None or int(named["number"]) == 0:
            skips.add("frame number that is none", repr(key))
        elif size is None or not isinstance(person, dict):
            skips.add("frame of unknown size", key)
        elif not isinstance(records, list | tuple):
            skips.add("frame without records", key)
        else:
            things = [*_person(person, size), *_objects(records, key, size, skips)]
            frame = frames.make(named["video"], int(named["number"]), things, size)
            if frame:
                yield frame


def _stated_size(person: Any) -> fields.Size | None:
    stated = person.get("bbox_size") if isinstance(person, dict) else None
    stated = stated.tolist() if isinstance(stated, np.ndarray) else stated
    return fields.size(*stated) if isinstance(stated, list | tuple) and len(stated) == 2 else None


def _person(person: dict[str, Any], size: fields.Size) -> Things:
    if person.get("bbox_mode", "xyxy") != "xyxy":
        return [("person", "person's box of another convention")]
    boxes = person.get("bbox")
    boxes = boxes.tolist() if isinstance(boxes, np.ndarray) else boxes
    if not isinstance(boxes, list):
        return [("person", "box that is no four finite numbers")]
    if boxes and not isinstance(boxes[0], list):
        boxes = [boxes]
    return [("person", fields.box(box, "xyxy", size)) for box in boxes]


def _objects(records: Any, key: str, size: fields.Size, skips: Skips) -> Things:
    things: Things = []
    for record in records:
        name = record.get("class") if isinstance(record, dict) else None
        category = _GENOME.get(re.sub(r"[^a-z]", "", name.lower())) if isinstance(name, str) else None
        if category is None:
            skips.add("unknown class", key)
            continue
        box, visible = record.get("bbox"), record.get("visible")
        if not visible:
            things.append((category, None))
        elif box is None:
            things.append((category, "no box"))
        else:
            numbers = box.tolist() if isinstance(box, np.ndarray) else list(box) if isinstance(box, tuple) else box
            things.append((category, fields.box(numbers, "xywh", size)))
    return things


def _question(
    video: str, record: dict[str, Any], where: str, classes: Sequence[str], skips: Skips
) -> SourceQuestion | None:
    """The question, if its answer is an object: "The sandwich." is the class sandwich."""
    text, answer, id_ = clean_phrase(record.get("question")), record.get("answer"), record.get("question_id")
    if text is None or not isinstance(answer, str) or not fields.is_id(id_):
        skips.add("question without a usable text, answer and id", where)
        return None
    words = answer.strip().rstrip(".").lower().removeprefix("the ").strip()
    named = [name for name in classes if words in (name, *name.split("/"))]
    if len(named) != 1:
        skips.add("question whose answer is no object", f"{where}: {answer[:40]}")
        return None
    frames = sorted(key for key in record["situations"] if re.fullmatch(r"\d{6}", key))
    return SourceQuestion(str(id_), video, text, named[0], tuple(f"{video}.mp4/{key}.png" for key in frames))
