import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.benchmarks.suites.mig_bench_file import TASKS, MigRecord
from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.samples import Target

from ..made import LEFT, RIGHT, Plain

REAL = Path("../shared/data/mig_bench/MIG_data.json")

RECORDS = [
    MigRecord("common_object", (Plain(1), Plain(2), Plain(3)), "Locate it in the 3th image. ", LEFT),
    MigRecord("diff", (Plain(4), Plain(5)), "Give me their difference. ", RIGHT),
    MigRecord(
        "group_grounding",
        (Plain(2), Plain(6)),
        "Find it.",
        (0.12345, 0, 1, 1),
        "It is in the first image.",
        False,
    ),
]


def test_what_is_exported_is_read_back(tmp_path: Path) -> None:
    file = mig_bench_file.export(RECORDS, tmp_path)
    records = mig_bench_file.load(file)
    assert [r.task for r in records] == ["common_object", "diff", "group_grounding"]
    assert [r.answer for r in records] == [LEFT, RIGHT, (0.123, 0, 1, 1)]
    for before, after in zip(RECORDS, records, strict=True):
        assert (before.question, before.additional_info, before.need_format) == (
            after.question,
            after.additional_info,
            after.need_format,
        )
        for original, stored in zip(before.pictures, after.pictures, strict=True):
            assert np.array_equal(original.pixels(), stored.pixels())
    rows = json.loads(file.read_text())
    assert list(rows[0]) == ["task", "images", "question", "answer", "additional_info", "need_format"]
    assert all(image.startswith("./MIG-Bench/images/common_object/") for image in rows[0]["images"])
    again = mig_bench_file.export(RECORDS, tmp_path / "again")
    assert again.read_bytes() == file.read_bytes()


def test_samples(tmp_path: Path) -> None:
    first, second, third = mig_bench_file.samples(RECORDS)
    assert (first.id, first.query, first.kind) == ("mig_bench/0", "Locate it in the 3th image.", "semantic")
    assert first.targets == (Target(2, LEFT),)
    assert second.targets == (Target(1, RIGHT),)
    assert third.targets[0].picture == 0
    assert first.scene == third.scene != second.scene  # they share a picture


@pytest.mark.parametrize(
    ("task", "question", "info", "picture"),
    [
        ("common_object", "Recognize and locate this object in the 1th image. ", "", 0),
        (
            "multi_view",
            "the object in the first image(...). Recognize and locate it in the 6th image. ",
            "",
            5,
        ),
        ("object_tracking", "please locate it in the 2th image. ", "", 1),
        ("region", "Please locate the 3th region picture in the source image. ", "", 0),
        ("refer_grounding", "Find and locate where does the object in image-1 locate in the image-2.", "", 1),
        ("group_grounding", "the third image", "It is in the second image. <|box_start|>", 1),
        ("group_grounding", "?", "", None),
        ("reasoning", "Find it and locate it in the second image. ", "", 1),
        ("correspondence", "?", "", 1),
        ("view_diff", "?", "", 1),
        ("diff", "?", "", None),
    ],
)
def test_the_picture_that_is_told(task: str, question: str, info: str, picture: int | None) -> None:
    assert MigRecord(task, (), question, LEFT, info).picture == picture


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")
def test_the_real_file() -> None:
    records = mig_bench_file.load(REAL)
    assert Counter(record.task for record in records) == {
        "diff": 528,
        "view_diff": 94,
        "common_object": 816,
        "object_tracking": 550,
        "multi_view": 288,
        "region": 1203,
        "refer_grounding": 99,
        "group_grounding": 499,
        "reasoning": 101,
        "correspondence": 117,
    }
    assert {record.task for record in records if record.picture is None} == {"diff"}
    gg = Counter(record.picture for record in records if record.task == "group_grounding")
    assert gg == {0: 127, 1: 128, 2: 127, 3: 77, 4: 40}
    samples = mig_bench_file.samples(records)
    assert len({sample.id for sample in samples}) == 4295
    assert sum(len(sample.pictures) for sample in samples) == 16215
    with pytest.raises(Refused, match="there is no such file"):
        samples[0].pictures[0].pixels()


def _drop(key: str) -> Callable[[dict[str, Any]], Any]:
    return lambda record: record.pop(key)


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record[key] = value

    return change


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    **{f"no {key}": (_drop(key), f"[1].{key}") for key in ("task", "images", "answer")},
    "unknown task": (_set("task", "counting"), "[1].task"),
    "no images": (_set("images", []), "[1].images"),
    "images no list": (_set("images", "a.png"), "[1].images"),
    "no path": (_set("images", ["./a.png", 7]), "[1].images"),
    "path leaves": (_set("images", ["./MIG-Bench/../../a.png"]), "[1].images"),
    "absolute path": (_set("images", ["/etc/passwd"]), "[1].images"),
    "question no text": (_set("question", None), "[1].question"),
    "info no text": (_set("additional_info", 3), "[1].additional_info"),
    "format no bool": (_set("need_format", "yes"), "[1].need_format"),
    "three numbers": (_set("answer", [0, 0, 1]), "[1].answer"),
    "NaN": (_set("answer", [0, 0, 1, float("nan")]), "[1].answer"),
    "pixels": (_set("answer", [10, 20, 300, 400]), "[1].answer"),
    "no area": (_set("answer", [0.5, 0, 0.5, 1]), "[1].answer"),
    "no such picture": (
        lambda r: r.update(task="common_object", question="Locate it in the 3th image."),
        "[1]",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record_is_refused(tmp_path: Path, name: str) -> None:
    file = mig_bench_file.export(RECORDS, tmp_path)
    rows = json.loads(file.read_text())
    change, culprit = BROKEN[name]
    change(rows[1])
    file.write_text(json.dumps(rows))
    with pytest.raises(Refused) as caught:
        mig_bench_file.load(file)
    assert str(file) in str(caught.value) and f"  {culprit}: " in str(caught.value)


@pytest.mark.parametrize("content", ["", "{}", "[]", "[1]", "[[]]", "[", "null"])
def test_what_is_no_list_of_records_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "MIG_data.json"
    file.write_text(content)
    with pytest.raises(Refused, match=r"MIG_data\.json"):
        mig_bench_file.load(file)


def test_ten_tasks() -> None:
    assert len(TASKS) == len({task.column for task in TASKS.values()}) == 10
