"""The records of COCO-like benchmark files, for pycocotools: any fault refuses the file, and ids are integers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..files import coco
from ..files.box_units import BoxUnits
from ..files.validation import Faults

Annotation = dict[str, Any]
"""id, image_id, category_id, bbox (x, y, width, height in pixels), area and iscrowd, as pycocotools takes them."""


def images(records: Sequence[Any], faults: Faults) -> dict[int, coco.ImageRecord]:
    """Image records by id, in the order of the file."""
    parsed: dict[int, coco.ImageRecord] = {}
    for where, record in _objects("images", records, faults):
        image = coco.image(record, where, parsed, coco.refusing(faults))
        if image is not None and isinstance(id_ := _integer(image.id, where, faults), int):
            parsed[id_] = image
    return parsed


def categories(records: Sequence[Any], faults: Faults) -> dict[int, str]:
    """Names by id, in the order of the file."""
    names: dict[int, str] = {}
    for where, record in _objects("categories", records, faults):
        category = coco.category(record, where, names, coco.refusing(faults))
        if category is not None and isinstance(id_ := _integer(category.id, where, faults), int):
            names[id_] = category.name
    return names


def boxes(
    records: Sequence[Any],
    images: Mapping[int, coco.ImageRecord],
    names: Collection[int],
    faults: Faults,
    category_key: Callable[[Mapping[str, Any]], str] = lambda record: "category_id",
) -> list[Annotation]:
    """The annotations, in the order of the file.

    An `area` that is missing is that of the box. `category_key` is the key under which a record has its category.
    Boxes of which none has a number above 1 are a fault: they are not in pixels.
    """
    report, units = coco.refusing(faults), BoxUnits()
    annotations: dict[int, Annotation] = {}
    for where, record in _objects("annotations", records, faults):
        id_ = _integer(coco.identifier(record.get("id")), where, faults)
        if id_ in annotations:
            faults.add(f"{where}.id", f"{id_} occurs twice")
        image = coco.reference(record, "image_id", images, where, report)
        category = coco.reference(record, category_key(record), names, where, report)
        box, crowd = coco.bbox(record, where, report), coco.crowd(record, where, report)
        if box is not None and isinstance(image, int) and (stated := images.get(image)):
            units.add(box, stated.width, stated.height)
        if id_ is not None and box is not None:
            ids = {"id": id_, "image_id": image, "category_id": category}
            area = _area(record, box, where, faults)
            annotations[id_] = ids | {"bbox": list(box), "area": area, "iscrowd": int(bool(crowd))}
    if units.not_pixels:
        faults.add("annotations", units.not_pixels)
    return list(annotations.values())


def by_image(images: Iterable[int], annotations: Sequence[Annotation]) -> dict[int, list[Annotation]]:
    """The annotations of every image, in the order of the file."""
    grouped: dict[int, list[Annotation]] = {image: [] for image in images}
    for box in annotations:
        grouped[box["image_id"]].append(box)
    return grouped


def image_documents(images: Mapping[int, coco.ImageRecord]) -> list[dict[str, Any]]:
    """The images as pycocotools takes them."""
    return [
        {"id": key, "file_name": image.file_name, "width": image.width, "height": image.height}
        for key, image in images.items()
    ]


def _objects(key: str, records: Sequence[Any], faults: Faults) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records with their places; a fault for each that is no JSON object."""
    for n, record in enumerate(records):
        if isinstance(record, dict):
            yield f"{key}[{n}]", record
        else:
            faults.add(f"{key}[{n}]", f"expected an object, got {type(record).__name__}")


def _integer(value: coco.Id | None, where: str, faults: Faults) -> int | None:
    if type(value) is int and abs(value) < 2**53:
        return value
    faults.add(f"{where}.id", f"expected an integer, got {value!r:.80}")
    return None


def _area(record: Mapping[str, Any], box: Sequence[float], where: str, faults: Faults) -> Any:
    area = record.get("area", box[2] * box[3])
    if isinstance(area, bool) or not isinstance(area, int | float) or not 0 <= area < 1e18:
        faults.add(f"{where}.area", f"expected a number of pixels, got {area!r:.80}")
    return area
