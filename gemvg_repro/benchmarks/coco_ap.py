"""COCO result lists, and COCO's average precision of their boxes.

The list (cocodataset.org, "Results format"): [{image_id, category_id, bbox [x, y, width, height] in pixels of the
stored image, score}]. Average precision is pycocotools' own, the code that the published numbers used; only what is not
needed here is left out (area ranges, other limits than 100 boxes an image), which changes no number.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..files.validation import Faults, Refused, numbers, read_json, whole

MAX_DETECTIONS = 100
"""Detections kept for an image and category, by score, as in COCO's metric."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A predicted box: xywh in pixels of the stored image."""

    image: int
    category: int
    box: tuple[float, float, float, float]
    score: float

    def record(self) -> dict[str, Any]:
        """As an annotation of pycocotools."""
        return {"image_id": self.image, "category_id": self.category, "bbox": list(self.box), "score": self.score}


def is_result_list(file: Path) -> bool:
    """Whether a predictions file is a COCO result list, by its first character, and not JSON lines."""
    try:
        with file.open("rb") as opened:
            return opened.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}; expected predictions") from error


def read_detections(file: Path, images: Collection[int]) -> list[Detection]:
    """The boxes of a COCO result list, in order. Raises Refused with record and key of every fault."""
    document = read_json(file)
    if not isinstance(document, list):
        raise Refused(f"{file}: expected a list of {{image_id, category_id, bbox, score}}, COCO's results format")
    faults = Faults(file)
    detections = [_detection(record, f"[{n}]", images, faults) for n, record in enumerate(document)]
    faults.refuse()
    return [detection for detection in detections if detection is not None]


def _detection(record: Any, where: str, images: Collection[int], faults: Faults) -> Detection | None:
    if not isinstance(record, dict):
        faults.add(where, f"expected an object, got {type(record).__name__}")
        return None
    image, category, score = whole(record.get("image_id")), whole(record.get("category_id")), record.get("score")
    box = numbers(record.get("bbox"))
    if image is None or image not in images:
        faults.add(f"{where}.image_id", f"{record.get('image_id')!r:.80} is none of the annotations' images")
    elif category is None:
        faults.add(f"{where}.category_id", f"expected an integer, got {record.get('category_id')!r:.80}")
    elif box is None:
        faults.add(f"{where}.bbox", f"expected [x, y, width, height] in pixels, got {record.get('bbox')!r:.80}")
    elif isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(_float(score)):
        faults.add(f"{where}.score", f"expected a finite number, got {score!r:.80}")
    else:
        x, y, width, height = box
        return Detection(image, category, (x, y, width, height), float(score))
    return None


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf


def indexed(document: Mapping[str, Any]) -> Any:
    """pycocotools' COCO of a document with images, annotations and categories; silent."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = dict(document)
        coco.createIndex()
    return coco


def detection_notes(
    name: str, document: Mapping[str, Any], detections: Iterable[Detection], corrected: float | None = None
) -> list[str]:
    """What a score by pycocotools leaves out without a word, of a dataset `name`.

    Args:
        document: images, annotations and categories.
        corrected: the score, in [0, 1], with annotations numbered from 1 and nothing else changed, if known.
    """
    notes = []
    known = {category["id"] for category in document["categories"]}
    unknown = Counter(detection.category for detection in detections if detection.category not in known)
    if unknown:
        ids = ", ".join(map(str, sorted(unknown)[:8])) + (", ..." if len(unknown) > 8 else "")
        notes.append(
            f"{name}: {sum(unknown.values())} detections are not scored: their category_id ({ids}) is none of the "
            f"annotations' categories ({', '.join(map(str, sorted(known)[:8]))}{', ...' if len(known) > 8 else ''})"
        )
    if any(annotation["id"] == 0 for annotation in document["annotations"]):
        effect = "the corrected score numbers annotations from 1"
        if corrected is not None:
            effect = f"with ids from 1 the score is {100 * corrected:.2f}"
        reason = "the annotation of id 0 can never be matched, for pycocotools takes 0 for no match"
        notes.append(f"{name}: {reason}; {effect}")
    return notes


@dataclass(frozen=True, slots=True)
class CategoryMatches:
    """What an image adds to the average precision of a category: its true boxes, and its detections by confidence.

    `true` leaves crowds out. Bit t of `matched` and `ignored` is of the IoU threshold .5 + .05 t; an ignored detection
    is neither right nor wrong.
    """

    image: int
    category: int
    true: int
    confidences: tuple[float, ...]
    matched: tuple[int, ...]
    ignored: tuple[int, ...]


class AveragePrecision:
    """AveragePrecision of detections against a COCO document whose ids are integers.

    Args:
        document: images, annotations (bbox, area, iscrowd) and categories. A box of id 0 can never be matched:
            pycocotools takes its id for "no match". Renumber where that is not wanted.
        detections: in order; of equal scores the earlier one counts first.
        thresholds: how many of the IoU thresholds .5, .55, ... .95, from the first.
    """

    def __init__(self, document: Mapping[str, Any], detections: Iterable[Detection], thresholds: int = 10) -> None:
        truth = indexed(document)
        records = [
            d.record() | {"id": n, "area": d.box[2] * d.box[3], "iscrowd": 0} for n, d in enumerate(detections, 1)
        ]
        predicted = indexed({**document, "annotations": records})
        evaluation = COCOeval(truth, predicted, "bbox")
        evaluation.params.iouThrs = evaluation.params.iouThrs[:thresholds]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
        evaluation.params.maxDets = [MAX_DETECTIONS]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.evaluate()
        self._evaluation = evaluation
        self.categories: list[int] = [int(category) for category in evaluation.params.catIds]

    def table(self, images: Collection[int] | None = None) -> NDArray[np.float64]:
        """Precision, of shape (IoU thresholds, 101 recalls, categories in order of id); -1 where a category has no box.

        With `images`, over these images alone.
        """
        evaluation = self._evaluation if images is None else _within(self._evaluation, images)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate()
        precision: NDArray[np.float64] = evaluation.eval["precision"][..., 0, 0]
        return precision

    def matches(self) -> Iterator[CategoryMatches]:
        """By category and image, in pycocotools' order; pairs without any box are left out."""
        for each in self._evaluation.evalImgs:
            if each is not None:
                bits = 1 << np.arange(len(each["dtMatches"]))
                matched, ignored = (bits @ (np.asarray(each[key]) > 0) for key in ("dtMatches", "dtIgnore"))
                true = int(np.sum(np.asarray(each["gtIgnore"]) == 0))
                confidences = tuple(map(float, each["dtScores"]))
                masks = tuple(map(int, matched)), tuple(map(int, ignored))
                yield CategoryMatches(int(each["image_id"]), int(each["category_id"]), true, confidences, *masks)

    def average(self, first: int = 0, last: int | None = None) -> float | None:
        """COCO's mAP over the thresholds first to last (all by default); None if there is no box at all."""
        table = self.table()[first:last]
        table = table[table > -1]
        return float(np.mean(table)) if table.size else None


def _within(evaluation: Any, images: Collection[int]) -> Any:
    """The same evaluation over some images only; nothing is matched again."""
    part = copy.copy(evaluation)
    everything = [int(image) for image in evaluation.params.imgIds]
    kept = [place for place, image in enumerate(everything) if image in images]
    starts = range(0, len(evaluation.evalImgs), len(everything))  # one a category
    part.evalImgs = [evaluation.evalImgs[start + place] for start in starts for place in kept]
    part.params = copy.copy(evaluation.params)
    part.params.imgIds = [everything[place] for place in kept]
    part._paramsEval = part.params
    return part


def iou(predicted: Sequence[Sequence[float]], true: Sequence[Sequence[float]], crowd: Sequence[int]) -> Any:
    """pycocotools' IoU of xywh boxes, of shape (predicted, true); an empty list if either is empty."""
    return mask.iou(list(map(list, predicted)), list(map(list, true)), list(crowd))
