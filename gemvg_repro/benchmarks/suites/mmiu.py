"""How does a model do on MMIU?

MMIU (arXiv 2408.02718; huggingface.co/datasets/FanqingM/MMIU-Benchmark, all.parquet or all.json): rows of task,
visual_input_component, source, options (one text, "A: ...\\nB: ..."), question, context, input_image_path and output (a
letter); 52 tasks. The authors report the mean over the tasks.

Their rule (github.com/OpenGVLab/MMIU evaluate.py, evaluate_correct.py:40-73, 36c48ec6): a response that is a letter
from a to n, with signs around it; an empty one, and the texts that stand for an error of a model, are wrong. Any other
they let GPT-4o-mini match with the options. No model is called here: with such a response the score is not official,
and has two bounds, unless what their script extracted stands beside it as `prediction`. A row without an output is not
counted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...files.records import expect, unmarked
from ...files.validation import Faults
from ...grounding.samples import Mode
from ..multiple_choice import ChoiceQuestion, MultipleChoiceBenchmark
from ..prompts import PromptTemplates
from ..published_rows import Row
from ..responses import SavedPrediction

_FAILED = ("", "image none", "image error", "model error", "model error or image error")
_NOT_MATCHED = "GPT error"
"""What their script saves where the model that matches failed; it leaves such a row out (evaluate_correct.py:42)."""

_AROUND = re.compile(r"^[.,()]+|[.,()]+$")
_OPTION = re.compile(r"^\s*([A-N])\s*[:.)]\s*(.*)$", re.MULTILINE)


class Mmiu(MultipleChoiceBenchmark):
    """MMIU; see the module."""

    name = "mmiu"
    images = ("input_image_path",)
    average = "macro"
    judge = "GPT-4o-mini"

    def record(self, row: Row, faults: Faults) -> ChoiceQuestion | None:
        keys = {"task": str, "question": str, "context": str, "options": str}
        fields = expect(row.fields, row.where, keys, faults)
        answer = row.fields.get("output")
        if answer is not None and not (isinstance(answer, str) and re.fullmatch(r"\s*[A-Na-n]\s*", answer)):
            faults.add(f"{row.where}.output", f"expected a letter from A to N, got {answer!r:.80}")
            return None
        if fields is None:
            return None
        unmarked(fields["context"], f"{row.where}.context", faults)
        options = tuple(text for _, text in _OPTION.findall(fields["options"]))
        right = "" if answer is None else answer.strip().upper()
        return ChoiceQuestion(fields["task"], fields["question"], options, right, row.pictures, fields)

    def prompt(self, record: ChoiceQuestion, mode: Mode, templates: PromptTemplates) -> str:
        return templates.fill(self.name, mode, question=record.question, context=record.fields["context"])

    def grade(self, records: Sequence[ChoiceQuestion], responses: Sequence[str]) -> list[bool | None]:
        return [self._grade(record, response.strip()) for record, response in zip(records, responses, strict=True)]

    def _grade(self, record: ChoiceQuestion, response: str) -> bool | None:
        if response in _FAILED:
            return False
        letter = _AROUND.sub("", response.replace("\u00a0", "").strip()).strip().lower()
        return letter == record.answer.lower() if re.fullmatch("[a-n]", letter) else None

    def matches(self, record: ChoiceQuestion, prediction: str) -> bool:
        return prediction.strip().lower() in record.answer.lower()

    def counted(self, data: Sequence[ChoiceQuestion], parsed: Sequence[str]) -> list[int]:
        return [
            n
            for n, (record, response) in enumerate(zip(data, parsed, strict=True))
            if record.answer and not (isinstance(response, SavedPrediction) and response.strip() == _NOT_MATCHED)
        ]


BENCHMARKS = (Mmiu(),)
