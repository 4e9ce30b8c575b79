"""A picture whose proportions are not those of its annotation is left out by name, and refused when it is opened."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from gemvg_repro.corpora import builder, recipe, shards
from gemvg_repro.corpora.frames import AnnotatedFrame, Skips, other_proportions
from gemvg_repro.corpora.sources import SOURCES, index_source
from gemvg_repro.files.validation import Refused

from . import made_sources

FAULT = "picture of other proportions than its annotation states"


@pytest.mark.parametrize(
    ("stated", "actual", "other"),
    [
        ((640, 427), (640, 427), False),
        ((640, 427), (427, 640), True),
        ((640, 427), (213, 142), False),  # a rescaled copy, rounded down
        ((1920, 1080), (854, 480), False),
        ((640, 480), (480, 360), False),
        ((640, 480), (480, 270), True),
        ((640, 480), (480, 480), True),
        ((500, 375), (375, 375), True),
        ((64, 64), (16, 16), False),
    ],
)
def test_which_proportions_are_others(stated: tuple[int, int], actual: tuple[int, int], other: bool) -> None:
    assert other_proportions(stated, actual) == other


def _coco(root: Path) -> Path:
    made_sources.coco(root, 6, categories=2)
    made_sources.paint({"coco": root})
    return root / "train2017" / "000000000011.jpg"


def _d3(root: Path) -> Path:
    made_sources.d3(root, 1, 4)
    made_sources.paint({"d3": root})
    return root / "d3_images" / "group_000" / "0000001.jpg"


def _egoexo(root: Path) -> Path:
    made_sources.egoexo(root, 1, 2)
    made_sources.paint({"egoexo4d": root})
    return root / "take-0000" / "cam01" / "30.jpg"


@pytest.mark.parametrize(("source", "make"), [("coco", _coco), ("d3", _d3), ("egoexo4d", _egoexo)])
def test_a_turned_picture_is_left_out_by_name(tmp_path: Path, source: str, make: Callable[[Path], Path]) -> None:
    picture = make(tmp_path)

    def read() -> tuple[set[str], Skips]:
        skips = Skips()
        frames = [r for r in SOURCES[source].read(tmp_path, skips, True) if isinstance(r, AnnotatedFrame)]
        return {frame.path for frame in frames}, skips

    whole, skips = read()
    assert FAULT not in skips.counts
    Image.open(picture).transpose(Image.Transpose.ROTATE_90).save(picture)
    left, skips = read()
    relative = picture.relative_to(SOURCES[source].pictures(tmp_path)).as_posix()
    assert whole - left == {relative}
    (place,) = skips.places[FAULT]
    assert relative in place and "annotated as" in place


def test_the_orientation_of_a_turned_picture_is_named(tmp_path: Path) -> None:
    picture = _coco(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(picture).transpose(Image.Transpose.ROTATE_90).save(picture, exif=exif)
    skips = Skips()
    assert list(SOURCES["coco"].read(tmp_path, skips, True))
    assert "with EXIF orientation 6, annotated as" in skips.places[FAULT][0]


def star(root: Path, size: tuple[int, int], stated: tuple[int, int] | None, rotation: int = 0) -> Path:
    """One video of STAR with an object at a known place, of the size that is stated or, without one, supposed."""
    root.mkdir()
    (root / "Charades_v1_480").mkdir()
    stored = np.zeros((size[1], size[0], 3), np.uint8)
    with av.open(str(root / "Charades_v1_480" / "AAAAA.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.set_display_rotation(rotation)
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode())
    key = "AAAAA.mp4/000010.png"
    situation = {"000010": {"bbox": [[48.0, 27.0, 96.0, 54.0]], "bbox_labels": ["o004"]}}
    question = {"question_id": "q", "question": "Which object?", "answer": "The blanket.", "video_id": "AAAAA"}
    (root / "STAR_train.json").write_text(json.dumps([{**question, "situations": situation}]))
    if stated:
        person = {"bbox": np.zeros((0, 4)), "bbox_size": stated, "bbox_mode": "xyxy"}
        (root / "person_bbox.pkl").write_bytes(pickle.dumps({key: person}))
    return root


@pytest.mark.parametrize(
    ("size", "stated", "box"),
    [
        ((480, 270), None, (0.1, 0.1, 0.2, 0.2)),
        ((480, 270), (480, 270), (0.1, 0.1, 0.2, 0.2)),
        ((960, 540), (480, 270), (0.1, 0.1, 0.2, 0.2)),  # a larger copy, whose annotated size is stated
        ((64, 36), (480, 270), (0.1, 0.1, 0.2, 0.2)),
    ],
)
def test_boxes_of_star_refer_to_the_stated_or_the_released_size(
    tmp_path: Path, size: tuple[int, int], stated: tuple[int, int] | None, box: tuple[float, ...]
) -> None:
    index = index_source("star", star(tmp_path / "star", size, stated), tmp_path / "i.sqlite")
    (frame,) = (index.frame(n) for n in index.numbers().tolist())
    assert frame.instances[0].box == pytest.approx(box)


@pytest.mark.parametrize("size", [(1280, 720), (854, 480), (640, 360), (240, 136)])
def test_star_s_frames_of_another_size_are_refused_unless_it_is_stated(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(Refused, match=r"480 pixels of Charades_v1_480.*person_bbox\.pkl would state the size"):
        index_source("star", star(tmp_path / "star", size, None), tmp_path / "i.sqlite")


def test_a_video_s_rotation_counts_in_its_proportions(tmp_path: Path) -> None:
    index = index_source("star", star(tmp_path / "turned", (480, 270), (270, 480), -90), tmp_path / "i.sqlite")
    (frame,) = (index.frame(n) for n in index.numbers().tolist())
    assert (frame.width, frame.height) == (270, 480)
    with pytest.raises(Refused, match=FAULT):
        index_source("star", star(tmp_path / "lying", (480, 270), (270, 480)), tmp_path / "j.sqlite")


def _turn(folder: Path) -> None:
    for file in folder.iterdir():
        Image.open(file).transpose(Image.Transpose.ROTATE_90).save(file)


def test_a_picture_that_is_turned_after_reading_is_not_composed(tmp_path: Path) -> None:
    _turn(_coco(tmp_path).parent)
    index = index_source("coco", tmp_path, tmp_path / "i.sqlite", check_files=False)
    pictures = {"coco": tmp_path / "train2017"}
    with pytest.raises(Refused, match="a picture of other proportions than its annotation states"):
        builder.build(recipe.load().scaled(0.0001), {"coco": index.file}, tmp_path / "data", pictures=pictures)


def test_a_picture_that_is_turned_after_composing_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    picture = _coco(tmp_path)
    index = index_source("coco", tmp_path, tmp_path / "i.sqlite")
    mixture, files, pictures = recipe.load().scaled(0.0001), {"coco": index.file}, {"coco": picture.parent}
    builder.build(mixture, files, tmp_path / "data", pictures=pictures)
    first = next(shards.samples(tmp_path / "data", "sft")).pictures[0]
    assert first.pixels().ndim == 3
    _turn(picture.parent)
    message = r"'0000000000\d\d\.jpg' in .*train2017 has the proportions of \d+x\d+, its annotation those of \d+x\d+"
    for sample in shards.samples(tmp_path / "data", "sft"):
        with pytest.raises(Refused, match=message):
            sample.pictures[0].pixels()
