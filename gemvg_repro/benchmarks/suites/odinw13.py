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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...files.validation import Refused
from ...grounding.boxes import box_error, to_unit
from ...grounding.parsing import parse_answer
from ...grounding.samples import Box, Mode, Sample, Target
from ..coco_ap import AveragePrecision, Detection, detection_notes, is_result_list, read_detections
from ..interface import Benchmark, BenchmarkScore, Metric
from ..json_boxes import LabelledBox, parse_json_boxes
from ..prompts import PromptTemplates, authors_templates
from ..responses import read_responses
from ..sample_scores import SampleScore, of_matches, scenes
from .odinw13_file import DATASETS, Dataset, load

BOXES = "boxes"
"""The rows of `sample_scores` that both metrics are averages of."""


@dataclass(frozen=True, slots=True)
class CategoryQuery:
    """One prompt: an image, and the one category to detect or all of its dataset."""

    dataset: Dataset
    image: int
    categories: tuple[int, ...]


@dataclass(frozen=True)
class OdinwAnswers:
    """Detections by the dataset's name, and how many of the responses could be parsed (none for result lists).

    `in_part`: responses with boxes of which something was left unread. `unread`: those without a box that do not say
    that there is none. `other_labels`: boxes that were left out since their label is none of the dataset's categories.
    `tiny`: boxes of which no coordinate is above 1, that is, a thousandth.
    """

    detections: Mapping[str, Sequence[Detection]]
    responses: int = 0
    in_part: int = 0
    unread: int = 0
    other_labels: int = 0
    tiny: int = 0

    def counts(self) -> dict[str, int]:
        """As they are stored beside the score."""
        return {
            "total": self.responses,
            "read_in_part": self.in_part,
            "unread": self.unread,
            "boxes_of_other_labels": self.other_labels,
        }

    def notes(self) -> list[str]:
        """Sentences about the responses that were not parsed whole."""
        notes = []
        if self.in_part:
            notes.append(
                f"{self.in_part} of {self.responses} responses read in part: cut off, or with boxes that are none; "
                "every complete box of theirs is scored"
            )
        if self.unread:
            notes.append(f"{self.unread} of {self.responses} responses have neither a box that can be read nor 'none'")
        if self.other_labels:
            notes.append(f"{self.other_labels} boxes left out: their label is none of the dataset's categories")
        if self.tiny:
            notes.append(
                f"{self.tiny} boxes have no coordinate above 1: they are read as thousandths of the image's sides"
            )
        return notes


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """The detections of one response, and what was not parsed; see `OdinwAnswers`."""

    detections: Sequence[Detection]
    in_part: bool
    unread: bool
    other_labels: int
    tiny: int


class Odinw13(Benchmark[Sequence[Dataset], OdinwAnswers]):
    """ODINW-13 by one of the two protocols; `all_categories`: all of a dataset in one prompt."""

    def __init__(self, name: str, all_categories: bool) -> None:
        self._name, self._all_categories = name, all_categories

    @property
    def name(self) -> str:
        return self._name

    def load(self, file: Path, root: Path | None = None, most_pixels: int | None = None) -> list[Dataset]:
        """The datasets below a folder, or the one of an annotation file; `root` is not needed."""
        if not file.is_dir():
            return [load(file, root or file.parent, most_pixels)]
        files = [file / path for path in DATASETS.values() if (file / path).is_file()]
        if not files:
            raise Refused(f"{file} has none of the thirteen datasets; expected {DATASETS['Raccoon']!r} and the like")
        return [load(each, each.parent, most_pixels) for each in files]

    def head(self, data: Sequence[Dataset], limit: int) -> list[Dataset]:
        return [dataset.first(-(-limit // len(data))) for dataset in data]

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

    def parse(self, data: Sequence[Dataset], texts: Sequence[str]) -> OdinwAnswers:
        detections: dict[str, list[Detection]] = {dataset.name: [] for dataset in data}
        responses = []
        for query, text in zip(self._queries(data), texts, strict=True):
            responses.append(_parse(query, text))
            detections[query.dataset.name] += responses[-1].detections
        return OdinwAnswers(
            detections,
            len(responses),
            in_part=sum(response.in_part for response in responses),
            unread=sum(response.unread for response in responses),
            other_labels=sum(response.other_labels for response in responses),
            tiny=sum(response.tiny for response in responses),
        )

    def read(self, file: Path, data: Sequence[Dataset]) -> OdinwAnswers:
        """A result list for one dataset; for several, a folder with <dataset>.json; or responses by prompt."""
        if file.is_dir():
            return OdinwAnswers({each.name: read_detections(file / f"{each.name}.json", each.sizes) for each in data})
        if not is_result_list(file):
            return self.parse(data, read_responses(file, self.name, sum(1 for _ in self._queries(data))))
        if len(data) > 1:
            raise Refused(f"{file} is one result list for {len(data)} datasets; expected a folder with <dataset>.json")
        return OdinwAnswers({data[0].name: read_detections(file, data[0].sizes)})

    def counts(self, data: Sequence[Dataset]) -> dict[str, int]:
        return {dataset.name: len(dataset.sizes) for dataset in data}

    def score(self, data: Sequence[Dataset], parsed: OdinwAnswers) -> BenchmarkScore:
        scores = {dataset.name: _precision(dataset, parsed.detections[dataset.name]) for dataset in data}
        corrected = {each.name: _precision(each, parsed.detections[each.name], renumbered=True) for each in data}
        mean = _mean([each["mAP"] for each in scores.values()])
        rows = [
            {"dataset": dataset.name, "images": len(dataset.sizes)} | _percent(scores[dataset.name]) for dataset in data
        ]
        rows.append({"dataset": f"mean of {len(data)} of {len(DATASETS)}", "mAP": None if mean is None else 100 * mean})
        beside = {
            "missing": [name for name in DATASETS if name not in scores],
            "corrected": corrected,
            "responses": parsed.counts(),
        }
        images = sum(len(dataset.sizes) for dataset in data)
        ap50 = _mean([each["AP50"] for each in scores.values()])
        headline = {"mAP": Metric(mean, images, "map", BOXES), "AP50": Metric(ap50, images, "ap50", BOXES)}
        notes = parsed.notes()
        for each in data:
            notes += detection_notes(
                each.name, each.document, parsed.detections[each.name], corrected[each.name]["mAP"]
            )
        return BenchmarkScore({"mAP": mean, "datasets": scores}, beside, rows, headline, notes)

    def sample_scores(self, data: Sequence[Dataset], parsed: OdinwAnswers) -> list[SampleScore]:
        scores = []
        for dataset in data:
            images = {image: f"odinw13/{dataset.name}/{image}" for image in dataset.sizes}
            components = scenes([(dataset.pictures[image],) for image in images])
            names = {
                image: (name, f"odinw13/{dataset.name}/scene {scene}", dataset.name)
                for (image, name), scene in zip(images.items(), components, strict=True)
            }
            matches = AveragePrecision(dataset.document, parsed.detections[dataset.name]).matches()
            scores += of_matches(matches, BOXES, names)
        return scores


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


def _unit_boxes(query: CategoryQuery) -> Iterator[Box]:
    size = query.dataset.sizes[query.image]
    for record in query.dataset.boxes[query.image]:
        x1, y1, x2, y2 = to_unit(record["bbox"], "xywh", size)[0].clip(0, 1).tolist()
        if record["category_id"] in query.categories and not box_error((x1, y1, x2, y2)):
            yield x1, y1, x2, y2


def _parse(query: CategoryQuery, text: str) -> ParsedResponse:
    """The detections of one response: JSON with labels (see `json_boxes`), or our notation, which has none.

    A label counts by its name in lower case (Vision-R1); one that is none of the dataset's is dropped. Without a label
    a box is of the category of the prompt, and dropped if that has several.
    """
    queried = query.categories[0] if len(query.categories) == 1 else None
    answer = parse_json_boxes(text)
    if answer is None:
        parsed = parse_answer(text, 1)
        labelled: list[tuple[Box, int | None]] = [(target.box, queried) for target in parsed.targets]
        complete = not any(problem.startswith(("the box", "a box")) for problem in parsed.problems)
        readable = bool(parsed.targets) or parsed.none
    else:
        by_name = {name.lower(): key for key, name in query.dataset.names.items()}
        pairs = [(_thousandths(box), box.label) for box in answer.boxes]
        labelled = [
            (box, queried if label is None else by_name.get(label.strip().lower()))
            for box, label in pairs
            if box is not None
        ]
        complete = answer.complete and len(labelled) == len(pairs)
        readable = bool(labelled) or not pairs
    detections = [_detection(query, box, category) for box, category in labelled if category is not None]
    tiny = sum(max(box) <= 0.001 for box, _ in labelled)
    other_labels = len(labelled) - len(detections)
    return ParsedResponse(detections, readable and not complete, not readable, other_labels, tiny)


def _thousandths(box: LabelledBox) -> Box | None:
    """The box, thousandths of the image to [0, 1]; None if it is none."""
    x1, y1, x2, y2 = (value / 1000 for value in box.corners)
    return None if box_error((x1, y1, x2, y2)) else (x1, y1, x2, y2)


def _detection(query: CategoryQuery, box: Box, category: int) -> Detection:
    width, height = query.dataset.sizes[query.image]
    x1, y1, x2, y2 = box
    pixels = (x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height)
    return Detection(query.image, category, pixels, 1.0)


BENCHMARKS = (Odinw13("odinw13", all_categories=False), Odinw13("odinw13_all", all_categories=True))
