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
    assert (frames[0].instances, frames[0].unclear) == ((), {"dog", "person"})
    assert skips.counts == {"crowd": 1, "annotation id twice": 1}


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "nonsense", '{"images": {}}', json.dumps(OFFICIAL)[:-90], "[" * 9000]
)
def test_what_is_no_coco_file_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(Refused, match=r"instances_train2017\.json"):
        read(tmp_path, content)
