"""How does a model do on MC-Bench? The official score with its errors, and the corrected one beside it.

MC-Bench (arXiv 2410.12332; github.com/XuYunqiu/MC-Bench): one COCO-like JSON object with `images` {id, text_id,
inter_img_id, file_name, height, width}, `annotations` {id, image_id, text_id, category_id, area, bbox xywh, iscrowd},
`descriptions` {id, images_id, text, positive_sample, text_style} and `categories` ("group 1", ...). Two images a
description; a category is one of its groups of instances. The README spells two keys otherwise than the script:
inter_img_id for pair_image_id, catgory_id for category_id. Both spellings are read.

The official script (eval_mc_bench.py, fd43ae31) means to renumber the predicted groups of each sample to the true
ones that they overlap best. What it does, and `corrected` does not:

- A: the predictions are loaded anew for each image (:86-87), so the groups of the last pair alone are renumbered.
- B: they are renumbered one after another in place (:88-93): to swap 1 and 2 makes both 1.
- C: it stops where the keys are spelt as in the README, where nothing was predicted, where the category "group 2" is
  of no image, and at an odd number of images. Then its score is None, with the reason.
- D: it takes images two by two in the order of the file (:144), and precision in the file's order of the categories
  (:116) though pycocotools sorts them; `corrected` goes by the descriptions and by the ids.
- pycocotools never matches a true box of id 0; `corrected` numbers them from 1.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ...files.pictures import FilePicture
from ...grounding.boxes import box_error, to_unit
from ...grounding.parsing import parse_answer
from ...grounding.samples import Kind, Mode, Sample, Target
from ..coco_ap import AveragePrecision, Detection, detection_notes, indexed, iou, is_result_list, read_detections
from ..interface import Benchmark, BenchmarkScore, Metric
from ..prompts import PromptTemplates, authors_templates
from ..responses import read_responses
from ..sample_scores import SampleScore, of_matches, scenes
from .mc_bench_file import Description, McBenchFile, load

KINDS: dict[str, Kind] = {"referring": "referential", "comparison": "semantic", "reasoning": "reasoning"}
"""Ours of each text style; any other style is referential."""

_CORRECTED = "weighted_ap50, corrected"

MOST_PERMUTATIONS = math.factorial(8)
"""Of the groups of a pair; the official script would try them all. MC-Bench has a few groups a pair."""


class OfficialScriptStops(Exception):
    """The official script would end in an error; the message says why."""


def official(data: McBenchFile, detections: Sequence[Detection]) -> dict[str, Any]:
    """weighted_ap50 and image_accuracy as the script has them, operation by operation; None with a reason."""
    try:
        grouped = _renumbered_last(data, detections)
    except OfficialScriptStops as stop:
        return {"weighted_ap50": None, "image_accuracy": None, "reason": str(stop)}
    precision = AveragePrecision(data.document, grouped, thresholds=1)
    order = [category["id"] for category in data.document["categories"]]
    result: dict[str, Any] = {"weighted_ap50": _weighted(data, precision.table(), order)}
    if len(data.images) % 2:
        return result | {
            "image_accuracy": None,
            "reason": f"image_accuracy: the script takes images two by two, and there are {len(data.images)}",
        }
    return result | {"image_accuracy": _accuracy(data, grouped, _pairs(data))}


def corrected(data: McBenchFile, detections: Sequence[Detection]) -> dict[str, Any]:
    """weighted_ap50 and image_accuracy without A to D, also by text style, and for positive and negative samples."""
    precision = AveragePrecision(_numbered_from_one(data.document), _renumbered(data, detections), thresholds=1)

    def over(descriptions: Sequence[Description]) -> dict[str, Any]:
        images = {image for each in descriptions for image in each.images}
        table = precision.table(None if len(images) == len(data.images) else images)
        accuracy = _accuracy(data, detections, [each.images for each in descriptions])
        ap = _weighted(data, table, precision.categories, images) if data.boxes_in(images) else None
        return {"samples": len(descriptions), "weighted_ap50": ap, "image_accuracy": accuracy}

    styles = sorted({each.style for each in data.descriptions})
    signs = {True: "positive", False: "negative"}
    parts = {style: [each for each in data.descriptions if each.style == style] for style in styles}
    parts |= {name: [each for each in data.descriptions if each.positive is sign] for sign, name in signs.items()}
    return over(data.descriptions) | {"by": {name: over(part) for name, part in parts.items() if part}}


def _weighted(
    data: McBenchFile, table: np.ndarray, order: Sequence[int], images: Collection[int] | None = None
) -> float:
    """AP50 of each category times its share of the true boxes, summed; `order` names the table's last axis."""
    boxes = Counter(box["category_id"] for box in data.boxes_in(data.images if images is None else images))
    total = sum(boxes.values())
    weighted = 0.0
    for place, category in enumerate(order):
        valid = table[0, :, place][table[0, :, place] > -1]
        if valid.size:
            weighted += boxes[category] / total * np.mean(valid)
    return float(weighted)


def _accuracy(data: McBenchFile, detections: Sequence[Detection], samples: Sequence[Sequence[int]]) -> float:
    """The share of samples in each of whose images something is predicted just if something is true."""
    predicted = {detection.image for detection in detections}
    right = sum(all((image in predicted) == bool(data.boxes[image]) for image in images) for images in samples)
    return right / len(samples)


def _renumbered_last(data: McBenchFile, detections: Sequence[Detection]) -> list[Detection]:
    """The predictions after the script's loop, with errors A and B."""
    if not detections:
        raise OfficialScriptStops("there is no prediction: pycocotools' loadRes fails on an empty list")
    if data.misspelt_category:
        raise OfficialScriptStops(
            "annotations have 'catgory_id', the README's spelling; the script needs 'category_id'"
        )
    if data.lacking:
        raise OfficialScriptStops(f"an annotation has no {data.lacking!r}, which pycocotools' COCOeval needs")
    coco = indexed(data.document)
    several = coco.getImgIds(catIds=coco.getCatIds("group 2"))
    if not several:
        raise OfficialScriptStops("no image has a box of the category 'group 2', so that res_dict is never set (:86)")
    if any("pair_image_id" not in coco.imgs[image] for image in several):
        raise OfficialScriptStops("images have 'inter_img_id', the README's spelling; the script needs 'pair_image_id'")
    pair = (several[-1], coco.imgs[several[-1]]["pair_image_id"])
    result = list(detections)
    for old, new in enumerate(_best(data, detections, pair), 1):
        for n, detection in enumerate(result):
            for image in pair:
                if detection.category == old and detection.image == image:
                    detection = result[n] = replace(detection, category=new)
    return result


def _renumbered(data: McBenchFile, detections: Sequence[Detection]) -> list[Detection]:
    """Every predicted group of a sample with several true groups as the true one that it overlaps best."""
    names = {category["id"] for category in data.document["categories"] if category["name"] == "group 2"}
    new_group: dict[tuple[int, int], int] = {}
    by_image: dict[int, list[Detection]] = {}
    for detection in detections:
        by_image.setdefault(detection.image, []).append(detection)
    for sample in data.descriptions:
        if any(box["category_id"] in names for image in sample.images for box in data.boxes[image]):
            in_sample = [detection for image in sample.images for detection in by_image.get(image, ())]
            for old, new in enumerate(_best(data, in_sample, sample.images), 1):
                new_group |= {(image, old): new for image in sample.images}
    return [replace(d, category=new_group.get((d.image, d.category), d.category)) for d in detections]


def _best(data: McBenchFile, detections: Sequence[Detection], images: Sequence[int]) -> tuple[int, ...]:
    """The true groups that predicted groups 1, 2, ... overlap best (:39-84): the n-th is that of group n.

    All permutations are tried; the first with the highest mean IoU wins, over the pairs of the best matching within
    group and image. Empty where more groups are predicted than there are.
    """
    categories = {category["id"] for category in data.document["categories"]}
    true: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for box in data.boxes_in(dict.fromkeys(images)):
        true.setdefault((box["image_id"], box["category_id"]), []).append(box)
    groups = list({box["category_id"] for image in images for box in data.boxes[image]})
    predicted: dict[tuple[int, int], list[Detection]] = {}
    for detection in detections:
        if detection.image in images:
            predicted.setdefault((detection.image, detection.category), []).append(detection)
    n_predicted = len({group for _, group in predicted})
    if n_predicted > len(groups):
        return ()
    if math.perm(len(groups), n_predicted) > MOST_PERMUTATIONS:
        data.refuse_groups(images, len(groups))
    overlaps: dict[tuple[int, int], list[float]] = {}

    def matched(group: int, category: int) -> list[float]:
        if (group, category) not in overlaps:
            overlaps[group, category] = [
                value
                for image in images
                if group in categories
                for value in _matched(predicted.get((image, group), []), true.get((image, category), []))
            ]
        return overlaps[group, category]

    def mean(permutation: tuple[int, ...]) -> float:
        values = [v for group, category in enumerate(permutation, 1) for v in matched(group, category)]
        return sum(values) / len(values) if values else 0.0

    return max(itertools.permutations(groups, n_predicted), key=mean)


def _matched(predicted: Sequence[Detection], true: Sequence[Mapping[str, Any]]) -> list[float]:
    """IoU of the pairs of the matching with the largest sum."""
    if not predicted or not true:
        return []
    table = iou([d.box for d in predicted], [box["bbox"] for box in true], [int(box["iscrowd"]) for box in true])
    rows, columns = linear_sum_assignment(-table)
    return [float(table[pair]) for pair in zip(rows, columns, strict=True)]


def _numbered_from_one(document: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, "annotations": [box | {"id": n} for n, box in enumerate(document["annotations"], 1)]}


class McBench(Benchmark[McBenchFile, Sequence[Detection]]):
    """MC-Bench. No prompt of its authors is known, so the template is ours: an assumption.

    So is what our answers lack: every box is in group 1, with score 1.0, in the order of the answer.
    """

    name = "mc_bench"
    files = ("mc-bench*.json", "MC-Bench*.json")

    def load(self, file: Path, root: Path | None = None, most_pixels: int | None = None) -> McBenchFile:
        return load(file, root, most_pixels)

    def head(self, data: McBenchFile, limit: int) -> McBenchFile:
        return data.first(limit)

    def samples(self, data: McBenchFile, mode: Mode, templates: PromptTemplates | None = None) -> list[Sample]:
        prompts = (
            (templates or authors_templates()).fill(self.name, mode, text=each.text) for each in data.descriptions
        )
        return [_sample(data, n, *each) for n, each in enumerate(zip(data.descriptions, prompts, strict=True))]

    def parse(self, data: McBenchFile, texts: Sequence[str]) -> list[Detection]:
        detections = []
        for sample, text in zip(data.descriptions, texts, strict=True):
            for target in parse_answer(text, len(sample.images)).targets:
                image = sample.images[target.picture]
                width, height = data.sizes[image]
                x1, y1, x2, y2 = target.box
                box = (x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height)
                detections.append(Detection(image, data.first_group, box, 1.0))
        return detections

    def read(self, file: Path, data: McBenchFile) -> Sequence[Detection]:
        if is_result_list(file):
            return read_detections(file, data.sizes)
        return self.parse(data, read_responses(file, self.name, len(data.descriptions)))

    def counts(self, data: McBenchFile) -> dict[str, int]:
        styles = Counter(each.style for each in data.descriptions)
        negative = sum(not each.positive for each in data.descriptions)
        return {"samples": len(data.descriptions), "images": len(data.images), "negative": negative, **styles}

    def score(self, data: McBenchFile, parsed: Sequence[Detection]) -> BenchmarkScore:
        as_published, right = official(data, parsed), corrected(data, parsed)
        rows = [_row("official", as_published | {"samples": len(data.descriptions)}), _row("corrected", right)]
        rows += [_row(f"  {name}", part) for name, part in right["by"].items()]
        n = len(data.descriptions)
        headline = {
            "weighted_ap50": Metric(as_published["weighted_ap50"], n, "weighted_ap50", "weighted_ap50"),
            "image_accuracy": Metric(as_published["image_accuracy"], n, "micro", "image_accuracy"),
            _CORRECTED: Metric(right["weighted_ap50"], n, "weighted_ap50", _CORRECTED),
        }
        notes = detection_notes("MC-Bench", data.document, parsed)
        return BenchmarkScore({"official": as_published, "corrected": right}, {}, rows, headline, notes)

    def sample_scores(self, data: McBenchFile, parsed: Sequence[Detection]) -> list[SampleScore]:
        names = _names(data)
        right = AveragePrecision(_numbered_from_one(data.document), _renumbered(data, parsed), thresholds=1)
        scores = of_matches(right.matches(), _CORRECTED, names)
        try:
            grouped = _renumbered_last(data, parsed)
        except OfficialScriptStops:
            return scores
        as_published = AveragePrecision(data.document, grouped, thresholds=1)
        scores += of_matches(as_published.matches(), "weighted_ap50", names)
        predicted = {detection.image for detection in parsed}
        for pair in _pairs(data) if len(data.images) % 2 == 0 else ():
            hit = all((image in predicted) == bool(data.boxes[image]) for image in pair)
            scores.append(SampleScore(*names[pair[0]], "image_accuracy", float(hit)))
        return scores


def _pairs(data: McBenchFile) -> list[tuple[int, ...]]:
    """The samples as the official script takes them: images two by two in the order of the file (:144)."""
    return [data.images[n : n + 2] for n in range(0, len(data.images), 2)]


def _names(data: McBenchFile) -> dict[int, tuple[str, str, str]]:
    """By image: itself as a sample, its scene, and the style of its text."""
    components = scenes([[data.pictures[image] for image in each.images] for each in data.descriptions])
    return {
        image: (f"mc_bench/image {image}", f"mc_bench/{component}", each.style)
        for each, component in zip(data.descriptions, components, strict=True)
        for image in each.images
    }


def _row(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {key: None if part[key] is None else 100 * part[key] for key in ("weighted_ap50", "image_accuracy")}
    return {"score": name, "samples": part["samples"]} | metrics | {"note": part.get("reason", "")}


def _sample(data: McBenchFile, n: int, description: Description, prompt: str) -> Sample:
    targets = []
    for position, image in enumerate(description.images):
        for box in data.boxes[image]:
            left, top, right, bottom = to_unit(box["bbox"], "xywh", data.sizes[image])[0].clip(0, 1).tolist()
            if not box_error((left, top, right, bottom)):
                targets.append(Target(position, (left, top, right, bottom)))
    pictures: tuple[FilePicture, ...] = tuple(data.pictures[image] for image in description.images)
    kind = KINDS.get(description.style, "referential")
    name, text = f"mc_bench/{n}", description.text
    return Sample(name, name, kind, "mc_bench", pictures, text, tuple(targets), prompt=prompt)


BENCHMARKS = (McBench(),)
