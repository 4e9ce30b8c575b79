"""What annotation tools and tables really write: layouts, merged exports, other units, floats, EXIF, brush masks."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gemvg_repro.corpora import user_coco
from gemvg_repro.files.validation import Refused

from ..made import Document, document, pixels, write

# --- layouts as each tool's export has them: annotation file, folder of the images, file_name of an image

COCO = ("annotations/instances_train2017.json", "train2017", "{n:012d}.jpg")
ROBOFLOW = ("train/_annotations.coco.json", "train", "dog-{n}_jpg.rf.0a1b2c.jpg")
CVAT = ("annotations/instances_default.json", "images", "task/{n}.png")
LABELME = ("annotations.json", ".", "JPEGImages/{n}.jpg")
DETR = ("annotations/custom_train.json", "train2017", "{n}.jpg")
LAYOUTS = {"COCO": COCO, "Roboflow": ROBOFLOW, "CVAT": CVAT, "labelme": LABELME, "DETR": DETR}


def extras(tool: str, content: Document) -> Document:
    """The document with the keys that the tool adds, and the oddities that it is known for."""
    if tool == "COCO":
        for record in content["images"]:
            record |= {"license": 4, "coco_url": "", "flickr_url": "", "date_captured": "2013-11-14 17:02:52"}
        for annotation in content["annotations"]:
            x, y, w, h = annotation["bbox"]
            annotation |= {"area": w * h, "segmentation": [[x, y, x + w, y, x + w, y + h]]}
    if tool == "Roboflow":  # a first category that nothing has, named like the set
        content["categories"].insert(0, {"id": 0, "name": "dogs-and-cats", "supercategory": "none"})
    if tool == "CVAT":
        for annotation in content["annotations"]:
            annotation |= {"attributes": {"occluded": False}, "segmentation": []}
    if tool == "labelme":  # on Windows, and with a background category
        content["categories"].insert(0, {"id": 0, "name": "_background_"})
        for record in content["images"]:
            record["file_name"] = record["file_name"].replace("/", "\\")
    if tool == "DETR":
        for annotation in content["annotations"]:
            annotation["bbox"] = [float(v) for v in annotation["bbox"]]
    return content


def lay(root: Path, tool: str) -> Path:
    """The folder of a tool's export, with images of other splits beside."""
    file, folder, name = LAYOUTS[tool]
    content = document()
    for record in content["images"]:
        record["file_name"] = name.format(n=record["id"])
        image = root / folder / record["file_name"]
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(record["id"])).save(image, quality=100, subsampling=0)
    if folder == "train2017":
        (root / "val2017").mkdir()
        Image.fromarray(pixels(9)).save(root / "val2017" / name.format(n=1))
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(extras(tool, content)))
    return root / file


@pytest.mark.parametrize("tool", LAYOUTS)
def test_every_tool_s_layout_is_read_as_it_is(tmp_path: Path, tool: str) -> None:
    (tmp_path / "plain").mkdir()
    plain = user_coco.load(write(tmp_path / "plain"))
    coco = user_coco.load(lay(tmp_path / "export", tool))
    assert [image.objects for image in coco.images] == [image.objects for image in plain.images]
    for n, image in zip((1, 2, 4), coco.images, strict=True):
        assert np.abs(image.picture.pixels().astype(int) - pixels(n)).mean() < 5  # JPEG
    folder = tmp_path / "export" / LAYOUTS[tool][1]
    beside = folder.resolve() == (tmp_path / "export" / LAYOUTS[tool][0]).parent.resolve()
    assert coco.notes == (() if beside else (f"images are read from {folder}",))


def test_a_folder_that_is_given_is_taken(tmp_path: Path) -> None:
    file = write(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for n in (1, 2, 4):
        Image.fromarray(pixels(n + 10)).save(tmp_path / "elsewhere" / f"{n}.png")
    image = user_coco.load(file, images=tmp_path / "elsewhere").images[0]
    assert np.array_equal(image.picture.pixels(), pixels(11))


def test_images_that_are_nowhere_are_told_with_where_they_were_looked_for(tmp_path: Path) -> None:
    file = lay(tmp_path, "COCO")
    for image in (tmp_path / "train2017").iterdir():
        image.unlink()
    with pytest.raises(Refused) as caught:
        user_coco.load(file)
    for folder in (tmp_path / "annotations", tmp_path / "train2017", tmp_path):
        assert str(folder) in str(caught.value)
    assert "images[0].file_name" in str(caught.value) and "-p images FOLDER" in str(caught.value)


# --- one file under several ids


def merged(content: Document, spellings: list[str]) -> Document:
    """The first image under an id for each of the spellings, which have its three annotations by turns."""
    first, *others = content["images"]
    ids = [first["id"], *range(100, 99 + len(spellings))]
    content["images"] = [{**first, "id": id_, "file_name": name} for id_, name in zip(ids, spellings, strict=True)]
    content["images"] += others
    for n, annotation in enumerate(a for a in content["annotations"] if a["image_id"] == first["id"]):
        annotation["image_id"] = ids[n % len(ids)]
    return content


SPELLINGS = ["1.png", "./1.png", "sub/../1.png", ".//1.png", "linked/1.png", "link.png", "hard.png"]


@given(spellings=st.lists(st.sampled_from(SPELLINGS), min_size=2, max_size=5))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_under_several_ids_is_one_image(tmp_path: Path, spellings: list[str]) -> None:
    file = write(tmp_path)
    if not (tmp_path / "linked").exists():
        (tmp_path / "linked").symlink_to(".")
        (tmp_path / "link.png").symlink_to("1.png")
    (tmp_path / "hard.png").unlink(missing_ok=True)
    os.link(tmp_path / "1.png", tmp_path / "hard.png")
    plain = user_coco.load(file)
    file.write_text(json.dumps(merged(document(), spellings)))
    coco = user_coco.load(file)
    assert [image.objects for image in coco.images] == [image.objects for image in plain.images]
    assert [s.targets for s in user_coco.detection(coco)] == [s.targets for s in user_coco.detection(plain)]
    (note,) = coco.notes
    assert note.startswith(f"{len(spellings) - 1} images are files that an earlier one has")
    assert "images[1] with images[0]" in note


def test_no_question_shows_an_object_and_says_no(tmp_path: Path) -> None:
    """Two annotators: one of dogs, one of cats, each with a record of every image."""
    content = document()
    content["images"] += [{**image, "id": image["id"] + 100} for image in content["images"]]
    for annotation in content["annotations"]:
        annotation["image_id"] += 100 * (annotation["category_id"] == 3)
    coco = user_coco.load(write(tmp_path, content))
    truth = {"1.png": {"dog", "cat"}, "2.png": {"dog"}, "4.png": {"cat"}}
    for sample in user_coco.semantic(coco, 0, 200):
        (category,) = [name for name in ("dog", "cat") if sample.chain and f"a {name}." in sample.chain]
        for n, picture in enumerate(sample.pictures[1:], 1):
            has = any(target.picture == n for target in sample.targets)
            assert has == (category in truth[picture.path])  # type: ignore[attr-defined]


def test_copies_under_other_names_stay_images_of_their_own(tmp_path: Path) -> None:
    file = write(tmp_path)
    (tmp_path / "4.png").write_bytes((tmp_path / "1.png").read_bytes())
    coco = user_coco.load(file)
    assert (len(coco.images), coco.notes) == (3, ())


# --- the same box twice


@pytest.mark.parametrize(
    ("box", "left_out"),
    [
        ([10, 20, 100, 50], True),
        ([10, 20, 101, 50], True),  # IoU .990
        ([11, 21, 99, 50], True),
        ([10, 20, 106, 50], False),  # IoU .943
        ([60, 20, 50, 50], False),
    ],
)
def test_a_box_that_repeats_another_is_left_out_and_told(tmp_path: Path, box: list[int], left_out: bool) -> None:
    content = document()
    content["annotations"].append({"id": 99, "image_id": 1, "category_id": 18, "bbox": box})
    coco = user_coco.load(write(tmp_path, content))
    assert len(coco.images[0].targets("dog", 0)) == (2 if left_out else 3)
    assert coco.left_out[1:] == (("annotations[6]: repeats an earlier box of dog",) if left_out else ())
    sample = next(s for s in user_coco.detection(coco) if s.id == "detection/1/dog")
    assert sample.chain == f"dog: {'two' if left_out else 'three'} in Picture 1."


def test_the_same_box_of_another_category_is_another_object(tmp_path: Path) -> None:
    content = document()
    content["annotations"].append({"id": 99, "image_id": 1, "category_id": 3, "bbox": [10, 20, 100, 50]})
    coco = user_coco.load(write(tmp_path, content))
    assert len(coco.images[0].objects) == 4 and len(coco.left_out) == 1


# --- boxes that are no pixels from the corner


def converted(convert: Any) -> Document:
    content = document()
    content["annotations"].append({"id": 99, "image_id": 4, "category_id": 18, "bbox": [90, 40, 110, 60]})
    for annotation in content["annotations"]:
        annotation["bbox"] = convert(*annotation["bbox"])
    return content


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (
            lambda x, y, w, h: [x / 200, y / 100, w / 200, h / 100],
            ["7 boxes are not in pixels", "multiply x and width"],
        ),
        (lambda x, y, w, h: [x, y, x + w, y + h], ["4 of 7 boxes lie outside", "none as corners [x1, y1, x2, y2]"]),
        (lambda x, y, w, h: [x + w / 2, y + h / 2, w, h], ["of 7 boxes lie outside", "none as centres [x, y,"]),
    ],
)
def test_boxes_in_other_units_are_refused_as_that(tmp_path: Path, convert: Any, words: list[str]) -> None:
    with pytest.raises(Refused) as caught:
        user_coco.load(write(tmp_path, converted(convert)))
    for word in words:
        assert word in str(caught.value), str(caught.value)


# --- tables and editors


def test_ids_and_sizes_that_a_table_made_floats(tmp_path: Path) -> None:
    """As pandas writes a column that had a gap once."""
    content = document()
    for record in (*content["images"], *content["annotations"], *content["categories"]):
        for key in ("id", "image_id", "category_id", "iscrowd", "width", "height"):
            if key in record:
                record[key] = float(record[key])
    plain = user_coco.load(write(tmp_path))
    coco = user_coco.load(write(tmp_path, content))
    assert coco == plain and [type(image.id) for image in coco.images] == [int] * 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_file_saved_by_a_windows_editor(tmp_path: Path, encoding: str) -> None:
    plain = user_coco.load(write(tmp_path))
    (tmp_path / "annotations.json").write_text(json.dumps(document()), encoding=encoding)
    assert user_coco.load(tmp_path / "annotations.json") == plain


# --- EXIF orientation: the file of image 1 has 200x100 stored pixels


def turned(folder: Path, orientations: dict[int, int], sizes: dict[int, tuple[int, int]]) -> Path:
    content = document()
    for record in content["images"]:
        record["width"], record["height"] = sizes.get(record["id"], (200, 100))
    content["annotations"] = [
        {"id": n, "image_id": i, "category_id": 18, "bbox": [0, 0, 50, 25]} for n, i in enumerate((1, 2, 4))
    ]
    file = write(folder, content)
    for n, orientation in orientations.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels(n)).save(folder / f"{n}.png", exif=exif)
    return file


def test_boxes_are_in_the_stored_image_where_sizes_are_its(tmp_path: Path) -> None:
    coco = user_coco.load(turned(tmp_path, {1: 6, 2: 3}, {}))
    assert np.array_equal(coco.images[0].picture.pixels(), pixels(1))
    assert coco.notes == (
        "2 images have an EXIF orientation; boxes are taken to be in them as stored, not turned: "
        "images[0] (1.png: 6), images[1] (2.png: 3)",
    )


def test_boxes_are_in_the_turned_image_where_sizes_are_its(tmp_path: Path) -> None:
    """One portrait photograph shows that the tool turns: the upside-down one of the file is turned too."""
    coco = user_coco.load(turned(tmp_path, {1: 6, 2: 3}, {1: (100, 200)}))
    assert np.array_equal(coco.images[0].picture.pixels(), np.rot90(pixels(1), -1))
    assert np.array_equal(coco.images[1].picture.pixels(), np.rot90(pixels(2), 2))
    assert np.array_equal(coco.images[2].picture.pixels(), pixels(4))
    assert coco.images[0].objects == (("dog", (0, 0, 0.5, 0.125)),)
    assert "as turned" in coco.notes[0]


def test_two_ways_in_one_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"images\[0\]\.width: '1\.png' has EXIF orientation 6.*in images\[1\]"):
        user_coco.load(turned(tmp_path, {1: 6, 2: 8}, {1: (100, 200)}))


def test_a_wrong_size_names_the_orientation(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"has \(200, 100\) stored pixels and EXIF orientation 6"):
        user_coco.load(turned(tmp_path, {1: 6}, {1: (100, 201)}))


# --- what cannot be trained on


def test_brush_masks_of_cvat_are_explained(tmp_path: Path) -> None:
    content = document()
    for annotation in content["annotations"]:
        annotation |= {"iscrowd": 1, "segmentation": {"counts": [488, 29, 19483], "size": [100, 200]}}
    file = write(tmp_path, content)
    with pytest.raises(Refused, match="CVAT writes iscrowd 1 for every brush mask") as caught:
        user_coco.load(file)
    mend = next(part for part in str(caught.value).split("'") if part.startswith("s/"))
    pattern, replacement = mend.split("/")[1:3]
    file.write_text(re.sub(pattern, replacement, file.read_text()))
    assert len(user_coco.load(file).images[1].objects) == 2


def test_one_image_cannot_be_trained_on_and_can_be_asked_about(tmp_path: Path) -> None:
    content = document()
    content["images"] = content["images"][:1]
    content["annotations"] = content["annotations"][:3]
    coco = user_coco.load(write(tmp_path, content))
    assert len(user_coco.detection(coco)) == 2
    with pytest.raises(Refused, match="a category with boxes in two images"):
        user_coco.check_trainable(coco)


def test_deep_grey_is_told(tmp_path: Path) -> None:
    file = write(tmp_path)
    Image.fromarray(pixels(1)[..., 0].astype(np.uint16) * 16).save(tmp_path / "1.png")
    coco = user_coco.load(file)
    assert coco.notes == ("1 images are grey of more than 8 bits, scaled by their brightest pixel: images[0] (1.png)",)
    assert coco.images[0].picture.pixels().max() > 250
