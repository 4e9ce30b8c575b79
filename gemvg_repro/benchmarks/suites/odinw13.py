"""How does a model do on ODINW-13? COCO's mAP on each of thirteen datasets, and their mean.

ODINW-13 (GLIP, arXiv 2112.03857): detection datasets of many domains in COCO's format. Folders, classes and the file
of each: DATASETS, as in mmdet's configs/grounding_dino/odinw/grounding_dino_swin-t_pretrain_odinw13.py and in
Vision-R1's eval/eval_localization.py:70-83. GLIP's own configs score EgoHands and VehiclesOpenImages on smaller files.

Two protocols are in use, and their scores do not compare:

- odinw13: one question for each category that an image has (Vision-R1, "single and pos", of the paper's own group). It
  tells the model what is there.
- odinw13_all: one question an image, with all categories of its dataset (lmms-eval). Where lmms-eval reads coordinates
  in three ways and keeps what fits the truth best, we read them in one: thousandths, which are Qwen2-VL's.

A model gives no confidence, so every box has the same, and of equal ones the earlier counts first. Where nothing was
predicted, mAP is 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...files.pictures import FilePicture
from ...files.records import expect, identifier, inner_path, objects, side
from ...files.validation import Faults, Refused, numbers, read_json
from ...grounding.boxes import box_error, to_unit
from ...grounding.parsing import MAX_CHARACTERS, parse_answer
from ...grounding.samples import Box, Mode, Sample, Target
from ..coco_ap import Detection, Precision, is_result_list, read_detections
from ..coco_records import boxes, by_image, categories
from ..interface import Benchmark, Metric, Score
from ..prompts import Asking, authors
from ..responses import read_responses

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


@dataclass(frozen=True, slots=True)
class Question:
    """About one image, and one category or all of them."""

    dataset: Dataset
    image: int
    categories: tuple[int, ...]


Detections = Mapping[str, Sequence[Detection]]
"""By the dataset's name."""


class Odinw13(Benchmark[Sequence[Dataset], Detections]):
    """ODINW-13 by one of the two protocols; `every`: all categories in one question."""

    def __init__(self, name: str, every: bool) -> None:
        self._name, self._every = name, every

    @property
    def name(self) -> str:
        return self._name

    def load(self, file: Path, root: Path | None = None, most_pixels: int | None = None) -> list[Dataset]:
        """The datasets that are there below a folder, or the one of an annotation file; `root` is not needed."""
        if not file.is_dir():
            return [_load(file, root or file.parent, most_pixels)]
        found = [file / path for path in DATASETS.values() if (file / path).is_file()]
        if not found:
            raise Refused(f"{file} has none of the thirteen datasets; expected {DATASETS['Raccoon']!r} and the like")
        return [_load(each, each.parent, most_pixels) for each in found]

    def part(self, data: Sequence[Dataset], most: int) -> list[Dataset]:
        return [_first(dataset, -(-most // len(data))) for dataset in data]

    def samples(self, data: Sequence[Dataset], mode: Mode, asking: Asking | None = None) -> list[Sample]:
        words = asking or authors()
        return [self._sample(n, question, mode, words) for n, question in enumerate(self._questions(data))]

    def _questions(self, data: Sequence[Dataset]) -> Iterator[Question]:
        for dataset in data:
            for image in dataset.sizes:
                if self._every:
                    yield Question(dataset, image, tuple(dataset.names))
                    continue
                there = {box["category_id"] for box in dataset.boxes[image]}
                yield from (Question(dataset, image, (category,)) for category in dataset.names if category in there)

    def _sample(self, n: int, question: Question, mode: Mode, asking: Asking) -> Sample:
        dataset, image = question.dataset, question.image
        words = ", ".join(dataset.names[category] for category in question.categories)
        targets = [Target(0, box) for box in _unit_boxes(question)]
        scene, picture = f"odinw13/{dataset.name}/{image}", (dataset.pictures[image],)
        prompt = asking.ask(self.name, mode, category=words, categories=words)
        return Sample(
            f"{self.name}/{n}", scene, "referential", "odinw13", picture, words, tuple(targets), prompt=prompt
        )

    def heard(self, data: Sequence[Dataset], texts: Sequence[str]) -> Detections:
        found: dict[str, list[Detection]] = {dataset.name: [] for dataset in data}
        for question, text in zip(self._questions(data), texts, strict=True):
            found[question.dataset.name] += _said(question, text)
        return found

    def read(self, file: Path, data: Sequence[Dataset]) -> Detections:
        """A result list for one dataset; for several, a folder with <dataset>.json; or texts by question."""
        if file.is_dir():
            return {each.name: read_detections(file / f"{each.name}.json", each.sizes) for each in data}
        if not is_result_list(file):
            return self.heard(data, read_responses(file, self.name, sum(1 for _ in self._questions(data))))
        if len(data) > 1:
            raise Refused(f"{file} is one result list for {len(data)} datasets; expected a folder with <dataset>.json")
        return {data[0].name: read_detections(file, data[0].sizes)}

    def counts(self, data: Sequence[Dataset]) -> dict[str, int]:
        return {dataset.name: len(dataset.sizes) for dataset in data}

    def score(self, data: Sequence[Dataset], said: Detections) -> Score:
        found = {dataset.name: _precision(dataset, said[dataset.name]) for dataset in data}
        mean = _mean([each["mAP"] for each in found.values()])
        rows = [
            {"dataset": dataset.name, "images": len(dataset.sizes)} | _percent(found[dataset.name]) for dataset in data
        ]
        rows.append({"dataset": f"mean of {len(data)} of {len(DATASETS)}", "mAP": None if mean is None else 100 * mean})
        beside = {
            "missing": [name for name in DATASETS if name not in found],
            "corrected": {each.name: _precision(each, said[each.name], renumbered=True) for each in data},
        }
        images = sum(len(dataset.sizes) for dataset in data)
        ap50 = _mean([each["AP50"] for each in found.values()])
        headline = {"mAP": Metric(mean, images), "AP50": Metric(ap50, images)}
        return Score({"mAP": mean, "datasets": found}, beside, rows, headline)


def _first(dataset: Dataset, most: int) -> Dataset:
    """The dataset with its first `most` images."""
    images = list(dataset.sizes)[:most]
    document = {
        **dataset.document,
        "images": dataset.document["images"][:most],
        "annotations": [box for image in images for box in dataset.boxes[image]],
    }
    sizes = {image: dataset.sizes[image] for image in images}
    return replace(dataset, document=document, sizes=sizes)


def _precision(dataset: Dataset, said: Sequence[Detection], renumbered: bool = False) -> dict[str, float | None]:
    """COCO's mAP, AP50 and AP75 of a dataset; `renumbered`: a true box of id 0 can be matched too."""
    document = dataset.document
    if renumbered:
        annotations = [box | {"id": n} for n, box in enumerate(document["annotations"], 1)]
        document = {**document, "annotations": annotations}
    precision = Precision(document, said)
    return {"mAP": precision.average(), "AP50": precision.average(0, 1), "AP75": precision.average(5, 6)}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _percent(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else 100 * value for name, value in metrics.items()}


def _load(file: Path, root: Path, most_pixels: int | None) -> Dataset:
    """Raises Refused with record and key of every fault."""
    document = read_json(file)
    faults = Faults(file)
    lists = {key: objects(document, key, faults) for key in ("images", "annotations", "categories")}
    faults.refuse()
    names = categories(lists["categories"], faults)
    images: dict[int, dict[str, Any]] = {}
    for n, each in enumerate(lists["images"]):
        where = f"images[{n}]"
        record = expect(each, where, {}, faults)
        key = None if record is None else identifier(record, where, images, faults)
        if record is None or key is None:
            continue
        width, height = side(record, "width", where, faults), side(record, "height", where, faults)
        path = inner_path(record.get("file_name"), f"{where}.file_name", faults)
        images[key] = {"id": key, "file_name": path or "", "width": width or 1, "height": height or 1}
    found = boxes(lists["annotations"], images, names, faults)
    faults.refuse()
    return Dataset(
        name=_name(file),
        document={
            "images": list(images.values()),
            "annotations": found,
            "categories": [{"id": key, "name": name} for key, name in names.items()],
        },
        names=names,
        pictures={key: FilePicture(root, image["file_name"], most_pixels) for key, image in images.items()},
        sizes={key: (image["width"], image["height"]) for key, image in images.items()},
        boxes=by_image(images, found),
    )


def _name(file: Path) -> str:
    """The dataset's name, if the file lies where the layout has it; else that of its folder."""
    path = file.resolve().as_posix()
    return next((name for name, inside in DATASETS.items() if path.endswith(f"/{inside}")), file.resolve().parent.name)


def _unit_boxes(question: Question) -> Iterator[Box]:
    size = question.dataset.sizes[question.image]
    for record in question.dataset.boxes[question.image]:
        x1, y1, x2, y2 = to_unit(record["bbox"], "xywh", size)[0].clip(0, 1).tolist()
        if record["category_id"] in question.categories and not box_error((x1, y1, x2, y2)):
            yield x1, y1, x2, y2


def _said(question: Question, text: str) -> Iterator[Detection]:
    """The boxes of an answer: a JSON list of {bbox_2d, label}, or our notation, which has no label.

    A label counts by its name in lower case (Vision-R1); one that is none of the dataset's is dropped. Without a label
    a box is of the category that was asked about, and dropped if there were several.
    """
    asked = question.categories[0] if len(question.categories) == 1 else None
    listed = _json_list(text)
    if listed is None:
        labelled: list[tuple[Box, int | None]] = [(target.box, asked) for target in parse_answer(text, 1).targets]
    else:
        known = {name.lower(): key for key, name in question.dataset.names.items()}
        labelled = [
            (box, asked if label is None else known.get(label.strip().lower()))
            for box, label in map(_item, listed)
            if box is not None
        ]
    width, height = question.dataset.sizes[question.image]
    for (x1, y1, x2, y2), category in labelled:
        if category is not None:
            pixels = (x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height)
            yield Detection(question.image, category, pixels, 1.0)


def _json_list(text: str) -> list[Any] | None:
    """The JSON list in an answer, with or without a fence of backticks around it."""
    start, end = text.find("["), text.rfind("]")
    if not 0 <= start < end <= MAX_CHARACTERS:
        return None
    try:
        found = json.loads(text[start : end + 1])
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _item(item: Any) -> tuple[Box | None, str | None]:
    """Box, thousandths of the image to [0, 1], and label of one item; no box if it is none."""
    values = numbers(item.get("bbox_2d")) if isinstance(item, dict) else None
    if values is None:
        return None, None
    x1, y1, x2, y2 = (value / 1000 for value in values)
    label = item.get("label")
    return None if box_error((x1, y1, x2, y2)) else (x1, y1, x2, y2), label if isinstance(label, str) else None


BENCHMARKS = (Odinw13("odinw13", every=False), Odinw13("odinw13_all", every=True))
