"""JSON answers as models really give them, cut at every character: every complete box is read, and loss is told."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.benchmarks.json_boxes import JsonAnswer, parse_json_boxes
from gemvg_repro.benchmarks.score import main
from gemvg_repro.benchmarks.suites.odinw13 import BENCHMARKS

CASES = Path("../shared/cases")

PRESENT, ALL = BENCHMARKS

BOXES = [[20, 50, 170, 350], [210, 50, 360, 350], [400, 50, 550, 350], [590, 450, 740, 750]]
LABELS = ["fish", 'the "big" {fish', "fisherman's [boat]", "f\u00efsh"]


def objects(key: str = "bbox_2d") -> list[dict[str, Any]]:
    return [{key: box, "label": label} for box, label in zip(BOXES, LABELS, strict=True)]


def listed(items: list[str], last: str = "") -> str:
    return "[\n\t" + ",\n\t".join(items) + last + "\n]"


JSON = [json.dumps(each, ensure_ascii=False) for each in objects()]
PYTHON = [repr(each) for each in objects()]
BBOX = [json.dumps(each, ensure_ascii=False) for each in objects("bbox")]
PROSE = "Each box is [x1, y1, x2, y2], it's in {thousandths}."

FORMS: dict[str, str] = {
    "a list": listed(JSON),
    "a fenced list": f"```json\n{listed(JSON)}\n```",
    "a fence without a language": f"```\n{listed(JSON)}\n```",
    "prose after the fence": f"```json\n{listed(JSON)}\n```\n{PROSE}",
    "prose before the fence": f"{PROSE}\n```json\n{listed(JSON)}\n```",
    "prose around a list": f"Boxes as [x1, y1, x2, y2]: {listed(JSON)} That's all [4].",
    "a trailing comma": listed(JSON, ","),
    "objects without a list": "\n".join(JSON),
    "objects in a row": ", ".join(JSON),
    "Python quotes": listed(PYTHON),
    "fenced Python quotes": f"```python\n{listed(PYTHON)}\n```",
    "the key bbox": json.dumps(objects("bbox"), ensure_ascii=False),
    "within an object": json.dumps({"objects": objects()}, ensure_ascii=False),
    "two fenced blocks": f"```json\n{listed(JSON[:2])}\n```\nand\n```json\n{listed(JSON[2:])}\n```",
    "the same block twice": f"```json\n{listed(JSON)}\n```\nAgain:\n```json\n{listed(JSON)}\n```",
}
LISTS = [listed(JSON), listed(JSON, ","), listed(PYTHON), "[" + ", ".join(BBOX) + "]", FORMS["within an object"], *JSON]


def corners(answer: JsonAnswer | None) -> list[list[float]]:
    return [list(box.corners) for box in answer.boxes] if answer else []


@pytest.mark.parametrize("form", FORMS)
def test_every_box_of_every_form_is_read(form: str) -> None:
    answer = parse_json_boxes(FORMS[form])
    assert answer is not None and answer.complete
    assert corners(answer) == BOXES and [box.label for box in answer.boxes] == LABELS


@pytest.mark.parametrize("form", FORMS)
def test_cut_at_any_character_every_complete_box_is_read(form: str) -> None:
    """A list that was not closed may lack boxes; of objects without a list nobody can know."""
    text = FORMS[form]
    endings = [text.index(piece) + len(piece) for piece in (*JSON, *PYTHON, *BBOX) if piece in text]
    closed = max(text.index(part) + len(part) for part in LISTS if part in text) if "block" not in form else None
    for cut in range(len(text)):
        answer = parse_json_boxes(text[:cut])
        boxes = corners(answer)
        assert boxes == BOXES[: sum(ending <= cut for ending in endings)], text[:cut][-40:]
        if answer is not None and closed is not None and "without a list" not in form and "row" not in form:
            assert answer.complete == (cut >= closed), text[:cut][-40:]


def test_one_object_alone_is_read() -> None:
    assert corners(parse_json_boxes(JSON[0])) == BOXES[:1]
    assert corners(parse_json_boxes(f"There: {JSON[0]}")) == BOXES[:1]


@pytest.mark.parametrize("text", ["", "none", "No fish.", "Picture 1: (1,2),(3,4)", "[7]", "{}", '{"a": 1}', "{1, 2}"])
def test_what_has_no_box_is_no_json_answer(text: str) -> None:
    assert parse_json_boxes(text) is None


@pytest.mark.parametrize("text", ["[]", "```json\n[]\n```", " [ ] "])
def test_an_empty_list_says_that_there_is_none(text: str) -> None:
    assert parse_json_boxes(text) == JsonAnswer((), complete=True)


@pytest.mark.parametrize(
    "text",
    [
        f'[{JSON[0]}, {{"bbox_2d": [1, 2, 3], "label": "fish"}}]',
        f'[{JSON[0]}, {{"bbox_2d": null, "label": "fish"}}]',
        f'[{JSON[0]}, {{"bbox_2d": [1, 2, 3, 1e999], "label": "fish"}}]',
        f"[{JSON[0]}, {{'bbox_2d': [1, 2, 3, None], 'label': 'fish'}}]",
        f"{JSON[0]}, {{bbox_2d: [1, 2, 3, 4]}}",
    ],
)
def test_an_object_without_a_box_is_told(text: str) -> None:
    answer = parse_json_boxes(text)
    assert corners(answer) == BOXES[:1] and answer is not None and not answer.complete


@pytest.mark.parametrize(
    "text",
    ["{" * 65_536, '{"a":' * 13_000, "{'a':" * 13_000 + "}" * 13_000, "[{" * 30_000, "{}" * 30_000, "[" * 65_000,
     "{'" * 30_000, "```" * 20_000, "```json\n{" * 7_000, '{"bbox":[' + "[" * 60_000, "{" + "-" * 900 + "1}"],
    ids=lambda text: text[:9],
)  # fmt: skip
def test_hostile_text_takes_no_time(text: str) -> None:
    started = time.process_time()
    assert parse_json_boxes(text) is None
    assert time.process_time() - started < 2


def fish(folder: Path) -> Path:
    """One image of 1000 x 800 pixels with ten fish in two rows, as thousandths times its size."""
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 1000, "height": 800}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "bbox": list(pixels(n - 1)), "area": 36000, "iscrowd": 0}
            for n in range(1, 11)
        ],
        "categories": [{"id": 1, "name": "fish"}],
    }
    file = folder / "annotations.json"
    file.write_text(json.dumps(content))
    return file


def thousandths(n: int) -> list[int]:
    left, top = 20 + 190 * (n % 5), 50 + 400 * (n // 5)
    return [left, top, left + 150, top + 300]


def pixels(n: int) -> tuple[float, ...]:
    x1, y1, x2, y2 = thousandths(n)
    return x1, y1 * 0.8, x2 - x1, (y2 - y1) * 0.8


def respond(folder: Path, text: str) -> Path:
    file = folder / "answers.jsonl"
    file.write_text(json.dumps({"index": 0, "response": text}) + "\n")
    return file


TEN = [json.dumps({"bbox_2d": thousandths(n), "label": "fish"}) for n in range(10)]
NINE = 91 / 101
"""AP of precision 1 up to a recall of nine tenths."""

REPLIES: dict[str, tuple[str, float, tuple[int, int]]] = {
    "cut in the tenth box": (f"```json\n{listed(TEN)}"[:-30], NINE, (1, 0)),
    "prose after": (f"```json\n{listed(TEN)}\n```\nEach box is given as [x1, y1, x2, y2].", 1, (0, 0)),
    "prose before": (f"Boxes are [x1, y1, x2, y2] in thousandths:\n```json\n{listed(TEN)}\n```", 1, (0, 0)),
    "prose without a fence": (f"I found [10] fish: {listed(TEN)} [done]", 1, (0, 0)),
    "a trailing comma": (listed(TEN, ","), 1, (0, 0)),
    "one box without a list": (TEN[3], 11 / 101, (0, 0)),
    "boxes without a list": ("\n".join(TEN), 1, (0, 0)),
    "Python quotes": (str([json.loads(each) for each in TEN]), 1, (0, 0)),
    "another key": (json.dumps([{"bbox": thousandths(n), "label": "fish"} for n in range(10)]), 1, (0, 0)),
    "two blocks": (f"```json\n{listed(TEN[:5])}\n```\n\n```json\n{listed(TEN[5:])}\n```", 1, (0, 0)),
    "a broken box among them": (listed([*TEN[:9], '{"bbox_2d": [780, 450], "label": "fish"}']), NINE, (1, 0)),
    "words": ("There are ten fish in two rows.", 0, (0, 1)),
}
"""Twelve replies that are right in words and not in letters: the reply, its mAP, how many were read in part, or not."""


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize("protocol", [PRESENT, ALL], ids=lambda protocol: str(protocol.name))
def test_twelve_replies_by_both_protocols(tmp_path: Path, protocol: Any, name: str) -> None:
    text, expected, (in_part, unread) = REPLIES[name]
    data = protocol.load(fish(tmp_path))
    score = protocol.score(data, protocol.read(respond(tmp_path, text), data))
    assert score.official["mAP"] == pytest.approx(expected)
    assert (score.beside["responses"]["read_in_part"], score.beside["responses"]["unread"]) == (in_part, unread)
    assert len(score.notes) == in_part + unread


def test_it_is_said_beside_the_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ["--annotations", str(fish(tmp_path)), "--predictions", str(respond(tmp_path, REPLIES["words"][0]))]
    assert main(["odinw13", *files]) == 0
    assert "note: 1 of 1 responses have neither a box that can be read nor 'none'" in capsys.readouterr().out
    respond(tmp_path, listed(TEN)[:-30])
    assert main(["odinw13", *files, "--json", "--store", str(tmp_path / "score.json")]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["mAP"] == pytest.approx(NINE)
    assert "note: 1 of 1 responses read in part" in output.err
    assert "read in part" in json.loads((tmp_path / "score.json").read_text())["notes"][0]


def test_labels_that_no_category_has_are_told(tmp_path: Path) -> None:
    data = PRESENT.load(fish(tmp_path))
    score = PRESENT.score(data, PRESENT.parse(data, [json.dumps([{"bbox_2d": thousandths(0), "label": "goldfish"}])]))
    assert score.official["mAP"] == 0
    assert score.notes == ["1 boxes left out: their label is none of the dataset's categories"]


def test_boxes_from_0_to_1_are_told(tmp_path: Path) -> None:
    data = PRESENT.load(fish(tmp_path))
    boxes = [{"bbox_2d": [value / 1000 for value in thousandths(n)], "label": "fish"} for n in range(10)]
    score = PRESENT.score(data, PRESENT.parse(data, [json.dumps(boxes)]))
    assert score.official["mAP"] == 0
    assert score.notes == ["10 boxes have no coordinate above 1: they are read as thousandths of the image's sides"]


@pytest.mark.skipif(not CASES.exists(), reason=f"{CASES} is not there")
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("odinw_list_cut_off/answers-cut", 0.901),
        ("odinw_list_cut_off/answers-full", 1),
        ("odinw_json_beside_prose/answers-prose_after", 1),
        ("odinw_json_beside_prose/answers-prose_before", 1),
    ],
)
def test_the_shared_cases(case: str, expected: float) -> None:
    answers = CASES / f"{case}.jsonl"
    data = PRESENT.load(answers.parent / "annotations.json")
    assert PRESENT.score(data, PRESENT.read(answers, data)).official["mAP"] == pytest.approx(expected, abs=5e-4)
