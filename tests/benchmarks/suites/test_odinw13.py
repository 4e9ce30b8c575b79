"""Hand-computed scores, on a made file and on real photographs' boxes."""

import json
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.benchmarks.suites.odinw13 import BENCHMARKS
from gemvg_repro.benchmarks.suites.odinw13_file import DATASETS
from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.samples import Target

RACCOON = Path("../shared/data/odinw/Raccoon/Raccoon.v2-raw.coco/valid/annotations_without_background.json")

PRESENT, ALL = BENCHMARKS

HALF = 51 / 101
"""AP of precision 1 up to a recall of one half: the recalls 0, .01, ..., .50 of 101."""


def document() -> dict[str, Any]:
    """Two raccoons and a dog in the first image, a dog in the second, nothing in the third."""
    boxes = [(1, 1, [10, 10, 40, 40]), (1, 1, [60, 60, 20, 20]), (1, 7, [0, 0, 20, 10]), (2, 7, [10, 0, 50, 100])]
    return {
        "images": [{"id": n, "file_name": f"r{n}.jpg", "width": 100, "height": 100} for n in (1, 2, 3)],
        "annotations": [
            {"id": n, "image_id": i, "category_id": c, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for n, (i, c, box) in enumerate(boxes, 1)
        ],
        "categories": [{"id": 1, "name": "raccoon", "supercategory": "raccoons"}, {"id": 7, "name": "Dog"}],
    }


def write(folder: Path, content: Any, name: str = "annotations_without_background.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(json.dumps(content))
    return file


def results(boxes: list[dict[str, Any]], score: float = 0.99) -> list[dict[str, Any]]:
    return [{key: box[key] for key in ("image_id", "category_id", "bbox")} | {"score": score} for box in boxes]


def mean_precision(annotations: Path, predictions: Path) -> float | None:
    data = PRESENT.load(annotations)
    value: float | None = PRESENT.score(data, PRESENT.read(predictions, data)).official["mAP"]
    return value


@pytest.mark.skipif(not RACCOON.is_file(), reason=f"{RACCOON} is not there")
def test_raccoons_perfect_empty_and_half_right(tmp_path: Path) -> None:
    boxes = json.loads(RACCOON.read_text())["annotations"]
    assert len(boxes) == 44
    assert mean_precision(RACCOON, write(tmp_path, results(boxes))) == pytest.approx(1)
    assert mean_precision(RACCOON, write(tmp_path, [])) == 0
    assert mean_precision(RACCOON, write(tmp_path, results(boxes[::2]))) == pytest.approx(HALF)
    (dataset,) = PRESENT.load(RACCOON)
    assert (dataset.name, len(dataset.sizes)) == ("Raccoon", 40)
    samples = PRESENT.samples([dataset], "direct")
    assert len(samples) == 40 and sum(len(sample.targets) for sample in samples) == 44
    assert samples[0].prompt == "Locate every raccoon in the image and output the coordinates in JSON format."
    assert samples[0].pictures[0].pixels().shape == (960, 720, 3)


def test_precision_is_the_mean_over_categories(tmp_path: Path) -> None:
    content = document()
    annotations = write(tmp_path, content)
    detections = results(content["annotations"][:1]) + results(content["annotations"][2:])
    assert mean_precision(annotations, write(tmp_path, detections, "p.json")) == pytest.approx((HALF + 1) / 2)


def test_a_loose_box_counts_up_to_its_overlap(tmp_path: Path) -> None:
    content = document()
    content["annotations"] = content["annotations"][:1]
    loose = results(content["annotations"])
    loose[0]["bbox"] = [10, 10, 40, 29]  # IoU .725: right at .50, .55, .60, .65 and .70
    data = PRESENT.load(write(tmp_path, content))
    detections = PRESENT.read(write(tmp_path, loose, "p.json"), data)
    metrics = PRESENT.score(data, detections).official["datasets"][data[0].name]
    assert metrics == {"mAP": pytest.approx(0.5), "AP50": pytest.approx(1), "AP75": 0}


def test_two_protocols_ask_otherwise(tmp_path: Path) -> None:
    data = PRESENT.load(write(tmp_path, document()))
    samples = PRESENT.samples(data, "direct")
    assert [sample.query for sample in samples] == ["raccoon", "Dog", "Dog"]
    assert samples[1].targets == (Target(0, (0.0, 0.0, 0.2, 0.1)),)
    everything = ALL.samples(data, "cot")
    assert [sample.query for sample in everything] == ["raccoon, Dog"] * 3
    assert "raccoon, Dog" in (everything[0].prompt or "") and "<answer>" in (everything[0].prompt or "")
    assert [len(sample.targets) for sample in everything] == [3, 1, 0]
    assert everything[2].id == "odinw13_all/2"


def test_what_texts_say(tmp_path: Path) -> None:
    data = PRESENT.load(write(tmp_path, document()))
    name = data[0].name
    first = '```json\n[{"bbox_2d": [100, 100, 500, 500], "label": "raccoon"}, {"bbox_2d": [0, 0, 200, 100]}, 7]\n```'
    detections = PRESENT.parse(data, [first, "Picture 1: (0,0),(200,100)", "I see none"]).detections[name]
    assert [(d.image, d.category) for d in detections] == [(1, 1), (1, 1), (1, 7)]
    assert detections[0].box == pytest.approx((10, 10, 40, 40)) and detections[2].box == pytest.approx((0, 0, 20, 10))
    every = '[{"bbox_2d": [0, 0, 200, 100], "label": "DOG"}, {"bbox_2d": [0, 0, 9, 9]}, {"bbox_2d": [9, 9, 0, 0]}]'
    detections = ALL.parse(data, [every, "(0,0),(200,100)", '[{"bbox_2d": [0, 0, 9, 9], "label": "cat"}]']).detections[
        name
    ]
    assert [(d.image, d.category) for d in detections] == [(1, 7)]


def test_a_box_of_id_0_is_lost_officially_alone(tmp_path: Path) -> None:
    content = document()
    content["annotations"][3]["id"] = 0
    data = PRESENT.load(write(tmp_path, content))
    score = PRESENT.score(data, PRESENT.read(write(tmp_path, results(content["annotations"]), "p.json"), data))
    assert score.official["mAP"] < 1
    assert score.beside["corrected"][data[0].name]["mAP"] == pytest.approx(1)
    (note,) = score.notes
    assert "annotation of id 0 can never be matched" in note and note.endswith("with ids from 1 the score is 100.00")


def test_detections_of_unknown_categories_are_told(tmp_path: Path) -> None:
    content = document()
    data = PRESENT.load(write(tmp_path, content))
    shifted = [box | {"category_id": box["category_id"] - 1} for box in results(content["annotations"])]
    score = PRESENT.score(data, PRESENT.read(write(tmp_path, shifted, "p.json"), data))
    (note,) = score.notes
    assert score.official["mAP"] == 0
    assert "4 detections are not scored: their category_id (0, 6) is none of the annotations' categories (1, 7)" in note


def test_a_folder_of_datasets(tmp_path: Path) -> None:
    content = document()
    for name in ("Raccoon", "pistols"):
        file = tmp_path / "odinw" / DATASETS[name]
        write(file.parent, content, file.name)
    write(tmp_path / "detections", results(content["annotations"]), "Raccoon.json")
    write(tmp_path / "detections", [], "pistols.json")
    data = PRESENT.load(tmp_path / "odinw")
    score = PRESENT.score(data, PRESENT.read(tmp_path / "detections", data))
    assert score.official["mAP"] == pytest.approx(0.5)
    assert len(score.beside["missing"]) == 11 and score.rows[-1]["dataset"] == "mean of 2 of 13"
    (tmp_path / "detections" / "pistols.json").unlink()
    with pytest.raises(Refused, match=r"pistols\.json cannot be read"):
        PRESENT.read(tmp_path / "detections", data)
    with pytest.raises(Refused, match="has none of the thirteen"):
        PRESENT.load(tmp_path / "detections")


def test_boxes_that_are_fractions_are_refused(tmp_path: Path) -> None:
    content = document()
    for box in content["annotations"]:
        box["bbox"] = [v / 100 for v in box["bbox"]]
    with pytest.raises(Refused, match="its 4 boxes are not in pixels: none has a number above 1"):
        PRESENT.load(write(tmp_path, content))
