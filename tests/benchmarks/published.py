"""Small files in the official formats of the benchmarks of multiple choice and of RefCOCO, made for the tests."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Record = dict[str, Any]


def picture(value: int, size: tuple[int, int] = (8, 6), form: str = "PNG") -> Record:
    """A picture as a hub's data sets store it."""
    stored = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), value, dtype=np.uint8)).save(stored, format=form)
    return {"bytes": stored.getvalue(), "path": f"{value}.png"}


def muirbench() -> list[Record]:
    """Two tasks: Counting (2 records), Ordering (1)."""
    common = {"image_relation": "synthetic", "image_type": "synthetic", "image_list": [picture(1), picture(2)]}
    rows = [
        ("Counting", "How many dogs in all? <image><image>", ["1", "2", "None of the choices provided"], "B"),
        ("Counting", "How many cats? <image><image>", ["one cat", "two cats"], "A"),
        ("Ordering", "Which is first?", ["<image>", "<image>", "neither", "both"], "D"),
    ]
    return [
        {"idx": str(n), "task": task, "question": question, "options": options, "answer": answer, **common}
        for n, (task, question, options, answer) in enumerate(rows)
    ]


def mmiu() -> list[Record]:
    common = {
        "visual_input_component": "natural image",
        "source": "x",
        "question": "Which image shows the cup left of the plate?",
        "context": "You are given 2 images. Select from the following choices.\nA: first\nB: second",
        "options": "A: first\nB: second",
        "input_image_path": ["./Low-level-semantic/t/1.jpg", "./Low-level-semantic/t/2.jpg"],
    }
    outputs = [("retrieval", "B"), ("retrieval", "A"), ("ordering", "A"), ("ordering", None)]
    return [{"task": task, "output": output, **common} for task, output in outputs]


def blink() -> list[Record]:
    def row(n: int, task: str, answer: str) -> Record:
        return {
            "idx": f"val_{task}_{n}",
            "question": "Which image completes the first?",
            "sub_task": task,
            "prompt": "Which? Select from the following choices.\n(A) the second image\n(B) the third image",
            "choices": ["the second image", "the third image"],
            "answer": answer,
            **{f"image_{k}": picture(k) if k < 4 else None for k in range(1, 5)},
            "explanation": "",
        }

    return [row(1, "Jigsaw", "(A)"), row(2, "Jigsaw", "(B)"), row(1, "Counting", "(B)")]


def mibench() -> list[Record]:
    return [
        {
            "id": f"{task}_{n}",
            "image": [f"image/{task}/{n}-img0.png", f"image/{task}/{n}-img1.png"],
            "task": task,
            "question": "<image><image>\nDo both images show a dog?",
            "options": ["Yes", "No"],
            "answer": answer,
        }
        for n, (task, answer) in enumerate([("general_comparison", "Yes."), ("subtle_difference", "No")] * 2)
    ]


def mantis_eval() -> list[Record]:
    choice = {"question_type": "multi-choice", "options": ["first", "second"], "answer": "A"}
    short = {"question_type": "short-answer", "options": [], "answer": "3"}
    common = {"question": "<image><image> Which is taller?", "data_source": "x", "category": "x"}
    return [
        {"id": f"mantis_eval_{n}", "images": [picture(1), picture(2)], **kind, **common}
        for n, kind in enumerate([choice, choice, short])
    ]


def refcoco() -> tuple[list[Record], Record]:
    """The refs and instances.json: two sentences in val, one in testA, one in train."""

    def ref(n: int, split: str, *sentences: str) -> Record:
        return {
            "ref_id": n,
            "ann_id": 11,
            "category_id": 18,
            "file_name": "COCO_train2014_000000000001_11.jpg",
            "image_id": 1,
            "sent_ids": list(range(len(sentences))),
            "split": split,
            "sentences": [
                {"sent_id": k, "raw": s.title(), "sent": s, "tokens": s.split()} for k, s in enumerate(sentences)
            ],
        }

    instances = {
        "images": [{"id": 1, "file_name": "COCO_train2014_000000000001.jpg", "width": 640, "height": 480}],
        "annotations": [
            {"id": 11, "image_id": 1, "category_id": 18, "bbox": [160, 120, 320, 240], "area": 5000, "iscrowd": 0}
        ],
        "categories": [{"id": 18, "name": "dog"}],
    }
    return [ref(1, "val", "left dog", "the dog"), ref(2, "train", "a dog"), ref(3, "testA", "dog")], instances


def write_parquet(file: Path, rows: list[Record], group: int = 2) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=group)
    return file


def write_json(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def write_refcoco(folder: Path, refs: Any = None, instances: Any = None) -> Path:
    default = refcoco()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "refs(unc).p").write_bytes(pickle.dumps(default[0] if refs is None else refs, protocol=2))
    write_json(folder / "instances.json", default[1] if instances is None else instances)
    return folder / "refs(unc).p"
