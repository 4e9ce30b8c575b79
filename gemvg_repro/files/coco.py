"""What do the records of a COCO-format file say? Each field parsed and checked once, for every reader of the format.

The format (cocodataset.org, "Data format"): one JSON object with `images` {id, file_name, width, height},
`annotations` {id, image_id, category_id, bbox [x, y, width, height] in pixels, iscrowd} and `categories` {id, name}.
A number that a table has made a float is the integer that it was: pandas writes 1.0 for an id of 1.

A reader decides what becomes of a fault: one that refuses its file passes `refusing(faults)`, one that leaves records
out counts the classes. Every function returns None for a field with a fault, after it was reported.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .validation import Faults, leaves_folder, numbers, read_json, whole

LISTS = ("images", "annotations", "categories")

_LONGEST_SIDE = 1_000_000  # pixels

Id = int | str


class Report(Protocol):
    """Takes where a fault is ("images[2].width"), its class ("image without a usable size"), and what was expected."""

    def __call__(self, where: str, fault: str, detail: str) -> None: ...


def refusing(faults: Faults) -> Report:
    """Adds every fault to those that a file is refused for."""
    return lambda where, fault, detail: faults.add(where, f"{fault}; {detail}")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image file by its path below the images' folder; width and height in pixels."""

    id: Id
    file_name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class CategoryRecord:
    """A category; its name is any text."""

    id: Id
    name: str


def load(file: Path, faults: Faults) -> dict[str, list[dict[str, Any]]]:
    """The three lists of a file, none of them empty, of JSON objects only.

    Raises Refused, with each list and record that is not as expected, and for what is no JSON.
    """
    records = lists(read_json(file), faults)
    faults.refuse()
    return records


def lists(document: Any, faults: Faults) -> dict[str, list[dict[str, Any]]]:
    """The three lists of a document. A list that is missing or empty, and a record that is no object, is a fault."""
    records: dict[str, list[dict[str, Any]]] = {}
    for key in LISTS:
        value = document.get(key) if isinstance(document, dict) else None
        if not isinstance(value, list) or not value:
            faults.add(key, "missing, empty, or no list; expected a COCO file with images, annotations and categories")
            value = []
        for n, record in enumerate(value):
            if not isinstance(record, dict):
                faults.add(f"{key}[{n}]", f"expected an object, got {type(record).__name__}")
        records[key] = value
    return records


def identifier(value: Any) -> Id | None:
    """An id: an integer, also one that was written as 17.0, or text; None for anything else."""
    if isinstance(value, str):
        return value or None
    return value if type(value) is int else whole(value)


def category(record: Mapping[str, Any], where: str, taken: Container[Id], report: Report) -> CategoryRecord | None:
    """A category whose id is none of those that are `taken`."""
    id_, name = _new_id("category", record, where, taken, report), record.get("name")
    if not isinstance(name, str):
        report(f"{where}.name", "category without a name", f"expected text, {value_of(record, 'name')}")
        return None
    return None if id_ is None else CategoryRecord(id_, name)


def image(record: Mapping[str, Any], where: str, taken: Container[Id], report: Report) -> ImageRecord | None:
    """An image whose id is none of those that are `taken`, and whose path stays in its folder."""
    id_ = _new_id("image", record, where, taken, report)
    width, height = (_side(record, key, where, report) for key in ("width", "height"))
    name = record.get("file_name")
    if not isinstance(name, str) or not name or "\0" in name or leaves_folder(name):
        expected = f"expected a path that stays in the images' folder, {value_of(record, 'file_name')}"
        report(f"{where}.file_name", "image without a usable file name", expected)
        return None
    return None if id_ is None or width is None or height is None else ImageRecord(id_, name, width, height)


def reference(record: Mapping[str, Any], key: str, ids: Container[Id], where: str, report: Report) -> Id | None:
    """The id of an annotation's image, under `key` "image_id", or else of its category, if it is one of `ids`."""
    id_ = identifier(record.get(key))
    if id_ is not None and id_ in ids:
        return id_
    noun, among = ("image", "images") if key == "image_id" else ("category", "categories")
    report(
        f"{where}.{key}", f"annotation of an unknown {noun}", f"expected an id of `{among}`, {value_of(record, key)}"
    )
    return None


def bbox(record: Mapping[str, Any], where: str, report: Report) -> tuple[float, float, float, float] | None:
    """The box of an annotation: x, y, width and height in pixels, the last two not negative."""
    box = numbers(record.get("bbox"))
    if box is None:
        expected = f"expected [x, y, width, height] in pixels, {value_of(record, 'bbox')}"
        report(f"{where}.bbox", "box that is no four finite numbers", expected)
        return None
    x, y, width, height = box
    if width < 0 or height < 0:
        report(f"{where}.bbox", "box of negative width or height", f"expected [x, y, width, height], got {box}")
        return None
    return x, y, width, height


def crowd(record: Mapping[str, Any], where: str, report: Report) -> bool | None:
    """Whether an annotation stands for a group of objects; it does not where it says nothing."""
    value = record.get("iscrowd", 0)
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    report(f"{where}.iscrowd", "iscrowd that is neither 0 nor 1", f"expected 0 or 1, {value_of(record, 'iscrowd')}")
    return None


def value_of(record: Mapping[str, Any], key: str) -> str:
    """The value under a key, for a message."""
    return f"got {record[key]!r:.80}" if key in record else "it is missing"


def _new_id(noun: str, record: Mapping[str, Any], where: str, taken: Container[Id], report: Report) -> Id | None:
    id_ = identifier(record.get("id"))
    if id_ is None:
        report(f"{where}.id", f"{noun} without an id", f"expected an integer or text, {value_of(record, 'id')}")
    elif id_ in taken:
        report(f"{where}.id", f"{noun} id twice", f"expected an id of its own, got {id_!r:.80} again")
        return None
    return id_


def _side(record: Mapping[str, Any], key: str, where: str, report: Report) -> int | None:
    value = whole(record.get(key))
    if value is not None and 1 <= value <= _LONGEST_SIDE:
        return value
    report(f"{where}.{key}", "image without a usable size", f"expected a number of pixels, {value_of(record, key)}")
    return None
