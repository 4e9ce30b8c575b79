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
from .responses import SavedPrediction, read_responses
from .sample_scores import SampleScore, scenes

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

UNREAD_ROW = "replies in no form that is read"

UNREAD_WRONG, UNREAD_RIGHT = "all unread wrong", "all unread right"
"""The two bounds of an accuracy."""

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

    judge: ClassVar[str] = ""
    """The model that the authors let match a response with the options if their rule cannot parse it; empty: none."""

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
        counted = self.counted(data, parsed)
        grades = self.graded(data, parsed)
        return summarise([data[n] for n in counted], [grades[n] for n in counted], self.average, self.judge)

    def sample_scores(self, data: Sequence[ChoiceQuestion], parsed: Sequence[str]) -> list[SampleScore]:
        counted, grades = self.counted(data, parsed), self.graded(data, parsed)
        components = scenes([record.pictures for record in data])
        return [
            SampleScore(f"{self.name}/{n}", f"{self.name}/scene {components[n]}", data[n].task, of, float(hits[n]))
            for of, hits in versions(grades, counted).items()
            for n in counted
        ]

    def counted(self, data: Sequence[ChoiceQuestion], parsed: Sequence[str]) -> Sequence[int]:
        """The positions of the records that the authors' script counts."""
        return range(len(data))

    def graded(self, data: Sequence[ChoiceQuestion], parsed: Sequence[str]) -> Sequence[bool | None]:
        """As the official score counts them: `grade`, but for what the authors' script has extracted itself."""
        return self._grades(data, parsed)

    def read(self, file: Path, data: Sequence[ChoiceQuestion]) -> Sequence[str]:
        return read_responses(file, self.name, len(data), saved=bool(self.judge))

    def _grades(self, records: Sequence[ChoiceQuestion], responses: Sequence[str]) -> list[bool | None]:
        """`grade`, but for what the authors' script has extracted itself."""
        grades = self.grade(records, responses)
        return [
            self.matches(record, response) if isinstance(response, SavedPrediction) else grade
            for record, response, grade in zip(records, responses, grades, strict=True)
        ]

    def matches(self, record: ChoiceQuestion, prediction: str) -> bool:
        """Whether a choice that the authors' script has extracted is the right one, by their comparison."""
        raise NotImplementedError(f"{self.name} calls no model to read a response")


def accuracies(
    records: Sequence[ChoiceQuestion], grades: Sequence[bool | None], average: Literal["micro", "macro"]
) -> dict[str, Any]:
    """Accuracy from 0 to 1, by task and over all; a response that could not be parsed (None) is wrong.

    Raises Refused without any record.
    """
    if not records:
        raise Refused("no record has an answer to score against")
    by_task: dict[str, list[bool]] = {}
    for record, grade in zip(records, grades, strict=True):
        by_task.setdefault(record.task, []).append(bool(grade))
    tasks = {task: sum(hits) / len(hits) for task, hits in sorted(by_task.items())}
    micro = sum(map(bool, grades)) / len(grades)
    macro = sum(tasks.values()) / len(tasks)
    return {"accuracy": micro if average == "micro" else macro, "micro": micro, "macro": macro, "by_task": tasks}


def versions(grades: Sequence[bool | None], counted: Sequence[int]) -> dict[str, list[bool]]:
    """The hits of each metric: "accuracy", or its two bounds where a response counted could not be parsed."""
    low, high = ([grade is True for grade in grades], [grade is not False for grade in grades])
    if all(grades[n] is not None for n in counted):
        return {"accuracy": low}
    return {f"accuracy, {UNREAD_WRONG}": low, f"accuracy, {UNREAD_RIGHT}": high}


def summarise(
    records: Sequence[ChoiceQuestion],
    grades: Sequence[bool | None],
    average: Literal["micro", "macro"],
    judge: str = "",
) -> BenchmarkScore:
    """The official score; or its bounds, where responses could not be parsed that the authors give to a model.

    Args:
        grades: whether each response is right; None: the authors' rule cannot parse it.
        judge: the model that they let match such a response with the options.
    """
    low, unread = accuracies(records, grades, average), sum(grade is None for grade in grades)
    if not unread:
        headline = {"accuracy": Metric(low["accuracy"], len(records), average, "accuracy")}
        return BenchmarkScore(low, {"unread": 0}, _rows(records, [low], average, unread), headline)
    high = accuracies(records, [grade is not False for grade in grades], average)
    bounds = {UNREAD_WRONG: low, UNREAD_RIGHT: high}
    accuracy = {f"accuracy, {name}": each["accuracy"] for name, each in bounds.items()}
    headline = {name: Metric(value, len(records), average, name) for name, value in accuracy.items()}
    by_task = {task: value if value == high["by_task"][task] else None for task, value in low["by_task"].items()}
    reason = (
        f"{unread} of {len(records)} responses are in no form that the authors' rule reads; they let {judge} match "
        "these with the options, which is not done here"
    )
    undefined = {"accuracy": None, "micro": None, "macro": None, "by_task": by_task}
    official = undefined | {"reason": reason, "bounds": bounds}
    note = (
        f"no official score: {reason}. The {average} accuracy is {100 * low['accuracy']:.2f} if all of them are wrong, "
        f"{100 * high['accuracy']:.2f} if all are right; what their script has extracted can be given as `prediction`"
    )
    return BenchmarkScore(official, {"unread": unread}, _rows(records, [low, high], average, unread), headline, [note])


def _rows(
    records: Sequence[ChoiceQuestion], scores: Sequence[Mapping[str, Any]], average: str, unread: int
) -> list[dict[str, Any]]:
    """The table of one score; or of its two bounds, none of which is official."""
    columns = ["accuracy"] if len(scores) == 1 else [UNREAD_WRONG, UNREAD_RIGHT]
    sizes = Counter(record.task for record in records)
    values = [score["by_task"] | {name: score[name] for name in ("micro", "macro")} for score in scores]
    rows: list[dict[str, Any]] = []
    for name in (*scores[0]["by_task"], "micro", "macro"):
        label = name + " (official)" * (average == name and len(scores) == 1)
        percent = {column: 100 * value[name] for column, value in zip(columns, values, strict=True)}
        rows.append({"task": label, "n": sizes.get(name, len(records))} | percent)
    return [*rows, {"task": UNREAD_ROW, "n": unread}]


def numbered(text: str) -> str:
    """A prompt whose k-th <image> is "Picture k", the label of the image in the chat template."""
    place = iter(range(1, text.count("<image>") + 1))
    return _MARKER.sub(lambda marker: f"Picture {next(place)}", text)
