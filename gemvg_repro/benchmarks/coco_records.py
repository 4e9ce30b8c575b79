"""What is in the lists of a COCO-like file, and are they in order?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ..files.records import expect, identifier
from ..files.validation import Faults, numbers


def categories(records: Sequence[Any], faults: Faults) -> dict[int, str]:
    """Names by id, in the order of the file."""
    names: dict[int, str] = {}
    for n, each in enumerate(records):
        record = expect(each, f"categories[{n}]", {"name": str}, faults)
        key = None if record is None else identifier(record, f"categories[{n}]", names, faults)
        if record is not None and key is not None:
            names[key] = record["name"]
    return names


def boxes(
    records: Sequence[Any],
    images: Collection[int],
    names: Collection[int],
    faults: Faults,
    spelling: Callable[[Any], str] = lambda record: "category_id",
) -> list[dict[str, Any]]:
    """The annotations as pycocotools takes them: id, image_id, category_id, bbox (xywh, pixels), area, iscrowd.

    An `area` that is missing is that of the box. `spelling` says under which key a record has its category.
    """
    found: dict[int, dict[str, Any]] = {}
    for n, each in enumerate(records):
        where = f"annotations[{n}]"
        record = expect(each, where, {"image_id": int}, faults)
        key = None if record is None else identifier(record, where, found, faults)
        if record is None or key is None:
            continue
        category, box, crowd = record.get(spelling(record)), numbers(record.get("bbox")), record.get("iscrowd", 0)
        if record["image_id"] not in images:
            faults.add(f"{where}.image_id", f"{record['image_id']} is none of `images`")
        elif type(category) is not int or category not in names:
            faults.add(f"{where}.{spelling(record)}", f"{category!r:.80} is none of `categories`")
        elif box is None or box[2] < 0 or box[3] < 0:
            faults.add(f"{where}.bbox", f"expected [x, y, width, height] in pixels, got {record.get('bbox')!r:.80}")
        elif type(crowd) is not int or crowd not in (0, 1):
            faults.add(f"{where}.iscrowd", f"expected 0 or 1, got {crowd!r:.80}")
        else:
            area = record.get("area", box[2] * box[3])
            if isinstance(area, bool) or not isinstance(area, int | float) or not 0 <= area < 1e18:
                faults.add(f"{where}.area", f"expected a number of pixels, got {area!r:.80}")
            image = record["image_id"]
            found[key] = {"id": key, "image_id": image, "category_id": category, "bbox": box, "area": area}
            found[key]["iscrowd"] = crowd
    return list(found.values())


def by_image(images: Collection[int], annotations: Sequence[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """The annotations of every image, in the order of the file."""
    found: dict[int, list[dict[str, Any]]] = {image: [] for image in images}
    for box in annotations:
        found[box["image_id"]].append(box)
    return found
