import json
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.files import coco
from gemvg_repro.files.validation import Faults, Refused

IMAGE = {"id": 3, "file_name": "train/a.png", "width": 640, "height": 480}
ANNOTATION = {"id": 1, "image_id": 3, "category_id": 1, "bbox": [1, 2, 3.5, 4]}


class Reported(list[tuple[str, str]]):
    """Where each fault is, and its class."""

    def __call__(self, where: str, fault: str, detail: str) -> None:
        assert detail.startswith("expected ") and (" got " in detail or "missing" in detail)
        self.append((where, fault))


def test_an_image_and_a_category() -> None:
    faults = Reported()
    assert coco.image(IMAGE, "images[0]", (), faults) == coco.ImageRecord(3, "train/a.png", 640, 480)
    assert coco.category({"id": "c", "name": " a dog"}, "categories[0]", (), faults) == coco.CategoryRecord(
        "c", " a dog"
    )
    assert not faults


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((1, 1), (1.0, 1), (0.0, 0), ("1", "1"), (2**70, 2**70)),
        *((value, None) for value in (1.5, True, "", [1], float("nan"), 1e300, None)),
    ],
)
def test_an_id_that_a_table_made_a_float_is_the_integer(written: Any, meant: Any) -> None:
    id_ = coco.identifier(written)
    assert id_ == meant and type(id_) is type(meant)


def test_whole_floats_count_everywhere() -> None:
    """As pandas writes a table with a gap in it."""
    faults = Reported()
    image = coco.image({**IMAGE, "id": 3.0, "width": 640.0, "height": 480.0}, "images[0]", (), faults)
    assert image == coco.ImageRecord(3, "train/a.png", 640, 480)
    assert coco.reference({**ANNOTATION, "image_id": 3.0}, "image_id", {3: image}, "annotations[0]", faults) == 3
    assert coco.crowd({**ANNOTATION, "iscrowd": 1.0}, "annotations[0]", faults) is True
    assert not faults


@pytest.mark.parametrize(
    ("change", "where", "fault"),
    [
        ({"id": None}, "id", "image without an id"),
        ({"id": 7}, "id", "image id twice"),
        ({"width": 0}, "width", "image without a usable size"),
        ({"height": "480"}, "height", "image without a usable size"),
        ({"height": 10**400}, "height", "image without a usable size"),
        ({"file_name": ""}, "file_name", "image without a usable file name"),
        ({"file_name": "../a.png"}, "file_name", "image without a usable file name"),
        ({"file_name": "/a.png"}, "file_name", "image without a usable file name"),
        ({"file_name": "a\0.png"}, "file_name", "image without a usable file name"),
    ],
)
def test_a_fault_of_an_image_is_reported_with_its_key(change: dict[str, Any], where: str, fault: str) -> None:
    faults = Reported()
    assert coco.image({**IMAGE, **change}, "images[5]", {7}, faults) is None
    assert faults == [(f"images[5].{where}", fault)]


@pytest.mark.parametrize(
    "box", [[1, 2, 3], "1 2 3 4", [1, 2, float("nan"), 4], [1, 2, True, 4], [1, 2, 10**400, 4], None]
)
def test_a_box_is_four_finite_numbers(box: Any) -> None:
    faults = Reported()
    assert coco.bbox({"bbox": box}, "annotations[0]", faults) is None
    assert faults == [("annotations[0].bbox", "box that is no four finite numbers")]


def test_boxes_crowds_and_references() -> None:
    faults = Reported()
    assert coco.bbox(ANNOTATION, "", faults) == (1, 2, 3.5, 4) and coco.crowd(ANNOTATION, "", faults) is False
    assert not faults
    assert coco.bbox({"bbox": [1, 2, -3, 4]}, "a", faults) is None
    assert coco.crowd({"iscrowd": 2}, "a", faults) is None
    assert coco.reference({"image_id": 4}, "image_id", (3,), "a", faults) is None
    assert coco.reference({}, "category_id", (3,), "a", faults) is None
    assert [fault for _, fault in faults] == [
        "box of negative width or height",
        "iscrowd that is neither 0 nor 1",
        "annotation of an unknown image",
        "annotation of an unknown category",
    ]


@pytest.mark.parametrize(
    ("content", "culprit"),
    [([], "images: "), ({"images": [IMAGE], "annotations": {}, "categories": [1]}, r"categories\[0\]: ")],
)
def test_a_file_without_its_lists_is_refused(tmp_path: Path, content: Any, culprit: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(Refused, match=culprit):
        coco.load(file, Faults(file))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_of_any_unicode_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    content = {"images": [IMAGE], "annotations": [ANNOTATION], "categories": [{"id": 1, "name": "küçük"}]}
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    assert coco.load(file, Faults(file))["categories"][0]["name"] == "küçük"
