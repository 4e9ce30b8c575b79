"""How does a model do on MIBench?

MIBench (arXiv 2407.15272; huggingface.co/datasets/StarBottle/MIBench): multi_image_instruction.json,
multimodal_knowledge_seeking.json, multimodal_in_context_learning.json, each a list of {id, image, task, question,
options, answer (text), context (in the last file)}; 13 tasks of 1,000. No official script was found. The rule is
Migician's for Qwen2-VL (github.com/thunlp/Migician eval/MIG_bench_eval.py:464-579, 7b868a20): the whole response is the
answer's text, without blanks and full stops around the answer. It takes the mean over the tasks; where it divides by
1,000 and by nine tasks whatever the file has, we divide by the file's own numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...files.records import expect, texts
from ...files.validation import Faults
from ...grounding.samples import Mode
from ..multiple_choice import ChoiceQuestion, MultipleChoiceBenchmark
from ..prompts import PromptTemplates
from ..published_rows import Row


class MiBench(MultipleChoiceBenchmark):
    """MIBench; see the module."""

    name = "mibench"
    images = ("image",)
    average = "macro"

    def record(self, row: Row, faults: Faults) -> ChoiceQuestion | None:
        fields = expect(row.fields, row.where, {"task": str, "question": str, "answer": str}, faults)
        options = texts(row.fields.get("options", []), f"{row.where}.options", faults, least=0)
        if fields is None or options is None:
            return None
        return ChoiceQuestion(fields["task"], fields["question"], options, fields["answer"], row.pictures, fields)

    def prompt(self, record: ChoiceQuestion, mode: Mode, templates: PromptTemplates) -> str:
        return templates.fill(self.name, mode, question=record.question, choices=" | ".join(record.options))

    def grade(self, records: Sequence[ChoiceQuestion], responses: Sequence[str]) -> list[bool | None]:
        expected = (record.answer.strip().strip(".") for record in records)
        return [response == answer for response, answer in zip(responses, expected, strict=True)]


BENCHMARKS = (MiBench(),)
