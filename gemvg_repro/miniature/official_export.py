"""What does the world look like in the official formats of MG-Data-240K's five sources?

    python -m gemvg_repro.miniature.official_export FOLDER

writes FOLDER/{coco,d3,egoexo4d,mvtrack,star}, each a root as corpora/official.py expects it: so that the data notebook,
the readers and the composers can be tried without a download.
"""

from __future__ import annotations

import json
import pickle
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from ..corpora.masks import lz_encode
from .questions import Pattern
from .rendering import SIDE, silhouette
from .world import (
    CATEGORIES,
    COLOURS,
    MOST_THINGS,
    Frame,
    Look,
    Thing,
    close_up,
    frame,
    from_another_view,
    place,
    step_in_time,
)

LOOKS: tuple[Look, ...] = tuple((c, k) for c in range(len(CATEGORIES)) for k in range(len(COLOURS)))
CAMERAS = ("cam01", "cam02", "cam03")
_MOMENTS, _STEPS = 2, 5
PICTURES = 2000
"""Of a source, by the command."""


def write(folder: Path, seed: int, pictures: int) -> dict[str, Path]:
    """Writes every source with about so many pictures below `folder`; returns their roots by name.

    The same seed gives the same files. Pictures are rendered once, and stored as PNG where the source has PNG or names
    its files itself, else as JPEG of the best quality.
    """
    writers: Mapping[str, Callable[[Path, Random, int], None]] = {
        "coco": _coco, "d3": _d3, "egoexo4d": _egoexo, "mvtrack": _mvtrack, "star": _star,
    }  # fmt: skip
    for name, writer in writers.items():
        writer(folder / name, Random(f"official/{seed}/{name}"), pictures)
    return {name: folder / name for name in writers}


def _save(picture: Frame, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.pixels()).save(file, quality=100, subsampling=0, compress_level=1)


def _json(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), "utf-8")


def _name(thing: Thing) -> str:
    return str(Pattern(*thing.look))


def _xywh(thing: Thing) -> list[int]:
    return [thing.x, thing.y, thing.w, thing.h]


def _crowd(rng: Random, looks: Sequence[Look]) -> Frame:
    """A picture of one thing, as often as not, or of several."""
    total = 1 if rng.random() < 0.4 else rng.randint(2, MOST_THINGS)
    return frame(rng, place(rng, [rng.choice(looks) for _ in range(total)]))


def _coco(root: Path, rng: Random, pictures: int) -> None:
    """Images with their shapes as categories; a segmentation is the outline of the box."""
    images: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for n in range(1, pictures + 1):
        shown, name = _crowd(rng, LOOKS), f"{n:012d}.png"
        _save(shown, root / "train2017" / name)
        images.append({"id": n, "file_name": name, "width": SIDE, "height": SIDE})
        for thing in shown.things:
            x, y, w, h = _xywh(thing)
            notes.append(
                {
                    "id": len(notes) + 1, "image_id": n, "category_id": thing.category + 1, "bbox": [x, y, w, h],
                    "area": w * h, "iscrowd": 0,
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )  # fmt: skip
    categories = [{"id": n, "name": name, "supercategory": "shape"} for n, name in enumerate(CATEGORIES, 1)]
    _json(
        root / "annotations" / "instances_train2017.json",
        {"info": {}, "licenses": [], "images": images, "annotations": notes, "categories": categories},
    )


PATTERNS: tuple[Pattern, ...] = (
    *(Pattern(category=c) for c in range(len(CATEGORIES))),
    *(Pattern(colour=k) for k in range(len(COLOURS))),
    *(Pattern(*look) for look in LOOKS),
)
"""The descriptions of D3, numbered from 1: by category, by colour, by both."""

_GROUP = 20


def _d3(root: Path, rng: Random, pictures: int) -> None:
    """Images in groups, each collected for one look, and every object with all descriptions that fit it."""
    images: dict[int, dict[str, Any]] = {}
    notes: dict[int, dict[str, Any]] = {}
    groups: dict[int, dict[str, Any]] = {}
    for n in range(pictures):
        group = n // _GROUP
        meant = LOOKS[group % len(LOOKS)]
        near = [look for look in LOOKS if look[0] == meant[0] or look[1] == meant[1]]
        shown, name = _crowd(rng, near), f"group_{group:03d}/{n:07d}.png"
        _save(shown, root / "d3_images" / name)
        images[n] = {"id": n, "file_name": name, "width": SIDE, "height": SIDE, "anno_id": [], "group_id": group,
                     "flickr_url": "", "license": 0}  # fmt: skip
        fitting = [n + 1 for n, pattern in enumerate(PATTERNS) if pattern.fits(meant)]
        groups[group] = {
            "id": group, "pos_sent_id": fitting, "inner_sent_id": fitting, "outer_sent_id": [], "img_id": [],
            "scene": ["world"], "group_name": str(Pattern(*meant)), "group_name_zh": "",
        }  # fmt: skip
        for thing in shown.things:
            a = len(notes)
            images[n]["anno_id"].append(a)
            notes[a] = {
                "id": a, "image_id": n, "group_id": group, "iscrowd": 0, "area": np.array([thing.w * thing.h]),
                "bbox": np.array([_xywh(thing)]), "segmentation": [],
                "sent_id": [n + 1 for n, pattern in enumerate(PATTERNS) if pattern.fits(thing.look)],
            }  # fmt: skip
    sentences = {
        n: {"id": n, "raw_sent": str(pattern), "raw_sent_zh": "", "group_id": [], "is_negative": False, "anno_id": []}
        for n, pattern in enumerate(PATTERNS, 1)
    }
    folder = root / "d3_pkl"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("images", images), ("annotations", notes), ("sentences", sentences), ("groups", groups)):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))


def _encoded(thing: Thing) -> dict[str, Any]:
    """The silhouette's mask in the whole picture, as relations_train.json has it."""
    canvas = np.zeros((SIDE, SIDE), dtype=np.uint8, order="F")
    canvas[thing.y : thing.y + thing.h, thing.x : thing.x + thing.w] = silhouette(thing.category, thing.w, thing.h)
    runs = coco_mask.encode(canvas)["counts"].decode("ascii")
    return {"width": SIDE, "height": SIDE, "encodedMask": lz_encode(runs), "intSegClicks": {}}


def _egoexo(root: Path, rng: Random, pictures: int) -> None:
    """Takes of some things at two moments: a close view of one, and two wide ones that may lack it."""
    takes = {}
    for t in range(max(1, pictures // (len(CAMERAS) * _MOMENTS))):
        uid, looks = f"take-{t:05d}", rng.sample(LOOKS, rng.randint(2, MOST_THINGS))
        masks: dict[str, dict[str, Any]] = {}
        for moment in range(_MOMENTS):
            here = place(rng, looks)
            wanted = rng.choice(here)
            ground = frame(rng, here).ground
            for camera in CAMERAS:
                seen = from_another_view(rng, tuple(one for one in here if one != wanted or rng.random() < 0.7))
                things = (close_up(rng, wanted),) if camera == CAMERAS[0] else seen
                _save(frame(rng, things, ground), root / uid / camera / f"{moment * 30}.jpg")
                for thing in things:
                    name = f"{_name(thing)}_{thing.identity}"
                    masks.setdefault(name, {}).setdefault(camera, {})[str(moment * 30)] = _encoded(thing)
        frames = [moment * 30 for moment in range(_MOMENTS)]
        objects = {
            name: {
                camera: {"annotation": by_camera.get(camera, {}), "annotated_frames": frames, "annotation_fps": 1}
                for camera in CAMERAS
            }
            for name, by_camera in masks.items()
        }
        takes[uid] = {"scenario": "world", "take_name": uid, "object_masks": objects}
    _json(root / "annotations" / "relations_train.json", {"annotations": takes})


def _video(rng: Random, steps: int) -> tuple[list[Frame], int]:
    """Frames of a camera that stands still, before which one thing moves; and that thing's identity."""
    while True:
        shapes = rng.sample(range(len(CATEGORIES)), rng.randint(2, MOST_THINGS))
        moments = [place(rng, [(shape, rng.randrange(len(COLOURS))) for shape in shapes], 30)]
        mover = rng.randrange(len(shapes))
        while len(moments) < steps and (after := step_in_time(rng, moments[-1], mover)):
            moments.append(after)
        if len(moments) == steps:
            ground = frame(rng, moments[0]).ground
            return [frame(rng, things, ground) for things in moments], mover


def _mvtrack(root: Path, rng: Random, pictures: int) -> None:
    """Sequences of one view, tracking what moves; now and then it is out of view."""
    for n in range(max(1, pictures // _STEPS)):
        frames, mover = _video(rng, _STEPS)
        name = f"{_name(frames[0].things[mover]).replace(' ', '_')}{n + 1}"
        folder = root / name / f"{name}-1"
        boxes, hidden = [], []
        for k, shown in enumerate(frames, 1):
            gone = k > 1 and rng.random() < 0.15
            there = Frame(shown.ground, shown.noise, tuple(t for t in shown.things if not gone or t.identity != mover))
            _save(there, folder / "img" / f"{k:05d}.jpg")
            boxes.append([0, 0, 0, 0] if gone else _xywh(shown.things[mover]))
            hidden.append(int(gone))
        (folder / "groundtruth.txt").write_text("".join(",".join(map(str, box)) + "\n" for box in boxes))
        (folder / "invisible.txt").write_text(",".join(map(str, hidden)))


def _star(root: Path, rng: Random, pictures: int) -> None:
    """Videos with the shapes as object classes, and for each the question which object moves."""
    records = []
    for n in range(max(1, pictures // _STEPS)):
        frames, mover = _video(rng, _STEPS)
        video, situations = f"W{n:05d}", {}
        for k, shown in enumerate(frames, 1):
            _save(shown, root / "frames" / f"{video}.mp4" / f"{k:06d}.png")
            corners = [[t.x, t.y, t.x + t.w, t.y + t.h] for t in shown.things]
            labels = [f"o{t.category:03d}" for t in shown.things]
            situations[f"{k:06d}"] = {"bbox": corners, "bbox_labels": labels, "rel_pairs": [], "rel_labels": []}
        answer = f"The {CATEGORIES[frames[0].things[mover].category]}."
        records.append(
            {
                "question_id": f"Interaction_T1_{n}", "question": "Which object moves?", "video_id": video,
                "start": 0.0, "end": float(_STEPS), "answer": answer, "question_program": [],
                "choices": [{"choice_id": 0, "choice": answer, "choice_program": []}], "situations": situations,
            }
        )  # fmt: skip
    _json(root / "STAR_train.json", records)
    classes = root / "STAR_classes" / "object_classes.txt"
    classes.parent.mkdir(parents=True, exist_ok=True)
    classes.write_text("".join(f"o{n:03d} {name}\n" for n, name in enumerate(CATEGORIES)))


def main(arguments: Sequence[str]) -> int:
    """Writes PICTURES a source, of seed 0, and how to go on; 0, or 1 without just one folder."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("python -m gemvg_repro.miniature.official_export FOLDER\n")
        return 1
    roots = write(Path(arguments[0]), 0, PICTURES)
    given = shlex.join(f"{name}={root.resolve()}" for name, root in roots.items())
    sys.stdout.write(f"papermill notebooks/data.ipynb runs/data.ipynb -p share 0.01 -p roots {shlex.quote(given)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
