import json
from pathlib import Path
from typing import Any

import pytest

from gemvg_repro.benchmarks.predictions import PredictionLog
from gemvg_repro.benchmarks.responses import read_responses, visible_text
from gemvg_repro.files.validation import Refused
from gemvg_repro.grounding.predictions import Prediction


def lines(folder: Path, *records: Any) -> Path:
    file = folder / "answers.jsonl"
    file.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in records))
    return file


def test_special_tokens_are_not_visible() -> None:
    text = "<think>(1,2),(3,4)</think><answer><|box_start|>(5,6),(7,8)<|box_end|></answer><|im_end|>(9,9),(9,9)"
    assert visible_text(text, "cot") == "(5,6),(7,8)"
    assert visible_text("<think>The left one, (1,2),(3,4)</think><|im_end|>", "cot") == ""
    assert visible_text(text, "direct") == "<think>(1,2),(3,4)</think><answer>(5,6),(7,8)</answer>"


def test_answers_of_another_program_in_any_order_are_taken_as_they_are(tmp_path: Path) -> None:
    text = "<think>x</think><answer>B</answer>"
    file = lines(tmp_path, {"index": 1.0, "response": text}, "", {"index": 0, "response": "A\u2028", "model": "m"})
    assert read_responses(file, "mig_bench", 2) == ["A\u2028", text]


def test_answers_of_ours_are_reduced_to_what_counts(tmp_path: Path) -> None:
    with PredictionLog(tmp_path / "predictions.jsonl", "k") as log:
        log.append([Prediction("mig_bench/1", "cot", "<think>x</think><answer>B</answer><|im_end|>", 9)])
        log.append([Prediction("mig_bench/0", "cot", "<think>x", 3)])
    assert read_responses(tmp_path / "predictions.jsonl", "mig_bench", 2) == ["", "B"]


def test_a_torn_last_line_of_ours_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    with PredictionLog(path, "k") as log:
        log.append([Prediction("mig_bench/0", "direct", "A", 1)])
    with path.open("a") as file:
        file.write('{"sample": "mig_bench/1", "mo')
    assert read_responses(path, "mig_bench", 1) == ["A"]
    with pytest.raises(Refused, match=r"1 of 2 records have no response.*resumes when it is started again"):
        read_responses(path, "mig_bench", 2)


@pytest.mark.parametrize(
    ("records", "culprit"),
    [
        ([], "is empty"),
        (["{"], "line 1: no JSON"),
        ([[1, 2]], "line 1: expected"),
        ([{"index": 0, "response": "a"}, {"index": 0, "response": "b"}], "line 2.index: a second"),
        ([{"index": 2, "response": "a"}], "line 1.index"),
        ([{"index": -1, "response": "a"}], "line 1.index"),
        ([{"index": 0.5, "response": "a"}], "line 1.index"),
        ([{"index": True, "response": "a"}], "line 1.index"),
        ([{"index": "0", "response": "a"}], "line 1.index"),
        ([{"response": "a"}], "line 1.index"),
        ([{"index": 0}], "line 1.response"),
        ([{"index": 0, "response": ["a"]}], "line 1.response"),
        ([{"index": 1, "response": "a"}], "1 of 2 records have no response, the first is record 0"),
        ([{"key": "k"}, {"sample": "mig_bench/0", "mode": "cot", "text": "a", "tokens": 1}], "1 of 2 records"),
        ([{"key": "k"}, {"sample": "other/0", "mode": "cot", "text": "a", "tokens": 1}], "line 2.sample"),
        ([{"key": "k"}, {"sample": "mig_bench/x", "mode": "cot", "text": "a", "tokens": 1}], "line 2.sample"),
        ([{"key": 3}], "line 1 is no header"),
        ([{"key": "k"}, "{", {"sample": "mig_bench/0", "mode": "cot", "text": "a", "tokens": 1}], "line 2 is no pred"),
        (["[" * 100_000], "line 1: no JSON"),
        ([f'{{"index": {"9" * 5000}, "response": "a"}}'], "line 1: no JSON"),
    ],
)
def test_a_file_that_is_not_in_order_is_refused(tmp_path: Path, records: list[Any], culprit: str) -> None:
    file = lines(tmp_path, *records)
    with pytest.raises(Refused) as caught:
        read_responses(file, "mig_bench", 2)
    assert str(file) in str(caught.value) and culprit in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        read_responses(tmp_path / "none", "mig_bench", 2)
