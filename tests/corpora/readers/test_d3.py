import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemvg_repro.corpora.frames import Skips
from gemvg_repro.corpora.readers import d3
from gemvg_repro.files.validation import Refused

BOXES: dict[str, Any] = {
    "array (1, 4)": np.array([[10, 20, 20, 10]]),
    "array (4,)": np.array([10.0, 20, 20, 10]),
    "list (1, 4)": [[10, 20, 20, 10]],
    "list (4,)": [10, 20, 20, 10],
}


def write(folder: Path, box: Any) -> Path:
    image = {"height": 100, "width": 200, "flickr_url": "https://live.staticflickr.com/5/7654321_b.jpg", "group_id": 0}
    note = {"segmentation": [{"size": [100, 200], "counts": "x"}], "iscrowd": 0, "image_id": 0, "group_id": 0}
    sentence = {"group_id": [0], "is_negative": False, "raw_sent_zh": "x"}
    records = {
        "images": {n: {**image, "id": n, "file_name": f"g0/{'ab'[n]}.jpg", "anno_id": []} for n in (0, 1)},
        "sentences": {
            1: {**sentence, "id": 1, "raw_sent": "a dog on a leash"},
            2: {**sentence, "id": 2, "raw_sent": "a dog without a collar", "is_negative": True},
        },
        "annotations": {
            0: {**note, "id": 0, "sent_id": [1], "area": np.array([200]), "bbox": box},
            1: {**note, "id": 1, "sent_id": [1, 2], "area": [400], "bbox": np.array([[50, 20, 20, 20]])},
        },
        "groups": {0: {"id": 0, "inner_sent_id": [1, 2], "img_id": [0, 1]}},
    }
    folder.mkdir(exist_ok=True)
    for name, content in records.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(content))
    return folder


@pytest.mark.parametrize("way", BOXES)
def test_the_official_form_by_hand(tmp_path: Path, way: str) -> None:
    skips = Skips()
    first, second = d3.read(write(tmp_path / "d3_pkl", BOXES[way]), skips)
    assert [i.box for i in first.instances] == [(0.05, 0.2, 0.15, 0.3), (0.25, 0.2, 0.35, 0.4)]
    assert [i.attributes for i in first.instances] == [
        ("a dog on a leash",),
        ("a dog on a leash", "a dog without a collar"),
    ]
    assert second.instances == () and second.scene == first.scene == "group/0"
    assert first.aliases == ("flickr:7654321",)
    assert skips.counts == {}


def test_an_object_without_a_usable_box_makes_its_sentences_unclear(tmp_path: Path) -> None:
    skips = Skips()
    first, _ = d3.read(write(tmp_path / "d3_pkl", np.array([[190, 20, 20, 10]])), skips)
    assert first.unclear == {"a dog on a leash"}
    assert skips.counts == {"box outside its image": 1}


def test_a_missing_pickle_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "d3_pkl", BOXES["list (4,)"])
    (folder / "sentences.pkl").unlink()
    with pytest.raises(Refused, match=r"sentences\.pkl"):
        list(d3.read(folder, Skips()))
