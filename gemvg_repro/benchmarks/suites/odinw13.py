"""How does a model do on ODINW-13? COCO's mAP on each of thirteen datasets, and their mean.

ODINW-13 (GLIP, arXiv 2112.03857): detection datasets of many domains in COCO's format. Folders, classes and the file
of each: DATASETS, as in mmdet's configs/grounding_dino/odinw/grounding_dino_swin-t_pretrain_odinw13.py and in
Vision-R1's eval/eval_localization.py:70-83. GLIP's own configs score EgoHands and VehiclesOpenImages on smaller files.

Two protocols are in use, and their scores do not compare:

- odinw13: one prompt for each category that an image has (Vision-R1, "single and pos", of the paper's own group). It
  reveals to the model what is there.
- odinw13_all: one prompt an image, with all categories of its dataset (lmms-eval). Where lmms-eval reads coordinates
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

from ...files import coco
from ...files.pictures import FilePicture
from ...files.validation import Faults, Refused, numbers
from ...grounding.boxes import box_error, to_unit
from ...grounding.parsing import MAX_CHARACTERS, parse_answer
from ...grounding.samples import Box, Mode, Sample, Target
from ..coco_ap import AveragePrecision, Detection, is_result_list, read_detections
from ..coco_records import boxes, by_image, categories, image_documents, images
from ..interface import Benchmark, BenchmarkScore, Metric
from ..prompts import PromptTemplates, authors_templates
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
class CategoryQuery:
    """One prompt: an image, and the one category to detect or all of its dataset."""

    dataset: Dataset
    image: int
    categories: tuple[int, ...]


Detections = Mapping[str, Sequence[Detection]]
"""By the dataset's name."""


class Odinw13(Benchmark[Sequence[Dataset], Detections]):
    """ODINW-13 by one of the two protocols; `all_categories`: all of a dataset in one prompt."""

    def __init__(self, name: str, all_categories: bool) -> None:
        self._name, self._all_categories = name, all_categories

    @property
    def name(self) -> str:
        return self._name

    def load(self, file: Path, root: Path | None = None, most_pixels: int | None = None) -> list[Dataset]:
        """The datasets below a folder, or the one of an annotation file; `root` is not needed."""
        if not file.is_dir():
            return [_load(file, root or file.parent, most_pixels)]
        files = [file / path for path in DATASETS.values() if (file / path).is_file()]
        if not files:
            raise Refused(f"{file} has none of the thirteen datasets; expected {DATASETS['Raccoon']!r} and the like")
        return [_load(each, each.parent, most_pixels) for each in files]

    def head(self, data: Sequence[Dataset], limit: int) -> list[Dataset]:
        return [_first(dataset, -(-limit // len(data))) for dataset in data]

    def samples(self, data: Sequence[Dataset], mode: Mode, templates: PromptTemplates | None = None) -> list[Sample]:
        templates = templates or authors_templates()
        return [self._sample(n, query, mode, templates) for n, query in enumerate(self._queries(data))]

    def _queries(self, data: Sequence[Dataset]) -> Iterator[CategoryQuery]:
        for dataset in data:
            for image in dataset.sizes:
                if self._all_categories:
                    yield CategoryQuery(dataset, image, tuple(dataset.names))
                    continue
                present = {box["category_id"] for box in dataset.boxes[image]}
                yield from (
                    CategoryQuery(dataset, image, (category,)) for category in dataset.names if category in present
                )

    def _sample(self, n: int, query: CategoryQuery, mode: Mode, templates: PromptTemplates) -> Sample:
        dataset, image = query.dataset, query.image
        names = ", ".join(dataset.names[category] for category in query.categories)
        targets = [Target(0, box) for box in _unit_boxes(query)]
        scene, picture = f"odinw13/{dataset.name}/{image}", (dataset.pictures[image],)
        prompt = templates.fill(self.name, mode, category=names, categories=names)
        return Sample(
            f"{self.name}/{n}", scene, "referential", "odinw13", picture, names, tuple(targets), prompt=prompt
        )

    def parse(self, data: Sequence[Dataset], texts: Sequence[str]) -> Detections:
        detections: dict[str, list[Detection]] = {dataset.name: [] for dataset in data}
        for query, text in zip(self._queries(data), texts, strict=True):
            detections[query.dataset.name] += _detections(query, text)
        return detections

    def read(self, file: Path, data: Sequence[Dataset]) -> Detections:
        """A result list for one dataset; for several, a folder with <dataset>.json; or responses by prompt."""
        if file.is_dir():
            return {each.name: read_detections(file / f"{each.name}.json", each.sizes) for each in data}
        if not is_result_list(file):
            return self.parse(data, read_responses(file, self.name, sum(1 for _ in self._queries(data))))
        if len(data) > 1:
            raise Refused(f"{file} is one result list for {len(data)} datasets; expected a folder with <dataset>.json")
        return {data[0].name: read_detections(file, data[0].sizes)}

    def counts(self, data: Sequence[Dataset]) -> dict[str, int]:
        return {dataset.name: len(dataset.sizes) for dataset in data}

    def score(self, data: Sequence[Dataset], parsed: Detections) -> BenchmarkScore:
        scores = {dataset.name: _precision(dataset, parsed[dataset.name]) for dataset in data}
        mean = _mean([each["mAP"] for each in scores.values()])
        rows = [
            {"dataset": dataset.name, "images": len(dataset.sizes)} | _percent(scores[dataset.name]) for dataset in data
        ]
        rows.append({"dataset": f"mean of {len(data)} of {len(DATASETS)}", "mAP": None if mean is None else 100 * mean})
        beside = {
            "missing": [name for name in DATASETS if name not in scores],
            "corrected": {each.name: _precision(each, parsed[each.name], renumbered=True) for each in data},
        }
        images = sum(len(dataset.sizes) for dataset in data)
        ap50 = _mean([each["AP50"] for each in scores.values()])
        headline = {"mAP": Metric(mean, images), "AP50": Metric(ap50, images)}
        return BenchmarkScore({"mAP": mean, "datasets": scores}, beside, rows, headline)


def _first(dataset: Dataset, limit: int) -> Dataset:
    """The dataset with its first `limit` images."""
    images = list(dataset.sizes)[:limit]
    document = {
        **dataset.document,
        "images": dataset.document["images"][:limit],
        "annotations": [box for image in images for box in dataset.boxes[image]],
    }
    sizes = {image: dataset.sizes[image] for image in images}
    return replace(dataset, document=document, sizes=sizes)


def _precision(dataset: Dataset, detections: Sequence[Detection], renumbered: bool = False) -> dict[str, float | None]:
    """COCO's mAP, AP50 and AP75 of a dataset; `renumbered`: a true box of id 0 can be matched, too."""
    document = dataset.document
    if renumbered:
        annotations = [box | {"id": n} for n, box in enumerate(document["annotations"], 1)]
        document = {**document, "annotations": annotations}
    precision = AveragePrecision(document, detections)
    return {"mAP": precision.average(), "AP50": precision.average(0, 1), "AP75": precision.average(5, 6)}


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _percent(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else 100 * value for name, value in metrics.items()}


def _load(file: Path, root: Path, most_pixels: int | None) -> Dataset:
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


def _unit_boxes(query: CategoryQuery) -> Iterator[Box]:
    size = query.dataset.sizes[query.image]
    for record in query.dataset.boxes[query.image]:
        x1, y1, x2, y2 = to_unit(record["bbox"], "xywh", size)[0].clip(0, 1).tolist()
        if record["category_id"] in query.categories and not box_error((x1, y1, x2, y2)):
            yield x1, y1, x2, y2


def _detections(query: CategoryQuery, text: str) -> Iterator[Detection]:
    """The boxes of an answer: a JSON list of {bbox_2d, label}, or our notation, which has no label.

    A label counts by its name in lower case (Vision-R1); one that is none of the dataset's is dropped. Without a label
    a box is of the category of the prompt, and dropped if that has several.
    """
    queried = query.categories[0] if len(query.categories) == 1 else None
    listed = _json_list(text)
    if listed is None:
        labelled: list[tuple[Box, int | None]] = [(target.box, queried) for target in parse_answer(text, 1).targets]
    else:
        by_name = {name.lower(): key for key, name in query.dataset.names.items()}
        labelled = [
            (box, queried if label is None else by_name.get(label.strip().lower()))
            for box, label in map(_item, listed)
            if box is not None
        ]
    width, height = query.dataset.sizes[query.image]
    for (x1, y1, x2, y2), category in labelled:
        if category is not None:
            pixels = (x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height)
            yield Detection(query.image, category, pixels, 1.0)


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


BENCHMARKS = (Odinw13("odinw13", all_categories=False), Odinw13("odinw13_all", all_categories=True))
