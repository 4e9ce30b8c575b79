import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gemvg_repro.corpora.frames import AnnotatedFrame, Skips, SourceQuestion
from gemvg_repro.corpora.readers import star
from gemvg_repro.files.validation import Refused

WIDTH, HEIGHT = 480, 270


def official() -> list[dict[str, Any]]:
    relations = {"rel_pairs": [["o000", "o006"]], "rel_labels": ["r002"], "actions": ["a051"]}
    labels = ["o006", "o017"]
    return [
        {
            "question_id": "Interaction_T1_4", "question": "Which object was eaten by the person?", "video_id": "TJZ0P",
            "start": 7.7, "end": 15.7, "answer": "The sandwich.",
            "question_program": [{"function": "Situations", "value_input": []}],
            "choices": [{"choice_id": 0, "choice": "The sandwich.", "choice_program": []}],
            "situations": {
                "000245": {**relations, "bbox": [[98.48, 176.53, 244.68, 269.99], [234.38, 156.84, 292.24, 207.01]],
                           "bbox_labels": labels},
                "000290": {**relations, "bbox": [[100.0, 170.0, 240.0, 265.0], None], "bbox_labels": labels},
            },
        }
    ]  # fmt: skip


def dump(root: Path, *numbers: int) -> Path:
    folder = root / "frames" / "TJZ0P.mp4"
    folder.mkdir(parents=True)
    for n in numbers:
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{n:06d}.png")
    return folder.parent


def read(folder: Path, content: Any, root: Path | None, pickled: Path | None = None) -> tuple[list[Any], Skips]:
    file = folder / "STAR_train.json"
    file.write_text(json.dumps(content))
    skips = Skips()
    return list(star.read(file, skips, root, pickled)), skips


def test_the_official_form_by_hand(tmp_path: Path) -> None:
    (first, second, question), skips = read(tmp_path, official(), dump(tmp_path, 245, 290))
    assert (first.id, first.scene, first.time, first.member) == ("TJZ0P.mp4/000245.png", "TJZ0P", 245, None)
    assert [i.category for i in first.instances] == ["table", "book"]
    assert first.instances[0].box == pytest.approx((98.48 / 480, 176.53 / 270, 244.68 / 480, 269.99 / 270))
    assert [i.category for i in second.instances] == ["table"]
    assert second.unclear == {"book"}
    frames = (first.id, second.id)
    assert question == SourceQuestion(
        "Interaction_T1_4", "TJZ0P", "Which object was eaten by the person?", "sandwich", frames
    )
    assert skips.counts == {"no box": 1}


def test_a_class_that_is_there_twice_is_unclear(tmp_path: Path) -> None:
    content = official()
    content[0]["situations"]["000245"]["bbox_labels"] = ["o006", "o006"]
    (first, *_), skips = read(tmp_path, content, dump(tmp_path, 245))
    assert (first.instances, first.unclear) == ((), {"table"})
    assert skips.counts["class twice in a frame"] == 1


def test_action_genome_s_two_conventions(tmp_path: Path) -> None:
    key = "TJZ0P.mp4/000245.png"
    records = [
        {"class": "closetcabinet", "bbox": (10, 20, 30, 40), "visible": True, "metadata": {"tag": key, "set": "train"}},
        {"class": "book", "bbox": None, "visible": False},
    ]
    person = {
        "bbox": np.array([[24.0, 27.0, 48.0, 54.0]], np.float32),
        "bbox_size": (WIDTH, HEIGHT),
        "bbox_mode": "xyxy",
    }
    (tmp_path / "object_bbox_and_relationship.pkl").write_bytes(pickle.dumps({key: records}))
    (tmp_path / "person_bbox.pkl").write_bytes(pickle.dumps({key: person}))
    (frame, question), _ = read(tmp_path, official(), None, tmp_path)
    assert isinstance(frame, AnnotatedFrame) and isinstance(question, SourceQuestion)
    boxes = {i.category: i.box for i in frame.instances}
    assert boxes["person"] == pytest.approx((0.05, 0.1, 0.1, 0.2))
    assert boxes["closet/cabinet"] == pytest.approx((10 / 480, 20 / 270, 40 / 480, 60 / 270))
    assert boxes["book"] is None


def test_answers_that_are_objects(tmp_path: Path) -> None:
    content = [
        {**official()[0], "question_id": f"q{n}", "answer": answer}
        for n, answer in enumerate(("The sofa/couch.", "The camera.", "Put down the book.", "The person ran."))
    ]
    records, skips = read(tmp_path, content, dump(tmp_path, 245, 290))
    assert [q.answer for q in records if isinstance(q, SourceQuestion)] == ["sofa/couch", "phone/camera"]
    assert skips.counts["question whose answer is no object"] == 2


def test_without_a_way_to_know_sizes_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="pixels"):
        read(tmp_path, official(), None)
    with pytest.raises(Refused, match="list of questions"):
        read(tmp_path, {}, tmp_path)
