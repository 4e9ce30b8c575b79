"""Reading and checking a user's COCO-format detection file with its images.

The format (cocodataset.org, "Data format"): one JSON object with `images` {id, file_name, width, height},
`annotations` {image_id, category_id, bbox [x, y, width, height] in pixels, iscrowd} and `categories`
{id, name}. Image files lie where annotation tools lay them (files/image_folder.py). Rules for real files:

- A box may cross an edge of its image by one pixel, the rounding of many exporters, and is clipped. Beyond
  that, inverted, or not finite, the file is refused.
- Boxes that are fractions of their images, corners or centres are refused as that, where all boxes together show it.
- A box that repeats one of its category and image (IoU above .95) is left out.
- A crowd (iscrowd 1) and a box without area give no target. They stand for objects without a box, so their category
  is not asked about in their image; `Coco.left_out` lists them.
- Categories of the same name are one category.
- An image with one side more than 200 times the other is refused: Qwen2-VL does not take it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...files import coco, image_folder
from ...files.box_units import BoxUnits
from ...files.pictures import FilePicture
from ...files.validation import Faults, Refused
from ...grounding.boxes import duplicates
from ...grounding.samples import Box, Target
from ..frames import WITHOUT_AREA, unit_box
from .image_files import open_images

READER_VERSION = 2
"""Part of the id of a file's data; raised by hand when the samples of a file change."""


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
    """A valid file.

    `left_out` names each annotation that gives no target, and why. `notes` says what the user should know of the
    reading: the folder of the images where it is not the file's, images that were joined, EXIF orientations.
    """

    file: Path
    images: tuple[AnnotatedImage, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...] = ()


def load(file: Path, most_pixels: int | None = None, images: Path | None = None) -> Coco:
    """Reads and checks the whole file, and decodes every image once, small; pixels are read on access.

    Images lie in the folder `images`, by default where files/image_folder.py finds them, and are scaled down to
    `most_pixels`. Raises Refused with the record and key of every fault.
    """
    faults = Faults(file)
    lists = coco.load(file, faults)
    names = _categories(lists["categories"], faults)
    records = _images(lists["images"], faults)
    faults.refuse()
    folder = image_folder.find(file, [record.file_name for _, record in records], images)
    files = open_images(records, folder, most_pixels, faults)
    sizes = {record.id: (record.width, record.height) for _, record in records}
    objects, left_out = _objects(lists["annotations"], names, sizes, files.joined, faults)
    faults.refuse()
    if not any(each.boxes for each in objects.values()):
        raise Refused(f"{file} has no box to learn from: {_no_box(lists['annotations'])}")
    annotated = [
        AnnotatedImage(
            id_, files.pictures[id_], *size, tuple(objects[id_].boxes.values()), frozenset(objects[id_].unclear)
        )
        for id_, size in sizes.items()
        if id_ not in files.joined
    ]
    notes = [f"images are read from {folder.path}"] if folder.path != file.parent else []
    return Coco(file, tuple(annotated), tuple(left_out), (*notes, *files.notes))


def _no_box(annotations: Sequence[Mapping[str, Any]]) -> str:
    if not all(record.get("iscrowd") for record in annotations):
        return "expected `annotations` whose boxes have an area, and that are not all crowds"
    return (
        "expected `annotations` that are not all crowds (iscrowd 1: one region for many objects). CVAT writes iscrowd "
        "1 for every brush mask, although it is one object. If each of yours is one object, set iscrowd to 0: "
        'sed -i \'s/"iscrowd": *1/"iscrowd": 0/g\' FILE, or convert masks to polygons before the export'
    )


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


def _images(records: Sequence[Mapping[str, Any]], faults: Faults) -> list[tuple[str, coco.ImageRecord]]:
    """Every record with where it stands."""
    images: dict[coco.Id, tuple[str, coco.ImageRecord]] = {}
    for n, record in enumerate(records):
        if image := coco.image(record, f"images[{n}]", images, coco.refusing(faults)):
            images[image.id] = f"images[{n}]", image
    return list(images.values())


@dataclass
class _Objects:
    """What is annotated in an image: (category, box) by the annotation's place in the file, and unclear categories."""

    boxes: dict[int, tuple[str, Box]] = field(default_factory=dict)
    unclear: set[str] = field(default_factory=set)


def _objects(
    records: Sequence[Mapping[str, Any]],
    names: Mapping[coco.Id, str],
    sizes: Mapping[coco.Id, tuple[int, int]],
    joined: Mapping[coco.Id, coco.Id],
    faults: Faults,
) -> tuple[dict[coco.Id, _Objects], list[str]]:
    """The objects of every image by id, and what was left out. Raises Refused for boxes that are not in pixels."""
    objects = {id_: _Objects() for id_ in sizes}
    units, left_out = BoxUnits(), dict[int, str]()
    report = coco.refusing(faults)
    for n, record in enumerate(records):
        where = f"annotations[{n}]"
        image = coco.reference(record, "image_id", sizes, where, report)
        category = coco.reference(record, "category_id", names, where, report)
        crowd, xywh = coco.crowd(record, where, report), coco.bbox(record, where, report)
        if image is None or category is None or crowd is None or xywh is None:
            continue
        units.add(xywh, *sizes[image])
        box, image_objects = _box(xywh, sizes[image], where, faults), objects[joined.get(image, image)]
        if crowd or box is None:
            image_objects.unclear.add(names[category])
            left_out[n] = "a crowd" if crowd else "a box without area"
        else:
            image_objects.boxes[n] = names[category], box
    if units.not_pixels:
        raise Refused(f"{faults.file}: {units.not_pixels}")
    faults.hint(units.other_reading)
    for image_objects in objects.values():
        left_out |= _take_duplicates(image_objects.boxes)
    return objects, [f"annotations[{n}]: {why}" for n, why in sorted(left_out.items())]


def _take_duplicates(boxes: dict[int, tuple[str, Box]]) -> dict[int, str]:
    """Takes the boxes out that repeat an earlier one of their category; says so by their place in the file."""
    duplicate: dict[int, str] = {}
    for category in {category for category, _ in boxes.values()}:
        places = [n for n, (other, _) in boxes.items() if other == category]
        for repeated in duplicates([boxes[n][1] for n in places]):
            duplicate[places[repeated]] = f"repeats an earlier box of {category}"
    for n in duplicate:
        del boxes[n]
    return duplicate


def _box(xywh: Sequence[float], size: tuple[int, int], where: str, faults: Faults) -> Box | None:
    """The box in [0, 1], or None: it has no area, or is a fault."""
    x, y, width, height = xywh
    box = unit_box((x, y, x + width, y + height), *size)
    if not isinstance(box, str):
        return box
    if box != WITHOUT_AREA:
        faults.add(f"{where}.bbox", f"{box} of {size[0]}x{size[1]} pixels: {[x, y, width, height]}")
    return None
