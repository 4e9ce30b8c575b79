"""How is the miniature world written in the official formats of MG-Data-240K's five sources?

    python -m gemvg_repro.miniature.exports.sources FOLDER

writes FOLDER/{coco,d3,egoexo4d,mvtrack,star}, each a root as corpora/sources.py expects it, so that the data notebook,
the readers and the composers can be tried without a download.
"""

from __future__ import annotations

import argparse
import json
import pickle
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from ...corpora.readers.masks import lz_encode
from ...corpora.workers import Progress, pool
from ..patterns import Pattern, looks_with, random_pattern
from ..rendering import SIDE, silhouette
from ..world import (
    CATEGORIES,
    COLOURS,
    MOST_THINGS,
    Appearance,
    Frame,
    Thing,
    close_up,
    frame,
    from_another_view,
    place,
    step_in_time,
)

LOOKS: tuple[Appearance, ...] = tuple((c, k) for c in range(len(CATEGORIES)) for k in range(len(COLOURS)))
CAMERAS = ("aria01", "cam01", "cam02")
"""One worn by a person, and two static ones."""
_MOMENTS, _STEPS = 2, 3
_STILL = 0.2
"""The share of STAR's videos in which nothing moves."""
PICTURES = {"coco": 2000, "d3": 2000, "egoexo4d": 2000, "mvtrack": 600, "star": 2000}
"""Of each source, by the command."""


def write(
    folder: Path, seed: int | str, pictures: Mapping[str, int], workers: int = 1, progress: Progress | None = None
) -> dict[str, Path]:
    """Writes each source that `pictures` names, with about so many, below `folder`; returns their roots by name.

    The same seed gives the same files, in any number of `workers`. Objects are called by their looks ("red disc"), so
    that a name says category and colour, which corpora/naming.py spells out. Pictures are rendered once, and stored as
    PNG where the source has PNG or names its files itself, else as JPEG of the best quality.
    """
    writers: Mapping[str, Callable[[Path, Random, int], None]] = {
        "coco": _coco, "d3": _d3, "egoexo4d": _egoexo, "mvtrack": _mvtrack, "star": _star,
    }  # fmt: skip
    with pool(workers) as submit:
        written = [
            submit(writers[name], folder / name, Random(f"official/{seed}/{name}"), number)
            for name, number in sorted(pictures.items(), key=lambda source: -source[1])  # the longest task first
        ]
        for done, task in enumerate(as_completed(written), 1):
            task.result()
            if progress:
                progress("sources of the world", done, len(written))
    return {name: folder / name for name in pictures}


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


def _crowd(rng: Random, pattern: Pattern) -> Frame:
    """A picture of one thing, or of several, with none to three that fit the pattern and others like them."""
    looks = looks_with(rng, pattern, rng.choices(range(4), (25, 40, 25, 10))[0])
    return frame(rng, place(rng, looks[:1] if rng.random() < 0.25 else looks))


def _coco(root: Path, rng: Random, pictures: int) -> None:
    """Images with looks as categories and shapes as supercategories; a segmentation is the outline of the box."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for n in range(1, pictures + 1):
        picture, name = _crowd(rng, random_pattern(rng)), f"{n:012d}.png"
        _save(picture, root / "train2017" / name)
        images.append({"id": n, "file_name": name, "width": SIDE, "height": SIDE})
        for thing in picture.things:
            x, y, w, h = _xywh(thing)
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": n, "category_id": LOOKS.index(thing.look) + 1,
                    "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0,
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )  # fmt: skip
    categories = [
        {"id": n, "name": str(Pattern(*look)), "supercategory": CATEGORIES[look[0]]} for n, look in enumerate(LOOKS, 1)
    ]
    _json(
        root / "annotations" / "instances_train2017.json",
        {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories},
    )


PATTERNS: tuple[Pattern, ...] = (
    *(Pattern(category=c) for c in range(len(CATEGORIES))),
    *(Pattern(colour=k) for k in range(len(COLOURS))),
    *(Pattern(*look) for look in LOOKS),
)
"""The descriptions of D3, numbered from 1: by category, by colour, by both."""

_GROUP = 20


def _d3(root: Path, rng: Random, pictures: int) -> None:
    """Images in groups, each collected for one description, and every object with all descriptions that fit it."""
    images: dict[int, dict[str, Any]] = {}
    annotations: dict[int, dict[str, Any]] = {}
    groups: dict[int, dict[str, Any]] = {}
    for n in range(pictures):
        group = n // _GROUP
        meant = PATTERNS[group % len(PATTERNS)]
        picture, name = _crowd(rng, meant), f"group_{group:03d}/{n:07d}.png"
        _save(picture, root / "d3_images" / name)
        images[n] = {"id": n, "file_name": name, "width": SIDE, "height": SIDE, "anno_id": [], "group_id": group,
                     "flickr_url": "", "license": 0}  # fmt: skip
        collected = [PATTERNS.index(meant) + 1]
        groups[group] = {
            "id": group, "pos_sent_id": collected, "inner_sent_id": collected, "outer_sent_id": [], "img_id": [],
            "scene": ["world"], "group_name": str(meant), "group_name_zh": "",
        }  # fmt: skip
        for thing in picture.things:
            a = len(annotations)
            images[n]["anno_id"].append(a)
            annotations[a] = {
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
    for name, content in (
        ("images", images),
        ("annotations", annotations),
        ("sentences", sentences),
        ("groups", groups),
    ):
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))


def _encoded(thing: Thing) -> dict[str, Any]:
    """The silhouette's mask in the whole picture, as relations_train.json has it."""
    canvas = np.zeros((SIDE, SIDE), dtype=np.uint8, order="F")
    canvas[thing.y : thing.y + thing.h, thing.x : thing.x + thing.w] = silhouette(thing.category, thing.w, thing.h)
    runs = coco_mask.encode(canvas)["counts"].decode("ascii")
    return {"width": SIDE, "height": SIDE, "encodedMask": lz_encode(runs), "intSegClicks": {}}


_SEEN = 0.75
"""How many of the wide views of Ego-Exo4D show the thing of the close view."""

_ELSEWHERE = 10
"""What is added to the numbers of things of another place."""


def _egoexo(root: Path, rng: Random, pictures: int) -> None:
    """Takes of some things at two moments: a close view of one, and two wide ones that may show another place."""
    takes = {}
    for t in range(max(1, pictures // (len(CAMERAS) * _MOMENTS))):
        uid, meant = f"take-{t:05d}", rng.choice(LOOKS)
        looks = looks_with(rng, Pattern(*meant), 1)
        masks: dict[str, dict[str, Any]] = {}
        for moment in range(_MOMENTS):
            here = place(rng, looks)
            close_object = next(one for one in here if one.look == meant)
            ground = frame(rng, here).ground
            for camera in CAMERAS:
                if camera == CAMERAS[0]:
                    things: tuple[Thing, ...] = (close_up(rng, close_object),)
                elif rng.random() < _SEEN:
                    things = from_another_view(rng, here)
                else:
                    elsewhere = place(rng, looks_with(rng, Pattern(*meant), 0))
                    things = tuple(replace(one, identity=one.identity + _ELSEWHERE) for one in elsewhere)
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


def _video(rng: Random, steps: int, moves: bool = True) -> tuple[list[Frame], int | None]:
    """Frames of a camera that stands still, before which one thing moves, or none; and that thing's identity."""
    while True:
        looks = rng.sample(LOOKS, rng.randint(2, MOST_THINGS))
        moments = [place(rng, looks, 30)]
        mover = rng.randrange(len(looks)) if moves else None
        while len(moments) < steps and (after := step_in_time(rng, moments[-1], mover)):
            moments.append(after)
        if len(moments) == steps:
            ground = frame(rng, moments[0]).ground
            return [frame(rng, things, ground) for things in moments], mover


def _mvtrack(root: Path, rng: Random, pictures: int) -> None:
    """Sequences of one view, tracking what moves; now and then it is out of view."""
    for n in range(max(1, pictures // (2 * _STEPS))):
        frames, mover = _video(rng, 2 * _STEPS)
        assert mover is not None
        name = f"{_name(frames[0].things[mover]).replace(' ', '_')}{n + 1}"
        folder = root / name / f"{name}-1"
        boxes, hidden = [], []
        for k, picture in enumerate(frames, 1):
            hidden_now = k > 1 and rng.random() < 0.15
            visible = Frame(
                picture.ground, picture.noise, tuple(t for t in picture.things if not hidden_now or t.identity != mover)
            )
            _save(visible, folder / "img" / f"{k:05d}.jpg")
            boxes.append([0, 0, 0, 0] if hidden_now else _xywh(picture.things[mover]))
            hidden.append(int(hidden_now))
        (folder / "groundtruth.txt").write_text("".join(",".join(map(str, box)) + "\n" for box in boxes))
        (folder / "invisible.txt").write_text(",".join(map(str, hidden)))


def _star(root: Path, rng: Random, pictures: int) -> None:
    """Videos with looks as classes; for each the question which object moves, or stands leftmost if none does."""
    records, persons = [], {}
    for n in range(max(1, pictures // _STEPS)):
        frames, mover = _video(rng, _STEPS, rng.random() >= _STILL)
        video, situations = f"W{n:05d}", {}
        for k, picture in enumerate(frames, 1):
            _save(picture, root / "frames" / f"{video}.mp4" / f"{k:06d}.png")
            corners = [[t.x, t.y, t.x + t.w, t.y + t.h] for t in picture.things]
            labels = [f"o{LOOKS.index(t.look):03d}" for t in picture.things]
            persons[f"{video}.mp4/{k:06d}.png"] = {
                "bbox": np.zeros((0, 4)),
                "bbox_size": (SIDE, SIDE),
                "bbox_mode": "xyxy",
            }
            situations[f"{k:06d}"] = {"bbox": corners, "bbox_labels": labels, "rel_pairs": [], "rel_labels": []}
        things = frames[0].things
        question = "Which object moves?" if mover is not None else "Which object stands leftmost?"
        answer = f"The {_name(things[mover] if mover is not None else min(things, key=lambda t: t.x))}."
        records.append(
            {
                "question_id": f"Interaction_T1_{n}", "question": question, "video_id": video,
                "start": 0.0, "end": float(_STEPS), "answer": answer, "question_program": [],
                "choices": [{"choice_id": 0, "choice": answer, "choice_program": []}], "situations": situations,
            }
        )  # fmt: skip
    _json(root / "STAR_train.json", records)
    (root / "person_bbox.pkl").write_bytes(pickle.dumps(persons))  # states the size of the frames
    classes = root / "STAR_classes" / "object_classes.txt"
    classes.parent.mkdir(parents=True, exist_ok=True)
    classes.write_text("".join(f"o{n:03d} {Pattern(*look)}\n" for n, look in enumerate(LOOKS)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes PICTURES a source, of seed 0, and prints the next command."""
    parser = argparse.ArgumentParser(
        prog="python -m gemvg_repro.miniature.exports.sources",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="takes a folder for each source; made if need be")
    roots = write(parser.parse_args(arguments).folder, 0, PICTURES)
    roots_argument = shlex.join(f"{name}={root.resolve()}" for name, root in roots.items())
    sys.stdout.write(
        f"papermill notebooks/data.ipynb runs/data.ipynb -p share 0.01 -p roots {shlex.quote(roots_argument)}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
