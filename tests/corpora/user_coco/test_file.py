import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gemvg_repro.corpora import user_coco
from gemvg_repro.files.validation import Refused

from ..made import Document, document, pixels, write


def test_boxes_are_converted_and_unclear_ones_left_out(tmp_path: Path) -> None:
    coco = user_coco.load(write(tmp_path))
    first, second, third = coco.images
    dogs, cat = (
        [("dog", (0.05, 0.2, 0.55, 0.7)), ("dog", (0.6, 0.0, 1.0, 1.0))],
        ("cat", (0.0, 0.0, 0.1, 0.4)),
    )
    assert first.objects == (*dogs, cat)
    assert (second.categories, second.unclear) == (["dog"], frozenset({"cat"}))
    assert third.objects == (("cat", (0.5, 0.1, 0.7, 0.9)),)
    assert coco.left_out == ("annotations[4]: a crowd",)
    assert np.array_equal(first.picture.pixels(), pixels(1))


def test_a_box_across_the_edge_by_a_pixel_is_clipped(tmp_path: Path) -> None:
    content = document()
    content["annotations"][1]["bbox"] = [120.4, -0.7, 80.5, 101.3]
    assert user_coco.load(write(tmp_path, content)).images[0].objects[1] == ("dog", (0.602, 0.0, 1.0, 1.0))


@pytest.mark.parametrize("box", [[10, 10, 0, 5], [10, 10, 5, 0], [200, 10, 1, 5]])
def test_a_box_without_area_is_named_and_its_category_not_asked_about(tmp_path: Path, box: list[int]) -> None:
    content = document()
    content["annotations"][1]["bbox"] = box
    coco = user_coco.load(write(tmp_path, content))
    assert coco.left_out[0] == "annotations[1]: a box without area"
    assert coco.images[0].categories == ["cat"]


def test_categories_of_one_name_are_one(tmp_path: Path) -> None:
    content = document()
    content["categories"].append({"id": 0, "name": "dog "})
    content["annotations"][0]["category_id"] = 0
    assert user_coco.load(write(tmp_path, content)).images[0].categories == ["cat", "dog"]


def _set(key: str, n: int, field: str, value: Any) -> Callable[[Document], None]:
    def change(content: Document) -> None:
        content[key][n][field] = value

    return change


def _drop(key: str, n: int, field: str) -> Callable[[Document], None]:
    def change(content: Document) -> None:
        del content[key][n][field]

    return change


def _replace(key: str, value: Any) -> Callable[[Document], None]:
    def change(content: Document) -> None:
        content[key] = value

    return change


BROKEN: dict[str, tuple[Callable[[Document], None], str]] = {
    "NaN": (_set("annotations", 3, "bbox", [float("nan"), 0, 5, 5]), "annotations[3].bbox"),
    "infinite": (_set("annotations", 3, "bbox", [0, 0, float("inf"), 5]), "annotations[3].bbox"),
    "huge": (_set("annotations", 3, "bbox", [0, 0, 10**400, 5]), "annotations[3].bbox"),
    "three numbers": (_set("annotations", 3, "bbox", [0, 0, 5]), "annotations[3].bbox"),
    "text in a box": (_set("annotations", 3, "bbox", [0, 0, "5", 5]), "annotations[3].bbox"),
    "no list": (_set("annotations", 3, "bbox", "0 0 5 5"), "annotations[3].bbox"),
    "no box": (_drop("annotations", 3, "bbox"), "annotations[3].bbox"),
    "inverted": (_set("annotations", 3, "bbox", [50, 50, -10, 10]), "annotations[3].bbox"),
    "outside": (_set("annotations", 3, "bbox", [150, 50, 60, 10]), "annotations[3].bbox"),
    "far away": (_set("annotations", 3, "bbox", [-900, 50, 10, 10]), "annotations[3].bbox"),
    "odd crowd": (_set("annotations", 3, "iscrowd", "yes"), "annotations[3].iscrowd"),
    "unknown image": (_set("annotations", 3, "image_id", 99), "annotations[3].image_id"),
    "unhashable image": (_set("annotations", 3, "image_id", [1]), "annotations[3].image_id"),
    "unknown category": (_drop("annotations", 3, "category_id"), "annotations[3].category_id"),
    "no record": (_replace("annotations", [7]), "annotations[0]"),
    "no annotations": (_replace("annotations", []), "annotations"),
    "no categories": (lambda content: content.__delitem__("categories"), "categories"),
    "images no list": (_replace("images", {"1": {}}), "images"),
    "image id twice": (_set("images", 2, "id", 1), "images[2].id"),
    "image without id": (_drop("images", 2, "id"), "images[2].id"),
    "no width": (_drop("images", 2, "width"), "images[2].width"),
    "huge width": (_set("images", 2, "width", 10**400), "images[2].width"),
    "width text": (_set("images", 2, "width", "200"), "images[2].width"),
    "other size": (_set("images", 2, "height", 101), "images[2].file_name"),
    "missing file": (_set("images", 2, "file_name", "5.png"), "images[2].file_name"),
    "no file name": (_set("images", 2, "file_name", None), "images[2].file_name"),
    "path leaves": (_set("images", 2, "file_name", "../../4.png"), "images[2].file_name"),
    "special token": (_set("categories", 0, "name", "<|im_end|>"), "categories[0].name"),
    "no name": (_drop("categories", 0, "name"), "categories[0].name"),
    "line break": (_set("categories", 0, "name", "a\nb"), "categories[0].name"),
}


def _hashes(folder: Path) -> dict[str, str]:
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_record_and_key(tmp_path: Path, name: str) -> None:
    change, culprit = BROKEN[name]
    content = document()
    change(content)
    file = write(tmp_path, content)
    before = _hashes(tmp_path)
    with pytest.raises(Refused) as caught:
        user_coco.load(file)
    assert str(file) in str(caught.value)
    assert f"  {culprit}: " in str(caught.value)
    assert _hashes(tmp_path) == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" \n",
        json.dumps(document()).encode()[:-30],
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[]",
        b"null",
        b"7",
    ],
)
def test_what_is_no_coco_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = write(tmp_path)
    file.write_bytes(content)
    with pytest.raises(Refused, match=r"annotations\.json"):
        user_coco.load(file)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for file in (tmp_path / "none.json", tmp_path):
        with pytest.raises(Refused, match="cannot be read"):
            user_coco.load(file)


def test_broken_images_are_named_and_many_faults_are_counted(tmp_path: Path) -> None:
    file = write(tmp_path)
    whole = (tmp_path / "2.png").read_bytes()
    (tmp_path / "2.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "4.png").write_text("no image")
    with pytest.raises(Refused) as caught:
        user_coco.load(file)
    assert "2 faults" in str(caught.value)
    assert "'2.png'" in str(caught.value) and "'4.png'" in str(caught.value)
    content = document()
    content["annotations"] = [{**content["annotations"][0], "image_id": 99} for _ in range(25)]
    with pytest.raises(Refused, match=r"27 faults(?s:.)*and 7 more$"):
        user_coco.load(write_annotations(file, content))


def write_annotations(file: Path, content: Document) -> Path:
    file.write_text(json.dumps(content))
    return file


def test_only_crowds_is_nothing_to_learn_from(tmp_path: Path) -> None:
    content = document()
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    with pytest.raises(Refused, match="no box to learn from"):
        user_coco.load(write(tmp_path, content))


def test_a_photograph_is_checked_and_scaled(tmp_path: Path) -> None:
    content = document()
    content["images"][0] |= {"width": 3000, "height": 1500}
    file = write(tmp_path, content)
    Image.fromarray(pixels(1, 3000, 1500)).save(tmp_path / "1.png")
    assert user_coco.load(file, most_pixels=20_000).images[0].picture.pixels().shape == (100, 200, 3)


def test_an_image_too_slender_for_qwen2_vl_is_named(tmp_path: Path) -> None:
    content = document()
    content["images"][0] |= {"width": 3000, "height": 15}
    content["annotations"] = content["annotations"][3:]
    file = write(tmp_path, content)
    Image.fromarray(pixels(1, 3000, 15)).save(tmp_path / "1.png")
    assert user_coco.load(file).images[0].picture.pixels().shape == (15, 3000, 3)
    with pytest.raises(Refused, match=r"images\[0\]\.file_name: '1\.png' has 1183x5 pixels: one side is more than 200"):
        user_coco.load(file, most_pixels=7000)  # which takes a part of the last pixel row away
