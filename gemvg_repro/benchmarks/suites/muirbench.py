"""How does a model do on MuirBench?

MuirBench (arXiv 2406.09411; huggingface.co/datasets/MUIRBENCH/MUIRBENCH, test): rows of idx, task, image_relation,
image_type, question, options, answer (a letter) and image_list; 2,600 in 12 tasks. The authors report accuracy over
all.

Their rule (github.com/muirbench/MuirBench eval/utils/postprocess.py, 840b85fe): the last of the letters in brackets,
else of the letters between blanks, else, in a response of more than five words, of the options' texts. A response with
none of them gets a letter at random, seed 42: kept, since their number includes it. `unread` counts them, and
`beside.without_guesses` has the accuracy if these are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ...files.records import expect, texts
from ...files.validation import Faults
from ...grounding.samples import Mode
from ..interface import BenchmarkScore
from ..multiple_choice import (
    LETTERS,
    UNREAD_ROW,
    ChoiceQuestion,
    MultipleChoiceBenchmark,
    accuracies,
    summarise,
)
from ..prompts import PromptTemplates
from ..published_rows import Row

_STRIPPED = (",", ".", "!", "?", ";", ":", "'")


def letter_of(response: str, options: Sequence[str]) -> str | None:
    """The letter of a response by the authors' rule; None if they would guess."""
    letters = LETTERS[: len(options)]
    for sign in _STRIPPED:
        response = response.strip(sign)
    response = f" {response} "
    for form in ("({})", " {} "):
        places = {letter: response.rfind(form.format(letter)) for letter in letters}
        if max(places.values()) >= 0:
            return max(letters, key=lambda letter: places[letter])
    if len(response.split()) <= 5:
        return None
    places = {letter: response.lower().rfind(option.lower()) for letter, option in zip(letters, options, strict=True)}
    return max(letters, key=lambda letter: places[letter]) if max(places.values()) >= 0 else None


class MuirBench(MultipleChoiceBenchmark):
    """MuirBench; see the module."""

    name = "muirbench"
    images = ("image_list",)
    average = "micro"

    def record(self, row: Row, faults: Faults) -> ChoiceQuestion | None:
        fields = expect(row.fields, row.where, {"task": str, "question": str, "answer": str}, faults)
        options = texts(row.fields.get("options"), f"{row.where}.options", faults, least=2)
        if fields is None or options is None:
            return None
        if len(options) > len(LETTERS):
            faults.add(f"{row.where}.options", f"has {len(options)} options; there are {len(LETTERS)} letters")
        elif fields["answer"] not in tuple(LETTERS[: len(options)]):
            faults.add(f"{row.where}.answer", f"expected a letter of {len(options)}, got {fields['answer']!r:.80}")
        else:
            return ChoiceQuestion(fields["task"], fields["question"], options, fields["answer"], row.pictures, fields)
        return None

    def prompt(self, record: ChoiceQuestion, mode: Mode, templates: PromptTemplates) -> str:
        choices = "\n".join(
            f"({letter}) {option}" for letter, option in zip(record.letters, record.options, strict=True)
        )
        lettered = " ".join(
            f"{letter}. {option}" for letter, option in zip(record.letters, record.options, strict=True)
        )
        return templates.fill(self.name, mode, question=record.question, choices=choices, lettered=lettered)

    def grade(self, records: Sequence[ChoiceQuestion], responses: Sequence[str]) -> list[bool | None]:
        letters = [letter_of(text, record.options) for record, text in zip(records, responses, strict=True)]
        return [None if letter is None else letter == r.answer for letter, r in zip(letters, records, strict=True)]

    def graded(self, data: Sequence[ChoiceQuestion], parsed: Sequence[str]) -> list[bool]:
        """With the authors' random guesses where a response has no letter."""
        guess = Random(42)
        return [
            guess.choice(record.letters) == record.answer if grade is None else grade
            for record, grade in zip(data, self.grade(data, parsed), strict=True)
        ]

    def score(self, data: Sequence[ChoiceQuestion], parsed: Sequence[str]) -> BenchmarkScore:
        """Official: with the authors' random guesses; beside: without them."""
        grades = self.grade(data, parsed)
        official, unread = summarise(data, self.graded(data, parsed), self.average), grades.count(None)
        beside = {"unread": unread, "without_guesses": accuracies(data, grades, self.average)}
        rows = [*official.rows[:-1], {"task": UNREAD_ROW, "n": unread}]
        return BenchmarkScore(official.official, beside, rows, official.headline)


BENCHMARKS = (MuirBench(),)
