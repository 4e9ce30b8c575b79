"""What is a benchmark? It loads samples, makes prompts, parses responses, and scores them.

A new benchmark is one module here that defines a subclass of `Benchmark` or of `TextBenchmark`, and its line in
`registry.NAMES`. Generation and scoring are separate: responses are stored in a file, and scoring it takes no
model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..files.validation import Refused
from ..grounding.samples import Mode, Sample
from .prompts import PromptTemplates
from .responses import read_responses
from .sample_scores import Average, SampleScore

Data = TypeVar("Data")
"""What a benchmark's annotation file holds, checked."""

Parsed = TypeVar("Parsed")
"""What responses say: texts as they are, or boxes with their images."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number in [0, 1], None where it is not defined, over `n` samples.

    It is the `average` (see `sample_scores.Average`) of the `sample_scores` of this name.
    """

    value: float | None
    n: int
    average: Average
    of: str


@dataclass(frozen=True)
class BenchmarkScore:
    """The result of scoring one benchmark.

    `official`: the authors' own score; its keys are their names of the metrics, a value is None where their
    script would crash, with the reason beside it. `beside`: what they do not report, ours. `rows`: a table for
    people, one mapping of column to value a row. `headline`: the metrics that a table of many models shows.
    `notes`: sentences that whoever reads the score must know, such as how many responses could not be parsed.
    """

    official: Mapping[str, Any]
    beside: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    headline: Mapping[str, Metric] = field(default_factory=dict)
    notes: Sequence[str] = ()


class Benchmark(ABC, Generic[Data, Parsed]):
    """A published benchmark, read from the files that its authors distribute."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name on the command line and in tables."""

    @property
    def files(self) -> Sequence[str]:
        """Glob patterns of the annotation file below a root, as the authors lay it out; empty: the root is loaded."""
        return ()

    def annotations(self, root: Path) -> Path:
        """The annotation file for `load`: a root that is a file, or the first match of `files` below a folder.

        Raises Refused if none is.
        """
        if not self.files or root.is_file():
            return root
        matches = [file for pattern in self.files for file in sorted(root.glob(pattern))]
        if not matches:
            raise Refused(f"{root} has no annotations of {self.name}; expected {' or '.join(self.files)} in it")
        return matches[0]

    @abstractmethod
    def load(self, file: Path, root: Path | None = None, most_pixels: int | None = None) -> Data:
        """The annotations; image files lie below `root` (default: where the authors' layout has them).

        Images are decoded only when their pixels are needed, and scaled down to `most_pixels`. Raises
        Refused with file, record and key of every fault.
        """

    @abstractmethod
    def head(self, data: Data, limit: int) -> Data:
        """About the first `limit` samples, and at least one: a quick look."""

    @abstractmethod
    def samples(self, data: Data, mode: Mode, templates: PromptTemplates | None = None) -> list[Sample]:
        """One sample a prompt, in order, in the authors' words by default; the id of the n-th is "<name>/<n>"."""

    def max_new_tokens(self, mode: Mode, templates: PromptTemplates) -> int | None:
        """The most tokens of an answer, by the authors' own script; None where that has no figure."""
        return templates.max_new_tokens(self.name, mode)

    @abstractmethod
    def parse(self, data: Data, texts: Sequence[str]) -> Parsed:
        """Parses one response for each of `samples`, in order; each is as `responses.visible_text` leaves it."""

    @abstractmethod
    def read(self, file: Path, data: Data) -> Parsed:
        """Parses a predictions file: this project's own, or another program's in the authors' format.

        Raises Refused with file, record and key of every fault.
        """

    @abstractmethod
    def score(self, data: Data, parsed: Parsed) -> BenchmarkScore:
        """The official score, and ours beside it."""

    @abstractmethod
    def sample_scores(self, data: Data, parsed: Parsed) -> list[SampleScore]:
        """What each sample adds to the headline of `score`: each `Metric` is the average of the rows that it names."""

    @abstractmethod
    def counts(self, data: Data) -> dict[str, int]:
        """Numbers of records in the annotations, by task; with the file's hash they are its fingerprint."""


class TextBenchmark(Benchmark[Sequence[Data], Sequence[str]]):
    """A benchmark whose records take one text each, which the official script reads as it is."""

    def head(self, data: Sequence[Data], limit: int) -> Sequence[Data]:
        return data[:limit]

    def parse(self, data: Sequence[Data], texts: Sequence[str]) -> Sequence[str]:
        return texts

    def read(self, file: Path, data: Sequence[Data]) -> Sequence[str]:
        return read_responses(file, self.name, len(data))
