import json
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.corpora.frames import AnnotatedFrame, Skips
from gemvg_repro.corpora.readers import coco
from gemvg_repro.files.validation import Refused

OFFICIAL: dict[str, Any] = {
    "info": {"year": 2017},
    "images": [
        {"id": 1, "file_name": "000000000001.jpg", "width": 640, "height": 480, "flickr_url": "http://farm1.staticflickr.com/9/1234567_a_z.jpg"},
        {"id": 2, "file_name": "000000000002.jpg", "width": 320, "height": 240},
    ],
    "annotations": [
        {"id": 11, "image_id": 1, "category_id": 18, "bbox": [10.0, 20.0, 100.0, 50.0], "area": 5000.0, "iscrowd": 0,
         "segmentation": [[10, 20, 110, 20, 110, 70, 10, 70]]},
        {"id": 12, "image_id": 2, "category_id": 18, "bbox": [5.0, 5.0, 50.0, 60.0], "area": 3000.0, "iscrowd": 0,
         "segmentation": [[5, 5, 55, 5, 55, 65, 5, 65]]},
        {"id": 13, "image_id": 2, "category_id": 1, "bbox": [0.0, 0.0, 320.0, 240.0], "area": 9.0, "iscrowd": 1,
         "segmentation": {"size": [240, 320], "counts": [0, 9, 76791]}},
    ],
    "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}, {"id": 1, "name": "person"}],
}  # fmt: skip


def read(folder: Path, content: Any, root: Path | None = None) -> tuple[list[AnnotatedFrame], Skips]:
    file = folder / "instances_train2017.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    skips = Skips()
    return list(coco.read(file, skips, root)), skips


def test_the_official_form_by_hand(tmp_path: Path) -> None:
    (first, second), skips = read(tmp_path, OFFICIAL)
    assert (first.id, first.path, first.width, first.height) == ("1", "000000000001.jpg", 640, 480)
    assert first.aliases == ("coco:1", "flickr:1234567")
    (dog,) = first.instances
    assert (dog.id, dog.category) == ("11", "dog")
    assert dog.box == pytest.approx((10 / 640, 20 / 480, 110 / 640, 70 / 480))
    assert [i.box for i in second.instances] == [pytest.approx((5 / 320, 5 / 240, 55 / 320, 65 / 240))]
    assert second.unclear == {"person"}
    assert skips.counts == {"crowd": 1}


def test_annotations_before_their_images_are_found(tmp_path: Path) -> None:
    turned = {key: OFFICIAL[key] for key in ("categories", "annotations", "images")}
    assert read(tmp_path, turned)[0] == read(tmp_path, OFFICIAL)[0]


def test_a_box_over_the_edge_by_a_pixel_is_clipped(tmp_path: Path) -> None:
    content = json.loads(json.dumps(OFFICIAL))
    content["annotations"][0]["bbox"] = [-0.5, 20, 641, 50]
    assert read(tmp_path, content)[0][0].instances[0].box == pytest.approx((0, 20 / 480, 1, 70 / 480))


def test_missing_picture_files_are_counted(tmp_path: Path) -> None:
    images = tmp_path / "train2017"
    images.mkdir()
    (images / "000000000002.jpg").touch()
    frames, skips = read(tmp_path, OFFICIAL, images)
    assert [f.id for f in frames] == ["2"]
    assert skips.counts == {"image file missing": 1, "annotation of an unknown image": 1, "crowd": 1}


def test_of_two_annotations_with_one_id_neither_is_used(tmp_path: Path) -> None:
    content = json.loads(json.dumps(OFFICIAL))
    content["annotations"].append({**content["annotations"][0], "category_id": 1})
    frames, skips = read(tmp_path, content)
    assert (frames[0].instances, frames[0].unclear) == ((), frozenset({"dog", "person"}))
    assert skips.counts == {"crowd": 1, "annotation id twice": 1}


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "nonsense", '{"images": {}}', json.dumps(OFFICIAL)[:-90], "[" * 9000]
)
def test_what_is_no_coco_file_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(Refused, match=r"instances_train2017\.json"):
        read(tmp_path, content)


def changed(change: Any) -> Any:
    content = json.loads(json.dumps(OFFICIAL))
    change(content)
    return content


def second_export(content: Any) -> None:
    """The same images under other ids and spellings, by an annotator of people, ids counted from 11 again."""
    content["images"] += [{**i, "id": i["id"] + 10, "file_name": f"./{i['file_name']}"} for i in content["images"]]
    content["annotations"].append({"id": 11, "image_id": 11, "category_id": 1, "bbox": [300, 300, 40, 80]})


def test_a_file_under_several_ids_is_one_image(tmp_path: Path) -> None:
    frames, skips = read(tmp_path, changed(second_export))
    assert [[i.category for i in frame.instances] for frame in frames] == [["dog", "person"], ["dog"]]
    assert [frame.path for frame in frames] == ["000000000001.jpg", "000000000002.jpg"]
    assert skips.counts == {"image file under another id too, joined": 2, "crowd": 1}


def test_a_file_of_two_stated_sizes_is_not_used(tmp_path: Path) -> None:
    def change(content: Any) -> None:
        second_export(content)
        content["images"][2]["width"] = 641

    frames, skips = read(tmp_path, changed(change))
    assert [frame.id for frame in frames] == ["2"]
    assert skips.counts["image file of two sizes"] == 1


def test_a_box_that_repeats_another_is_left_out_and_counted(tmp_path: Path) -> None:
    def change(content: Any) -> None:
        content["annotations"] += [
            {"id": 21, "image_id": 1, "category_id": 18, "bbox": [10, 20, 101, 50]},
            {"id": 22, "image_id": 1, "category_id": 18, "bbox": [10, 20, 106, 50]},  # IoU .943 with the first
            {"id": 23, "image_id": 1, "category_id": 1, "bbox": [10, 20, 100, 50]},
        ]

    frames, skips = read(tmp_path, changed(change))
    assert [i.id for i in frames[0].instances] == ["11", "22", "23"]
    assert skips.counts == {"crowd": 1, "box that repeats another of its category": 1}


def test_ids_that_a_table_made_floats(tmp_path: Path) -> None:
    def change(content: Any) -> None:
        for record in (*content["images"], *content["annotations"], *content["categories"]):
            record |= {key: float(record[key]) for key in ("id", "image_id", "category_id", "width") if key in record}

    assert read(tmp_path, changed(change))[0] == read(tmp_path, OFFICIAL)[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_every_unicode_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    def change(content: Any) -> None:
        content["categories"][0]["name"] = "köpek"

    expected = read(tmp_path, changed(change))[0]
    file = tmp_path / "instances_train2017.json"
    file.write_text(json.dumps(changed(change), ensure_ascii=False), encoding=encoding)
    assert list(coco.read(file, Skips())) == expected
    assert expected[0].instances[0].category == "köpek"


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (lambda x, y, w, h: [x / 640, y / 480, w / 640, h / 480], "12 boxes are not in pixels"),
        (lambda x, y, w, h: [x, y, x + w, y + h], "12 of 12 boxes lie outside.*none as corners"),
    ],
)
def test_boxes_in_other_units_are_refused_as_that(tmp_path: Path, convert: Any, words: str) -> None:
    content = json.loads(json.dumps(OFFICIAL))
    content["annotations"] = [
        {"id": n, "image_id": 1, "category_id": 18, "bbox": convert(330 + 10 * n, 250, 20, 20 + n)} for n in range(12)
    ]
    with pytest.raises(Refused, match=words):
        read(tmp_path, content)
