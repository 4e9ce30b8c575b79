"""How is the miniature world written in MC-Bench's format? Pairs of images, in three text styles."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from ...files.pictures import store
from ..composers import COMPOSERS
from ..questions import WorldQuestion
from ..rendering import SIDE

FILE = "mc-bench_world_val.json"
IMAGES = "mc-bench_images"

STYLES = {"referring": "referential", "comparison": "semantic", "reasoning": "reasoning"}
"""The text styles of MC-Bench, and our kind of question for each."""


def write(folder: Path, seed: int, each: int) -> Path:
    """Writes the annotation file, with `each` pairs of every style, and its images below `folder`; returns the file.

    A group of instances are the targets of one look, in the order in which the looks occur. A sample without any
    target is a negative one.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    descriptions: list[dict[str, Any]] = []
    for style, kind in STYLES.items():
        rng = Random(f"mc_bench/{seed}/{style}")
        for _ in range(each):
            question = COMPOSERS[kind](rng, 2)
            text = len(descriptions) + 1
            first = len(images) + 1
            images += [
                {
                    "id": own,
                    "text_id": text,
                    "inter_img_id": other,
                    "pair_image_id": other,
                    "height": SIDE,
                    "width": SIDE,
                }
                | {"file_name": store(frame, folder / IMAGES)}
                for frame, own, other in zip(question.frames, (first, first + 1), (first + 1, first), strict=True)
            ]
            annotations += _annotations(question, text, first, len(annotations) + 1)
            descriptions.append(
                {"id": text, "images_id": [first, first + 1], "text": question.query}
                | {"positive_sample": bool(question.targets), "text_style": style}
            )
    groups = max(box["category_id"] for box in annotations)
    categories = [{"id": n, "name": f"group {n}"} for n in range(1, groups + 1)]
    document = {"images": images, "annotations": annotations, "descriptions": descriptions, "categories": categories}
    file = folder / FILE
    file.write_text(json.dumps(document, indent=1) + "\n")
    return file


def _annotations(question: WorldQuestion, text: int, image: int, number: int) -> list[dict[str, Any]]:
    """The boxes of a question whose first image has the id `image`; they are numbered from `number`."""
    targets = [(picture, question.frames[picture].things[place]) for picture, place in question.targets]
    looks = list(dict.fromkeys(thing.look for _, thing in targets))
    return [
        {"id": number + n, "image_id": image + picture, "text_id": text, "category_id": looks.index(thing.look) + 1}
        | {"area": thing.w * thing.h, "bbox": [thing.x, thing.y, thing.w, thing.h], "iscrowd": 0}
        for n, (picture, thing) in enumerate(targets)
    ]
