"""ODINW-13's files: where each dataset's annotations are, parsed and validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...files import coco
from ...files.pictures import FilePicture
from ...files.validation import Faults
from ..coco_records import boxes, by_image, categories, image_documents, images

_VALID = "valid/annotations_without_background.json"

DATASETS = {
    "AerialMaritimeDrone": f"AerialMaritimeDrone/large/{_VALID}",
    "Aquarium": f"Aquarium/Aquarium Combined.v2-raw-1024.coco/{_VALID}",
    "CottontailRabbits": f"CottontailRabbits/{_VALID}",
    "EgoHands": f"EgoHands/generic/{_VALID}",
    "NorthAmericaMushrooms": f"NorthAmericaMushrooms/North American Mushrooms.v1-416x416.coco/{_VALID}",
    "Packages": f"Packages/Raw/{_VALID}",
    "PascalVOC": f"PascalVOC/{_VALID}",
    "pistols": "pistols/export/val_annotations_without_background.json",
    "pothole": f"pothole/{_VALID}",
    "Raccoon": f"Raccoon/Raccoon.v2-raw.coco/{_VALID}",
    "ShellfishOpenImages": f"ShellfishOpenImages/raw/{_VALID}",
    "thermalDogsAndPeople": f"thermalDogsAndPeople/{_VALID}",
    "VehiclesOpenImages": f"VehiclesOpenImages/416x416/{_VALID}",
}
"""The annotation file of each below the folder of all; its images lie beside it."""


@dataclass(frozen=True)
class Dataset:
    """One of the thirteen: its annotations as pycocotools takes them, and by image."""

    name: str
    document: Mapping[str, Any]
    names: Mapping[int, str]
    pictures: Mapping[int, FilePicture]
    sizes: Mapping[int, tuple[int, int]]
    boxes: Mapping[int, Sequence[Mapping[str, Any]]]

    def first(self, limit: int) -> Dataset:
        """The dataset with its first `limit` images."""
        images = list(self.sizes)[:limit]
        document = {
            **self.document,
            "images": self.document["images"][:limit],
            "annotations": [box for image in images for box in self.boxes[image]],
        }
        sizes = {image: self.sizes[image] for image in images}
        return replace(self, document=document, sizes=sizes)


def load(file: Path, root: Path, most_pixels: int | None) -> Dataset:
    """Raises Refused with record and key of every fault."""
    faults = Faults(file)
    records = coco.load(file, faults)
    names, image_records = categories(records["categories"], faults), images(records["images"], faults)
    annotations = boxes(records["annotations"], image_records, names, faults)
    faults.refuse()
    return Dataset(
        name=_name(file),
        document={
            "images": image_documents(image_records),
            "annotations": annotations,
            "categories": [{"id": key, "name": name} for key, name in names.items()],
        },
        names=names,
        pictures={key: FilePicture(root, image.file_name, most_pixels) for key, image in image_records.items()},
        sizes={key: (image.width, image.height) for key, image in image_records.items()},
        boxes=by_image(image_records, annotations),
    )


def _name(file: Path) -> str:
    """The dataset's name, if the file is where the layout has it; else that of its folder."""
    path = file.resolve().as_posix()
    return next((name for name, inside in DATASETS.items() if path.endswith(f"/{inside}")), file.resolve().parent.name)
