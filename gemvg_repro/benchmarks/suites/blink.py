"""How does a model do on BLINK?

BLINK (arXiv 2404.12390; huggingface.co/datasets/BLINK-Benchmark/BLINK): 14 configurations, rows of idx
("val_Counting_1"), question, sub_task, prompt, choices, answer ("(A)"), image_1 to image_4. Of a folder, the files
val*.parquet are scored; the answers of the test split are hidden. The authors report the mean over the subtasks.

Their rule (github.com/zeyofu/BLINK_Benchmark eval/test_benchmark.py analyze_answer, evaluate.py:58-63, 0cca9a33):
a response that is a letter, or a letter in brackets; else the one "(A)" that stands between blanks in its last
paragraph, or in all of it. Any other they let GPT-3.5 match with the choices. No model is called here: with such a
response the score is not official, and has two bounds, unless what their script extracted is known. It is where a line
of the responses has a `prediction`, and in the files that their script writes, which are read too: a folder of
<subtask>.json or one of these, {"val": [{idx, prediction, full_prediction, answer}]}, and {idx: prediction}
(eval/README.md, 0cca9a33).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ...files.records import expect, texts
from ...files.validation import Faults, Refused
from ...grounding.samples import Mode
from ..multiple_choice import LETTERS, ChoiceQuestion, MultipleChoiceBenchmark
from ..prompts import PromptTemplates
from ..published_rows import Row
from ..responses import SavedPrediction

_DISCLAIMED = ("Forensic_Detection", "Jigsaw", "Art_Style")
_MOST_CHOICES = 5
_SPLITS = ("val_", "test_")


def choice_of(response: str, choices: int) -> str | None:
    """The choice, such as "(A)", of a response by the authors' rule; None if they would ask GPT."""
    letters = LETTERS[:_MOST_CHOICES]
    if response in tuple(letters):
        return f"({response})"
    if response in {f"({letter})" for letter in letters}:
        return response
    valid = {f"({letter})" for letter in LETTERS[: min(choices, _MOST_CHOICES)]}
    anywhere, in_last = valid & set(response.split()), valid & set(response.split("\n\n")[-1].split())
    if len(in_last) == 1:
        return next(iter(in_last))
    return next(iter(anywhere)) if len(anywhere) == 1 else None


class Blink(MultipleChoiceBenchmark):
    """BLINK; see the module."""

    name = "blink"
    images = ("image_1", "image_2", "image_3", "image_4")
    average = "macro"
    split = "val"
    judge = "GPT-3.5"

    def record(self, row: Row, faults: Faults) -> ChoiceQuestion | None:
        keys = {"idx": str, "question": str, "sub_task": str, "prompt": str, "answer": str}
        fields = expect(row.fields, row.where, keys, faults)
        choices = texts(row.fields.get("choices"), f"{row.where}.choices", faults, least=2)
        if fields is None or choices is None:
            return None
        if fields["answer"] not in {f"({letter})" for letter in LETTERS[: len(choices)]}:
            hidden = "; the test split's answers are hidden" if fields["answer"] == "hidden" else ""
            faults.add(f"{row.where}.answer", f"expected '(A)' to '({LETTERS[: len(choices)][-1]})'{hidden}")
            return None
        return ChoiceQuestion(fields["sub_task"], fields["prompt"], choices, fields["answer"][1], row.pictures, fields)

    def prompt(self, record: ChoiceQuestion, mode: Mode, templates: PromptTemplates) -> str:
        before = templates.fill("blink_disclaimer", mode) if record.task in _DISCLAIMED else ""
        return before + templates.fill(self.name, mode, prompt=record.question)

    def grade(self, records: Sequence[ChoiceQuestion], responses: Sequence[str]) -> list[bool | None]:
        choices = (choice_of(text, len(record.options)) for record, text in zip(records, responses, strict=True))
        return [None if c is None else c == f"({record.answer})" for c, record in zip(choices, records, strict=True)]

    def matches(self, record: ChoiceQuestion, prediction: str) -> bool:
        return prediction == f"({record.answer})"

    def read(self, file: Path, data: Sequence[ChoiceQuestion]) -> Sequence[str]:
        if (saved := _saved_outputs(file)) is None:
            return super().read(file, data)
        missing = [record.fields["idx"] for record in data if record.fields["idx"] not in saved]
        if missing:
            many = f"{len(missing)} of {len(data)} records have no prediction"
            raise Refused(f"{file}: {many}, the first is {missing[0]!r:.80}")
        return [saved[record.fields["idx"]] for record in data]


def _saved_outputs(file: Path) -> dict[str, SavedPrediction] | None:
    """What the authors' script saved, by idx; None if the file is none of theirs."""
    if file.is_dir():
        files = sorted(file.glob("*.json"))
        if not files:
            raise Refused(f"{file} has no <subtask>.json; expected the outputs that BLINK's script saves")
        return {idx: text for each in files for idx, text in (_saved_outputs(each) or {}).items()}
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # JSON lines, or nothing that can be read
    if not isinstance(content, dict) or not ("val" in content or all(key.startswith(_SPLITS) for key in content)):
        return None
    faults = Faults(file)
    saved: dict[str, SavedPrediction] = {}
    if not isinstance(content.get("val"), list):
        entries = [(f"[{idx!r:.80}]", idx, prediction) for idx, prediction in content.items()]
    else:
        records = [expect(each, f"val[{n}]", {"idx": str}, faults) or {} for n, each in enumerate(content["val"])]
        entries = [(f"val[{n}].prediction", r.get("idx", ""), r.get("prediction")) for n, r in enumerate(records)]
    for where, idx, prediction in entries:
        if isinstance(prediction, str):
            saved[idx] = SavedPrediction(prediction)
        else:
            faults.add(where, f"expected a choice such as '(A)', got {prediction!r:.80}")
    faults.refuse()
    return saved


BENCHMARKS = (Blink(),)
