"""How are MVTrack's annotations read? <objN>/<objN>-<view>/{img/00001.jpg, groundtruth.txt, invisible.txt}.

groundtruth.txt has a line `x,y,w,h` in pixels for each frame, valid if w and h are above 0; invisible.txt is one line
of 0 and 1 (1: occluded or out of view). Line k, from 0, belongs to frame k+1 (MITracker, lib/train/dataset/mvtrack.py).
A last line without its line break may be cut off within a number, so it is not used.
Views of one object are synchronous: the same number is the same moment. Some pictures may be left out; they keep
their numbers. The size of a view's pictures is that of its first one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...files.validation import Refused
from ...grounding.samples import Box
from ..frames import AnnotatedFrame, Instance, Skips, clean_phrase
from . import fields

LICENCE = "MVTrack (ShanghaiTech): non-commercial research; faces to be blurred"

_CUT = "cut"

MOST_BYTES = 64 * 2**20
"""Of a text file of annotation."""


def read(root: Path, skips: Skips, split: str | None = None) -> Iterator[AnnotatedFrame]:
    """Frames of every sequence, in order of name and number; of those that a split file lists, if one is asked for.

    The split file is mvtrack_<split>_split.txt (README) or <split>_split.txt (code). Raises Refused if it is missing,
    or if there is no sequence.
    """
    listed = _split(root, split) if split else None
    sequences = sorted(f.parent for f in root.glob("*/*/groundtruth.txt") if _is_sequence(f.parent))
    if not sequences:
        raise Refused(f"{root} has no <obj>/<obj>-<view>/groundtruth.txt; expected MVTrack's data folder")
    if listed is not None:
        for name in sorted(listed - {s.name for s in sequences}):
            skips.add("sequence missing", name)
    for folder in sequences:
        if listed is None or folder.name in listed:
            yield from _sequence(root, folder, skips)


def _is_sequence(folder: Path) -> bool:
    return folder.name.rpartition("-")[0] == folder.parent.name


def _split(root: Path, split: str) -> set[str]:
    for name in (f"mvtrack_{split}_split.txt", f"{split}_split.txt"):
        file = root / name
        if file.is_file() and file.stat().st_size <= MOST_BYTES:
            return {line.strip() for line in file.read_text("utf-8", "replace").splitlines() if line.strip()}
    raise Refused(f"{root} has neither mvtrack_{split}_split.txt nor {split}_split.txt")


def _sequence(root: Path, folder: Path, skips: Skips) -> Iterator[AnnotatedFrame]:
    name = folder.name
    boxes, hidden = _lines(folder / "groundtruth.txt", _CUT), _flags(folder / "invisible.txt")
    category = clean_phrase(re.sub(r"\d+$", "", folder.parent.name).replace("_", " "))
    if boxes is None or hidden is None or len(boxes) != len(hidden) or category is None:
        skips.add("sequence whose files do not agree or cannot be read", name)
        return
    images = f"{folder.parent.name}/{name}/img"
    files = fields.Folder(root)
    present = [n for n in range(1, len(boxes) + 1) if files.has(f"{images}/{n:05d}.jpg")]
    size = next((s for n in present[:3] if (s := files.size(f"{images}/{n:05d}.jpg"))), None)
    if size is None:
        skips.add("sequence without a picture that can be read", name)
        return
    if len(present) < len(boxes):
        skips.counts["picture missing"] = skips.counts.get("picture missing", 0) + len(boxes) - len(present)
    view = name.rpartition("-")[2]
    for n in present:
        box = _box(boxes[n - 1], hidden[n - 1], size)
        if isinstance(box, str):
            skips.add(box, f"{name}/groundtruth.txt:{n}")
            continue
        instance = Instance(f"{name}/{n}", category, box, identity=folder.parent.name)
        path = f"{images}/{n:05d}.jpg"
        yield AnnotatedFrame(f"{name}/{n}", folder.parent.name, path, *size, (instance,), view, n)


def _box(line: str, hidden: str, size: fields.Size) -> Box | str | None:
    """The unit box, None if the object is not seen, or the class of fault."""
    if line == _CUT:
        return "last line that may be cut off"
    try:
        numbers = [float(v) for v in line.split(",")]
    except ValueError:
        return "box that is no four finite numbers"
    if hidden == "1":
        return None
    if len(numbers) == 4 and (numbers[2] <= 0 or numbers[3] <= 0):
        return "visible without a valid box"
    return fields.box(numbers, "xywh", size)


def _lines(file: Path, cut: str | None = None) -> list[str] | None:
    """The lines that are not empty; `cut` stands for a last one without its line break. None if it cannot be read."""
    try:
        if file.stat().st_size > MOST_BYTES:
            return None
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    lines = [line.strip().replace("\t", ",") for line in text.splitlines() if line.strip()]
    return [*lines[:-1], cut] if cut and lines and not text.endswith("\n") else lines


def _flags(file: Path) -> list[str] | None:
    """0 and 1 for each frame, on one line with commas, or on a line each."""
    lines = _lines(file)
    if lines is None:
        return None
    flags = [flag.strip() for line in lines for flag in line.split(",") if flag.strip()]
    plain = ["1" if float(f) else "0" for f in flags if re.fullmatch(r"[01](\.0+)?", f)]
    return plain if len(plain) == len(flags) else None
