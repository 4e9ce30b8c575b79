"""How is a benchmark of multiple choice read and scored?

A module for one of them parses a row (`record`), makes its prompt (`prompt`) and says which responses are right by
its authors' rule (`grade`). Accuracy is over all records (micro) and the mean over the tasks (macro); each module says
which of the two its authors report.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..files.records import unmarked
from ..files.validation import Faults, Refused
from ..grounding.samples import Mode, Picture, Sample
from .interface import BenchmarkScore, Metric, TextBenchmark
from .prompts import PromptTemplates, authors_templates
from .published_rows import Row, read_table

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_MARKER = re.compile("<image>")


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A question about pictures. `answer`: the letter of the right option, or the text where there are no letters.

    `fields`: the row as it is, for what only one benchmark has.
    """

    task: str
    question: str
    options: tuple[str, ...]
    answer: str
    pictures: tuple[Picture, ...]
    fields: Mapping[str, Any]

    @property
    def letters(self) -> str:
        """The letters of the options."""
        return LETTERS[: len(self.options)]


class MultipleChoiceBenchmark(TextBenchmark[ChoiceQuestion]):
    """A benchmark of multiple choice; see the module."""

    images: ClassVar[tuple[str, ...]]
    """The columns of a row's pictures."""

    average: ClassVar[Literal["micro", "macro"]]
    """Which accuracy the authors report."""

    split: ClassVar[str] = ""
    """The prefix of the files of a folder that are scored."""

    @abstractmethod
    def record(self, row: Row, faults: Faults) -> ChoiceQuestion | None:
        """Parses a row; None after a fault."""

    @abstractmethod
    def prompt(self, record: ChoiceQuestion, mode: Mode, templates: PromptTemplates) -> str:
        """The text of the user's turn."""

    @abstractmethod
    def grade(self, records: Sequence[ChoiceQuestion], responses: Sequence[str]) -> Sequence[bool | None]:
        """Whether each response is right, by the authors' rule; None: their rule cannot parse it."""

    def load(self, file: Path, root: Path | None = None, most_pixels: int | None = None) -> list[ChoiceQuestion]:
        rows = read_table(file, self.images, root, most_pixels, self.split)
        faults = {row.file: Faults(row.file) for row in rows}
        records = []
        for row in rows:
            record = self.record(row, faults[row.file])
            if record is not None:
                for text in (record.question, *record.options):
                    unmarked(text, row.where, faults[row.file])
                if not record.pictures:
                    faults[row.file].add(f"{row.where}.{self.images[0]}", "has no picture")
                records.append(record)
        for each in faults.values():
            each.refuse()
        return records

    def samples(
        self, data: Sequence[ChoiceQuestion], mode: Mode, templates: PromptTemplates | None = None
    ) -> list[Sample]:
        templates = templates or authors_templates()
        return [
            Sample(
                id=f"{self.name}/{n}",
                scene=f"{self.name}/{n}",
                kind="understanding",
                source=self.name,
                pictures=record.pictures,
                query=record.question,
                choice=record.answer,
                prompt=numbered(self.prompt(record, mode, templates)),
            )
            for n, record in enumerate(data)
        ]

    def counts(self, data: Sequence[ChoiceQuestion]) -> dict[str, int]:
        return {"records": len(data), **Counter(record.task for record in data)}

    def score(self, data: Sequence[ChoiceQuestion], parsed: Sequence[str]) -> BenchmarkScore:
        return accuracies(data, self.grade(data, parsed), self.average)


def accuracies(data: Sequence[ChoiceQuestion], grades: Sequence[bool | None], average: str) -> BenchmarkScore:
    """Accuracy from 0 to 1, by task and over all; a response that the rule cannot parse is wrong, and counted.

    Raises Refused without any record.
    """
    if not data:
        raise Refused("no record has an answer to score against")
    by_task: dict[str, list[bool]] = {}
    for record, grade in zip(data, grades, strict=True):
        by_task.setdefault(record.task, []).append(bool(grade))
    tasks = {task: sum(hits) / len(hits) for task, hits in sorted(by_task.items())}
    micro = sum(map(bool, grades)) / len(grades)
    macro = sum(tasks.values()) / len(tasks)
    accuracy = micro if average == "micro" else macro
    official = {"accuracy": accuracy, "micro": micro, "macro": macro, "by_task": tasks}
    unread = sum(grade is None for grade in grades)
    rows: list[dict[str, Any]] = [
        {"task": task, "n": len(by_task[task]), "accuracy": 100 * value} for task, value in tasks.items()
    ]
    rows.append({"task": "micro" + " (official)" * (average == "micro"), "n": len(data), "accuracy": 100 * micro})
    rows.append({"task": "macro" + " (official)" * (average == "macro"), "n": len(data), "accuracy": 100 * macro})
    rows.append({"task": "replies in no form that is read", "n": unread})
    headline = {"accuracy": Metric(accuracy, len(data), share=average == "micro")}
    return BenchmarkScore(official, {"unread": unread}, rows, headline)


def numbered(text: str) -> str:
    """A prompt whose k-th <image> is "Picture k", the label of the image in the chat template."""
    place = iter(range(1, text.count("<image>") + 1))
    return _MARKER.sub(lambda marker: f"Picture {next(place)}", text)
