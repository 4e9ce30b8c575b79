"""What is in a COCO-format detection file, and is it in order?

The format (cocodataset.org, "Data format"): one JSON object with `images` {id, file_name, width, height},
`annotations` {image_id, category_id, bbox [x, y, width, height] in pixels, iscrowd} and `categories`
{id, name}. Image files lie below the folder of the annotation file. Rules for what real files hold:

- A box may cross an edge of its image by one pixel, the rounding of many exporters, and is clipped. Beyond
  that, inverted, or not finite, the file is refused.
- A crowd (iscrowd 1) and a box without area are no targets. They stand for objects without a box, so no
  question is asked about their category in their image; `Coco.left_out` lists them.
- Categories of the same name are one category.
- An image with one side more than 200 times the other is refused: Qwen2-VL does not take it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...files.pictures import MOST_STORED_PIXELS, FilePicture, fitted, sliver
from ...files.validation import Faults, Refused, numbers, read_json
from ...grounding.boxes import flaw, to_unit
from ...grounding.samples import Box, Target

_CROSSING = 1.0  # pixels
_GLANCE = 1024  # pixels: enough to see that a file can be decoded to its end


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image with its objects, (category, box), and the categories that cannot be asked about here."""

    id: int | str
    picture: FilePicture
    width: int
    height: int
    objects: tuple[tuple[str, Box], ...] = ()
    unclear: frozenset[str] = frozenset()

    @property
    def categories(self) -> list[str]:
        """Those that can be asked about, by name."""
        return sorted({name for name, _ in self.objects} - self.unclear)

    def targets(self, category: str, picture: int) -> tuple[Target, ...]:
        """Every object of the category, as targets in the sample's picture of that position."""
        return tuple(Target(picture, box) for name, box in sorted(self.objects) if name == category)


@dataclass(frozen=True, slots=True)
class Coco:
    """A file that is in order. `left_out` names each annotation that gives no target, and why."""

    file: Path
    images: tuple[AnnotatedImage, ...]
    left_out: tuple[str, ...]


def load(file: Path, most_pixels: int | None = None) -> Coco:
    """Reads and checks the whole file, and decodes every image once, small; pixels are read when asked for.

    Pictures are scaled down to `most_pixels`. Raises Refused with the record and key of every fault.
    """
    document = read_json(file)
    faults = Faults(file)
    records = {key: _records(document, key, faults) for key in ("images", "annotations", "categories")}
    faults.refuse()
    names = _categories(records["categories"], faults)
    images = _images(records["images"], file.parent, most_pixels, faults)
    left_out = _annotate(images, names, records["annotations"], faults)
    faults.refuse()
    if not any(image.objects for image in images.values()):
        raise Refused(f"{file} has no box to learn from; expected `annotations` that are not all crowds")
    return Coco(file, tuple(images.values()), tuple(left_out))


def _annotate(
    images: dict[int | str, AnnotatedImage],
    names: dict[int | str, str],
    records: list[dict[str, Any]],
    faults: Faults,
) -> list[str]:
    """Gives the images their objects, and returns what was left out."""
    objects: dict[int | str, list[tuple[str, Box]]] = {key: [] for key in images}
    unclear: dict[int | str, set[str]] = {key: set() for key in images}
    left_out = []
    for n, record in enumerate(records):
        where, crowd = f"annotations[{n}]", record.get("iscrowd", 0)
        image, name = images.get(_key(record, "image_id")), names.get(_key(record, "category_id"))
        if image is None or name is None:
            link, known = ("image_id", "images") if image is None else ("category_id", "categories")
            faults.add(f"{where}.{link}", f"{_shown(record, link)} is none of `{known}`")
            continue
        if crowd not in (0, 1):
            faults.add(f"{where}.iscrowd", f"{_shown(record, 'iscrowd')} is neither 0 nor 1")
        box = _box(record, image, where, faults)
        if crowd or box is None:
            unclear[image.id].add(name)
            left_out.append(f"{where}: {'a crowd' if crowd else 'a box without area'}")
        else:
            objects[image.id].append((name, box))
    for key, image in images.items():
        images[key] = replace(image, objects=tuple(objects[key]), unclear=frozenset(unclear[key]))
    return left_out


def _records(document: Any, key: str, faults: Faults) -> list[dict[str, Any]]:
    value = document.get(key) if isinstance(document, dict) else None
    if not isinstance(value, list):
        faults.add(key, "missing, or no list; expected a COCO file with images, annotations and categories")
        return []
    if not value:
        faults.add(key, "is empty")
    for n, record in enumerate(value):
        if not isinstance(record, dict):
            faults.add(f"{key}[{n}]", f"expected an object, got {type(record).__name__}")
    return value


def _key(record: dict[str, Any], key: str) -> int | str:
    """An identifier; what cannot be one becomes an empty string, which nothing has."""
    value = record.get(key)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else ""


def _shown(record: dict[str, Any], key: str) -> str:
    return repr(record[key])[:80] if key in record else "missing, and"


def _new_key(record: dict[str, Any], where: str, taken: dict[int | str, Any], faults: Faults) -> int | str:
    key = _key(record, "id")
    if key == "":
        faults.add(f"{where}.id", "missing, or neither a number nor text")
    elif key in taken:
        faults.add(f"{where}.id", f"{key!r} occurs twice")
    return key


def _categories(records: list[dict[str, Any]], faults: Faults) -> dict[int | str, str]:
    names: dict[int | str, str] = {}
    for n, record in enumerate(records):
        key = _new_key(record, f"categories[{n}]", names, faults)
        name = record.get("name")
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or "<|" in name:
            faults.add(f"categories[{n}].name", f"{_shown(record, 'name')} is no printable text without '<|'")
            continue
        names[key] = name.strip()
    return names


def _images(
    records: list[dict[str, Any]], root: Path, most_pixels: int | None, faults: Faults
) -> dict[int | str, AnnotatedImage]:
    images: dict[int | str, AnnotatedImage] = {}
    for n, record in enumerate(records):
        where = f"images[{n}]"
        key = _new_key(record, where, images, faults)
        width, height = (_pixels(record, side, where, faults) for side in ("width", "height"))
        name = record.get("file_name")
        if not isinstance(name, str) or not name:
            faults.add(f"{where}.file_name", f"{_shown(record, 'file_name')} is no file's name")
            name = ""
        else:
            _look(FilePicture(root, name, _GLANCE), (width, height), most_pixels, f"{where}.file_name", faults)
        images[key] = AnnotatedImage(key, FilePicture(root, name, most_pixels), width, height)
    return images


def _pixels(record: dict[str, Any], side: str, where: str, faults: Faults) -> int:
    """A side of an image; 1 if that is a fault."""
    value = record.get(side)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_STORED_PIXELS:
        return value
    faults.add(f"{where}.{side}", f"{_shown(record, side)} is no number of pixels")
    return 1


def _look(picture: FilePicture, stated: tuple[int, int], most_pixels: int | None, where: str, faults: Faults) -> None:
    try:
        size = picture.size()
        picture.pixels()
    except Refused as error:
        faults.add(where, str(error))
        return
    if size != stated:
        faults.add(where, f"{picture.path!r} has {size} stored pixels, but width and height are {stated}")
    elif slender := sliver(*fitted(*size, most_pixels)):
        faults.add(where, f"{picture.path!r} {slender}")


def _box(record: dict[str, Any], image: AnnotatedImage, where: str, faults: Faults) -> Box | None:
    """The box in [0, 1], or None: it has no area, or is a fault."""
    bbox = numbers(record.get("bbox"))
    if bbox is None:
        faults.add(f"{where}.bbox", f"{_shown(record, 'bbox')} is no list of four finite numbers")
        return None
    x, y, w, h = bbox
    if w < 0 or h < 0:
        faults.add(f"{where}.bbox", f"{bbox} has a negative width or height")
        return None
    outside = max(-x, -y, x + w - image.width, y + h - image.height)
    if outside > _CROSSING:
        faults.add(f"{where}.bbox", f"{bbox} lies outside its image of {image.width}x{image.height} pixels")
        return None
    x1, y1, x2, y2 = to_unit(bbox, "xywh", (image.width, image.height))[0].clip(0, 1).tolist()
    return None if flaw((x1, y1, x2, y2)) else (x1, y1, x2, y2)
