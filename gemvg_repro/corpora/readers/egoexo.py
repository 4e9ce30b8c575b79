"""How are Ego-Exo4D's annotations read? relations_{train,val}.json, or the folders that process_data.py makes.

A mask is a COCO run-length string inside an LZ-string (Ego-Exo4D-docs, annotations/relations.md); in the processed
annotation.json of a take (ego-exo4d-relation, correspondence/SegSwap/data/process_data.py) it is the plain run-length
object. Both refer to the full frame; the processed pictures are smaller, which unit boxes do not notice. A frame in
`annotated_frames` without a mask does not show the object; a frame in neither list says nothing of it. Only the
objects that a take's task is about are annotated, so nothing else is known to be absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...files.validation import Refused, read_json
from ..frames import AnnotatedFrame, Instance, Skips, clean_phrase, other_proportions, unit_box
from . import fields, json_stream
from .duplicates import merged
from .masks import MaskError, box_of, counts_of, lz_decode

LICENCE = "Ego-Exo4D: licence agreement signed with the Ego4D consortium; not to be passed on"

_Sightings = dict[tuple[str, int], dict[str, tuple[Any, fields.Size | None]]]
"""By camera and frame number: each object's box (None: not visible; text: a fault) and the frame's size."""


def read(source: Path, skips: Skips, root: Path | None = None) -> Iterator[AnnotatedFrame]:
    """Frames of every take, in order. `source` is a relations file, or the folder of processed takes.

    `root` holds takes/<take_name>/frame_aligned_videos/<camera>.mp4 or, processed, <take_uid>/<camera>/<frame>.jpg;
    with None, the first is supposed for a relations file. Raises Refused if it is neither.
    """
    files = fields.Folder(root)
    if source.is_dir():
        yield from _processed(source, skips, fields.Folder(root or source))
        return
    takes = 0
    for uid, take in json_stream.pairs(source, "annotations"):
        takes += 1
        if not isinstance(take, dict) or not isinstance(take.get("object_masks"), dict):
            skips.add("take without object_masks", uid)
            continue
        name = fields.path(take.get("take_name"))
        sightings = _sightings(uid, take["object_masks"], skips)
        for (camera, time), objects_seen in sorted(sightings.items()):
            video = f"takes/{name}/frame_aligned_videos/{camera}.mp4" if name else None
            frame = _frame(uid, camera, time, objects_seen, video, files, skips)
            if frame:
                yield frame
    if not takes:
        raise Refused(f"{source} is no relations file of Ego-Exo4D: it has no takes in `annotations`")


def _processed(folder: Path, skips: Skips, files: fields.Folder) -> Iterator[AnnotatedFrame]:
    takes = sorted(folder.glob("*/annotation.json"))
    if not takes:
        raise Refused(f"{folder} has no <take_uid>/annotation.json, which process_data.py writes")
    for file in takes:
        content = read_json(file)
        uid = file.parent.name
        masks = content.get("masks") if isinstance(content, dict) else None
        if not isinstance(masks, dict):
            skips.add("take without masks", uid)
            continue
        cut = content.get("subsample_idx")
        frames = [n for n in cut if isinstance(n, int)] if isinstance(cut, list) else []
        wrapped = {
            name: {
                camera: {"annotation": notes, "annotated_frames": frames}
                for camera, notes in cameras.items()
                if isinstance(notes, dict)
            }
            for name, cameras in masks.items()
            if isinstance(cameras, dict)
        }
        # which of the sampled frames were annotated is not kept, so a frame without a mask says nothing
        for (camera, time), objects_seen in sorted(_sightings(uid, wrapped, skips, absent=False).items()):
            frame = _frame(uid, camera, time, objects_seen, None, files, skips)
            if frame:
                yield frame


def _sightings(uid: str, objects: dict[str, Any], skips: Skips, absent: bool = True) -> _Sightings:
    sightings: _Sightings = {}
    for name, cameras in objects.items():
        if not isinstance(cameras, dict) or _category(name) is None:
            skips.add("object without cameras or a usable name", f"{uid}.{name}")
            continue
        for camera, notes in cameras.items():
            where = f"{uid}.{name}.{camera}"
            masks = notes.get("annotation") if isinstance(notes, dict) else None
            listed = notes.get("annotated_frames", []) if isinstance(notes, dict) else None
            if not isinstance(masks, dict) or not isinstance(listed, list) or fields.path(camera) != camera:
                skips.add("camera without annotation", where)
                continue
            _of_camera(where, name, camera, masks, listed if absent else None, sightings, skips)
    return sightings


def _of_camera(
    where: str,
    name: str,
    camera: str,
    masks: dict[str, Any],
    listed: list[Any] | None,
    sightings: _Sightings,
    skips: Skips,
) -> None:
    """`listed` are the frames that were annotated, with a mask or without; None if that is not known."""
    misplaced = 0
    for number, mask in masks.items():
        if not re.fullmatch(r"\d{1,9}", number):
            skips.add("frame number that is none", f"{where}.{number}")
            misplaced += 1
            continue
        if listed is not None and int(number) not in listed:
            skips.add("mask of a frame that is not annotated", f"{where}.{number}")
            misplaced += 1
            continue
        box, size = _box(mask)
        if isinstance(box, str):
            skips.add(box, f"{where}.{number}")
        sightings.setdefault((camera, int(number)), {})[name] = (box, size)
    # a mask under a wrong number belongs to another frame, where the object would seem to be absent
    absent = "not surely absent" if misplaced else None
    for time in listed or ():
        if isinstance(time, bool) or not isinstance(time, int) or time < 0:
            skips.add("frame number that is none", f"{where}.annotated_frames")
        elif str(time) not in masks:
            sightings.setdefault((camera, time), {})[name] = (absent, None)


def _box(mask: Any) -> tuple[Any, fields.Size | None]:
    """The unit box, None for an empty mask, or the class of fault; and the size of the frame."""
    if not isinstance(mask, dict):
        return "mask that cannot be read", None
    stated = mask.get("size")
    width, height = mask.get("width"), mask.get("height")
    if isinstance(stated, list) and len(stated) == 2:
        height, width = stated
    size = fields.size(width, height)
    if size is None:
        return "mask without a usable size", None
    try:
        runs = mask.get("counts")
        if "encodedMask" in mask:
            runs = lz_decode(mask["encodedMask"])
        counts = counts_of(runs) if isinstance(runs, str) else runs
        if counts is None:
            raise MaskError("no runs")
        corners = box_of(counts, *size)
    except (MaskError, TypeError):
        return "mask that cannot be read", size
    return "empty mask" if corners is None else unit_box(corners, *size), size


def _frame(
    uid: str, camera: str, time: int, objects_seen: dict[str, tuple[Any, fields.Size | None]], video: str | None,
    files: fields.Folder, skips: Skips,
) -> AnnotatedFrame | None:  # fmt: skip
    where = f"{uid}.{camera}.{time}"
    sizes = {size for _, size in objects_seen.values() if size}
    if len(sizes) > 1:
        skips.add("frame whose masks differ in size", where)
        return None
    picture = f"{uid}/{camera}/{time}.jpg"
    if video and (files.root is None or (files.has(video) and not files.has(picture))):
        path, member = video, time
    elif files.has(picture):
        path, member = picture, None
    else:
        skips.add("picture or video missing", where)
        return None
    instances, unclear = [], set()
    for name, (box, _) in sorted(objects_seen.items()):
        category = str(_category(name))
        if isinstance(box, str):
            unclear.add(category)
        else:
            instances.append(Instance(f"{where}.{name}", category, box, identity=name))
    size = sizes.pop() if sizes else _unstated_size(camera, path, files)
    if not files.agrees(path, size, where, skips):
        return None
    return AnnotatedFrame(
        f"{uid}/{camera}/{time}", uid, path, *size, merged(instances, where, skips), camera, time, member,
        frozenset(unclear),
    )  # fmt: skip


def _unstated_size(camera: str, path: str, files: fields.Folder) -> fields.Size:
    """Of a frame without masks: as released (aria 1408 x 1408, others 3840 x 2160), or as its picture is."""
    released = (1408, 1408) if camera.startswith("aria") else (3840, 2160)
    actual = files.size(path)
    return actual if actual and other_proportions(released, actual) else released


def _category(name: str) -> str | None:
    """The words of an object's name, which ends in a running number: "stainless bowl_0"."""
    return clean_phrase(re.sub(r"_\d+$", "", name).replace("_", " "))
