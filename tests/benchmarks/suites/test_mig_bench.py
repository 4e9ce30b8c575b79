import json
from pathlib import Path

import pytest

from gemvg_repro.benchmarks.suites import mig_bench_file
from gemvg_repro.benchmarks.suites.mig_bench import MigBench, official_box, official_counts, official_iou
from gemvg_repro.benchmarks.suites.mig_bench_file import MigRecord
from gemvg_repro.grounding.answers import format_answer
from gemvg_repro.grounding.samples import Box, Target

from ..made import LEFT, RIGHT, Plain

DATA = Path("../shared/data")


@pytest.mark.parametrize(
    "text",
    [
        "(100,200),(300,400)",
        "(100, 200), (300, 400)",
        "<|box_start|>(100,200),(300,400)<|box_end|>",
        "[100,200,300,400]",
        "[[100,200,300,400]]",
        '{"bbox_2d": [100, 200, 300, 400], "label": "a"}',
        "<box>100 200 300 400</box>",
        "(0.1,0.2),(0.3,0.4)",
        "[0.1, 0.2, 0.3, 0.4]",
        "(0.1, 0.2, 0.3, 0.4)",
        "[5,6,7,8] (100,200),(300,400)",
        "(100,200),(300,400) and (5,5),(6,6)",
    ],
)
def test_what_the_official_script_reads(text: str) -> None:
    assert official_box(text) == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no box",
        "( 100,200),(300,400)",
        "(100,200)(300,400)",
        "(-5,200),(300,400)",
        f"(0,5),({'9' * 400},5)",
        "[0.1,0.2,1,1]",
        "(0.1, 0.2), (0.3, 0.4)",
    ],
)
def test_what_it_does_not_read(text: str) -> None:
    assert official_box(text) is None


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("(0,1),(500,500)", [0, 0.001, 0.5, 0.5]),
        ("(0,1),(500,500) (5,5),(6,6)", [0, 1.0, 0.5, 0.5]),
        ("[1.0, 0.2, 0.3, 0.4]", [0.001, 0.2, 0.3, 0.4]),
        ("(100.5,200.5),(300.5,400.5)", [0.1005, 0.2005, 0.3005, 0.4005]),
        ("(100,200),(1200,400)", [0.1, 0.2, 1.2, 0.4]),
        ("<think>(1,2),(3,4)</think><answer>(100,200),(300,400)</answer>", [1.0, 0.002, 0.003, 0.004]),
    ],
)
def test_its_quirks_of_scale(text: str, box: list[float]) -> None:
    assert official_box(text) == box


def test_the_official_iou() -> None:
    assert official_iou((0, 0, 0.5, 1), [0.25, 0, 0.75, 1]) == pytest.approx(1 / 3)
    assert official_iou((0.1, 0.2, 0.3, 0.4), [0.3, 0.4, 0.1, 0.2]) == 0
    assert official_iou((0.1, 0.2, 0.3, 0.4), [0.3, 0.2, 0.5, 0.4]) == 0
    assert official_iou((0.1, 0.2, 0.3, 0.4), None) == 0
    assert official_iou((0.9, 0, 0.1, 1), [0, 0, 1, 1]) == 0


def thousandths(box: Box) -> str:
    x1, y1, x2, y2 = (round(value * 1000) for value in box)
    return f"({x1},{y1}),({x2},{y2})"


@pytest.mark.skipif(not (DATA / "golden/mig_bench.json").exists(), reason=f"no golden counts in {DATA}")
def test_the_golden_counts_to_the_last_digit() -> None:
    golden = json.loads((DATA / "golden/mig_bench.json").read_text())
    records = mig_bench_file.load(DATA / "mig_bench/MIG_data.json")
    counts = official_counts(records, golden["responses"])
    assert counts == golden["expected"]
    perfect = official_counts(records, [thousandths(r.answer) for r in records])
    assert perfect["common_object"]["IOU@0.5"] == 811  # five answers of the file are inverted
    average = MigBench().score(records, [thousandths(r.answer) for r in records]).beside["macro_average"]
    assert average == pytest.approx(100 * (9 + 811 / 816) / 10)


RECORDS = [
    MigRecord("region", (Plain(1), Plain(2)), "?", LEFT),
    MigRecord("region", (Plain(3), Plain(4)), "?", LEFT),
    MigRecord("diff", (Plain(5), Plain(6)), "?", RIGHT),
]


def test_the_macro_average_weighs_tasks_and_not_records() -> None:
    right, wrong = format_answer([Target(0, LEFT)]), format_answer([Target(0, RIGHT)])
    counts = official_counts(RECORDS, [right, wrong, wrong])
    assert counts["region"] == {"IOU@0.7": 1, "IOU@0.5": 1, "IOU@0.3": 1, "AVE_IOU": 1.0, "TOTAL": 2}
    assert MigBench().score(RECORDS, [right, wrong, wrong]).beside["macro_average"] == 100 * (0.5 + 1) / 2
