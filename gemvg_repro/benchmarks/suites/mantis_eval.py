"""How does a model do on Mantis-Eval?

Mantis-Eval (arXiv 2405.01483; huggingface.co/datasets/TIGER-Lab/Mantis-Eval, test, 217 rows): id, question_type
("multi-choice" or "short-answer"), question, images, options, answer, data_source, category. The authors report
accuracy over all rows.

Their rule (github.com/TIGER-AI-Lab/Mantis mantis/benchmark/eval.py:16-79, 2eb6d430): what follows "final answer:", if
it is there. Of that, multiple choice takes the letter of "Answer: X" at the start, else the first letter at all, in
capitals ("The first" is T); if there is no such option, the whole response must be the option's text. A short answer
must be the whole text, in any case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...files.records import expect, texts
from ...files.validation import Faults
from ...grounding.samples import Mode
from ..multiple_choice import LETTERS, ChoiceQuestion, MultipleChoiceBenchmark
from ..prompts import PromptTemplates
from ..published_rows import Row

_FINAL = "final answer:"
_KINDS = ("multi-choice", "short-answer")


def right(record: ChoiceQuestion, response: str) -> bool:
    """Whether a response is right by the authors' rule."""
    start = response.lower().find(_FINAL)
    answer = response if start < 0 else response[start + len(_FINAL) :].strip()
    if record.task == "short-answer":
        return answer.lower() == record.answer.lower()
    letter = _letter(answer)
    if letter is not None and ord(letter) - ord("A") < len(record.options):
        return letter == record.answer
    place = LETTERS.index(record.answer)
    return place < len(record.options) and response.strip() == _bare(record.options[place], record.answer)


def _letter(answer: str) -> str | None:
    if re.match("Answer: [A-Z]", answer):
        return answer[8]
    first = next((sign.upper() for sign in answer if sign.isalpha()), None)
    return first[0] if first else None  # a sign such as a sharp s has two capitals


def _bare(option: str, letter: str) -> str:
    """An option without its own "A.", "A:" or "(A)"."""
    lead = next((each for each in (f"{letter}.", f"{letter}:", f"({letter})") if option.startswith(each)), "")
    return option[len(lead) :].strip()


class MantisEval(MultipleChoiceBenchmark):
    """Mantis-Eval; see the module. A row's task is its type of question."""

    name = "mantis_eval"
    images = ("images",)
    average = "micro"

    def record(self, row: Row, faults: Faults) -> ChoiceQuestion | None:
        fields = expect(row.fields, row.where, {"question_type": str, "question": str, "answer": str}, faults)
        options = texts(row.fields.get("options") or [], f"{row.where}.options", faults, least=0)
        if fields is None or options is None:
            return None
        kind, answer = fields["question_type"], fields["answer"].strip("()\n ")
        if kind not in _KINDS:
            faults.add(f"{row.where}.question_type", f"expected {' or '.join(_KINDS)}, got {kind!r:.80}")
            return None
        if kind == "multi-choice":
            answer = next((sign for sign in answer if sign.isalpha()), "").upper()
            if len(answer) != 1 or answer not in LETTERS or len(options) > len(LETTERS):
                faults.add(f"{row.where}.answer", f"expected a letter, got {fields['answer']!r:.80}")
                return None
        return ChoiceQuestion(kind, fields["question"], options, answer, row.pictures, fields)

    def prompt(self, record: ChoiceQuestion, mode: Mode, templates: PromptTemplates) -> str:
        if record.task == "short-answer":
            return templates.fill("mantis_eval_short", mode, question=record.question)
        return templates.fill(
            self.name, mode, question=record.question + "".join(map(_listed, record.letters, record.options))
        )

    def grade(self, records: Sequence[ChoiceQuestion], responses: Sequence[str]) -> list[bool | None]:
        return [right(record, response) for record, response in zip(records, responses, strict=True)]


def _listed(letter: str, option: str) -> str:
    """An option as the prompt lists it: with its letter, unless it has that already (eval.py:166-173)."""
    has = any(f"{letter}{sign}" in option.upper() for sign in "):.")
    return f"\n {option}" if has else f"\n ({letter}) {option}"


BENCHMARKS = (MantisEval(),)
