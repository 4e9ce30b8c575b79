"""Which annotated frames does COCO give? instances_{train,val}2017.json, of any size.

Boxes are xywh in pixels from 0 (cocodataset.org, "Data format"). A crowd (iscrowd 1), a box without area, and any
record that cannot be read stand for objects without a box: their category is unclear in their image. Every image is
annotated with all 80 categories, so that what is neither there nor unclear is absent.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...files.validation import Refused
from ..frames import EVERYTHING, Frame, Instance, Skips, clean_phrase
from . import fields, json_stream

LICENCE = "COCO annotations: CC BY 4.0; images: Flickr's terms of use, each under the licence that its record names"


def read(file: Path, skips: Skips, root: Path | None = None) -> Iterator[Frame]:
    """Frames in the order of `images`. `root` is the folder of the image files; None does not look for them.

    The file is streamed; annotations are grouped by image on disk. Raises Refused if it is no COCO file.
    """
    names = _categories(file, skips)
    folder = fields.Folder(root)
    with tempfile.TemporaryDirectory() as scratch, json_stream.Groups(Path(scratch)) as groups:
        for n, record in enumerate(json_stream.items(file, "images.item")):
            _image(record, f"images[{n}]", groups, folder, skips)
        _annotations(file, names, groups, skips)
        for head, parts in groups.taken_out():
            yield _frame(head, parts, names, skips)


def _categories(file: Path, skips: Skips) -> dict[str, str]:
    """Names by id; two categories of one id are none."""
    names: dict[str, str] = {}
    twice: set[str] = set()
    for n, record in enumerate(json_stream.items(file, "categories.item")):
        known = isinstance(record, dict) and fields.is_id(record.get("id"))
        name = clean_phrase(record.get("name")) if known else None
        if name is None:
            skips.add("category without a usable id and name", f"categories[{n}]")
            continue
        key = repr(record["id"])
        if names.get(key, name) != name:
            twice.add(key)
            skips.add("category id twice", f"categories[{n}].id")
        names[key] = name
    if not names:
        raise Refused(f"{file} is no COCO file: it has no `categories` with id and name")
    return {key: name for key, name in names.items() if key not in twice}


def _image(record: Any, where: str, groups: json_stream.Groups, folder: fields.Folder, skips: Skips) -> None:
    if not isinstance(record, dict) or not fields.is_id(record.get("id")):
        skips.add("image without an id", where)
        return
    size, path = fields.size(record.get("width"), record.get("height")), fields.path(record.get("file_name"))
    if size is None or path is None:
        skips.add("image without a usable size" if size is None else "image without a usable file name", where)
    elif not folder.has(path):
        skips.add("image file missing", f"{where}: {path}")
    elif not groups.head(repr(record["id"]), [record["id"], path, *size, _aliases(record, path)]):
        skips.add("image id twice", f"{where}.id")


def _aliases(record: dict[str, Any], path: str) -> list[str]:
    """Names by which other datasets know the picture."""
    aliases = [f"coco:{int(digits)}" for digits in re.findall(r"(?<!\d)(\d{12})(?!\d)", path)]
    flickr = fields.flickr(record.get("flickr_url"))
    return [*aliases, flickr] if flickr else aliases


def _annotations(file: Path, names: dict[str, str], groups: json_stream.Groups, skips: Skips) -> None:
    seen = 0
    for n, record in enumerate(json_stream.items(file, "annotations.item")):
        seen += 1
        where = f"annotations[{n}]"
        if not isinstance(record, dict) or not fields.is_id(record.get("image_id")):
            skips.add("annotation without an image", where)
            continue
        key = repr(record["image_id"])
        if not groups.known(key):
            skips.add("annotation of an unknown image", f"{where}.image_id")
            continue
        id_ = record.get("id")
        name = names.get(repr(record.get("category_id")))
        box, crowd = record.get("bbox"), record.get("iscrowd", 0)
        groups.part(key, [n, str(id_) if fields.is_id(id_) else None, name, box, crowd])
    if not seen:
        raise Refused(f"{file} is no COCO file: it has no `annotations`")


def _frame(head: Any, parts: list[Any], names: dict[str, str], skips: Skips) -> Frame:
    image, path, width, height, aliases = head
    instances: list[Instance] = []
    unclear: set[str] = set()
    taken: set[str] = set()
    for n, id_, name, value, crowd in parts:
        box = fields.box(value, "xywh", (width, height))
        fault = None
        if name is None:
            fault = "annotation of an unknown category"
        elif id_ is None or id_ in taken:
            fault = "annotation without an id" if id_ is None else "annotation id twice"
        elif crowd not in (0, 1) or isinstance(crowd, float):
            fault = "iscrowd that is neither 0 nor 1"
        elif crowd:
            fault = "crowd"
        elif isinstance(box, str):
            fault = box
        if fault:
            skips.add(fault, f"annotations[{n}]")
            unclear.add(name or EVERYTHING)
            if fault == "annotation id twice":  # which of the two is meant is not known
                unclear.update(i.category for i in instances if i.id == id_)
                instances = [i for i in instances if i.id != id_]
        elif not isinstance(box, str):
            taken.add(id_)
            instances.append(Instance(id_, name, box))
    return Frame(
        str(image), f"image/{image}", path, width, height, tuple(instances),
        unclear=frozenset(unclear), aliases=tuple(aliases),
    )  # fmt: skip
