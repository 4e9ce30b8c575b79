"""Hand-computed scores; the official script's own, on files of random boxes, where the golden ones are at hand."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.benchmarks.coco_ap import Detection
from gemvg_repro.benchmarks.suites.mc_bench import BENCHMARKS, corrected, official
from gemvg_repro.benchmarks.suites.mc_bench_file import McBenchFile, load
from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.samples import Target

GOLDEN = Path("../shared/data/golden")

A, B, C = (10.0, 10.0, 20.0, 20.0), (50.0, 50.0, 30.0, 20.0), (100.0, 5.0, 20.0, 10.0)

Document = dict[str, Any]


def document() -> Document:
    """Pairs (1, 2), (3, 4): a group in each image; nothing at all."""
    images = [
        {"id": n, "text_id": (n + 1) // 2, "file_name": f"{n}.jpg", "height": 100, "width": 200}
        | {"inter_img_id": partner, "pair_image_id": partner}
        for n, partner in ((1, 2), (2, 1), (3, 4), (4, 3))
    ]
    boxes = [(1, 1, A), (2, 2, B)]
    return {
        "info": {},
        "images": images,
        "annotations": [
            {"id": n, "image_id": i, "text_id": 1, "category_id": c, "area": 1, "bbox": list(box), "iscrowd": 0}
            for n, (i, c, box) in enumerate(boxes, 1)
        ],
        "descriptions": [
            {"id": 1, "images_id": [1, 2], "text": "the two", "positive_sample": True, "text_style": "comparison"},
            {"id": 2, "images_id": [3, 4], "text": "none", "positive_sample": False, "text_style": "reasoning"},
        ],
        "categories": [{"id": 1, "name": "group 1"}, {"id": 2, "name": "group 2"}],
    }


def write(folder: Path, content: Document) -> Path:
    file = folder / "mc-bench_v0.2_val.json"
    file.write_text(json.dumps(content))
    return file


def read(folder: Path, content: Document | None = None) -> McBenchFile:
    return load(write(folder, document() if content is None else content))


def test_perfect_answers(tmp_path: Path) -> None:
    data = read(tmp_path)
    detections = [Detection(1, 1, A, 1.0), Detection(2, 2, B, 1.0)]
    for scores in (official(data, detections), corrected(data, detections)):
        assert scores["weighted_ap50"] == pytest.approx(1) and scores["image_accuracy"] == 1


def test_groups_that_are_swapped_collapse_in_the_official_score_alone(tmp_path: Path) -> None:
    data = read(tmp_path)
    detections = [Detection(1, 2, A, 0.5), Detection(2, 1, B, 0.9)]
    # Officially both become group 1: one right box after a wrong one of a higher score, AP 1/2; group 2 has none.
    assert official(data, detections) == {"weighted_ap50": pytest.approx(0.25), "image_accuracy": 1.0}
    assert corrected(data, detections)["weighted_ap50"] == pytest.approx(1)


def test_only_the_last_pair_is_renumbered_officially(tmp_path: Path) -> None:
    content = document()
    content["annotations"] += [
        {"id": 3, "image_id": 3, "text_id": 2, "category_id": 1, "area": 1, "bbox": list(A), "iscrowd": 0},
        {"id": 4, "image_id": 4, "text_id": 2, "category_id": 2, "area": 1, "bbox": list(B), "iscrowd": 0},
    ]
    data = read(tmp_path, content)
    detections = [Detection(1, 2, A, 0.9), Detection(2, 1, B, 0.9), Detection(3, 1, A, 0.5), Detection(4, 2, B, 0.5)]
    # Groups 1 and 2 alike: one of two boxes is found, after a wrong one of a higher score: AP 51/101 * 1/2.
    assert official(data, detections)["weighted_ap50"] == pytest.approx(51 / 101 / 2)
    assert corrected(data, detections)["weighted_ap50"] == pytest.approx(1)


def test_accuracy_is_of_presence_alone_and_parts_are_told(tmp_path: Path) -> None:
    data = read(tmp_path)
    detections = [Detection(1, 1, C, 0.1), Detection(2, 2, B, 0.9), Detection(4, 1, C, 0.1)]
    scores = corrected(data, detections)
    assert (scores["image_accuracy"], official(data, detections)["image_accuracy"]) == (0.5, 0.5)
    assert scores["weighted_ap50"] == pytest.approx(0.5)
    assert scores["by"]["negative"] == {"samples": 1, "weighted_ap50": None, "image_accuracy": 0.0}
    assert scores["by"]["comparison"] == {"samples": 1, "weighted_ap50": pytest.approx(0.5), "image_accuracy": 1.0}
    assert list(scores["by"]) == ["comparison", "reasoning", "positive", "negative"]


def test_where_the_official_script_stops(tmp_path: Path) -> None:
    detections = [Detection(1, 1, A, 1.0), Detection(2, 2, B, 1.0)]
    readme = document()
    for image in readme["images"]:
        del image["pair_image_id"]
    misspelt = copy.deepcopy(readme)
    for box in misspelt["annotations"]:
        box["catgory_id"] = box.pop("category_id")
    one_group = document()
    for box in one_group["annotations"]:
        box["category_id"] = 1
    for content, reason in ((readme, "'pair_image_id'"), (misspelt, "'catgory_id'"), (one_group, "'group 2'")):
        data = read(tmp_path, content)
        scores = official(data, detections)
        assert (scores["weighted_ap50"], scores["image_accuracy"]) == (None, None) and reason in scores["reason"]
        assert corrected(data, detections)["image_accuracy"] == 1
    for key in ("area", "iscrowd"):
        bare = document()
        del bare["annotations"][1][key]
        scores = official(read(tmp_path, bare), detections)
        assert scores["weighted_ap50"] is None and f"no '{key}'" in scores["reason"]
    scores = official(read(tmp_path), [])
    assert scores["weighted_ap50"] is None and "no prediction" in scores["reason"]
    nothing = corrected(read(tmp_path), [])
    assert (nothing["weighted_ap50"], nothing["image_accuracy"]) == (0, 0.5)


def test_an_odd_number_of_images_has_no_official_accuracy(tmp_path: Path) -> None:
    content = document()
    content["images"].append(content["images"][0] | {"id": 5, "pair_image_id": 5, "inter_img_id": 5})
    content["descriptions"][1]["images_id"].append(5)
    data = read(tmp_path, content)
    scores = official(data, [Detection(1, 1, A, 1.0), Detection(2, 2, B, 1.0)])
    assert scores["weighted_ap50"] == pytest.approx(1) and scores["image_accuracy"] is None
    assert "there are 5" in scores["reason"]


def test_a_box_of_id_0_is_never_matched_officially(tmp_path: Path) -> None:
    content = document()
    content["annotations"][0]["id"] = 0
    data = read(tmp_path, content)
    detections = [Detection(1, 1, A, 1.0), Detection(2, 2, B, 1.0)]
    assert official(data, detections)["weighted_ap50"] == pytest.approx(0.5)
    assert corrected(data, detections)["weighted_ap50"] == pytest.approx(1)


def test_what_pycocotools_leaves_out_is_told(tmp_path: Path) -> None:
    content = document()
    content["annotations"][0]["id"] = 0
    (benchmark,) = BENCHMARKS
    detections = [Detection(1, 1, A, 1.0), Detection(2, 2, B, 1.0), Detection(2, 9, B, 1.0)]
    unknown, zero = benchmark.score(read(tmp_path, content), detections).notes
    assert "1 detections are not scored: their category_id (9) is none" in unknown
    assert zero.endswith("for pycocotools takes 0 for no match; the corrected score numbers annotations from 1")


def test_categories_in_another_order_are_mixed_up_officially(tmp_path: Path) -> None:
    content = document()
    content["categories"].reverse()
    content["annotations"].append(content["annotations"][0] | {"id": 3, "bbox": list(C)})
    data = read(tmp_path, content)
    detections = [Detection(1, 1, A, 1.0), Detection(1, 1, C, 1.0)]
    assert corrected(data, detections)["weighted_ap50"] == pytest.approx(2 / 3)
    assert official(data, detections)["weighted_ap50"] == pytest.approx(1 / 3)


def test_samples_and_what_a_text_says(tmp_path: Path) -> None:
    data = read(tmp_path)
    (benchmark,) = BENCHMARKS
    first, second = benchmark.samples(data, "direct")
    assert (first.id, first.kind, first.query, second.targets) == ("mc_bench/0", "semantic", "the two", ())
    assert first.targets == (Target(0, (0.05, 0.1, 0.15, 0.3)), Target(1, (0.25, 0.5, 0.4, 0.7)))
    detections = benchmark.parse(data, ["Picture 2: (250,500),(400,700); Picture 1: (50,100),(150,300)", "none"])
    assert [(d.image, d.category, d.score) for d in detections] == [(2, 1, 1.0), (1, 1, 1.0)]
    assert detections[0].box == pytest.approx(B) and detections[1].box == pytest.approx(A)
    assert benchmark.counts(data) == {"samples": 2, "images": 4, "negative": 1, "comparison": 1, "reasoning": 1}


def test_ids_that_were_written_as_decimals_and_further_keys_are_read(tmp_path: Path) -> None:
    (benchmark,) = BENCHMARKS
    data = read(tmp_path)
    more = {"id": 7, "area": -1, "iscrowd": 1, "segmentation": [], "note": None}
    detections = [{"image_id": 2.0, "category_id": 2, "bbox": list(B), "score": 1} | more]
    detections += [{"score": 0.9, "bbox": list(A), "category_id": 1.0, "image_id": 1}]
    file = tmp_path / "detections.json"
    file.write_bytes(b"\xef\xbb\xbf" + b" " * 100 + json.dumps(detections).encode())
    assert benchmark.score(data, benchmark.read(file, data)).official["official"]["weighted_ap50"] == pytest.approx(1)
    for wrong in ({"image_id": 1.5}, {"category_id": 1.5}, {"image_id": 9.0}, {"image_id": float("inf")}):
        file.write_text(json.dumps([detections[1] | wrong]))
        with pytest.raises(Refused, match=rf"\[0\]\.{next(iter(wrong))}"):
            benchmark.read(file, data)


@pytest.mark.skipif(not GOLDEN.exists(), reason=f"{GOLDEN} is not there")
@pytest.mark.parametrize("scores", ["constant", "graded"])
def test_the_golden_scores_to_the_last_digit(tmp_path: Path, scores: str) -> None:
    golden = json.loads((GOLDEN / f"mc_bench_{scores}_scores.json").read_text())
    (benchmark,) = BENCHMARKS
    data = benchmark.load(write(tmp_path, golden["ground_truth"]))
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(golden["predictions"]))
    assert benchmark.score(data, benchmark.read(file, data)).official["official"] == golden["official"]
