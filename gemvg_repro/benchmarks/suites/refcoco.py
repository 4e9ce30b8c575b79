"""How does a model do on RefCOCO, RefCOCO+ and RefCOCOg? Acc@0.5 on each split.

The data (github.com/lichengunc/refer): data/<name>/refs(<unc, google or umd>).p, a pickled list of {ref_id, ann_id,
category_id, file_name, image_id, sent_ids, sentences [{raw, sent, sent_id, tokens}], split}, and beside it
instances.json in COCO's format, on images of train2014. Each sentence of a ref is a record;
the records are the sentences of all splits but train, in the order of the file. RefCOCOg is scored on the splits
of umd.

A response's box is the first list of four numbers in square brackets, x1, y1, x2, y2 from 0 to 1 (lmms-eval
tasks/refcoco/utils_rec.py:50-75, 60e0ba9f); without one, the first box in Qwen2-VL's notation, thousandths. It is right
if its IoU with the true box is at least 0.5. Without a box a response is wrong.

The refs are a pickle, which could run code: `files.pickles` reads it in a process of its own, as data alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files import coco, pickles
from ...files.coco import ImageRecord
from ...files.pictures import FilePicture
from ...files.records import expect, unmarked
from ...files.validation import Faults, Refused
from ...grounding.boxes import box_error, pairwise_iou, to_unit
from ...grounding.parsing import parse_answer
from ...grounding.samples import Box, Mode, Sample, Target
from ..coco_records import Annotation, boxes, categories, images
from ..interface import BenchmarkScore, Metric, TextBenchmark
from ..prompts import PromptTemplates, authors_templates
from ..sample_scores import SampleScore

SPLITS = ("val", "testA", "testB", "test")
THRESHOLD = 0.5

_LIST = re.compile(r"\[\s*" + r",\s*".join([r"(-?\d{1,30}(?:\.\d{1,30})?)"] * 4) + r"\s*\]")


@dataclass(frozen=True, slots=True)
class Expression:
    """A sentence about one object of an image: split, text, image (file and id) and the object's box."""

    split: str
    text: str
    picture: FilePicture
    image: int
    box: Box


class RefCoco(TextBenchmark[Expression]):
    """RefCOCO, RefCOCO+ or RefCOCOg; see the module."""

    files = ("refs(unc).p", "refs(umd).p", "refs(google).p")

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def load(self, file: Path, root: Path | None = None, most_pixels: int | None = None) -> list[Expression]:
        """The refs file, with instances.json beside it; images lie below `root`, by default train2014/ beside it."""
        refs = pickles.load(file, encoding="utf-8")
        if not isinstance(refs, list) or not refs:
            raise Refused(f"{file}: expected a list of refs")
        instances = _instances(file.with_name("instances.json"))
        faults = Faults(file)
        below = root or file.parent / "train2014"
        pictures = {key: FilePicture(below, image.file_name, most_pixels) for key, image in instances[0].items()}
        expressions: list[Expression] = []
        for n, ref in enumerate(refs):
            expressions += _expressions(ref, f"[{n}]", *instances, pictures, faults)
        faults.refuse()
        if not expressions:
            raise Refused(f"{file} has no ref of the splits {', '.join(SPLITS)}")
        return expressions

    def samples(self, data: Sequence[Expression], mode: Mode, templates: PromptTemplates | None = None) -> list[Sample]:
        templates = templates or authors_templates()
        return [
            Sample(
                id=f"{self.name}/{n}",
                scene=f"{self.name}/{expression.image}",
                kind="referential",
                source=self.name,
                pictures=(expression.picture,),
                query=expression.text,
                targets=(Target(0, expression.box),),
                prompt=templates.fill("refcoco", mode, sentence=expression.text),
            )
            for n, expression in enumerate(data)
        ]

    def max_new_tokens(self, mode: Mode, templates: PromptTemplates) -> int | None:
        return templates.max_new_tokens("refcoco", mode)

    def counts(self, data: Sequence[Expression]) -> dict[str, int]:
        return dict(Counter(expression.split for expression in data))

    def score(self, data: Sequence[Expression], parsed: Sequence[str]) -> BenchmarkScore:
        hits: dict[str, list[bool]] = {}
        predicted = [box_of(response) for response in parsed]
        for expression, box in zip(data, predicted, strict=True):
            hits.setdefault(expression.split, []).append(box is not None and _right(box, expression.box))
        unread = predicted.count(None)
        accuracy = {f"Acc@0.5 {split}": sum(each) / len(each) for split, each in hits.items()}
        rows = [
            {"split": split, "n": len(each), "Acc@0.5": 100 * sum(each) / len(each)} for split, each in hits.items()
        ]
        headline = {
            name: Metric(accuracy[name], len(each), "micro", name)
            for name, each in zip(accuracy, hits.values(), strict=True)
        }
        beside = {"without_box": unread / len(data)}
        return BenchmarkScore(accuracy, beside, rows, headline, _notes(predicted))

    def sample_scores(self, data: Sequence[Expression], parsed: Sequence[str]) -> list[SampleScore]:
        scores = []
        for n, (expression, response) in enumerate(zip(data, parsed, strict=True)):
            scene, box = f"{self.name}/{expression.image}", box_of(response)
            hit = float(box is not None and _right(box, expression.box))
            scores.append(SampleScore(f"{self.name}/{n}", scene, expression.split, f"Acc@0.5 {expression.split}", hit))
        return scores


def box_of(response: str) -> Box | None:
    """The box of a response, as the module says; None without one."""
    listed = _LIST.search(response)
    if listed:
        x1, y1, x2, y2 = map(float, listed.groups())
        return x1, y1, x2, y2
    targets = parse_answer(response, 1).targets
    return targets[0].box if targets else None


def _notes(predicted: Sequence[Box | None]) -> list[str]:
    """What is wrong by the rule and may be meant right: responses without a box, and boxes in other units.

    A box that is a little outside its image is in none.
    """
    notes, large = [], sum(box is not None and max(map(abs, box)) >= 2 for box in predicted)
    if missing := predicted.count(None):
        notes.append(f"{missing} of {len(predicted)} responses have no box that the rule reads, and are wrong")
    if large:
        notes.append(
            f"{large} of {len(predicted)} responses have coordinates far above 1 and are wrong: the rule reads "
            "[x1, y1, x2, y2] from 0 to 1. Divide thousandths by 1000, and pixels by the image's width and height"
        )
    return notes


def _right(box: Box, true: Box) -> bool:
    inverted = box[0] > box[2] or box[1] > box[3]
    return not inverted and float(pairwise_iou([box], [true])[0, 0]) >= THRESHOLD


def _instances(file: Path) -> tuple[dict[int, ImageRecord], dict[int, Annotation]]:
    """Images and annotations of instances.json by id."""
    faults = Faults(file)
    records = coco.load(file, faults)
    image_records = images(records["images"], faults)
    annotations = boxes(records["annotations"], image_records, categories(records["categories"], faults), faults)
    faults.refuse()
    return image_records, {box["id"]: box for box in annotations}


def _expressions(
    ref: Any,
    where: str,
    images: Mapping[int, ImageRecord],
    annotations: Mapping[int, Annotation],
    pictures: Mapping[int, FilePicture],
    faults: Faults,
) -> list[Expression]:
    """The sentences of a ref; none if it is of train."""
    keys = {"ann_id": int, "image_id": int, "split": str, "sentences": list}
    record = expect(ref, where, keys, faults)
    if record is None or record["split"] == "train":
        return []
    image, box = images.get(record["image_id"]), annotations.get(record["ann_id"])
    if record["split"] not in SPLITS:
        faults.add(f"{where}.split", f"expected train, {', '.join(SPLITS)}, got {record['split']!r:.80}")
    elif image is None:
        faults.add(f"{where}.image_id", f"{record['image_id']} is none of the images of instances.json")
    elif box is None or box["image_id"] != record["image_id"]:
        faults.add(f"{where}.ann_id", f"{record['ann_id']} is no annotation of its image in instances.json")
    else:
        x1, y1, x2, y2 = to_unit(box["bbox"], "xywh", (image.width, image.height))[0].clip(0, 1).tolist()
        if wrong := box_error((x1, y1, x2, y2)):
            faults.add(f"{where}.ann_id", f"its box {box['bbox']} {wrong}")
            return []
        return [
            Expression(record["split"], text, pictures[record["image_id"]], record["image_id"], (x1, y1, x2, y2))
            for n, sentence in enumerate(record["sentences"])
            if (text := _text(sentence, f"{where}.sentences[{n}]", faults)) is not None
        ]
    return []


def _text(sentence: Any, where: str, faults: Faults) -> str | None:
    record = expect(sentence, where, {"sent": str}, faults)
    if record is not None:
        unmarked(record["sent"], where, faults)
    return None if record is None else record["sent"]


BENCHMARKS = (RefCoco("refcoco"), RefCoco("refcoco+"), RefCoco("refcocog"))
