"""MIG-Bench's file: read into records and samples, and written from records.

MIG-Bench (Migician, arXiv 2501.05767; github.com/thunlp/Migician, eval/MIG-Bench/MIG_data.json): a list of
{task, images, question, answer, additional_info, need_format}; ten tasks over 2 to 6 images, one box a
record, xyxy in [0, 1].
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...files.pictures import FilePicture, store
from ...files.validation import Faults, Refused, leaves_folder, numbers, read_json
from ...grounding.number_words import ORDINALS
from ...grounding.samples import Box, Kind, Picture, Sample, Target
from ..sample_scores import scenes

FOLDER = "MIG-Bench"
FILE = "MIG_data.json"

_NTH = re.compile(r"in the ([0-9]{1,3})th image")


@dataclass(frozen=True, slots=True)
class MigTask:
    """One of the ten: its column in the paper's table, our kind (the file has none), where its target is.

    `picture`: the 0-based picture that holds the target in every record; "question" or "additional_info": the
    key that names it; None: the file does not say, either will do.
    """

    column: str
    kind: Kind
    picture: int | str | None


TASKS = {
    "diff": MigTask("Static", "semantic", None),
    "view_diff": MigTask("Robust", "spatial", 1),
    "common_object": MigTask("Common", "semantic", "question"),
    "object_tracking": MigTask("OT", "temporal", "question"),
    "multi_view": MigTask("MV", "spatial", "question"),
    "region": MigTask("Region", "semantic", 0),
    "refer_grounding": MigTask("Refer", "semantic", 1),
    "group_grounding": MigTask("GG", "referential", "additional_info"),
    "reasoning": MigTask("Reason", "reasoning", 1),
    "correspondence": MigTask("Co-Re", "reasoning", 1),
}


@dataclass(frozen=True, slots=True)
class MigRecord:
    """A record as in the file; `answer` is kept even where it is no box (5 in the official file)."""

    task: str
    pictures: tuple[Picture, ...]
    question: str
    answer: Box
    additional_info: str = ""
    need_format: bool = True

    @property
    def picture(self) -> int | None:
        """The 0-based position of the image that the record says the target is in; None where it does not."""
        where = TASKS[self.task].picture
        if where == "question":  # "in the 2th image": the file's own spelling
            nth = _NTH.search(self.question)
            return int(nth[1]) - 1 if nth else None
        if where == "additional_info":
            words = self.additional_info.split()
            return next((ORDINALS.index(word) for word in words if word in ORDINALS), None)
        return where if isinstance(where, int) else None


def load(file: Path, root: Path | None = None, most_pixels: int | None = None) -> list[MigRecord]:
    """The records of a MIG-Bench file, whose image paths are relative to `root`.

    Without `root` it is the folder that contains MIG-Bench/, if the file lies in a folder of this name, else
    the file's own folder. Images are decoded when their pixels are needed, and scaled down to `most_pixels`.
    Raises Refused with the record and key of every fault.
    """
    root = root or (file.parent.parent if file.parent.name == FOLDER else file.parent)
    document = read_json(file)
    if not isinstance(document, list) or not document:
        raise Refused(f"{file}: expected a list of records, the format of {FILE}")
    faults = Faults(file)
    records = [_record(each, f"[{n}]", root, most_pixels, faults) for n, each in enumerate(document)]
    faults.refuse()
    return [record for record in records if record is not None]


def _record(fields: Any, where: str, root: Path, most_pixels: int | None, faults: Faults) -> MigRecord | None:
    if not isinstance(fields, dict):
        faults.add(where, f"expected an object, got {type(fields).__name__}")
        return None
    expected = {"task": str, "images": list, "question": str, "answer": list} | {
        "additional_info": str,
        "need_format": bool,
    }
    wrong = [key for key, kind in expected.items() if not isinstance(fields.get(key), kind)]
    for key in wrong:
        faults.add(f"{where}.{key}", f"missing, or no {expected[key].__name__}: {fields.get(key)!r:.80}")
    if wrong:
        return None
    images, answer = fields["images"], numbers(fields["answer"])
    if fields["task"] not in TASKS:
        faults.add(f"{where}.task", f"{fields['task']!r} is none of {', '.join(TASKS)}")
    elif not images or not all(isinstance(i, str) and i and not leaves_folder(i) for i in images):
        faults.add(f"{where}.images", f"expected paths below {root}, got {images!r:.160}")
    elif answer is None or not _plausible(*answer):
        faults.add(f"{where}.answer", f"expected x1, y1, x2, y2 in [0, 1], got {fields['answer']!r:.80}")
    else:
        x1, y1, x2, y2 = answer
        pictures = tuple(FilePicture(root, image, most_pixels) for image in images)
        rest = {key: fields[key] for key in ("task", "question", "additional_info", "need_format")}
        record = MigRecord(pictures=pictures, answer=(x1, y1, x2, y2), **rest)
        if 0 <= (record.picture or 0) < len(pictures):
            return record
        faults.add(where, f"the target is in image {record.picture}, counted from 0, of {len(pictures)}")
    return None


def _plausible(x1: float, y1: float, x2: float, y2: float) -> bool:
    """Whether an answer may be scored: the official file has some that are inverted, and some up to 1.048."""
    return x1 != x2 and y1 != y2 and -0.1 <= min(x1, y1, x2, y2) and max(x1, y1, x2, y2) <= 1.1


def export(records: Iterable[MigRecord], folder: Path) -> Path:
    """Writes MIG-Bench/MIG_data.json below `folder`, and the images beside it as PNG; returns its path.

    Answers are rounded to 3 decimals, as the official ones are. An image's name is the hash of its pixels: it
    reveals nothing, and an image is stored once a task.
    """
    rows = []
    for record in records:
        images = []
        for picture in record.pictures:
            inner = f"{FOLDER}/images/{record.task}"
            images.append(f"./{inner}/{store(picture, folder / inner)}")
        answer = [round(value, 3) for value in record.answer]
        rows.append(
            {
                "task": record.task,
                "images": images,
                "question": record.question,
                "answer": answer,
                "additional_info": record.additional_info,
                "need_format": record.need_format,
            }
        )
    file = folder / FOLDER / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(rows, indent=1) + "\n")
    return file


def samples(records: Sequence[MigRecord]) -> list[Sample]:
    """The records as samples, in order: "mig_bench/0" and so on.

    Records that share an image, also through others, are one scene. Where the file does not say the target's image
    (diff), the target is put into the last one. The chat template labels images; the questions' own "(k)th
    image" and "Image-k" count the same way.
    """
    components = scenes([record.pictures for record in records])
    return [
        Sample(
            id=f"mig_bench/{n}",
            scene=f"mig_bench/{components[n]}",
            kind=TASKS[record.task].kind,
            source="mig_bench",
            pictures=record.pictures,
            query=record.question.strip(),
            targets=(Target(_picture_or_last(record), record.answer),),
        )
        for n, record in enumerate(records)
    ]


def _picture_or_last(record: MigRecord) -> int:
    return len(record.pictures) - 1 if record.picture is None else record.picture
