"""MC-Bench's file: parsed and validated. `mc_bench` describes the format."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from ...files.pictures import FilePicture
from ...files.records import expect, identifier, objects
from ...files.validation import Faults, Refused, read_json, whole
from ..coco_records import boxes, by_image, categories, image_documents
from ..coco_records import images as image_records

_README_SPELLING = "catgory_id"


@dataclass(frozen=True, slots=True)
class Description:
    """A sample: its text, its images by id, whether it has any target, and its text style."""

    text: str
    images: tuple[int, ...]
    positive: bool
    style: str


@dataclass(frozen=True)
class McBenchFile:
    """A valid file.

    `document` has images, annotations and categories as pycocotools takes them, keys spelt as the script has them
    but for the images' pair_image_id, which is there only if the file has it. `boxes`: annotations by image.
    `lacking`: a key that the script reads of an annotation and that one of them does not have; here it has COCO's
    usual value.
    """

    file: Path
    document: Mapping[str, Any]
    descriptions: Sequence[Description]
    pictures: Mapping[int, FilePicture]
    sizes: Mapping[int, tuple[int, int]]
    boxes: Mapping[int, Sequence[Mapping[str, Any]]]
    misspelt_category: bool
    lacking: str | None = None

    @cached_property
    def images(self) -> tuple[int, ...]:
        """Their ids, in the order of the file."""
        return tuple(self.sizes)

    @property
    def first_group(self) -> int:
        """The category that our boxes are in: "group 1", or the first that there is."""
        categories = self.document["categories"]
        named = [category["id"] for category in categories if category["name"] == "group 1"]
        return int(named[0] if named else categories[0]["id"])

    def boxes_in(self, images: Collection[int]) -> list[Mapping[str, Any]]:
        """The annotations of some images."""
        return [box for image in images for box in self.boxes[image]]

    def first(self, limit: int) -> McBenchFile:
        """The first `limit` descriptions with their images."""
        descriptions = self.descriptions[:limit]
        kept = {image for each in descriptions for image in each.images}
        images = [image for image in self.document["images"] if image["id"] in kept]
        annotations = [box for box in self.document["annotations"] if box["image_id"] in kept]
        document = {**self.document, "images": images, "annotations": annotations}
        sizes = {image: size for image, size in self.sizes.items() if image in kept}
        boxes = {image: self.boxes[image] for image in sizes}
        return replace(self, document=document, descriptions=descriptions, sizes=sizes, boxes=boxes)

    def refuse_groups(self, images: Sequence[int], groups: int) -> NoReturn:
        """Raises Refused for a pair with too many groups to try all their permutations."""
        raise Refused(f"{self.file}: images {images} have {groups} groups; too many to try every permutation of them")


def load(file: Path, root: Path | None = None, most_pixels: int | None = None) -> McBenchFile:
    """Reads and checks the whole file; images lie below `root`, by default mc-bench_images/ beside the file.

    Raises Refused with record and key of every fault.
    """
    document = read_json(file)
    faults = Faults(file)
    lists: dict[str, Any] = {key: objects(document, key, faults) for key in ("images", "descriptions", "categories")}
    lists["annotations"] = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(lists["annotations"], list):
        faults.add("annotations", "missing, or no list")
    faults.refuse()
    names = categories(lists["categories"], faults)
    images = image_records(lists["images"], faults)
    partners = _partners(lists["images"], images, faults)
    spellings = {_category_key(each) for each in lists["annotations"]}
    annotations = boxes(lists["annotations"], images, names, faults, _category_key)
    descriptions = _descriptions(lists["descriptions"], images, faults)
    faults.refuse()
    below = root or file.parent / "mc-bench_images"
    return McBenchFile(
        file=file,
        document={
            "images": [
                image | ({"pair_image_id": partners[image["id"]]} if image["id"] in partners else {})
                for image in image_documents(images)
            ],
            "annotations": annotations,
            "categories": [{"id": key, "name": name} for key, name in names.items()],
        },
        descriptions=descriptions,
        pictures={key: FilePicture(below, image.file_name, most_pixels) for key, image in images.items()},
        sizes={key: (image.width, image.height) for key, image in images.items()},
        boxes=by_image(images, annotations),
        misspelt_category=_README_SPELLING in spellings,
        lacking=_lacking(lists["annotations"]),
    )


def _category_key(record: Any) -> str:
    misspelt = isinstance(record, dict) and "category_id" not in record and _README_SPELLING in record
    return _README_SPELLING if misspelt else "category_id"


def _lacking(records: Sequence[Mapping[str, Any]]) -> str | None:
    """The first key that an annotation lacks; of a crowd, pycocotools does not read the area."""
    for key in ("iscrowd", "area"):
        if any(key not in record and not record.get("iscrowd") for record in records):
            return key
    return None


def _partners(records: Sequence[Any], images: Mapping[int, Any], faults: Faults) -> dict[int, int]:
    """The other image of each pair, by the image's id, where it is under the script's key; both keys are checked."""
    partners: dict[int, int] = {}
    for n, record in enumerate(each for each in records if isinstance(each, dict)):
        keys = [key for key in ("pair_image_id", "inter_img_id") if key in record]
        for key in keys:
            if type(record[key]) is not int or record[key] not in images:
                faults.add(f"images[{n}].{key}", f"{record[key]!r:.80} is none of `images`")
        if not keys:
            faults.add(f"images[{n}]", "expected 'inter_img_id' or 'pair_image_id', the id of the other image")
        elif keys[0] == "pair_image_id" and (image := whole(record.get("id"))) is not None:
            partners[image] = record["pair_image_id"]
    return partners


def _descriptions(records: Sequence[Any], images: Mapping[int, Any], faults: Faults) -> list[Description]:
    descriptions: dict[int, Description] = {}
    taken: set[int] = set()
    keys = {"images_id": list, "text": str, "positive_sample": bool, "text_style": str}
    for n, each in enumerate(records):
        where = f"descriptions[{n}]"
        record = expect(each, where, keys, faults)
        key = None if record is None else identifier(record, where, descriptions, faults)
        if record is None or key is None:
            continue
        ids = record["images_id"]
        if not ids or not all(type(image) is int and image in images for image in ids):
            faults.add(f"{where}.images_id", f"expected ids of `images`, got {ids!r:.80}")
        elif len(set(ids)) < len(ids) or taken & set(ids):
            faults.add(f"{where}.images_id", f"an image entry belongs to one description, but {ids!r:.80} to more")
        else:
            taken |= set(ids)
            descriptions[key] = Description(record["text"], tuple(ids), record["positive_sample"], record["text_style"])
    if len(taken) < len(images) and descriptions:
        faults.add("descriptions", f"{len(images) - len(taken)} of {len(images)} images belong to none")
    return list(descriptions.values())
