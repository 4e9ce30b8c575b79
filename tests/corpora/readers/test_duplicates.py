"""An object that was annotated twice is taught once, and counted."""

import json
import pickle
from pathlib import Path

import pytest

from gemvg_repro.corpora.frames import Instance, Skips
from gemvg_repro.corpora.readers import coco, d3, egoexo
from gemvg_repro.corpora.readers.duplicates import merged

from .test_d3 import write as write_d3
from .test_egoexo import official

FAULT = "box that repeats another of its category"
BOX = (0.1, 0.1, 0.5, 0.5)


@pytest.mark.parametrize(
    ("other", "kept"),
    [
        (BOX, 1),
        ((0.1, 0.1, 0.5, 0.51), 1),  # IoU .976
        ((0.1, 0.1, 0.5, 0.521), 1),  # .9501
        ((0.1, 0.1, 0.5, 0.5211), 2),  # .9499
        ((0.5, 0.5, 0.9, 0.9), 2),
        (None, 2),
    ],
)
def test_how_near_two_boxes_are(other: tuple[float, float, float, float] | None, kept: int) -> None:
    skips = Skips()
    instances = merged([Instance("1", "dog", BOX), Instance("2", "dog", other)], "image 7", skips)
    assert [i.id for i in instances] == ["1", "2"][:kept]
    assert skips.counts == ({FAULT: 1} if kept == 1 else {})
    assert skips.places == ({FAULT: ["image 7: 1, 2"]} if kept == 1 else {})
    assert len(merged([Instance("1", "dog", BOX), Instance("2", "cat", other)], "", Skips())) == 2


def test_three_times_is_once() -> None:
    skips = Skips()
    (one,) = merged([Instance(str(n), "dog", (0.1, 0.1, 0.5, 0.5 + n / 1000)) for n in range(3)], "", skips)
    assert one.id == "0" and skips.counts == {FAULT: 2}


def test_coco(tmp_path: Path) -> None:
    boxes = [[10, 20, 100, 50], [10, 20, 100.5, 50], [11, 20, 20, 20]]
    document = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 200, "height": 100}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 3, "bbox": box} for n, box in enumerate(boxes)],
        "categories": [{"id": 3, "name": "cat"}],
    }
    (tmp_path / "i.json").write_text(json.dumps(document))
    skips = Skips()
    (frame,) = coco.read(tmp_path / "i.json", skips)
    assert [i.id for i in frame.instances] == ["0", "2"] and not frame.unclear
    assert skips.counts == {FAULT: 1}


def test_d3_keeps_what_else_describes_the_object(tmp_path: Path) -> None:
    """The second annotation alone has the second sentence, which must not seem to be absent."""
    folder = write_d3(tmp_path / "d3_pkl", [[50, 20, 20, 20]])
    skips = Skips()
    first, _ = d3.read(folder, skips)
    assert [i.attributes for i in first.instances] == [("a dog on a leash", "a dog without a collar")]
    assert skips.counts == {FAULT: 1}
    notes = pickle.loads((folder / "annotations.pkl").read_bytes())
    notes[1]["sent_id"] = [2]  # no sentence in common: each is true of one box
    (folder / "annotations.pkl").write_bytes(pickle.dumps(notes))
    first, _ = d3.read(folder, Skips())
    assert len(first.instances) == 2


def test_egoexo(tmp_path: Path) -> None:
    content = official()
    masks = content["annotations"]["take-uid-1"]["object_masks"]
    masks["stainless bowl_1"] = masks["stainless bowl_0"]
    masks["knife_0"] = masks["stainless bowl_0"]
    (tmp_path / "r.json").write_text(json.dumps(content))
    skips = Skips()
    frame, hidden, _ = egoexo.read(tmp_path / "r.json", skips)
    assert [i.identity for i in frame.instances] == ["knife_0", "stainless bowl_0"]
    assert [i.identity for i in hidden.instances] == ["knife_0", "stainless bowl_0", "stainless bowl_1"]
    assert skips.counts == {FAULT: 2}
