"""How are COCO's annotations read? instances_{train,val}2017.json, of any size.

Boxes are xywh in pixels from 0 (cocodataset.org, "Data format"). A crowd (iscrowd 1), a box without area, and any
record that cannot be read stand for objects without a box: their category is unclear in their image. Every image is
annotated with all 80 categories, so that what is neither there nor unclear is absent. A file under several image ids is
one image, with the objects of all its records; a box that repeats one of its category and image is left out.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...files import coco
from ...files.box_units import BoxUnits
from ...files.validation import Refused
from ..frames import EVERYTHING, AnnotatedFrame, Instance, Skips, clean_phrase
from . import fields, json_stream
from .duplicates import merged

LICENCE = "COCO annotations: CC BY 4.0; images: Flickr's terms of use, each under the licence that its record names"

_NO_CHANCE = 10  # boxes outside their images, from which on another reading of all boxes is no accident


def read(file: Path, skips: Skips, root: Path | None = None) -> Iterator[AnnotatedFrame]:
    """Frames in the order of `images`. `root` is the folder of the image files; None does not look for them.

    The file is streamed; annotations are grouped by image on disk. Raises Refused if it is no COCO file, at the end
    also if its boxes as a whole are not [x, y, width, height] in pixels.
    """
    names = _categories(file, skips)
    folder, units = fields.Folder(root), BoxUnits()
    with tempfile.TemporaryDirectory() as scratch, json_stream.Groups(Path(scratch)) as groups:
        joined = _images(file, groups, folder, skips)
        _annotations(file, groups, joined, skips)
        for head, parts in groups.groups():
            yield _frame(head, parts, names, units, skips)
    if units.not_pixels or (units.other_reading and units.outside >= _NO_CHANCE):
        raise Refused(f"{file}: {units.not_pixels or units.other_reading}")


def _counting(skips: Skips) -> coco.Report:
    """Counts every fault by its class."""
    return lambda where, fault, _: skips.add(fault, where)


def _categories(file: Path, skips: Skips) -> dict[coco.Id, str]:
    """Names by id; two categories of one id are none."""
    names: dict[coco.Id, str] = {}
    ambiguous: set[coco.Id] = set()
    for n, record in enumerate(json_stream.items(file, "categories.item")):
        where = f"categories[{n}]"
        category = coco.category(_object(record), where, (), _counting(skips))
        name = clean_phrase(category.name) if category else None
        if category is None:
            continue
        if name is None:
            skips.add("category whose name cannot be asked for", f"{where}.name")
            continue
        if names.setdefault(category.id, name) != name:
            ambiguous.add(category.id)
            skips.add("category id twice", f"{where}.id")
    if not names:
        raise Refused(f"{file} is no COCO file: it has no `categories` with id and name")
    return {key: name for key, name in names.items() if key not in ambiguous}


def _object(record: Any) -> dict[str, Any]:
    """The record; one that is no object has no fields."""
    return record if isinstance(record, dict) else {}


def _images(file: Path, groups: json_stream.Groups, folder: fields.Folder, skips: Skips) -> dict[coco.Id, coco.Id]:
    """Groups the images; returns the ids of files that an earlier record has, each with that record's id."""
    first: dict[str, tuple[coco.Id, fields.Size]] = {}
    joined: dict[coco.Id, coco.Id] = {}
    for n, record in enumerate(json_stream.items(file, "images.item")):
        where = f"images[{n}]"
        image = coco.image(_object(record), where, (), _counting(skips))
        if image is None:
            continue
        size, path = fields.size(image.width, image.height), fields.path(image.file_name)
        if size is None or path is None:
            skips.add("image without a usable size" if size is None else "image without a usable file name", where)
            continue
        if not folder.has(path):
            skips.add("image file missing", f"{where}: {path}")
            continue
        if not folder.agrees(path, size, where, skips):
            continue
        id_, stated = first.setdefault(os.path.normpath(path), (image.id, size))
        if id_ != image.id and stated == size:
            joined[image.id] = id_
            skips.add("image file under another id too, joined", f"{where}: {path}")
        elif not groups.head(repr(id_), [id_, path, *size, _aliases(record, path)]):
            skips.add("image id twice" if id_ == image.id else "image file of two sizes", where)
    return joined


def _aliases(record: Mapping[str, Any], path: str) -> list[str]:
    """Names by which other datasets know the picture."""
    aliases = [f"coco:{int(digits)}" for digits in re.findall(r"(?<!\d)(\d{12})(?!\d)", path)]
    flickr = fields.flickr(record.get("flickr_url"))
    return [*aliases, flickr] if flickr else aliases


def _annotations(file: Path, groups: json_stream.Groups, joined: Mapping[coco.Id, coco.Id], skips: Skips) -> None:
    empty = True
    for n, record in enumerate(json_stream.items(file, "annotations.item")):
        empty = False
        image = coco.identifier(_object(record).get("image_id"))
        if image is None:
            skips.add("annotation without an image", f"annotations[{n}].image_id")
        elif not groups.contains(repr(joined.get(image, image))):
            skips.add("annotation of an unknown image", f"annotations[{n}].image_id")
        else:
            kept = {key: record[key] for key in ("id", "category_id", "bbox", "iscrowd") if key in record}
            if image in joined and coco.identifier(kept.get("id")) is not None:  # two exports count from 1 each
                kept["id"] = f"{image}/{kept['id']}"
            groups.part(repr(joined.get(image, image)), [n, kept])
    if empty:
        raise Refused(f"{file} is no COCO file: it has no `annotations`")


def _frame(head: Any, parts: list[Any], names: Mapping[coco.Id, str], units: BoxUnits, skips: Skips) -> AnnotatedFrame:
    image, path, width, height, aliases = head
    units.add_all((record.get("bbox") for _, record in parts), width, height)
    instances: dict[str, Instance] = {}
    unclear: set[str] = set()
    seen_ids: set[str] = set()
    for n, record in parts:
        id_ = str(coco.identifier(record.get("id")))
        instance = None if id_ in seen_ids else _instance(record, f"annotations[{n}]", names, (width, height), skips)
        if instance:
            seen_ids.add(id_)
            instances[id_] = instance
            continue
        unclear.add(_name(record, names))
        if id_ in seen_ids:  # which of the two is meant is not known
            skips.add("annotation id twice", f"annotations[{n}].id")
            if earlier := instances.pop(id_, None):
                unclear.add(earlier.category)
    return AnnotatedFrame(
        str(image), f"image/{image}", path, width, height, merged(instances.values(), f"image {image}", skips),
        unclear=frozenset(unclear), aliases=tuple(aliases),
    )  # fmt: skip


def _name(record: Mapping[str, Any], names: Mapping[coco.Id, str]) -> str:
    category = coco.identifier(record.get("category_id"))
    return EVERYTHING if category is None else names.get(category, EVERYTHING)


def _instance(
    record: Mapping[str, Any], where: str, names: Mapping[coco.Id, str], size: fields.Size, skips: Skips
) -> Instance | None:
    """The object; None for a crowd, and after a fault."""
    report = _counting(skips)
    category, id_ = coco.reference(record, "category_id", names, where, report), coco.identifier(record.get("id"))
    if category is None:
        return None
    if id_ is None:
        skips.add("annotation without an id", f"{where}.id")
        return None
    crowd = coco.crowd(record, where, report)
    if crowd is not False:
        if crowd:
            skips.add("crowd", where)
        return None
    xywh = coco.bbox(record, where, report)
    box = None if xywh is None else fields.box(xywh, "xywh", size)
    if isinstance(box, str):
        skips.add(box, f"{where}.bbox")
    return None if box is None or isinstance(box, str) else Instance(str(id_), names[category], box)
