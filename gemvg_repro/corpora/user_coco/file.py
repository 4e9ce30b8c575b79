"""Reading and checking a user's COCO-format detection file with its images.

The format (cocodataset.org, "Data format"): one JSON object with `images` {id, file_name, width, height},
`annotations` {image_id, category_id, bbox [x, y, width, height] in pixels, iscrowd} and `categories`
{id, name}. Image files lie below the folder of the annotation file. Rules for real files:

- A box may cross an edge of its image by one pixel, the rounding of many exporters, and is clipped. Beyond
  that, inverted, or not finite, the file is refused.
- A crowd (iscrowd 1) and a box without area give no target. They stand for objects without a box, so their category
  is not asked about in their image; `Coco.left_out` lists them.
- Categories of the same name are one category.
- An image with one side more than 200 times the other is refused: Qwen2-VL does not take it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...files import coco
from ...files.pictures import FilePicture, fitted, sliver
from ...files.validation import Faults, Refused
from ...grounding.samples import Box, Target
from ..frames import WITHOUT_AREA, unit_box

_CHECKED_PIXELS = 1024  # enough to decode a file to its end


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image with its objects, (category, box), and the categories that cannot be asked about here."""

    id: coco.Id
    picture: FilePicture
    width: int
    height: int
    objects: tuple[tuple[str, Box], ...] = ()
    unclear: frozenset[str] = frozenset()

    @property
    def categories(self) -> list[str]:
        """Names of the categories that can be asked about."""
        return sorted({name for name, _ in self.objects} - self.unclear)

    def targets(self, category: str, picture: int) -> tuple[Target, ...]:
        """Every object of the category, as targets in the sample's picture of that position."""
        return tuple(Target(picture, box) for name, box in sorted(self.objects) if name == category)


@dataclass(frozen=True, slots=True)
class Coco:
    """A valid file. `left_out` names each annotation that gives no target, and why."""

    file: Path
    images: tuple[AnnotatedImage, ...]
    left_out: tuple[str, ...]


def load(file: Path, most_pixels: int | None = None) -> Coco:
    """Reads and checks the whole file, and decodes every image once, small; pixels are read on access.

    Pictures are scaled down to `most_pixels`. Raises Refused with the record and key of every fault.
    """
    faults = Faults(file)
    lists = coco.load(file, faults)
    names = _categories(lists["categories"], faults)
    records = _images(lists["images"], faults)
    faults.refuse()
    images = {key: _picture(record, n, file.parent, most_pixels, faults) for key, (n, record) in records.items()}
    left_out = _annotate(images, names, lists["annotations"], faults)
    faults.refuse()
    if not any(image.objects for image in images.values()):
        raise Refused(f"{file} has no box to learn from; expected `annotations` that are not all crowds")
    return Coco(file, tuple(images.values()), tuple(left_out))


def _categories(records: Sequence[Mapping[str, Any]], faults: Faults) -> dict[coco.Id, str]:
    """Names by id."""
    names: dict[coco.Id, str] = {}
    for n, record in enumerate(records):
        category = coco.category(record, f"categories[{n}]", names, coco.refusing(faults))
        if category is None:
            continue
        names[category.id] = name = category.name.strip()
        if not name or not name.isprintable() or "<|" in name:
            faults.add(f"categories[{n}].name", f"expected printable text without '<|', got {category.name!r:.80}")
    return names


def _images(records: Sequence[Mapping[str, Any]], faults: Faults) -> dict[coco.Id, tuple[int, coco.ImageRecord]]:
    """Records by id, each with its place in the list."""
    images: dict[coco.Id, tuple[int, coco.ImageRecord]] = {}
    for n, record in enumerate(records):
        if image := coco.image(record, f"images[{n}]", images, coco.refusing(faults)):
            images[image.id] = n, image
    return images


def _picture(record: coco.ImageRecord, n: int, root: Path, most_pixels: int | None, faults: Faults) -> AnnotatedImage:
    """An image without its objects yet; its file is decoded to the end."""
    stated, where = (record.width, record.height), f"images[{n}].file_name"
    try:
        decoded = FilePicture(root, record.file_name, _CHECKED_PIXELS)
        size = decoded.size()
        decoded.pixels()
        if size != stated:
            faults.add(where, f"{record.file_name!r} has {size} stored pixels, but width and height are {stated}")
        elif slender := sliver(*fitted(*size, most_pixels)):
            faults.add(where, f"{record.file_name!r} {slender}")
    except Refused as error:
        faults.add(where, str(error))
    return AnnotatedImage(record.id, FilePicture(root, record.file_name, most_pixels), *stated)


def _annotate(
    images: dict[coco.Id, AnnotatedImage],
    names: Mapping[coco.Id, str],
    records: Sequence[Mapping[str, Any]],
    faults: Faults,
) -> list[str]:
    """Adds its objects to every image; returns what was left out."""
    objects: dict[coco.Id, list[tuple[str, Box]]] = {key: [] for key in images}
    unclear: dict[coco.Id, set[str]] = {key: set() for key in images}
    left_out = []
    report = coco.refusing(faults)
    for n, record in enumerate(records):
        where = f"annotations[{n}]"
        image = coco.reference(record, "image_id", images, where, report)
        category = coco.reference(record, "category_id", names, where, report)
        crowd, xywh = coco.crowd(record, where, report), coco.bbox(record, where, report)
        if image is None or category is None or crowd is None or xywh is None:
            continue
        box = _box(xywh, images[image], where, faults)
        if crowd or box is None:
            unclear[image].add(names[category])
            left_out.append(f"{where}: {'a crowd' if crowd else 'a box without area'}")
        else:
            objects[image].append((names[category], box))
    for key, annotated in images.items():
        images[key] = replace(annotated, objects=tuple(objects[key]), unclear=frozenset(unclear[key]))
    return left_out


def _box(xywh: Sequence[float], image: AnnotatedImage, where: str, faults: Faults) -> Box | None:
    """The box in [0, 1], or None: it has no area, or is a fault."""
    x, y, width, height = xywh
    box = unit_box((x, y, x + width, y + height), image.width, image.height)
    if not isinstance(box, str):
        return box
    if box != WITHOUT_AREA:
        faults.add(f"{where}.bbox", f"{box} of {image.width}x{image.height} pixels: {[x, y, width, height]}")
    return None
