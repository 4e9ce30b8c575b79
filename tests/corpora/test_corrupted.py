"""Forty corrupted variants of each source: counted, named, skipped or refused; never a wrong box or absence."""

import json
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gemvg_repro.corpora.frames import AnnotatedFrame, Skips
from gemvg_repro.corpora.readers.masks import lz_encode
from gemvg_repro.corpora.sources import SOURCES
from gemvg_repro.files.validation import Refused

from . import made_sources

VARIANTS = range(40)
NAN, FAR = float("nan"), 1e12

CLASSES = (
    "wrong type", "null", "not finite", "far away", "key missing", "duplicate id", "cut off", "picture missing",
    "view absent", "frame number wrong", "mask empty",
)  # fmt: skip


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small official files, all with their picture files, if only empty ones."""
    root = tmp_path_factory.mktemp("clean")
    file = made_sources.coco(root / "coco", 25, categories=6)
    (root / "coco" / "train2017").mkdir()
    for image in json.loads(file.read_text())["images"]:
        (root / "coco" / "train2017" / image["file_name"]).touch()
    folder = made_sources.d3(root / "d3", 3, 6)
    for image in pickle.loads((folder / "images.pkl").read_bytes()).values():
        picture = root / "d3" / "d3_images" / image["file_name"]
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
    take = json.loads(made_sources.egoexo(root / "egoexo4d", 1, 4, objects=2).read_text())["annotations"]["take-0000"]
    videos = root / "egoexo4d" / "takes" / take["take_name"] / "frame_aligned_videos"
    videos.mkdir(parents=True)
    for camera in ("aria01_214-1", "cam01", "cam02", "cam04"):
        (videos / f"{camera}.mp4").touch()
    made_sources.mvtrack(root / "mvtrack", 2, 10, views=2)
    made_sources.star(root / "star", 4)
    return root


def boxes(source: str, root: Path) -> tuple[dict[str, set[Any]], Skips]:
    """The boxes of each picture, and what is known not to be seen in it."""
    skips = Skips()
    by_picture: dict[str, set[Any]] = {}
    for record in SOURCES[source].read(root, skips, True):
        if isinstance(record, AnnotatedFrame):
            where = f"{record.path}#{record.member}"
            by_picture.setdefault(where, set()).update(i.box or f"no {i.identity}" for i in record.instances)
    return by_picture, skips


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where values are in nested dicts and lists; records too, but not the whole."""
    if len(path) > 1:
        yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from leaves(value, (*path, key))


def mutate(tree: Any, way: str, rng: Random) -> None:
    """Changes one value, in place."""
    places = list(leaves(tree))
    if way == "duplicate id":
        places = [p for p in places if p[-1] in ("id", "question_id")]
        if not places:
            return mutate(tree, "null", rng)
    *path, last = rng.choice(places)
    parent = tree
    for key in path:
        parent = parent[key]
    if way == "duplicate id":
        parent[last] = 9 if isinstance(parent[last], int) else "Interaction_T1_0"
    elif way == "key missing" and isinstance(parent, dict):
        del parent[last]
    else:
        wrong: dict[str, list[Any]] = {
            "wrong type": ["x", [], {}, True, [[1]]],
            "not finite": [NAN, float("inf")],
            "far away": [FAR, -FAR, 10**30],
        }
        parent[last] = rng.choice(wrong.get(way, [None]))
    return None


KEYS = {"view absent": r"aria.*|cam\d+", "frame number wrong": r"\d+", "mask empty": "encodedMask"}
"""Of the places that a mutation of video applies to."""


def mutate_video(tree: Any, way: str, rng: Random) -> None:
    """Takes a camera away, moves what is of a frame to another number, or empties a mask; else like `mutate`."""
    places = [p for p in leaves(tree) if isinstance(p[-1], str) and re.fullmatch(KEYS[way], p[-1])]
    if not places:
        return mutate(tree, "null", rng)
    *path, last = rng.choice(places)
    parent = tree
    for key in path:
        parent = parent[key]
    value = parent.pop(last)
    if way == "frame number wrong":
        parent[f"{int(last) + 7:0{len(last)}d}"] = value
    elif way == "mask empty":
        parent[last] = lz_encode(made_sources.rle([parent["width"] * parent["height"]]))
    return None


def _json(file: Path, way: str, rng: Random) -> None:
    if way == "cut off":
        content = file.read_bytes()
        file.write_bytes(content[: rng.randrange(len(content) - 2)])
        return
    tree = json.loads(file.read_text())
    (mutate_video if way in KEYS else mutate)(tree, way, rng)
    file.write_text(json.dumps(tree))


def _pickles(root: Path, way: str, rng: Random) -> None:
    file = root / "d3_pkl" / f"{rng.choice(('images', 'annotations', 'sentences'))}.pkl"
    if way == "cut off":
        content = file.read_bytes()
        file.write_bytes(content[: rng.randrange(len(content) - 2)])
        return
    tree = pickle.loads(file.read_bytes())
    mutate(tree, way, rng)
    file.write_bytes(pickle.dumps(tree))


def _texts(root: Path, way: str, rng: Random) -> None:
    file = rng.choice(sorted(root.glob("*/*/*.txt")))
    if way == "key missing":
        file.unlink()
        return
    if way == "view absent":
        shutil.rmtree(file.parent)
        return
    text = file.read_text()
    if way == "cut off":
        cut = text[: rng.randrange(len(text))]
        file.write_text(cut)
        return
    sign = "," if file.name == "invisible.txt" else "\n"
    parts = text.strip().split(sign)
    wrong = {"wrong type": ["x", "x,y,w,h"], "null": ["", "None"], "not finite": ["nan,1,2,3", "inf,1,2,3"]}
    parts[rng.randrange(len(parts))] = rng.choice(wrong.get(way, ["1e12,1,2,3", "-99,1,2,3"]))
    file.write_text(sign.join(parts))


CORRUPT: dict[str, Callable[[Path, str, Random], None]] = {
    "coco": lambda root, way, rng: _json(root / "annotations" / "instances_train2017.json", way, rng),
    "d3": _pickles,
    "egoexo4d": lambda root, way, rng: _json(root / "annotations" / "relations_train.json", way, rng),
    "mvtrack": _texts,
    "star": lambda root, way, rng: _json(root / "STAR_train.json", way, rng),
}


@pytest.mark.parametrize("source", CORRUPT)
def test_no_corrupted_variant_gives_a_wrong_box(clean: Path, tmp_path: Path, source: str) -> None:
    truth, before = boxes(source, clean / source)
    noticed = 0
    for variant in VARIANTS:
        way, rng = CLASSES[variant % len(CLASSES)], Random(f"{source}/{variant}")
        root = tmp_path / f"{variant}"
        shutil.copytree(clean / source, root)
        if way == "picture missing":
            rng.choice(
                sorted(f for f in root.rglob("*.*") if f.suffix in (".jpg", ".png", ".mp4") and f.is_file())
            ).unlink()
        else:
            CORRUPT[source](root, way, rng)
        try:
            by_picture, skips = boxes(source, root)
        except Refused as refused:
            assert str(root) in str(refused)
            noticed += 1
            continue
        for picture, there in by_picture.items():
            assert there <= truth[picture], f"variant {variant} ({way}) has a wrong box in {picture}"
        noticed += skips.counts != before.counts
        assert all(skips.places.get(what) or what == "picture missing" for what in skips.counts)
    assert noticed >= 15  # the rest changed what is not used, such as a licence
