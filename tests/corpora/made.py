"""Small COCO folders of real image files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Document = dict[str, list[dict[str, Any]]]


def document() -> Document:
    """Three images of 200x100: two dogs and a cat; a dog and a crowd of cats; a cat."""
    boxes = [(1, 18, [10, 20, 100, 50]), (1, 18, [120, 0, 80, 100]), (1, 3, [0, 0, 20, 40])]
    boxes += [(2, 18, [50, 50, 50, 50]), (2, 3, [0, 0, 200, 100]), (4, 3, [100, 10, 40, 80])]
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 200, "height": 100} for i in (1, 2, 4)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": box, "iscrowd": int((i, c) == (2, 3))}
            for n, (i, c, box) in enumerate(boxes)
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "cat"}],
    }


def pixels(seed: int, width: int = 200, height: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(folder: Path, content: Document | None = None) -> Path:
    """The folder of a document: its images, named 1.png and so on, and the annotation file."""
    for name in (1, 2, 4):
        Image.fromarray(pixels(name)).save(folder / f"{name}.png")
    file = folder / "annotations.json"
    file.write_text(json.dumps(document() if content is None else content))
    return file
